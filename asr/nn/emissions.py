"""Emissions of the model, and the values that validation fits for its confidence and word times.

This module does not import torch.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy import ndarray

if TYPE_CHECKING:
    from torch import Tensor

CLIP = 1e-4  # distance of confidences from 0 and 1, which keeps their logarithms finite
MIN_LOGIT = -700.0  # the exponential of its negative is still a finite float


@dataclass(frozen=True)
class Calibration:
    """Calibration of confidences: c becomes sigmoid(a ln c - b ln(1 - c) + offset).

    This is beta calibration (Kull, Silva Filho, and Flach 2017). With a = b it is Platt scaling of
    the logit (Platt 1999). The default is the identity.
    """

    a: float = 1.0
    b: float = 1.0
    offset: float = 0.0

    def __call__(self, confidence: float) -> float:
        """Return the calibrated confidence, between 0 and 1."""
        if self == IDENTITY_CALIBRATION:
            return confidence
        c = min(max(confidence, CLIP), 1 - CLIP)
        logit = self.a * math.log(c) - self.b * math.log1p(-c) + self.offset
        return 1 / (1 + math.exp(-max(logit, MIN_LOGIT)))


IDENTITY_CALIBRATION = Calibration()


@dataclass(frozen=True)
class BoundaryOffsets:
    """Seconds from the start of a word to its first token, and from its last token to its end."""

    lead: float = 0.0
    tail: float = 0.0


NO_OFFSET = BoundaryOffsets()


@dataclass(frozen=True)
class Emissions:
    """Log-probabilities (B, U, V) in nats that the model predicts, with lengths (B,).

    They are tensors, on the device of the model, or arrays.
    `calibration` and `boundary_offsets` apply to the words on the best path. `intermediate` holds
    the log-probabilities (B, U, V) after intermediate encoder layers, for training.
    """

    log_probs: Any
    lengths: Any
    seconds_per_frame: float
    calibration: Calibration = IDENTITY_CALIBRATION
    boundary_offsets: BoundaryOffsets = NO_OFFSET
    intermediate: "tuple[Tensor, ...]" = ()

    def rows(self) -> list[ndarray]:
        """Return the valid log-probabilities (U, V) of each utterance as arrays."""
        arrays = self.log_probs  # (B, U, V)
        if not isinstance(arrays, ndarray):
            arrays = arrays.detach().float().cpu().numpy()
        lengths = self.lengths.tolist()
        return [row[:length] for row, length in zip(arrays, lengths, strict=True)]

    def cpu(self) -> "Emissions":
        """Return the emissions as arrays, without those after intermediate layers."""
        if isinstance(self.log_probs, ndarray):
            return self
        log_probs, lengths = (
            x.detach().cpu().numpy() for x in (self.log_probs, self.lengths)
        )
        return replace(self, log_probs=log_probs, lengths=lengths, intermediate=())

    def split(self) -> "list[Emissions]":
        """Return the emissions (1, U, V) of each utterance as arrays without padding."""
        return [self.with_rows([row.copy()]) for row in self.rows()]

    def with_rows(self, rows: Sequence[ndarray]) -> "Emissions":
        """Return other log-probabilities, rows (U, V), as one batch, padded with 0."""
        lengths = np.array([len(row) for row in rows])
        if len(rows) == 1:
            log_probs = rows[0][None]
        else:
            shape = len(rows), max(lengths, default=0), self.log_probs.shape[-1]
            log_probs = np.zeros(shape, np.float32)
            for padded, row in zip(log_probs, rows, strict=True):
                padded[: len(row)] = row
        return replace(self, log_probs=log_probs, lengths=lengths, intermediate=())

    def row(self, i: int) -> Any:
        """Return the valid log-probabilities (U, V) of one utterance."""
        return self.log_probs[i, : int(self.lengths[i])]
