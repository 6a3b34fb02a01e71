"""Error rates and word alignments, compared with jiwer."""

import jiwer
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.decode.hypothesis import Hypothesis, Word
from asr.evaluation.wer import (
    EditCounts,
    Score,
    confusions,
    letter_confusions,
    score_utterance,
    sum_scores,
    word_correctness,
)
from asr.text import normalize

WORDS = st.lists(
    st.sampled_from(["a", "b", "an", "it's", "long", "longer"]), max_size=7
).map(" ".join)
PAIRS = st.lists(st.tuples(WORDS.filter(bool), WORDS), min_size=1, max_size=5)


def score_corpus(references, hypotheses):
    return sum_scores(map(score_utterance, references, hypotheses))


def edit_counts(output):
    return output.hits, output.substitutions, output.deletions, output.insertions


@given(PAIRS)
def test_corpus_rates_and_counts_equal_those_of_jiwer(pairs):
    references, hypotheses = map(list, zip(*pairs, strict=True))
    score = score_corpus(references, hypotheses)
    assert score.wer == pytest.approx(jiwer.wer(references, hypotheses))
    assert score.cer == pytest.approx(jiwer.cer(references, hypotheses))
    assert edit_counts(score.words) == edit_counts(
        jiwer.process_words(references, hypotheses)
    )
    assert edit_counts(score.characters) == edit_counts(
        jiwer.process_characters(references, hypotheses)
    )
    assert score.utterances == len(pairs)
    assert score.exact == sum(r == h for r, h in pairs)


@given(WORDS, WORDS)
def test_alignment_agrees_with_the_counts(reference, hypothesis):
    scored = score_utterance(reference, hypothesis)
    words, alignment = scored.score.words, scored.alignment
    assert " ".join(word for word, _ in alignment if word) == reference
    assert " ".join(word for _, word in alignment if word) == hypothesis
    assert sum(a == b for a, b in alignment) == words.hits
    assert sum(a != b and bool(a and b) for a, b in alignment) == words.substitutions
    assert sum(not b for _, b in alignment) == words.deletions
    assert sum(not a for a, _ in alignment) == words.insertions
    assert words.length == len(reference.split())
    assert scored.score.characters.length == len(reference)


@given(PAIRS)
def test_corpus_score_is_the_sum_over_utterances_in_any_order(pairs):
    scored = [score_utterance(*pair) for pair in pairs]
    total = sum((utterance.score for utterance in scored), Score())
    assert sum_scores(scored) == sum_scores(scored[::-1]) == total


def test_errors_are_summed_over_the_corpus_and_divided_once():
    assert score_corpus(["a b c d", "a"], ["a b c d", "b"]).wer == pytest.approx(1 / 5)


def test_reference_and_hypothesis_are_normalized_in_the_same_way():
    scored = score_utterance("Twenty-One, it’s", "twenty one IT'S!")
    assert (scored.reference, scored.hypothesis) == ("twenty one it's", "twenty one it's")
    assert scored.score.wer == 0
    assert scored.score.exact == 1


@given(st.text(max_size=20))
def test_a_text_has_no_errors_against_itself(text):
    assert score_utterance(text, text).score == score_utterance(normalize(text), text).score
    assert score_utterance(text, text).score.words.errors == 0


@pytest.mark.parametrize(
    ("reference", "hypothesis", "wer"), [("", "", 0), ("", "a b", 2), ("a b", "", 1)]
)
def test_empty_texts_are_scored(reference, hypothesis, wer):
    assert score_utterance(reference, hypothesis).score.wer == wer


def test_score_of_no_utterances_is_zero():
    assert sum_scores([]) == Score()
    assert Score().wer == Score().cer == 0


def test_insertions_can_raise_the_rate_above_1():
    assert score_corpus(["a"], ["a b c"]).wer == 2


def test_confusions_count_word_errors():
    utterances = [
        score_utterance("a cat sat", "a bat sat"),
        score_utterance("cat", "bat"),
        score_utterance("the end", "end"),
        score_utterance("so", "so so"),
    ]
    assert confusions(utterances) == {("cat", "bat"): 2, ("the", ""): 1, ("", "so"): 1}


def test_edit_counts_add_up():
    edits = EditCounts(5, 1, 2, 3) + EditCounts(1, 1, 1, 1)
    assert edits == EditCounts(6, 2, 3, 4)
    assert (edits.errors, edits.length, edits.rate) == (9, 11, 9 / 11)


def test_letter_confusions_count_character_errors():
    utterances = [score_utterance("cat", "bat"), score_utterance("a b", "ab")]
    utterances += [score_utterance("so", "soo"), score_utterance("yes", "yes")]
    assert letter_confusions(utterances) == {("c", "b"): 1, (" ", ""): 1, ("", "o"): 1}


def make_hypothesis(text):
    words = [Word(word, 0.0, 0.1, i / 10) for i, word in enumerate(text.split())]
    return Hypothesis(text, 0.0, tuple(words))


def test_word_correctness_follows_the_alignment():
    hypothesis = make_hypothesis("the bat sat down")
    assert word_correctness(
        hypothesis, score_utterance("a the cat sat", hypothesis.text)
    ) == [
        (0.0, True),
        (0.1, False),
        (0.2, True),
        (0.3, False),
    ]


def test_word_correctness_is_empty_if_normalization_removes_a_word():
    assert word_correctness(make_hypothesis("' it"), score_utterance("it", "' it")) == []
