"""Settings by hours of speech, and the verdict on an adapted model."""

import re
from itertools import pairwise
from pathlib import Path

import pytest

from asr.config.adaptation import PLANS, choose_plan
from asr.config.adaptation_report import judge
from asr.evaluation.systems import Comparison, Outcome, Pair
from asr.evaluation.wer import EditCounts

DOCS = Path(__file__).parents[2] / "docs"
WORDS = 10  # in each reference


def comparison(pairs: list[tuple[int, int]]) -> Comparison:
    """Return the comparison of utterances of WORDS words with errors (before, after)."""

    def outcome(index: int, errors: int) -> Outcome:
        return Outcome(str(index), "", "", EditCounts(WORDS - errors, errors, 0, 0), [])

    return Comparison(
        [Pair(*(outcome(i, errors) for errors in pair)) for i, pair in enumerate(pairs)]
    )


@pytest.mark.parametrize(
    ("hours", "freeze", "epochs"), [(0.0, 2, 30), (0.1, 1, 20), (0.49, 1, 20), (3e3, 0, 10)]
)
def test_hours_of_speech_choose_the_settings(hours, freeze, epochs):
    plan = choose_plan(hours)
    assert (plan.freeze, plan.epochs) == (freeze, epochs)


def test_more_speech_frees_layers_and_needs_fewer_epochs_and_larger_batches():
    for less, more in pairwise(PLANS):
        assert less.max_hours < more.max_hours
        assert less.freeze >= more.freeze
        assert less.epochs > more.epochs
        assert less.lr < more.lr
        assert less.batch_seconds < more.batch_seconds


def test_the_documented_table_has_these_settings():
    text = (DOCS / "how-to" / "adapt.md").read_text(encoding="utf-8")
    rows = re.findall(
        r"^\| [^|]* \| (\d+) \| (\d+) \| ([\de.-]+) \| (\d+) \|$", text, re.MULTILINE
    )
    assert [tuple(map(float, row)) for row in rows] == [
        (plan.freeze, plan.epochs, plan.lr, plan.batch_seconds) for plan in PLANS
    ]


@pytest.mark.parametrize(
    ("pairs", "verdict"),
    [
        ([(4, 1), (5, 2), (3, 1)] * 10, "The adapted model is better than english."),
        ([(1, 4), (2, 5), (1, 3)] * 10, "The adapted model is worse, so use english."),
        ([(1, 4), (4, 1), (2, 2)] * 10, "There is no reliable difference between english"),
        ([(2, 2)] * 30, "There is no reliable difference between english"),
        ([(9, 0)], "There is no reliable difference between english"),
        ([(5, 4), (5, 3)], "There is no reliable difference between english"),
        ([(5, 4)] * 4, "There is no reliable difference between english"),
    ],
)
def test_a_model_is_better_or_worse_only_if_chance_is_unlikely_to_explain_it(
    pairs, verdict
):
    assert judge(comparison(pairs), "english").startswith(verdict)


def test_few_words_give_a_warning_and_many_do_not():
    clear = [(4, 1), (5, 2), (3, 1)]
    text = judge(comparison(clear * 4), "english")
    assert "Warning: 120 held-out words are too few to judge. Record more" in text
    assert "Record more" not in judge(comparison(clear * 10), "english")
    unclear = judge(comparison([(2, 2)] * 30), "english")
    assert "Record more" in unclear
    assert "Warning" not in unclear
