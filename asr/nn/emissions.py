"""Emissions, and what validation found of the model that they are of."""

import math
from dataclasses import dataclass

from torch import Tensor

CLIP = 1e-4  # confidences are kept this far from 0 and 1, where the logarithms are infinite
LEAST = -700.0  # logit, whose exponential is still a float


@dataclass(frozen=True)
class Calibration:
    """A raw confidence c becomes sigmoid(a ln c - b ln(1 - c) + offset); as it is unless fitted.

    Beta calibration (Kull, Silva Filho and Flach 2017). Where a = b it is Platt's, of the logit (Platt 1999).
    """

    a: float = 1.0
    b: float = 1.0
    offset: float = 0.0

    def __call__(self, confidence: float) -> float:
        """The calibrated confidence, between 0 and 1."""
        if self == IDENTITY_CALIBRATION:
            return confidence
        c = min(max(confidence, CLIP), 1 - CLIP)
        logit = self.a * math.log(c) - self.b * math.log1p(-c) + self.offset
        return 1 / (1 + math.exp(-max(logit, LEAST)))


IDENTITY_CALIBRATION = Calibration()


@dataclass(frozen=True)
class BoundaryOffsets:
    """Seconds by which words begin before their first token's frame and end behind their last one's."""

    lead: float = 0.0
    tail: float = 0.0


NO_OFFSET = BoundaryOffsets()


@dataclass(frozen=True)
class Emissions:
    """What the model says of each frame: `log_probs` (B, U, V) in nats, `lengths` (B,), seconds for one frame.

    `calibration` is what validation found of the confidence of the words on the best path, `boundary_offsets` of how far words go
    beyond their tokens. `intermediate` holds the log-probabilities that layers below the last one gave, where the model
    asks them: for training.
    """

    log_probs: Tensor
    lengths: Tensor
    seconds_per_frame: float
    calibration: Calibration = IDENTITY_CALIBRATION
    boundary_offsets: BoundaryOffsets = NO_OFFSET
    intermediate: tuple[Tensor, ...] = ()

    def row(self, i: int) -> Tensor:
        """The valid log-probabilities (U, V) of one utterance."""
        return self.log_probs[i, : int(self.lengths[i])]
