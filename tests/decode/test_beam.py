"""Beam search against exact scores, with and without a language model and a lexicon."""

import gzip
import math

import numpy as np
import pytest
import torch
from exhaustive import SMALL, TOKENIZER, agrees, by_text, labellings
from hypothesis import example, given, settings
from hypothesis import strategies as st

from asr.decode.beam import BeamDecoder
from asr.decode.ctc_path import frames_to_decode
from asr.decode.greedy import GreedyDecoder
from asr.errors import ConfigError
from asr.nn.emissions import Calibration, Emissions
from asr.text import Tokenizer
from recipes.ngram import estimate

WORDS = ["a", "ab", "b", "ba"]
SENTENCES = [["a", "b"], ["ab"], ["b", "a", "ba"], ["ba", "ab"], ["a"], ["a", "a"]]
EXACT = {
    "beam_size": 5000,
    "beam_size_token": 4,
    "beam_threshold": 1e3,
    "skip_blank": 1.0,
    "workers": 1,
}


@pytest.fixture(scope="module")
def arpa(tmp_path_factory):
    """Write language models of words and characters and a lexicon; return the folder and models."""
    folder = tmp_path_factory.mktemp("lm")
    words = estimate(SENTENCES, order=2)
    words.write(folder / "words.arpa")
    words.write(folder / "words.arpa.gz")
    characters = estimate([list("|".join(s)) for s in SENTENCES], order=3)
    characters.write(folder / "characters.arpa")
    (folder / "lexicon.txt").write_text("\n".join(WORDS))
    return folder, words, characters


def emissions(frames, seed, sharp=1.0):
    logits = (
        torch.randn(1, frames, 4, generator=torch.Generator().manual_seed(seed)) * sharp
    )
    return Emissions(logits.log_softmax(-1), torch.tensor([frames]), 0.04)


def lm_score(model, sentence):
    return float(model.log_probs([sentence])[0].sum())


@given(SMALL)
@settings(max_examples=30)
def test_without_lm_the_best_text_has_the_largest_sum_over_alignments(case):
    model_emissions = emissions(*case)
    (hypothesis,) = BeamDecoder(**EXACT)(model_emissions, TOKENIZER)
    agrees(hypothesis, by_text(labellings(model_emissions.row(0))))


@given(SMALL)
@settings(max_examples=30)
def test_scores_sum_over_all_spellings_with_word_pieces(case):
    pieces = Tokenizer((" ", "a", "aa"))
    model_emissions = emissions(*case)
    (hypothesis,) = BeamDecoder(**EXACT)(model_emissions, pieces)
    agrees(hypothesis, by_text(labellings(model_emissions.row(0)), pieces))


def test_words_of_a_lexicon_are_spelled_with_word_pieces(tmp_path):
    pieces = Tokenizer((" ", "a", "b", "ab"))
    (tmp_path / "lexicon.txt").write_text("ab\nba\n")
    path = torch.tensor([4, 0, 1, 3, 2])  # ab _ b a
    log_probs = torch.full((1, 5, 5), 0.05).scatter(2, path[None, :, None], 0.8).log()
    (hypothesis,) = BeamDecoder(lexicon=tmp_path / "lexicon.txt", workers=1)(
        Emissions(log_probs, torch.tensor([5]), 0.04), pieces
    )
    assert hypothesis.text == "ab ba"
    assert [(word.start, word.end) for word in hypothesis.words] == [
        (0.0, 0.04),
        (pytest.approx(0.12), 0.2),
    ]


def test_a_character_lm_is_rejected_for_word_pieces(arpa):
    folder, _, _ = arpa
    with pytest.raises(
        ConfigError,
        match=r"characters\.arpa is of characters, but the model writes word pieces",
    ):
        BeamDecoder(lm=folder / "characters.arpa")(
            emissions(3, 0), Tokenizer((" ", "a", "aa"))
        )


@given(SMALL, st.sampled_from([0.3, 1.0, 2.0]))
@settings(max_examples=30)
def test_a_character_lm_scores_each_label_sequence(arpa, case, weight):
    folder, _, model = arpa
    model_emissions = emissions(*case)
    beam = BeamDecoder(**EXACT, lm=folder / "characters.arpa", lm_weight=weight)
    scores = {
        labels: score
        + weight * lm_score(model, list(TOKENIZER.decode(labels).replace(" ", "|")))
        for labels, score in labellings(model_emissions.row(0)).items()
    }
    agrees(beam(model_emissions, TOKENIZER)[0], by_text(scores))


def test_the_word_score_is_2_with_a_word_lm_unless_given(arpa):
    folder, _, _ = arpa
    words, characters = folder / "words.arpa", folder / "characters.arpa"
    assert BeamDecoder().options.word_score == 0.0
    assert BeamDecoder(lm=characters).options.word_score == 0.0
    assert BeamDecoder(lm=words).options.word_score == 2.0
    assert BeamDecoder(lm=words, word_score=0.0).options.word_score == 0.0


@given(SMALL, st.sampled_from([0.3, 1.0, 2.0]), st.sampled_from([-1.0, 0.0, 0.7]))
@settings(max_examples=30)
def test_a_word_lm_and_the_word_score_rank_the_texts(arpa, case, weight, bonus):
    folder, model, _ = arpa
    model_emissions = emissions(*case)
    beam = BeamDecoder(
        **EXACT, lm=folder / "words.arpa", lm_weight=weight, word_score=bonus
    )
    scores = {
        text: score + weight * lm_score(model, text.split()) + bonus * len(text.split())
        for text, score in by_text(labellings(model_emissions.row(0))).items()
    }
    agrees(beam(model_emissions, TOKENIZER)[0], scores)


@given(
    st.tuples(st.integers(2, 6), st.integers(0, 10**6)),
    st.sampled_from([None, "words.arpa", "words.arpa.gz"]),
)
@settings(max_examples=30)
def test_a_lexicon_allows_only_its_words(arpa, case, lm):
    folder, model, _ = arpa
    model_emissions = emissions(*case)
    weight, bonus = (0.8, 0.5) if lm else (0.0, 0.5)
    beam = BeamDecoder(
        **EXACT,
        lexicon=folder / "lexicon.txt",
        lm=lm and folder / lm,
        lm_weight=weight,
        word_score=bonus,
    )
    scores = {
        text: score + weight * lm_score(model, text.split()) + bonus * len(text.split())
        for text, score in by_text(labellings(model_emissions.row(0))).items()
        if all(word in WORDS for word in text.split())
    }
    agrees(beam(model_emissions, TOKENIZER)[0], scores)


def emit(path, seconds=0.04):
    """Return confident emissions of a path with one character per frame; . is blank, _ space."""
    logits = torch.zeros(1, len(path), 4)
    logits[0, torch.arange(len(path)), ["._ab".index(c) for c in path]] = 9.0
    return Emissions(logits.log_softmax(-1), torch.tensor([len(path)]), seconds)


def test_words_have_times_and_confidence_with_and_without_skipped_blanks():
    confident = emit("...aa....a.__..b..")
    whole, skipping = (
        BeamDecoder(skip_blank=skip)(confident, TOKENIZER)[0] for skip in (1.0, 0.99)
    )
    for hypothesis in (whole, skipping):
        assert hypothesis.text == "aa b"
        assert [
            (w.text, round(w.start / 0.04), round(w.end / 0.04)) for w in hypothesis.words
        ] == [
            ("aa", 3, 10),
            ("b", 15, 16),
        ]
        assert all(0.9 < word.confidence <= 1 for word in hypothesis.words)
    assert skipping.score == pytest.approx(whole.score, abs=0.05)


@given(st.text("._ab", min_size=1, max_size=9), st.integers(0, 10**6))
@example(path=".__", seed=208)
def test_skipping_blanks_hardly_changes_texts_and_scores(path, seed):
    """Frames are confident blanks or random, so that equal tokens may meet across blanks.

    Skipping drops the alignments that emit a token in a skipped frame, and merges equal tokens on
    both sides of skipped frames. This changes the probability of a text by at most `bound`, so the
    score of a text that is less likely than that may change by any factor.
    """
    generator = torch.Generator().manual_seed(seed)
    logits = (
        emit(path).log_probs[0] * torch.tensor([float(c == ".") for c in path])[:, None]
    )
    noise = 1.5 * torch.randn(logits.shape, generator=generator)
    logits += noise * (logits.abs().sum(1, keepdim=True) == 0)
    mixed = Emissions(logits.log_softmax(-1)[None], torch.tensor([len(path)]), 0.04)
    table = mixed.log_probs[0].numpy()
    frames = frames_to_decode(table, 0.99)
    skipped = np.setdiff1d(np.arange(len(path)), frames)
    bound = float((1 - np.exp(table[skipped, 0])).sum())
    bound += (1 - 0.99) * np.count_nonzero(np.diff(frames) > 1)
    whole, skipping = (
        BeamDecoder(**{**EXACT, "nbest": 5, "skip_blank": skip})(mixed, TOKENIZER)[0]
        for skip in (1.0, 0.99)
    )
    probabilities = {h.text: math.exp(h.score) for h in (skipping, *skipping.alternatives)}
    best = math.exp(skipping.score)
    for h in (whole, *whole.alternatives):
        expected = pytest.approx(math.exp(h.score), rel=0.1, abs=bound)
        assert probabilities.get(h.text, math.exp(h.score)) == expected
    assert probabilities.get(whole.text, best) >= best - max(0.1 * best, 2 * bound)


def test_confident_blanks_are_skipped_except_between_repeats():
    assert frames_to_decode(emit("..a..a.b...").log_probs[0].numpy(), 0.99).tolist() == [
        2,
        3,
        5,
        7,
    ]
    assert len(frames_to_decode(emit("..a..a.b...").log_probs[0].numpy(), 1.0)) == 11


def test_a_word_shared_by_rivals_has_higher_confidence():
    logits = emit("a._.b").log_probs.clone()
    logits[0, 4, 2] = logits[0, 4, 3] - 0.5  # the last letter may be a
    (hypothesis,) = BeamDecoder()(
        Emissions(logits.log_softmax(-1), torch.tensor([5]), 0.04), TOKENIZER
    )
    first, last = hypothesis.words
    assert first.confidence > 0.95
    assert 0.5 < last.confidence < 0.75


def test_confidence_is_the_geometric_mean_of_acoustic_confidence_and_posterior():
    logits = emit("a._.b_ab").log_probs.clone()
    logits[0, 4, 2] = logits[0, 4, 3] - 0.5  # the second word may be a
    logits[0, 6, 3] = logits[0, 6, 2] - 1.0  # the third word may begin with b
    uncertain = Emissions(
        logits.log_softmax(-1), torch.tensor([8]), 0.04, Calibration(0.7, 0.9, -0.5)
    )
    (greedy,), (best,) = (
        GreedyDecoder()(uncertain, TOKENIZER),
        BeamDecoder(nbest=20, calibration=(0.5, 1.5, 0.2))(uncertain, TOKENIZER),
    )
    ranked = [best, *best.alternatives]
    total = sum(math.exp(h.score) for h in ranked)
    for i, word in enumerate(best.words):
        agree = [h for h in ranked if len(h.words) > i and h.words[i].text == word.text]
        share = sum(math.exp(h.score) for h in agree) / total
        both = math.sqrt(share * greedy.words[i].confidence)
        assert word.confidence == pytest.approx(Calibration(0.5, 1.5, 0.2)(both), abs=2e-3)


def test_alternatives_are_sorted_by_score():
    (hypothesis,) = BeamDecoder(nbest=5)(emissions(8, 0), TOKENIZER)
    ranked = [hypothesis, *hypothesis.alternatives]
    assert len(ranked) == len({h.text for h in ranked}) == 5
    assert [h.score for h in ranked] == sorted((h.score for h in ranked), reverse=True)
    assert BeamDecoder()(emissions(8, 0), TOKENIZER)[0].alternatives == ()


@pytest.mark.parametrize("method", ["default", "spawn"])
def test_two_processes_decode_like_one(arpa, method, monkeypatch):
    if method == "spawn":  # as on macOS and Windows
        monkeypatch.setattr("asr.decode.parallel.START_METHOD", "spawn")
    folder, _, _ = arpa
    logits = torch.randn(5, 30, 4, generator=torch.Generator().manual_seed(1)) * 2
    batch = Emissions(logits.log_softmax(-1), torch.tensor([30, 12, 0, 1, 25]), 0.04)
    settings = {
        "lm": folder / "words.arpa",
        "lexicon": folder / "lexicon.txt",
        "lm_weight": 1.0,
        "nbest": 3,
        "hotwords": ["a b"],
    }
    assert BeamDecoder(**settings, workers=2)(batch, TOKENIZER) == BeamDecoder(
        **settings, workers=1
    )(batch, TOKENIZER)


def test_padding_is_not_decoded():
    alone, padded = emissions(12, seed=0), torch.full((2, 20, 4), math.nan)
    padded[:, :12] = alone.log_probs
    (expected,) = BeamDecoder()(alone, TOKENIZER)
    batch = Emissions(padded, torch.tensor([12, 12]), 0.04)
    assert BeamDecoder(workers=2)(batch, TOKENIZER) == [expected, expected]


def test_silence_has_no_words():
    (hypothesis,) = BeamDecoder()(emit("....."), TOKENIZER)
    assert (hypothesis.text, hypothesis.words) == ("", ())


@pytest.fixture
def files(tmp_path, arpa):
    folder, _, _ = arpa
    whole = (folder / "words.arpa").read_text()
    texts = {
        "good.arpa": whole,
        "cut.arpa": whole[: whole.index("\\2-grams:") + 30],
        "cut early.arpa": whole[:70],
        "no.arpa": "some text\n",
        "empty.txt": "\n",
        "foreign.txt": "ab\naé\n",
        "two words.txt": "ab ba\n",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    estimate([["AB", "BA"]], order=1).write(tmp_path / "capitals.arpa")
    (tmp_path / "cut.arpa.gz").write_bytes(gzip.compress(whole.encode())[:-20])
    (tmp_path / "text.gz").write_text("some text")
    (tmp_path / "binary").write_bytes(
        b"mmap lm http://kheafield.com/code format version 5\n\0"
    )
    return tmp_path


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"beam_size": 0}, "beam_size must be >= 1, got 0"),
        ({"nbest": 0}, "nbest must be >= 1, got 0"),
        ({"beam_size_token": 0}, "beam_size_token must be >= 1, got 0"),
        ({"beam_threshold": 0}, "beam_threshold must be > 0, got 0"),
        ({"skip_blank": 0}, "skip_blank must be > 0 and <= 1, got 0"),
        ({"workers": 0}, "workers must be >= 1, got 0"),
        ({"lm_unit": "phones"}, "lm_unit must be auto, words, or characters, got 'phones'"),
        ({"lm": "missing.arpa"}, "lm: .*missing.arpa: no such file"),
        ({"lm": "cut.arpa"}, "lm: .*cut.arpa: KenLM cannot read it"),
        ({"lm": "cut early.arpa"}, "lm: .*cut early.arpa: truncated in its list of words"),
        ({"lm": "no.arpa"}, "lm: .*no.arpa: neither an ARPA file nor a KenLM binary"),
        ({"lm": "cut.arpa.gz"}, "lm: .*cut.arpa.gz: (damaged or truncated|KenLM cannot)"),
        ({"lm": "text.gz"}, r"lm: .*text.gz: damaged or truncated \(Not a gzipped file"),
        (
            {"lm": "capitals.arpa"},
            "lm: .*capitals.arpa: the model can write none of its words",
        ),
        (
            {"lm": "capitals.arpa", "lm_unit": "characters"},
            "lm_unit must be words or auto: .*capitals.arpa is a model of words",
        ),
        ({"lm": "binary"}, "lm_unit must be words or characters if lm is a binary file"),
        ({"lm": "binary", "lm_unit": "words"}, "lexicon must list the words of lm"),
        ({"lexicon": "missing.txt"}, "lexicon: .*missing.txt: No such file"),
        ({"lexicon": "empty.txt"}, "lexicon: .*empty.txt: no words"),
        ({"lexicon": "foreign.txt"}, "lexicon: 'aé' has 'é', which the model cannot write"),
        (
            {"lexicon": "two words.txt"},
            "lexicon: .*two words.txt: 'ab ba' is more than one word",
        ),
    ],
)
def test_unusable_settings_are_named(settings, message, files):
    paths = {
        key: files / value if key in ("lm", "lexicon") else value
        for key, value in settings.items()
    }
    with pytest.raises((ConfigError, ValueError), match=message):
        BeamDecoder(**paths)(emissions(3, 0), TOKENIZER)


def test_an_alphabet_without_a_space_is_rejected():
    with pytest.raises(ConfigError, match="needs a space in the model's alphabet"):
        BeamDecoder()(emissions(3, 0), Tokenizer(("a", "b", "c")))
