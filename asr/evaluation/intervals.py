"""Confidence intervals of error rates, and a paired test of two systems.

The utterances of a speaker tend to fail together, so they are not an independent sample. If there
are enough speakers, the unit of the statistics is a speaker (Liu and Peng 2020, arXiv 1912.09508),
and the results hold for new speakers. Otherwise it is an utterance, and they hold for these
speakers. `benchmarks/intervals.py` measures the coverage of the interval and the false positives
of the test.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy import ndarray

LEVEL = 0.95  # of confidence intervals
DRAWS = 1_000  # corpora that the bootstrap draws
# 97.5 % quantile of Student's t with one degree of freedom, and the factor sqrt(n / (n - 1)) that
# turns the deviation of two units into a standard error
TWO_UNIT_MARGIN = 12.706 * 2**0.5
PERMUTATIONS = 10_000  # swaps in the paired test
MIN_SPEAKERS = 10  # fewer say too little about the variation between speakers
BLOCK = 1_000_000  # units that are drawn at once, which bounds the memory

# from sums over the units of drawn corpora (D, 5) to estimates (D,) and their deviations (D,)
Estimator = Callable[[ndarray], tuple[ndarray, ndarray]]


def resamples_speakers(speakers: Sequence[str]) -> bool:
    """Return whether the unit is a speaker: all speakers are known, and there are enough."""
    return all(speakers) and len(set(speakers)) >= MIN_SPEAKERS


def wer_interval(
    errors: Sequence[int], words: Sequence[int], speakers: Sequence[str]
) -> tuple[float, float]:
    """Return the bounds of the 95 % confidence interval of a word error rate.

    Corpora are drawn from the units with replacement (Bisani and Ney, ICASSP 2004). The interval is
    studentized and symmetric (Hall 1988), because percentiles are too narrow for few speakers. It
    is computed for the square root of the rate, whose variance hardly depends on the rate. The
    random seed is fixed. Without errors, both bounds are 0.

    Args:
        errors: Errors in each utterance (N,).
        words: Words in each reference (N,).
        speakers: Speaker of each utterance, "" if unknown.
    """
    low, high = _bootstrap(errors, words, speakers, _root_rates)
    return max(0.0, low) ** 2, high**2


def difference_interval(
    differences: Sequence[int], words: Sequence[int], speakers: Sequence[str]
) -> tuple[float, float]:
    """Return the bounds of the 95 % confidence interval of the difference of two systems' rates.

    `differences` (N,) are errors of one system minus those of the other in each utterance. The
    interval is that of `wer_interval` without the square root.
    """
    return _bootstrap(differences, words, speakers, _rates)


def permutation_test(differences: Sequence[int], speakers: Sequence[str]) -> float:
    """Return the p-value of the hypothesis that two systems have the same error rate.

    If it holds, swapping the systems in any of the units gives equally likely differences (Fisher
    1935). The p-value is the share of random swaps whose total difference is larger in magnitude,
    and half the share of those that tie (mid-p, Lancaster 1961). The random seed is fixed.

    Args:
        differences: Errors of one system minus those of the other in each utterance.
        speakers: Speaker of each utterance, "" if unknown.
    """
    units = _sum_units(np.array(differences, dtype=np.int64), speakers)
    units = np.sort(units[units != 0])  # the others contribute nothing
    if not len(units):
        return 1.0
    rng = np.random.default_rng(0)
    total, larger, ties = units.sum(), 0, 0
    for size in _blocks(PERMUTATIONS, len(units)):
        kept = rng.integers(2, size=(size, len(units)), dtype=np.int8)
        # floats are exact here and much faster than integers
        swapped = np.abs(2 * (kept.astype(np.float64) @ units) - total)
        larger += int(np.count_nonzero(swapped > abs(total)))
        ties += int(np.count_nonzero(swapped == abs(total)))
    return (larger + ties / 2 + 0.5) / (PERMUTATIONS + 1)  # the observation itself is a tie


def _bootstrap(
    errors: Sequence[int],
    words: Sequence[int],
    speakers: Sequence[str],
    estimate: Estimator,
) -> tuple[float, float]:
    """Return the bounds of the symmetric studentized interval of an estimate."""
    units = _sum_units(np.array([errors, words], dtype=np.int64).T, speakers)  # (n, 2)
    units = units[np.lexsort(units.T)]  # the result must not depend on the order
    n = len(units)
    e, w = units.T
    moments = np.stack([e, w, e * e, e * w, w * w], axis=-1)  # (n, 5)
    center, deviation = (x.item() for x in estimate(moments.sum(axis=0, keepdims=True)))
    if n < 2:
        return center, center
    if (
        n == 2
    ):  # a bootstrap draws the same corpus or one unit twice, which has no deviation
        margin = TWO_UNIT_MARGIN * deviation
        return center - margin, center + margin
    rng = np.random.default_rng(0)
    sums = [moments[rng.integers(n, size=(k, n))].sum(axis=1) for k in _blocks(DRAWS, n)]
    drawn, deviations = estimate(np.concatenate(sums))
    varies = deviations > 0
    if not varies.any():  # for example, no errors at all
        return center, center
    distances = np.abs(drawn[varies] - center) / deviations[varies]
    margin = float(np.quantile(distances, LEVEL)) * deviation
    return center - margin, center + margin


def _rates(moments: ndarray) -> tuple[ndarray, ndarray]:
    """Return errors per word (D,) and their standard errors up to a constant, of sums (D, 5)."""
    errors, words, squares, products, squared_words = moments.T
    words = np.maximum(1, words)
    rates = errors / words
    residuals = squares - 2 * rates * products + rates**2 * squared_words
    residuals[residuals < 1e-9 * np.maximum(1, squares)] = 0.0  # rounding errors
    return rates, np.sqrt(residuals) / words


def _root_rates(moments: ndarray) -> tuple[ndarray, ndarray]:
    """Return the square roots of what `_rates` returns, and their standard errors."""
    rates, deviations = _rates(moments)
    roots = np.sqrt(rates)
    return roots, deviations / np.maximum(2 * roots, 1e-9)


def _sum_units(counts: ndarray, speakers: Sequence[str]) -> ndarray:
    """Return the sums (n, ...) of counts (N, ...) over the units, speakers or utterances."""
    if not resamples_speakers(speakers):
        return counts
    names, index = np.unique(speakers, return_inverse=True)
    sums = np.zeros((len(names), *counts.shape[1:]), counts.dtype)
    np.add.at(sums, index, counts)
    return sums


def _blocks(draws: int, units: int) -> Iterator[int]:
    """Yield the sizes of blocks in which a number of draws of some units are made."""
    size = max(1, BLOCK // max(1, units))
    for start in range(0, draws, size):
        yield min(size, draws - start)
