"""Tuning of a beam search."""

import pytest

from asr.decode.beam import BeamDecoder
from asr.evaluation.tuning import Tuning
from asr.evaluation.wer import Score, score_utterance
from asr.nn.emissions import Calibration


def score(errors: int) -> Score:
    return score_utterance("a " * 5, "b " * errors + "a " * (5 - errors)).score


@pytest.mark.parametrize(
    ("best", "names"),
    [
        ((0.5, 1.0), []),
        ((0.0, 1.0), []),  # there is nothing below a weight of 0
        ((1.0, 1.0), ["lm_weight"]),
        ((0.5, 0.0), ["word_score"]),
        ((1.0, 2.0), ["lm_weight", "word_score"]),
    ],
)
def test_a_best_point_at_the_edge_of_the_search_is_named(best, names):
    points = [(x, y) for x in (0.0, 0.5, 1.0) for y in (0.0, 1.0, 2.0)]
    scores = {point: score(0 if point == best else 3) for point in points}
    assert Tuning(scores, best, Calibration(), 0.0, 0.0).at_edge == names


def test_a_weight_that_was_not_searched_is_at_no_edge():
    assert Tuning({(0.0, 1.0): score(0)}, (0.0, 1.0), Calibration(), 0.0, 0.0).at_edge == []


def test_weights_are_tuned_without_the_calibration_of_other_weights():
    decoder = BeamDecoder(calibration=(1.2, 0.7, 0.5))
    assert decoder.reweighted(0.0, 1.0).options.calibration == Calibration()
    assert decoder.options.calibration == Calibration(1.2, 0.7, 0.5)
