"""Confidence that means what it says: of words with confidence near p, a share near p is right."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

CLIP = 1e-4  # confidences are kept this far from 0 and 1, where the logit is infinite
BINS = 10  # of the reliability diagram


@dataclass(frozen=True)
class Calibration:
    """A raw confidence c becomes sigmoid(slope * logit(c) + offset); as it is unless fitted (Platt 1999)."""

    slope: float = 1.0
    offset: float = 0.0

    def __call__(self, confidence: float) -> float:
        """The calibrated confidence, between 0 and 1."""
        if self == AS_IT_IS:
            return confidence
        return float(_sigmoid(self.slope * _logit(np.asarray(confidence)) + self.offset))

    @classmethod
    def fit(cls, words: Sequence[tuple[float, bool]]) -> "Calibration":
        """The likeliest calibration for words of (raw confidence, whether it was right); never a falling one.

        Each class counts one word more than there were (Platt's prior), so that a few words, or none that is wrong,
        do not make it certain. Without any word: the identity.
        """
        if not words:
            return cls()
        confidence, hit = np.array(words, dtype=np.float64).T
        x, hit = _logit(confidence), hit.astype(bool)
        target = np.where(hit, (hit.sum() + 1) / (hit.sum() + 2), 1 / ((~hit).sum() + 2))
        slope, offset = 0.0, float(_logit(target.mean()))
        for _ in range(50):  # Newton's method; the loss is convex
            p = _sigmoid(slope * x + offset)
            weight = p * (1 - p) + 1e-9
            gradient = np.array([((p - target) * x).sum(), (p - target).sum()])
            hessian = np.array([[(weight * x * x).sum(), (weight * x).sum()], [(weight * x).sum(), weight.sum()]])
            step = np.linalg.solve(hessian + 1e-6 * np.eye(2), gradient)
            slope, offset = slope - step[0], offset - step[1]
            if np.abs(step).max() < 1e-8:
                break
        if slope < 0 or not np.isfinite(slope + offset):
            return cls(0.0, float(_logit(target.mean())))
        return cls(float(slope), float(offset))


AS_IT_IS = Calibration()


@dataclass(frozen=True)
class Reliability:
    """A reliability diagram: for each bin of confidence that holds words, their mean confidence, share right, count."""

    confidence: np.ndarray
    right: np.ndarray
    count: np.ndarray

    @classmethod
    def of(cls, words: Sequence[tuple[float, bool]], *, bins: int = BINS) -> "Reliability":
        """Words of (confidence, whether it was right) in bins of equal width."""
        p, hit = np.array(words, dtype=np.float64).reshape(-1, 2).T
        bin_of = np.minimum((p * bins).astype(int), bins - 1)
        count = np.bincount(bin_of, minlength=bins)
        held = count > 0
        confidence, right_share = (np.bincount(bin_of, values, bins)[held] / count[held] for values in (p, hit))
        return cls(confidence, right_share, count[held])

    @property
    def error(self) -> float:
        """Expected calibration error: the mean distance of confidence and share, by words (Naeini et al. 2015)."""
        return float((np.abs(self.confidence - self.right) * self.count).sum() / max(1, self.count.sum()))


def _logit(p: np.ndarray) -> np.ndarray:
    p = np.clip(p, CLIP, 1 - CLIP)
    return np.log(p / (1 - p))


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(x, -30, 30)))
