"""Results of one validation epoch."""

from dataclasses import dataclass, replace
from itertools import chain
from typing import Literal, get_args

import torch
from torch import Tensor

from asr.audio.vad import detect_speech
from asr.data.dataset import Batch
from asr.decode.confidence import fit_calibration
from asr.decode.greedy import GreedyDecoder
from asr.decode.hypothesis import Hypothesis
from asr.decode.timing import fit_boundary_offsets
from asr.evaluation.wer import (
    Score,
    ScoredUtterance,
    score_utterance,
    sum_scores,
    word_correctness,
)
from asr.nn.ctc import CTCModel
from asr.nn.emissions import IDENTITY_CALIBRATION, NO_OFFSET
from asr.training.distributed import gather_objects
from asr.training.objective import count_blanks, ctc_nll

ScoreName = Literal["val/wer", "val/cer", "val/loss", "val/blank"]  # logged values
NUM_SAMPLES = 4  # utterances to plot


@dataclass(frozen=True)
class ValidationSample:
    """One validation utterance with its features (T, F), log-probabilities (U, V), and score."""

    name: str
    features: Tensor
    log_probs: Tensor
    scored: ScoredUtterance


class Validation:
    """Accumulator of the results of one validation epoch.

    It keeps the first utterance of some batches as samples. Batches are sorted by length, so the
    samples differ in length.
    """

    def __init__(self, model: CTCModel, num_batches: int) -> None:
        self.model = model
        self.sample_interval = max(1, num_batches // NUM_SAMPLES)
        self.decode = GreedyDecoder()
        self.samples: list[ValidationSample] = []
        self.scored: list[ScoredUtterance] = []
        # Raw confidence of each word, and whether it is correct
        self.words: list[tuple[float, bool]] = []
        # Seconds of speech before and after the words of an utterance
        self.offsets: list[tuple[float, float]] = []
        self.sums = torch.zeros(4, dtype=torch.float64)  # on the CPU: MPS has no float64

    def update(self, batch: Batch, fits: Tensor, batch_idx: int) -> None:
        """Add the results of a batch; only utterances with true `fits` (B,) have a loss."""
        # (B, T, F), (B,)
        features, lengths = self.model.features(batch.waveforms, batch.lengths)
        emissions = replace(
            self.model.forward_features(features, lengths),
            calibration=IDENTITY_CALIBRATION,
            boundary_offsets=NO_OFFSET,
        )
        nats, labels = ctc_nll(batch, emissions, fits), batch.target_lengths[fits].sum()
        self.sums += torch.stack([nats, labels, *count_blanks(emissions)]).cpu()
        for i, hypothesis in enumerate(self.decode(emissions, self.model.tokenizer)):
            scored = score_utterance(batch.utterances[i].text, hypothesis.text)
            self.scored.append(scored)
            self.words += word_correctness(hypothesis, scored)
            self._add_offsets(batch.waveforms[i, : batch.lengths[i]], hypothesis)
        if batch_idx % self.sample_interval == 0 and len(self.samples) < NUM_SAMPLES:
            sample = ValidationSample(
                name=batch.utterances[0].audio.name,
                features=features[0, : lengths[0]].cpu(),
                log_probs=emissions.row(0).float().cpu(),
                scored=self.scored[-len(batch)],
            )
            self.samples.append(sample)

    def compute_scores(self) -> tuple[Score, dict[str, float]]:
        """Return the score of all processes, and the values to log."""
        score = sum(gather_objects(sum_scores(self.scored)), Score())
        nats, labels, blanks, frames = (
            torch.stack(gather_objects(self.sums)).sum(0).tolist()
        )
        values = (score.wer, score.cer, nats / max(1, labels), blanks / max(1, frames))
        return score, dict(zip(get_args(ScoreName), values, strict=True))

    def fit_model(self) -> None:
        """Fit the model's confidence calibration and word boundaries to all processes' results."""
        words, offsets = zip(*gather_objects((self.words, self.offsets)), strict=True)
        self.model.calibration = fit_calibration([*chain(*words)])
        self.model.boundary_offsets = fit_boundary_offsets([*chain(*offsets)])

    def _add_offsets(self, waveform: Tensor, hypothesis: Hypothesis) -> None:
        speech = detect_speech(waveform.float().cpu().numpy())
        if speech is not None and hypothesis.words:
            first, last = hypothesis.words[0], hypothesis.words[-1]
            self.offsets.append((first.start - speech[0], speech[1] - last.end))
