"""What happens in a step of training and of validation."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from lightning import LightningModule
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from asr.audio import SAMPLE_RATE
from asr.audio.vad import detect_speech
from asr.data.dataset import Batch
from asr.decode import GreedyDecoder, Hypothesis
from asr.decode.confidence import fit_calibration
from asr.decode.timing import fit_boundary_offsets
from asr.errors import ConfigError, TrainingError
from asr.evaluation.wer import Score, ScoredUtterance, score_utterance, sum_scores, word_correctness
from asr.nn.ctc import CTCModel
from asr.nn.emissions import IDENTITY_CALIBRATION, NO_OFFSET, Emissions
from asr.nn.losses import consistency_loss, ctc_loss
from asr.nn.padding import length_to_mask
from asr.nn.spec_augment import SpecAugment
from asr.text import BLANK
from asr.validation import check_number

T = TypeVar("T")

SCORES = ("val/wer", "val/cer", "val/loss", "val/blank")  # of each validation
INTERMEDIATE = 0.3  # share of the loss that a model's intermediate layers have, where it has such


@dataclass(frozen=True)
class ValidationSample:
    """An utterance of the validation set: its features (T, F), emissions (U, V) and what was made of them."""

    name: str
    features: Tensor
    log_probs: Tensor
    pair: ScoredUtterance


class CTCModule(LightningModule):
    """A model with its optimizer, its schedule and its scores.

    The loss is the negative log-likelihood in nats for each character: summed over what one step of the optimizer sees,
    of all processes and all accumulated batches, and divided once, so that a character weighs the same in whatever
    batch it is. `optimizer` takes parameters, `scheduler` an optimizer and `steps`.

    With `consistency` above 0 each utterance is seen twice, under other masks and other dropout: the loss is the mean
    of the two, and that weight times their disagreement for each character. A step costs twice as much.

    Of a model that says behind intermediate layers too what it hears, their mean loss has a share of `INTERMEDIATE`
    (Lee and Watanabe 2021, arXiv 2102.03216).
    """

    def __init__(
        self,
        *,
        model: CTCModel,
        optimizer: Callable[..., Optimizer],
        scheduler: Callable[..., LRScheduler],
        spec_augment: SpecAugment | None = None,
        consistency: float = 0.0,
        seed: int = 0,
        num_samples: int = 4,
    ) -> None:
        super().__init__()
        self.model = model
        self.seed = seed
        self.spec_augment = spec_augment
        self.consistency = check_number("consistency", consistency, ge=0)
        self.make_optimizer = optimizer
        self.make_scheduler = scheduler
        self.num_samples = num_samples
        self.decode = GreedyDecoder()
        self.skipped: dict[str, str] = {}
        self.batch_description = "nothing yet"  # the batch of the present step, in words
        self.should_log = False  # whether the present step is one of those that the loggers write
        self.score, self.validated = (
            Score(),
            False,
        )  # and whether it is that of the weights as they are
        self.began, self.earlier = time.monotonic(), 0.0
        self.samples: list[ValidationSample] = []
        self._labels: list[Tensor] = []  # of each batch of the step
        self._pairs: list[ScoredUtterance] = []
        self._sums = torch.zeros(4)
        self._words: list[tuple[float, bool]] = []  # raw confidence, and whether it was right
        self._reached: list[
            tuple[float, float]
        ] = []  # seconds that speech begins before the first word, ends behind
        self._audio_seconds, self._epoch_start, self._elapsed = 0.0, 0.0, 0.0

    def configure_optimizers(self) -> Any:
        """Raises ConfigError for a setting that the optimizer or the schedule does not have."""
        settings = {}
        if self.trainer.scaler is not None and "fused" in getattr(
            self.make_optimizer, "keywords", {}
        ):
            settings["fused"] = (
                False  # in float16 it would take gradients back to their scale behind their clipping
            )
        steps = int(self.trainer.estimated_stepping_batches)
        try:
            optimizer = self.make_optimizer(self.model.parameters(), **settings)
            scheduler = self.make_scheduler(optimizer, steps=steps)
        except TypeError as error:
            raise ConfigError(
                f"optimizer, scheduler: {error}; ~optimizer.KEY leaves a key out"
            ) from None
        except ValueError as error:
            raise ConfigError(f"optimizer, scheduler: {error}") from None
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Draw the masks and the dropout of a step from what it is alone, so that a run that goes on draws the same."""
        self.validated = False
        self.batch_description = (
            f"{len(batch)} utterances of up to {batch.waveforms.shape[1] / SAMPLE_RATE:.1f} s"
        )
        every = self.trainer.log_every_n_steps
        self.should_log = every > 0 and (self.trainer.global_step + 1) % every == 0
        which = np.random.SeedSequence((self.seed, self.global_rank, self.current_epoch, batch_idx))
        # torch.manual_seed notes a stack trace for each kind of device that there might be
        seeded = (
            torch.default_generator.manual_seed if self.device.type == "cpu" else torch.manual_seed
        )
        seeded(int(which.generate_state(1, np.uint64)[0]))

    def on_train_epoch_start(self) -> None:
        self._audio_seconds, self._epoch_start = 0.0, time.monotonic()
        if (
            self.trainer.check_val_every_n_epoch
            and self.trainer.current_epoch + 1 == self.trainer.max_epochs
        ):
            self.trainer.check_val_every_n_epoch = 1  # the last epoch may be the best

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor | None:
        self._note_failures(batch)
        if not len(batch) and self._world == 1:
            return None
        labels = self._summed(batch.target_lengths[self._fits(batch)].sum()).clamp_min(1)
        self._labels.append(labels)
        # what Lightning averages over the processes is then the sum of all over the labels of all; the batches of one
        # step are weighed alike, until all its labels are known
        whole = self._labels[0] / self._world
        if not len(batch):  # others go on, and wait for this one's gradients
            return sum(
                (p.sum() * 0 for p in self.model.parameters()), torch.zeros((), device=self.device)
            )
        views = self._views(batch)
        loss = self._mean_ctc_nll(batch, views) / whole
        below = [
            replace(view, log_probs=log_probs) for view in views for log_probs in view.intermediate
        ]
        if below:
            loss = (1 - INTERMEDIATE) * loss + INTERMEDIATE * (
                self._mean_ctc_nll(batch, below) / whole
            )
        if self.consistency:
            first, second = views
            apart = consistency_loss(first.log_probs, second.log_probs, first.lengths).sum()
            loss = loss + self.consistency * apart / whole
        self._audio_seconds += float(batch.lengths.sum()) / SAMPLE_RATE
        if (
            self.should_log
        ):  # a value that Lightning is told and nobody reads costs half a millisecond
            blanks, frames = _blanks(views[0])
            self.log_dict(
                {
                    "train/loss": loss.detach() * self._labels[0] / labels,
                    "train/padding": 1 - batch.lengths.sum() / batch.waveforms.numel(),
                    "train/blank": blanks / frames,
                },
                batch_size=len(batch),
            )
        return loss

    def _views(self, batch: Batch) -> list[Emissions]:
        """Each utterance under masks of its own: once, or twice where the two must agree.

        Both go through the encoder as one batch: recurrent layers do twice the rows in little more than the time.
        """
        count = 2 if self.consistency else 1
        features, lengths = self.model.features(batch.waveforms, batch.lengths)
        features, lengths = features.repeat(count, 1, 1), lengths.repeat(count)
        if self.spec_augment is not None:
            features = self.spec_augment(features, lengths)
        emissions = self.model.forward_features(features, lengths)
        parts = [
            tensor.chunk(count)
            for tensor in (emissions.log_probs, emissions.lengths, *emissions.intermediate)
        ]
        return [
            replace(emissions, log_probs=log_probs, lengths=lengths, intermediate=tuple(below))
            for log_probs, lengths, *below in zip(*parts, strict=True)
        ]

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip the norm as the Trainer's `gradient_clip_val` says, and log what it was before."""
        self._rescale_gradients(self.trainer.accumulate_grad_batches)
        limit = gradient_clip_val or float("inf")
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), limit)
        if self.should_log:
            self.log_dict({"train/grad_norm": norm, "train/lr": optimizer.param_groups[0]["lr"]})

    def _rescale_gradients(self, batches: int) -> None:
        """From gradients by the first batch's labels, averaged over batches, to the sum over the labels of them all."""
        if batches > 1 and self._labels:
            factor = batches * self._labels[0] / sum(self._labels)
            for p in self.model.parameters():
                if p.grad is not None:
                    p.grad *= factor
        self._labels = []

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        # of the steps alone: validation comes before the epoch's end
        self._elapsed = time.monotonic() - self._epoch_start

    def on_train_epoch_end(self) -> None:
        if not self._summed(torch.tensor(self._audio_seconds, device=self.device)):
            raise TrainingError(f"not one training utterance could be read{self._for_example()}")
        speed = self._audio_seconds / max(self._elapsed, 1e-9)
        self.log("train/audio_seconds_per_second", speed, sync_dist=True, reduce_fx="sum")

    def on_validation_epoch_start(self) -> None:
        self._pairs, self._words, self._reached, self.samples = [], [], [], []
        self._sums = torch.zeros(
            4, device=self.device, dtype=torch.float64
        )  # nats, labels, blank frames, frames

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self._note_failures(batch)
        if not len(batch):
            return
        features, lengths = self.model.features(batch.waveforms, batch.lengths)
        emissions = replace(
            self.model.forward_features(features, lengths),
            calibration=IDENTITY_CALIBRATION,
            boundary_offsets=NO_OFFSET,
        )
        labels = batch.target_lengths[self._fits(batch)].sum()
        self._sums += torch.stack([self._ctc_nll(batch, emissions), labels, *_blanks(emissions)])
        for i, hypothesis in enumerate(self.decode(emissions, self.model.tokenizer)):
            pair = score_utterance(batch.utterances[i].text, hypothesis.text)
            self._pairs.append(pair)
            self._words += word_correctness(hypothesis, pair)
            self._note_reach(batch.waveforms[i, : int(batch.lengths[i])], hypothesis)
            if len(self.samples) < self.num_samples and batch_idx % self._spread() == 0 and i == 0:
                picture = features[i, : int(lengths[i])].cpu(), emissions.row(i).float().cpu()
                self.samples.append(
                    ValidationSample(batch.utterances[i].audio.name, *picture, pair)
                )

    def on_validation_epoch_end(self) -> None:
        nats, labels, blanks, frames = self._summed(self._sums).tolist()
        if not frames:
            raise TrainingError(f"not one validation utterance could be read{self._for_example()}")
        self.score, self.validated = sum(self._gathered(sum_scores(self._pairs)), Score()), True
        for skipped in self._gathered(self.skipped):
            self.skipped.update(skipped)
        self.model.calibration = fit_calibration(
            [*chain.from_iterable(self._gathered(self._words))]
        )
        self.model.boundary_offsets = fit_boundary_offsets(
            [*chain.from_iterable(self._gathered(self._reached))]
        )
        scores = self.score.wer, self.score.cer, nats / max(1, labels), blanks / max(1, frames)
        # they are the same everywhere; without sync_dist Lightning warns
        self.log_dict(dict(zip(SCORES, scores, strict=True)), sync_dist=True)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint |= {
            "score": self.score,
            "seconds": self.seconds,
            "architecture": self.model.architecture,
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.score, self.earlier = checkpoint["score"], checkpoint["seconds"]

    @property
    def seconds(self) -> float:
        """Of the run so far, with those of the parts that were interrupted."""
        return self.earlier + time.monotonic() - self.began

    @property
    def _world(self) -> int:
        """Processes that train together."""
        return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1

    def _summed(self, x: Tensor) -> Tensor:
        """A tensor summed over all processes."""
        if self._world > 1:
            x = x.clone()
            dist.all_reduce(x)
        return x

    def _gathered(self, value: T) -> list[T]:
        """A value of each process, in the order of the processes."""
        found: list[Any] = [value]
        if self._world > 1:
            found = [None] * self._world
            dist.all_gather_object(found, value)
        return found

    def _spread(self) -> int:
        """Every how many validation batches one utterance is shown, so that those shown differ in length."""
        return max(1, int(self.trainer.num_val_batches[0]) // self.num_samples)

    def _mean_ctc_nll(self, batch: Batch, said: list[Emissions]) -> Tensor:
        """The mean of what several emissions of a batch lose."""
        return torch.stack([self._ctc_nll(batch, emissions) for emissions in said]).mean()

    def _ctc_nll(self, batch: Batch, emissions: Emissions) -> Tensor:
        """Negative log-likelihood of the utterances whose labels fit, in nats; the others are counted and named."""
        fits = self._fits(batch)
        losses = ctc_loss(
            emissions.log_probs[fits],
            emissions.lengths[fits],
            batch.targets[fits],
            batch.target_lengths[fits],
        )
        if len(losses) < len(batch):
            for utterance, fit in zip(batch.utterances, fits.tolist(), strict=True):
                if not fit:
                    self.skipped[utterance.name] = "too short for its transcript"
        return losses.sum()

    def _fits(self, batch: Batch) -> Tensor:
        """Which utterances (B,) have frames enough for their labels."""
        return self.model.output_lengths(batch.lengths) >= batch.frames_needed

    def _note_reach(self, waveform: Tensor, hypothesis: Hypothesis) -> None:
        bounds = detect_speech(waveform.float().cpu().numpy())
        if bounds is not None and hypothesis.words:
            self._reached.append(
                (hypothesis.words[0].start - bounds[0], bounds[1] - hypothesis.words[-1].end)
            )

    def _for_example(self) -> str:
        return next((f"; the first: {reason}" for reason in self.skipped.values()), "")

    def _note_failures(self, batch: Batch) -> None:
        self.skipped.update(batch.failures)


def _blanks(emissions: Emissions) -> tuple[Tensor, Tensor]:
    """Frames whose likeliest token is the blank, and all of them; nearly all while a model has not begun to learn."""
    blank = emissions.log_probs.detach().argmax(-1) == BLANK
    return (
        blank & length_to_mask(emissions.lengths, blank.shape[1])
    ).sum(), emissions.lengths.sum().clamp_min(1)
