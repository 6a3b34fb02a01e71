"""Confidence that means what it says: of words with confidence near p, a share near p is right."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

CLIP = 1e-4  # confidences are kept this far from 0 and 1, where the logarithms are infinite
LEAST = -700.0  # logit, whose exponential is still a float
BINS = 10  # of the reliability diagram


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
        if self == AS_IT_IS:
            return confidence
        c = min(max(confidence, CLIP), 1 - CLIP)
        logit = self.a * math.log(c) - self.b * math.log1p(-c) + self.offset
        return 1 / (1 + math.exp(-max(logit, LEAST)))

    @classmethod
    def fit(cls, words: Sequence[tuple[float, bool]]) -> "Calibration":
        """The likeliest calibration for words of (raw confidence, whether it was right); never a falling one.

        Each class counts one word more than there were (Platt's prior), so that a few words, or none that is wrong,
        do not make it certain. Without any word: the identity.
        """
        if not words:
            return cls()
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
        found = minimize(loss, (1.0, 1.0, 0.0), jac=True, method="L-BFGS-B", bounds=rising, options=options)
        return cls(*map(float, found.x))


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
