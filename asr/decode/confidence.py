"""Confidence of words: about a share p of the words with calibrated confidence p is correct."""

import math
from collections import defaultdict
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy import ndarray

from asr.decode.ctc_path import WordSpan
from asr.nn.emissions import CLIP, Calibration

N_BINS = 10  # in a reliability diagram


class Candidate(NamedTuple):
    """A text of the beam: its score in nats, its words, and its path (K,) in the decoded frames."""

    text: str
    score: float
    words: list[WordSpan]
    path: ndarray


def word_posteriors(words: list[WordSpan], candidates: list[Candidate]) -> list[float]:
    """Return the share of the likelihood of candidates that contains each word at its place.

    A candidate contains a word if it has the same word in overlapping frames. The first candidate
    is the best.
    """
    best = candidates[0].score
    likelihoods = [math.exp(candidate.score - best) for candidate in candidates]
    total = sum(likelihoods)
    places = defaultdict(list)
    for i, candidate in enumerate(candidates):
        for text, start, end in candidate.words:
            places[text].append((i, start, end))
    posteriors = []
    for text, start, end in words:
        same = {i for i, first, last in places[text] if first < end and last > start}
        posteriors.append(min(1.0, sum(likelihoods[i] for i in same) / total))
    return posteriors


def fit_calibration(words: list[tuple[float, bool]]) -> Calibration:
    """Return the most likely calibration that never decreases; the identity for no words.

    Targets follow Platt (1999): each class counts one word more than there are, so that a few words
    or a class without words do not lead to certainty.

    Args:
        words: Pairs of (raw confidence, whether the word is correct).
    """
    if not words:
        return Calibration()
    # imported here because only training and tuning need scipy
    from scipy.optimize import minimize
    from scipy.special import expit

    confidence, correct = np.array(words, float).T  # (N,)
    hits = correct.sum()
    c = confidence.clip(CLIP, 1 - CLIP)
    terms = np.stack([np.log(c), -np.log1p(-c), np.ones_like(c)])  # (3, N)
    misses = len(c) - hits
    target = np.where(correct, (hits + 1) / (hits + 2), 1 / (misses + 2))

    def loss(weights: ndarray) -> tuple[float, ndarray]:
        """Return the mean cross-entropy in nats and its gradient (3,)."""
        z = weights @ terms  # (N,)
        nats = np.logaddexp(0, z) - target * z
        return nats.mean(), terms @ (expit(z) - target) / len(z)

    fit = minimize(
        loss,
        (1.0, 1.0, 0.0),
        jac=True,
        method="L-BFGS-B",
        bounds=[(0, None), (0, None), (None, None)],  # a and b must not be negative
        options={"ftol": 1e-12, "gtol": 1e-8},
    )
    return Calibration(*fit.x.tolist())


@dataclass(frozen=True)
class Reliability:
    """A reliability diagram: mean confidence, accuracy, and word count of each bin."""

    confidence: ndarray
    accuracy: ndarray
    count: ndarray

    @classmethod
    def of(cls, words: list[tuple[float, bool]]) -> "Reliability":
        """Sort words of (confidence, whether correct) into bins of equal width. Drop empty bins."""
        confidence, correct = np.array(words, float).reshape(-1, 2).T
        index = np.minimum((confidence * N_BINS).astype(int), N_BINS - 1)
        count = np.bincount(index, minlength=N_BINS)
        filled = count > 0
        mean, accuracy = (
            np.bincount(index, values, N_BINS)[filled] / count[filled]
            for values in (confidence, correct)
        )
        return cls(mean, accuracy, count[filled])

    @property
    def bins(self) -> list[tuple[float, float, int]]:
        """Return (mean confidence, accuracy, word count) of each bin."""
        columns = self.confidence.tolist(), self.accuracy.tolist(), self.count.tolist()
        return list(zip(*columns, strict=True))

    @property
    def error(self) -> float:
        """Expected calibration error, the mean |confidence - accuracy| (Naeini et al. 2015)."""
        distance = np.abs(self.confidence - self.accuracy)
        return float((distance * self.count).sum() / max(1, self.count.sum()))
