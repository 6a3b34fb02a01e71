"""Calibration of word confidence."""

import math
from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.decode.confidence import Reliability, fit_calibration
from asr.nn.emissions import IDENTITY_CALIBRATION, Calibration

WORDS = st.lists(st.tuples(st.floats(0, 1), st.booleans()), max_size=60)


def draw_words(count, *truth, seed=0):
    """Return words whose calibrated confidence is the probability that they are correct."""
    rng = np.random.default_rng(seed)
    raw = rng.uniform(0.02, 0.98, count)
    calibration = Calibration(*truth)
    return [(float(c), bool(rng.random() < calibration(c))) for c in raw]


@pytest.mark.parametrize(
    "truth", [(1.0, 1.0, 0.0), (0.5, 0.5, -1.0), (2.0, 0.7, 0.5), (0.0, 1.0, -0.5)]
)
def test_the_fit_recovers_the_calibration_of_drawn_words(truth):
    fit = fit_calibration(draw_words(30_000, *truth))
    expected = Calibration(*truth)
    for c in np.linspace(0.05, 0.95, 19):
        assert fit(c) == pytest.approx(expected(c), abs=0.02)


def test_no_weights_near_the_fit_are_more_likely():
    words = draw_words(2_000, 1.5, 0.5, -0.5)
    hits = sum(hit for _, hit in words)
    targets = {True: (hits + 1) / (hits + 2), False: 1 / (len(words) - hits + 2)}

    def likelihood(calibration):
        each = [(calibration(c), targets[hit]) for c, hit in words]
        return sum(t * math.log(p) + (1 - t) * math.log(1 - p) for p, t in each)

    fit = fit_calibration(words)
    for step in np.random.default_rng(0).normal(0, 0.02, (50, 3)):
        assert likelihood(Calibration(*np.array(astuple(fit)) + step)) < likelihood(fit)


def test_a_fit_generalizes_to_other_words():
    calibration = fit_calibration(draw_words(3_000, 0.6, 0.6, -1.5, seed=1))
    others = draw_words(3_000, 0.6, 0.6, -1.5, seed=2)
    before, after = (
        Reliability.of(others),
        Reliability.of([(calibration(c), hit) for c, hit in others]),
    )
    assert before.error > 0.2
    assert after.error < 0.03


@given(WORDS)
def test_a_fit_never_decreases_and_returns_probabilities(words):
    calibration = fit_calibration(words)
    values = [calibration(c) for c in np.linspace(0, 1, 21)]
    assert all(0 <= value <= 1 for value in values)
    assert values == sorted(values)


def test_correct_words_alone_do_not_lead_to_certainty():
    calibration = fit_calibration([(0.9, True)] * 5)
    assert 0.5 < calibration(0.9) < 1


def test_confidence_is_unchanged_without_words_or_fit():
    assert fit_calibration([]) == IDENTITY_CALIBRATION
    assert IDENTITY_CALIBRATION(0.123456789) == 0.123456789


@given(WORDS)
def test_the_calibration_error_follows_its_definition(words):
    bins = [[w for w in words if min(9, int(w[0] * 10)) == i] for i in range(10)]
    expected = sum(
        abs(sum(c for c, _ in held) - sum(hit for _, hit in held)) for held in bins
    ) / max(1, len(words))
    reliability = Reliability.of(words)
    assert reliability.error == pytest.approx(expected)
    assert reliability.count.sum() == len(words)
