"""Error rates against jiwer, over a corpus, and the alignment they rest on."""

import jiwer
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.decode import Hypothesis, Word
from asr.evaluation.wer import (
    EditCounts,
    Score,
    bootstrap_wer_interval,
    confusions,
    score_corpus,
    score_utterance,
    sum_scores,
    word_correctness,
)
from asr.text import normalize

WORDS = st.lists(st.sampled_from(["a", "b", "an", "it's", "long", "longer"]), max_size=7).map(
    " ".join
)
PAIRS = st.lists(st.tuples(WORDS.filter(bool), WORDS), min_size=1, max_size=5)


def counts(output):
    return output.hits, output.substitutions, output.deletions, output.insertions


def numbers(edits):
    return edits.hits, edits.substitutions, edits.deletions, edits.insertions


@given(PAIRS)
def test_rates_and_counts_of_a_corpus_are_those_of_jiwer(pairs):
    references, hypotheses = map(list, zip(*pairs, strict=True))
    ours = score_corpus(references, hypotheses)
    assert ours.wer == pytest.approx(jiwer.wer(references, hypotheses))
    assert ours.cer == pytest.approx(jiwer.cer(references, hypotheses))
    assert numbers(ours.words) == counts(jiwer.process_words(references, hypotheses))
    assert numbers(ours.characters) == counts(jiwer.process_characters(references, hypotheses))
    assert ours.utterances == len(pairs)
    assert ours.exact == sum(r == h for r, h in pairs)


@given(WORDS, WORDS)
def test_the_alignment_is_what_the_counts_count(reference, hypothesis):
    pair = score_utterance(reference, hypothesis)
    words = pair.score.words
    said, heard = (" ".join(step[i] for step in pair.alignment if step[i]) for i in (0, 1))
    assert (said, heard) == (reference, hypothesis)
    assert sum(a == b for a, b in pair.alignment) == words.hits
    assert sum(a != b and bool(a and b) for a, b in pair.alignment) == words.substitutions
    assert sum(not b for _, b in pair.alignment) == words.deletions
    assert sum(not a for a, _ in pair.alignment) == words.insertions
    assert words.length == len(reference.split())
    assert pair.score.characters.length == len(reference)


@given(PAIRS)
def test_a_corpus_is_the_sum_of_its_utterances_in_any_order(pairs):
    compared = [score_utterance(*pair) for pair in pairs]
    assert (
        sum_scores(compared)
        == sum_scores(compared[::-1])
        == sum((p.score for p in compared), Score())
    )


def test_errors_are_summed_over_the_corpus_and_divided_once():
    assert score_corpus(["a b c d", "a"], ["a b c d", "b"]).wer == pytest.approx(1 / 5)


def test_reference_and_hypothesis_are_normalised_alike():
    pair = score_utterance("Twenty-One, it’s", "twenty one IT'S!")
    assert (pair.reference, pair.hypothesis) == ("twenty one it's", "twenty one it's")
    assert pair.score.wer == 0
    assert pair.score.exact == 1


@given(st.text(max_size=20))
def test_a_text_has_no_errors_against_itself(text):
    assert score_utterance(text, text).score == score_utterance(normalize(text), text).score
    assert score_utterance(text, text).score.words.errors == 0


@pytest.mark.parametrize(
    ("reference", "hypothesis", "wer"), [("", "", 0), ("", "a b", 2), ("a b", "", 1)]
)
def test_empty_texts_are_scored(reference, hypothesis, wer):
    assert score_utterance(reference, hypothesis).score.wer == wer


def test_of_no_utterances_the_score_is_zero():
    assert sum_scores([]) == Score()
    assert Score().wer == Score().cer == 0


def test_insertions_can_lift_the_rate_above_1():
    assert score_corpus(["a"], ["a b c"]).wer == 2


def test_as_many_hypotheses_as_references():
    with pytest.raises(ValueError, match="zip"):
        score_corpus(["a", "b"], ["a"])


def test_confusions_count_what_was_heard_as_what():
    pairs = [
        score_utterance("a cat sat", "a bat sat"),
        score_utterance("cat", "bat"),
        score_utterance("the end", "end"),
        score_utterance("so", "so so"),
    ]
    assert confusions(pairs) == {("cat", "bat"): 2, ("the", ""): 1, ("", "so"): 1}


def test_edits_add_up():
    edits = EditCounts(5, 1, 2, 3) + EditCounts(1, 1, 1, 1)
    assert edits == EditCounts(6, 2, 3, 4)
    assert (edits.errors, edits.length, edits.rate) == (9, 11, 9 / 11)


def test_the_interval_is_as_wide_as_the_binomial_s_where_words_are_independent():
    rng = np.random.default_rng(3)
    pairs = [score_utterance("yes", "yes" if rng.random() < 0.8 else "no") for _ in range(400)]
    low, high = bootstrap_wer_interval(pairs)
    rate = sum_scores(pairs).wer
    assert low < rate < high
    assert high - low == pytest.approx(2 * 1.96 * (rate * (1 - rate) / 400) ** 0.5, rel=0.1)


def test_the_interval_of_nothing_and_of_what_is_always_right_is_zero():
    assert bootstrap_wer_interval([]) == (0.0, 0.0)
    assert bootstrap_wer_interval([score_utterance("a b", "a b")] * 3) == (0.0, 0.0)


def heard(text):
    return Hypothesis(
        text, 0.0, tuple(Word(w, 0.0, 0.1, i / 10) for i, w in enumerate(text.split()))
    )


def test_words_are_judged_by_the_alignment():
    hypothesis = heard("the bat sat down")
    assert word_correctness(hypothesis, score_utterance("a the cat sat", hypothesis.text)) == [
        (0.0, True),
        (0.1, False),
        (0.2, True),
        (0.3, False),
    ]


def test_a_hypothesis_whose_words_are_normalised_away_is_not_judged():
    assert word_correctness(heard("' it"), score_utterance("it", "' it")) == []
