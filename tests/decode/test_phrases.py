"""Decoding into a list of phrases against exact likelihoods."""

import math
from itertools import product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from asr.decode.phrases import PhraseDecoder
from asr.errors import ConfigError
from asr.nn.emissions import Emissions
from asr.text import Tokenizer

TOKENIZER = Tokenizer((" ", "a", "b"))  # 1, 2, 3
PHRASES = ["a", "ab", "b a", "aa", "bbb b"]


def emissions(*frames, seed=0):
    logits = torch.randn(
        len(frames), max(frames), 4, generator=torch.Generator().manual_seed(seed)
    )
    return Emissions((2 * logits).log_softmax(-1), torch.tensor(frames), 0.04)


def emit(path, sharpness=8.0):
    """Return emissions of a path with one character per frame; . is blank, _ space."""
    logits = torch.zeros(1, len(path), 4)
    logits[0, torch.arange(len(path)), ["._ab".index(c) for c in path]] = sharpness
    return Emissions(logits.log_softmax(-1), torch.tensor([len(path)]), 0.04)


def likelihood(log_probs, phrase):
    """Return the log-likelihood of a phrase, summed over all paths."""
    total = 0.0
    for path in product(range(4), repeat=len(log_probs)):
        collapsed = [
            token
            for i, token in enumerate(path)
            if token and (i == 0 or path[i - 1] != token)
        ]
        if collapsed == TOKENIZER.encode(phrase):
            total += math.exp(
                sum(float(log_probs[t, token]) for t, token in enumerate(path))
            )
    return math.log(total) if total else -math.inf


@given(st.lists(st.integers(1, 5), min_size=1, max_size=3), st.integers(0, 10**6))
def test_the_phrase_has_the_highest_exact_likelihood(frames, seed):
    given_emissions = emissions(*frames, seed=seed)
    for i, hypothesis in enumerate(
        PhraseDecoder(phrases=PHRASES)(given_emissions, TOKENIZER)
    ):
        by_hand = {phrase: likelihood(given_emissions.row(i), phrase) for phrase in PHRASES}
        assert hypothesis.score == pytest.approx(max(by_hand.values()), abs=1e-4)
        assert by_hand[hypothesis.text] == pytest.approx(max(by_hand.values()), abs=1e-4)
        total = math.log(sum(map(math.exp, by_hand.values())))
        assert hypothesis.words[0].confidence == pytest.approx(
            math.exp(hypothesis.score - total), abs=1e-4
        )


def test_words_have_the_times_of_the_best_alignment():
    (hypothesis,) = PhraseDecoder(phrases=["a b", "bb"])(emit(".aa._.b."), TOKENIZER)
    spans = [
        (word.text, round(word.start / 0.04), round(word.end / 0.04))
        for word in hypothesis.words
    ]
    assert spans == [("a", 1, 3), ("b", 6, 7)]
    assert all(word.confidence > 0.99 for word in hypothesis.words)


def test_a_penalty_allows_texts_other_than_the_phrases():
    decoder = PhraseDecoder(phrases=["ab", "ba"], none_penalty=5.0)
    assert decoder(emit(".a.b."), TOKENIZER)[0].text == "ab"
    assert decoder(emit(".b.b.b."), TOKENIZER)[0].text == ""
    assert PhraseDecoder(phrases=["ab", "ba"])(emit(".b.b.b."), TOKENIZER)[0].text != ""


def test_an_utterance_too_short_for_all_phrases_has_no_text():
    assert [h.text for h in PhraseDecoder(phrases=["aab"])(emissions(2, 1), TOKENIZER)] == [
        "",
        "",
    ]


def test_phrases_from_a_file_are_normalized_and_unique(tmp_path):
    (tmp_path / "words.txt").write_text("A\n\nb a!\na\n")
    assert PhraseDecoder(phrases=str(tmp_path / "words.txt")).phrases == ("a", "b a")


@pytest.mark.parametrize(
    ("phrases", "message"),
    [
        ([], "phrases must not be empty"),
        (["!"], "phrases must not be empty"),
        ("missing.txt", "phrases: missing.txt: No such file"),
        (["a", "xa"], "phrases: 'xa' has 'x', which the model cannot write"),
    ],
)
def test_unusable_phrases_are_named(phrases, message):
    with pytest.raises((ConfigError, ValueError), match=message):
        PhraseDecoder(phrases=phrases)(emissions(3), TOKENIZER)


@pytest.mark.parametrize("penalty", [-1, float("nan")])
def test_a_penalty_below_zero_is_refused(penalty):
    with pytest.raises(ValueError, match="none_penalty must be >= 0"):
        PhraseDecoder(phrases=["a"], none_penalty=penalty)
