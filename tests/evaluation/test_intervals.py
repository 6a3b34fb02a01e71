"""Confidence intervals and the paired test: theory, exhaustive search, and simulation."""

import importlib.util
import itertools
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import scipy.stats

from asr.evaluation import intervals
from asr.evaluation.intervals import (
    MIN_SPEAKERS,
    difference_interval,
    permutation_test,
    resamples_speakers,
    wer_interval,
)

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "intervals.py"
UNKNOWN = [""] * 400


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    """Import benchmarks/intervals.py."""
    spec = importlib.util.spec_from_file_location("benchmark_intervals", BENCHMARK)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(3)


def test_the_interval_of_independent_words_is_the_binomial_interval(rng):
    errors = rng.random(400) < 0.2
    rate = errors.mean()
    low, high = wer_interval(errors, np.ones(400), UNKNOWN)
    assert low < rate < high
    width = 2 * 1.96 * (rate * (1 - rate) / 400) ** 0.5
    assert high - low == pytest.approx(width, rel=0.1)


def test_an_interval_without_errors_or_utterances_is_a_point():
    assert wer_interval([], [], []) == (0, 0)
    assert wer_interval([0, 0], [3, 4], ["a", "b"]) == (0, 0)
    assert wer_interval([1], [4], ["a"]) == pytest.approx((0.25, 0.25))
    assert difference_interval([0, 0, 0], [2, 3, 4], UNKNOWN[:3]) == (0, 0)


def test_a_rare_error_has_an_interval_above_zero():
    errors = [0] * 99 + [1]
    low, high = wer_interval(errors, [5] * 100, UNKNOWN[:100])
    assert 0 <= low < 1 / 500 < high < 5 / 500


def test_speakers_are_drawn_if_all_are_known_and_there_are_enough(rng):
    names = np.repeat([f"s{i}" for i in range(MIN_SPEAKERS)], 40).tolist()
    assert resamples_speakers(names)
    assert not resamples_speakers(names[: 40 * (MIN_SPEAKERS - 1)])
    assert not resamples_speakers([*names[:-1], ""])
    assert not resamples_speakers([""])
    hard = np.repeat(rng.uniform(0.05, 0.6, MIN_SPEAKERS), 40)
    errors, words = rng.binomial(5, hard), np.full(len(hard), 5)
    by_speaker = np.ptp(wer_interval(errors, words, names))
    by_utterance = np.ptp(wer_interval(errors, words, UNKNOWN))
    assert by_speaker > 2 * by_utterance


def test_the_order_of_the_utterances_has_no_effect(rng):
    errors, words = rng.binomial(5, 0.3, 200), rng.integers(5, 9, 200)
    order = rng.permutation(200)
    for names in ([f"s{i % 20}" for i in range(200)], UNKNOWN[:200]):
        shuffled = [names[i] for i in order]
        interval = wer_interval(errors, words, names)
        assert wer_interval(errors[order], words[order], shuffled) == pytest.approx(
            interval
        )
        p = permutation_test(errors - 1, names)
        assert permutation_test(errors[order] - 1, shuffled) == p


def test_swapping_the_systems_mirrors_the_difference(rng):
    first, second = rng.binomial(6, 0.2, (2, 80))
    words, names = np.full(80, 6), UNKNOWN[:80]
    low, high = difference_interval(second - first, words, names)
    mirrored = difference_interval(first - second, words, names)
    assert mirrored == pytest.approx((-high, -low), rel=0.15)
    p = permutation_test(second - first, names)
    assert permutation_test(first - second, names) == pytest.approx(p, abs=0.01)


def test_the_permutation_test_equals_the_exhaustive_test(rng):
    for _ in range(5):
        differences = rng.integers(-3, 5, 9)
        total = abs(differences.sum())
        signs = itertools.product((-1, 1), repeat=9)
        sums = np.array([abs(differences @ np.array(sign)) for sign in signs])
        exact = (sums > total).mean() + (sums == total).mean() / 2
        p = permutation_test(differences, UNKNOWN[:9])
        assert p == pytest.approx(exact, abs=0.02)


def test_p_is_1_for_equal_systems_and_tiny_for_one_that_is_always_better():
    assert permutation_test([0, 0, 0], UNKNOWN[:3]) == 1
    assert permutation_test([1] * 30, UNKNOWN[:30]) < 0.001
    names = [f"s{i % 10}" for i in range(30)]
    assert permutation_test([1] * 30, names) == pytest.approx(2**-10, abs=0.001)


def test_draws_in_small_blocks_give_the_same_results(rng, monkeypatch):
    errors, words, names = rng.binomial(5, 0.3, 60), np.full(60, 5), UNKNOWN[:60]
    interval, p = wer_interval(errors, words, names), permutation_test(errors - 1, names)
    monkeypatch.setattr(intervals, "BLOCK", 500)
    assert wer_interval(errors, words, names) == pytest.approx(interval, abs=0.01)
    assert permutation_test(errors - 1, names) == pytest.approx(p, abs=0.02)


@pytest.mark.parametrize("index", [0, 4])
def test_in_simulation_the_interval_covers_the_truth_and_the_test_is_rarely_wrong(
    benchmark, index
):
    """With 400 corpora, the standard error is 1.1 points. The bounds are four of them wide."""
    design = benchmark.DESIGNS[index]
    wer_covered, difference_covered, rejected = benchmark.simulate(design, 400)
    assert 0.906 < wer_covered < 0.994
    assert 0.906 < difference_covered < 0.994
    assert 0.006 < rejected < 0.094


def test_in_simulation_drawing_utterances_of_known_speakers_is_wrong(benchmark):
    wer_covered, _, _ = benchmark.simulate(benchmark.DESIGNS[1], 60, by_speaker=False)
    assert wer_covered < 0.8


def test_two_utterances_give_the_interval_of_students_t_distribution():
    low, high = difference_interval([-3, 1], [10, 10], UNKNOWN[:2])
    t = scipy.stats.t.ppf(0.975, 1)
    error = np.std([-0.3, 0.1], ddof=1) / 2**0.5
    assert (low, high) == pytest.approx((-0.1 - t * error, -0.1 + t * error), abs=1e-4)
    low, high = wer_interval([1, 9], [10, 10], UNKNOWN[:2])
    assert low == 0
    assert high > 1
