"""Confidence that means what it says: of words with confidence near p, a share near p is right."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from asr.nn.emissions import CLIP, Calibration

BINS = 10  # of the reliability diagram


def fit_calibration(words: Sequence[tuple[float, bool]]) -> Calibration:
    """The likeliest calibration for words of (raw confidence, whether it was right); never a falling one.

    Each class counts one word more than there were (Platt's prior), so that a few words, or none that is wrong,
    do not make it certain. Without any word: the identity.
    """
    if not words:
        return Calibration()
    from scipy.optimize import minimize  # here, for only training and tuning need them
    from scipy.special import expit

    confidence, right = np.array(words, dtype=np.float64).T
    c, hit = confidence.clip(CLIP, 1 - CLIP), right.astype(bool)
    terms = np.stack([np.log(c), -np.log1p(-c), np.ones_like(c)])
    target = np.where(hit, (hit.sum() + 1) / (hit.sum() + 2), 1 / ((~hit).sum() + 2))

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        """The mean cross-entropy, in nats, and its gradient."""
        z = weights @ terms
        return float((np.logaddexp(0, z) - target * z).mean()), terms @ (expit(z) - target) / len(z)

    rising = [(0, None), (0, None), (None, None)]
    options = {"ftol": 1e-12, "gtol": 1e-8}
    found = minimize(
        loss, (1.0, 1.0, 0.0), jac=True, method="L-BFGS-B", bounds=rising, options=options
    )
    return Calibration(*map(float, found.x))


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
        confidence, right_share = (
            np.bincount(bin_of, values, bins)[held] / count[held] for values in (p, hit)
        )
        return cls(confidence, right_share, count[held])

    @property
    def error(self) -> float:
        """Expected calibration error: the mean distance of confidence and share, by words (Naeini et al. 2015)."""
        return float(
            (np.abs(self.confidence - self.right) * self.count).sum() / max(1, self.count.sum())
        )
