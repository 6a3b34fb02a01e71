"""The training and validation steps of a CTC model."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from lightning import LightningModule
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from asr.audio import SAMPLE_RATE
from asr.data.dataset import Batch
from asr.errors import TrainingError
from asr.evaluation.wer import Score
from asr.nn.ctc import CTCModel
from asr.nn.spec_augment import SpecAugment
from asr.training.distributed import gather_objects, sum_over_processes, world_size
from asr.training.lightning_workarounds import optimizer_overrides, validate_last_epoch
from asr.training.objective import count_blanks, make_views, training_loss
from asr.training.schedule import create_optimizer
from asr.training.validation import Validation
from asr.validation import check_number


class CTCModule(LightningModule):
    """A model with its optimizer, learning rate schedule, and scores.

    The loss is the negative log-likelihood in nats per label. It is summed over everything that one
    optimizer step uses (all processes, all accumulated batches) and divided once, so that a label
    has the same weight in every batch.

    Args:
        optimizer: Function of parameters that returns an optimizer.
        scheduler: Function of an optimizer and `steps` that returns a learning rate schedule.
        consistency: Weight of the consistency loss. Above 0, each step processes every utterance
            twice, under different masks and dropout, and takes twice as long.
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
    ) -> None:
        super().__init__()
        self.model = model
        self.make_optimizer = optimizer
        self.make_scheduler = scheduler
        self.spec_augment = spec_augment
        self.consistency = check_number("consistency", consistency, ge=0)
        self.seed = seed
        self.skipped: dict[str, str] = {}  # utterance: reason
        self.batch_description = "no utterances"  # current batch, for error messages
        self.should_log = False  # whether the loggers write the current step
        self.score = Score()  # from the last validation
        self.validated = False  # whether `score` belongs to the current weights
        self.start_time = time.monotonic()
        self.earlier_seconds = 0.0  # from the interrupted runs that this one resumes
        self._labels: list[Tensor] = []  # per batch of the current optimizer step
        self._audio_seconds = self._epoch_start = self._epoch_seconds = 0.0

    @property
    def seconds(self) -> float:
        """Return the duration of the run so far, including earlier interrupted runs."""
        return self.earlier_seconds + time.monotonic() - self.start_time

    def configure_optimizers(self) -> Any:
        """Build the optimizer and the schedule of the parameters that are not frozen."""
        settings = optimizer_overrides(self.trainer, self.make_optimizer)
        steps = int(self.trainer.estimated_stepping_batches)
        parameters = [p for p in self.model.parameters() if p.requires_grad]
        make_optimizer = partial(self.make_optimizer, **settings)
        optimizer, scheduler = create_optimizer(
            make_optimizer, self.make_scheduler, parameters, steps=steps
        )
        return [optimizer], [{"scheduler": scheduler, "interval": "step"}]

    def on_train_epoch_start(self) -> None:
        """Start to measure the speed of an epoch."""
        self._audio_seconds, self._epoch_start = 0.0, time.monotonic()
        validate_last_epoch(self.trainer)

    on_train_start = on_train_epoch_start  # called alone if a run resumes within an epoch

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Seed each step from (seed, rank, epoch, batch), so that a resumed run draws the same."""
        self.validated = False
        seconds = batch.waveforms.shape[1] / SAMPLE_RATE
        self.batch_description = f"{len(batch)} utterances of up to {seconds:.1f} s"
        interval = self.trainer.log_every_n_steps
        self.should_log = interval > 0 and (self.trainer.global_step + 1) % interval == 0
        step = (self.seed, self.global_rank, self.current_epoch, batch_idx)
        torch.manual_seed(int(np.random.SeedSequence(step).generate_state(1, np.uint64)[0]))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor | None:
        """Return the loss of a batch, or None if no utterance of it could be read."""
        fits = self._record_skipped(batch)
        if not len(batch) and world_size() == 1:
            return None
        labels = sum_over_processes(batch.target_lengths[fits].sum()).clamp_min(1)
        self._labels.append(labels)
        if not len(batch):  # the other processes wait for gradients
            return 0 * torch.stack([p.sum() for p in self.model.parameters()]).sum()
        # Lightning averages gradients over processes and accumulated batches. Divide all batches of
        # a step by the labels of the first; `_rescale_gradients` divides by those of all.
        scale = self._labels[0] / world_size()
        count = 2 if self.consistency else 1
        views = make_views(self.model, batch, self.spec_augment, count)
        loss = training_loss(batch, views, fits, scale=scale, consistency=self.consistency)
        self._audio_seconds += float(batch.lengths.sum()) / SAMPLE_RATE
        if self.should_log:  # logging takes half a millisecond
            blanks, frames = count_blanks(views[0])
            metrics = {
                "train/loss": loss.detach() * self._labels[0] / labels,
                "train/padding": 1 - batch.lengths.sum() / batch.waveforms.numel(),
                "train/blank": blanks / frames,
            }
            self.log_dict(metrics, batch_size=len(batch))
        return loss

    def configure_gradient_clipping(
        self, optimizer: Optimizer, gradient_clip_val: float | None = None, **_: Any
    ) -> None:
        """Clip the gradient norm to the Trainer's `gradient_clip_val` and log the norm before."""
        self._rescale_gradients(self.trainer.accumulate_grad_batches)
        limit = gradient_clip_val or float("inf")
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), limit)
        if self.should_log:
            lr = optimizer.param_groups[0]["lr"]
            self.log_dict({"train/grad_norm": norm, "train/lr": lr})

    def on_train_batch_end(self, *_: Any) -> None:
        """Measure the duration of the steps, without the validation that follows."""
        self._epoch_seconds = time.monotonic() - self._epoch_start

    def on_train_epoch_end(self) -> None:
        """Write the speed of an epoch to the log.

        Raises:
            TrainingError: If no training utterance could be read.
        """
        if not any(gather_objects(self._audio_seconds)):
            raise self._unreadable("training")
        speed = self._audio_seconds / max(self._epoch_seconds, 1e-9)
        self.log("train/audio_seconds_per_second", speed, sync_dist=True, reduce_fx="sum")

    def on_validation_epoch_start(self) -> None:
        """Discard the results of the previous validation."""
        self.validation = Validation(self.model, int(self.trainer.num_val_batches[0]))

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Add the results of a batch."""
        fits = self._record_skipped(batch)
        if len(batch):
            self.validation.update(batch, fits, batch_idx)

    def on_validation_epoch_end(self) -> None:
        """Write the scores to the log and fit the model's calibration and word boundaries.

        Raises:
            TrainingError: If no validation utterance could be read.
        """
        self.score, metrics = self.validation.compute_scores()
        self.validated = True
        for skipped in gather_objects(self.skipped):
            self.skipped.update(skipped)
        if not self.score.utterances:
            raise self._unreadable("validation")
        self.validation.fit_model()
        # The scores are equal in all processes, but Lightning demands the flag.
        self.log_dict(metrics, sync_dist=True)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the score, the duration, and the architecture to a checkpoint."""
        checkpoint["score"] = self.score
        checkpoint["seconds"] = self.seconds
        checkpoint["architecture"] = self.model.architecture

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Continue with the score and the duration of a checkpoint."""
        self.score, self.earlier_seconds = checkpoint["score"], checkpoint["seconds"]

    def _record_skipped(self, batch: Batch) -> Tensor:
        """Record the unusable utterances and return which others have enough frames, (B,)."""
        fits = self.model.output_lengths(batch.lengths) >= batch.frames_needed
        self.skipped.update(batch.failures)
        for utterance, fit in zip(batch.utterances, fits.tolist(), strict=True):
            if not fit:
                self.skipped[utterance.name] = "too short for its transcript"
        return fits

    def _unreadable(self, split: str) -> TrainingError:
        hints = [f". The first error: {reason}" for reason in self.skipped.values()]
        return TrainingError(f"no {split} utterance could be read{''.join(hints[:1])}")

    def _rescale_gradients(self, batches: int) -> None:
        """Divide the gradients of a step by the labels of all its batches, not of the first one."""
        if batches > 1 and self._labels:
            factor = batches * self._labels[0] / sum(self._labels)
            for p in self.model.parameters():
                if p.grad is not None:
                    p.grad *= factor
        self._labels = []
