"""Beam search against the sum over all alignments of all texts, with and without language model and lexicon."""

import math

import pytest
import torch
from exhaustive import SMALL, TOKENIZER, agrees, by_text, labellings
from hypothesis import given, settings
from hypothesis import strategies as st

from asr.decode import BeamDecoder, GreedyDecoder
from asr.decode.ctc_path import frames_to_decode
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
    """Bigrams of words and of characters, and a lexicon: the models with their files."""
    folder = tmp_path_factory.mktemp("lm")
    words = estimate(SENTENCES, order=2)
    words.write(folder / "words.arpa")
    characters = estimate([list("|".join(s)) for s in SENTENCES], order=3)
    characters.write(folder / "characters.arpa")
    (folder / "lexicon.txt").write_text("\n".join(WORDS))
    return folder, words, characters


def emissions(frames, seed, sharp=1.0):
    logits = torch.randn(1, frames, 4, generator=torch.Generator().manual_seed(seed)) * sharp
    return Emissions(logits.log_softmax(-1), torch.tensor([frames]), 0.04)


def lm_score(model, sentence):
    return float(model.log_probs([sentence])[0].sum())


@given(SMALL)
@settings(max_examples=30)
def test_without_a_model_it_finds_the_text_of_the_largest_sum_over_alignments(case):
    given_emissions = emissions(*case)
    (hypothesis,) = BeamDecoder(**EXACT)(given_emissions, TOKENIZER)
    agrees(hypothesis, by_text(labellings(given_emissions.row(0))))


@given(SMALL)
@settings(max_examples=30)
def test_of_a_model_that_writes_pieces_it_sums_over_all_ways_to_write_a_text(case):
    pieces = Tokenizer((" ", "a", "aa"))
    given_emissions = emissions(*case)
    (hypothesis,) = BeamDecoder(**EXACT)(given_emissions, pieces)
    agrees(hypothesis, by_text(labellings(given_emissions.row(0)), pieces))


def test_a_lexicon_s_words_are_written_in_pieces_where_the_model_writes_them_so(tmp_path):
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


def test_a_model_of_characters_is_refused_by_one_that_writes_pieces(arpa):
    folder, _, _ = arpa
    with pytest.raises(
        ConfigError,
        match=r"characters\.arpa is of characters, and this model writes pieces of words",
    ):
        BeamDecoder(lm=folder / "characters.arpa")(emissions(3, 0), Tokenizer((" ", "a", "aa")))


@given(SMALL, st.sampled_from([0.3, 1.0, 2.0]))
@settings(max_examples=30)
def test_with_a_model_of_characters_each_labelling_weighs_what_the_model_says(arpa, case, weight):
    folder, _, model = arpa
    given_emissions = emissions(*case)
    beam = BeamDecoder(**EXACT, lm=folder / "characters.arpa", lm_weight=weight)
    scores = {
        labels: score + weight * lm_score(model, list(TOKENIZER.decode(labels).replace(" ", "|")))
        for labels, score in labellings(given_emissions.row(0)).items()
    }
    agrees(beam(given_emissions, TOKENIZER)[0], by_text(scores))


def test_the_bonus_for_a_word_is_there_where_a_model_of_words_is_and_can_be_set(arpa):
    folder, _, _ = arpa
    assert BeamDecoder().word_score == BeamDecoder(lm=folder / "characters.arpa").word_score == 0.0
    assert BeamDecoder(lm=folder / "words.arpa").word_score == 2.0
    assert BeamDecoder(lm=folder / "words.arpa", word_score=0.0).word_score == 0.0


@given(SMALL, st.sampled_from([0.3, 1.0, 2.0]), st.sampled_from([-1.0, 0.0, 0.7]))
@settings(max_examples=30)
def test_with_a_model_of_words_texts_are_ordered_by_both_and_a_bonus_for_each_word(
    arpa, case, weight, bonus
):
    folder, model, _ = arpa
    given_emissions = emissions(*case)
    beam = BeamDecoder(**EXACT, lm=folder / "words.arpa", lm_weight=weight, word_score=bonus)
    scores = {
        text: score + weight * lm_score(model, text.split()) + bonus * len(text.split())
        for text, score in by_text(labellings(given_emissions.row(0))).items()
    }
    agrees(beam(given_emissions, TOKENIZER)[0], scores)


@given(st.tuples(st.integers(2, 6), st.integers(0, 10**6)), st.sampled_from([None, "words.arpa"]))
@settings(max_examples=30)
def test_a_lexicon_leaves_only_texts_of_its_words(arpa, case, lm):
    folder, model, _ = arpa
    given_emissions = emissions(*case)
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
        for text, score in by_text(labellings(given_emissions.row(0))).items()
        if all(word in WORDS for word in text.split())
    }
    agrees(beam(given_emissions, TOKENIZER)[0], scores)


def saying(path, seconds=0.04):
    """Emissions that say a path, one character a frame: . is the blank, _ the space; rather sure, not quite."""
    logits = torch.zeros(1, len(path), 4)
    logits[0, torch.arange(len(path)), ["._ab".index(c) for c in path]] = 9.0
    return Emissions(logits.log_softmax(-1), torch.tensor([len(path)]), seconds)


def test_words_carry_times_and_a_confidence_and_sure_blanks_change_nothing():
    spoken = saying("...aa....a.__..b..")
    whole, skipping = (BeamDecoder(skip_blank=skip)(spoken, TOKENIZER)[0] for skip in (1.0, 0.99))
    for hypothesis in (whole, skipping):
        assert hypothesis.text == "aa b"
        assert [(w.text, round(w.start / 0.04), round(w.end / 0.04)) for w in hypothesis.words] == [
            ("aa", 3, 10),
            ("b", 15, 16),
        ]
        assert all(0.9 < word.confidence <= 1 for word in hypothesis.words)
    assert skipping.score == pytest.approx(whole.score, abs=0.05)


@given(st.text("._ab", min_size=1, max_size=9), st.integers(0, 10**6))
def test_leaving_sure_blanks_out_hardly_changes_any_text_or_score(path, seed):
    """Frames that are sure of a blank among others that are sure of nothing: equal tokens may meet across them."""
    generator = torch.Generator().manual_seed(seed)
    logits = saying(path).log_probs[0] * torch.tensor([float(c == ".") for c in path])[:, None]
    logits += (
        1.5
        * torch.randn(logits.shape, generator=generator)
        * (logits.abs().sum(1, keepdim=True) == 0)
    )
    spoken = Emissions(logits.log_softmax(-1)[None], torch.tensor([len(path)]), 0.04)
    whole, skipping = (
        BeamDecoder(**{**EXACT, "nbest": 5, "skip_blank": skip})(spoken, TOKENIZER)[0]
        for skip in (1.0, 0.99)
    )
    scores = {one.text: one.score for one in (skipping, *skipping.alternatives)}
    assert all(
        one.score == pytest.approx(scores.get(one.text, one.score), abs=0.1)
        for one in (whole, *whole.alternatives)
    )
    assert scores.get(whole.text, skipping.score) >= skipping.score - 0.1


def test_frames_of_sure_blanks_are_left_out_but_where_they_part_equal_tokens():
    assert frames_to_decode(saying("..a..a.b...").log_probs[0].numpy(), 0.99).tolist() == [
        2,
        3,
        5,
        7,
    ]
    assert len(frames_to_decode(saying("..a..a.b...").log_probs[0].numpy(), 1.0)) == 11


def test_a_word_that_rivals_have_too_is_surer_than_one_that_they_have_not():
    logits = saying("a._.b").log_probs.clone()
    logits[0, 4, 2] = logits[0, 4, 3] - 0.5  # the last letter may be an a
    (hypothesis,) = BeamDecoder()(
        Emissions(logits.log_softmax(-1), torch.tensor([5]), 0.04), TOKENIZER
    )
    first, last = hypothesis.words
    assert first.confidence > 0.95
    assert 0.5 < last.confidence < 0.75


def test_confidence_is_the_mean_of_what_is_heard_and_of_what_else_could_have_been_said():
    logits = saying("a._.b_ab").log_probs.clone()
    logits[0, 4, 2] = logits[0, 4, 3] - 0.5  # the second word may be an a
    logits[0, 6, 3] = logits[0, 6, 2] - 1.0  # and the third a b
    said = Emissions(logits.log_softmax(-1), torch.tensor([8]), 0.04, Calibration(0.7, 0.9, -0.5))
    (greedy,), (best,) = (
        GreedyDecoder()(said, TOKENIZER),
        BeamDecoder(nbest=20, calibration=(0.5, 1.5, 0.2))(said, TOKENIZER),
    )
    ranked = [best, *best.alternatives]
    whole = sum(math.exp(one.score) for one in ranked)
    for i, word in enumerate(best.words):
        agree = [one for one in ranked if len(one.words) > i and one.words[i].text == word.text]
        share = sum(math.exp(one.score) for one in agree) / whole
        both = math.sqrt(share * greedy.words[i].confidence)
        assert word.confidence == pytest.approx(Calibration(0.5, 1.5, 0.2)(both), abs=2e-3)


def test_the_next_best_come_along_in_their_order():
    (hypothesis,) = BeamDecoder(nbest=5)(emissions(8, 0), TOKENIZER)
    ranked = [hypothesis, *hypothesis.alternatives]
    assert len(ranked) == len({one.text for one in ranked}) == 5
    assert [one.score for one in ranked] == sorted((one.score for one in ranked), reverse=True)
    assert BeamDecoder()(emissions(8, 0), TOKENIZER)[0].alternatives == ()


def test_a_batch_is_decoded_by_processes_as_one_by_one(arpa):
    folder, _, _ = arpa
    logits = torch.randn(5, 30, 4, generator=torch.Generator().manual_seed(1)) * 2
    batch = Emissions(logits.log_softmax(-1), torch.tensor([30, 12, 0, 1, 25]), 0.04)
    settings = {
        "lm": folder / "words.arpa",
        "lexicon": folder / "lexicon.txt",
        "lm_weight": 1.0,
        "nbest": 3,
    }
    assert BeamDecoder(**settings, workers=2)(batch, TOKENIZER) == BeamDecoder(
        **settings, workers=1
    )(batch, TOKENIZER)


def test_silence_is_no_words():
    (hypothesis,) = BeamDecoder()(saying("....."), TOKENIZER)
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
        "parted.txt": "ab ba\n",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    estimate([["AB", "BA"]], order=1).write(tmp_path / "capitals.arpa")
    (tmp_path / "binary").write_bytes(b"mmap lm http://kheafield.com/code format version 5\n\0")
    return tmp_path


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"beam_size": 0}, "beam_size is 0"),
        ({"nbest": 0}, "nbest is 0"),
        ({"beam_size_token": 0}, "beam_size_token is 0"),
        ({"beam_threshold": 0}, "beam_threshold is 0"),
        ({"skip_blank": 0}, "skip_blank is 0"),
        ({"lm": "missing.arpa"}, "missing.arpa: no such language model"),
        ({"lm": "cut.arpa"}, "cut.arpa: KenLM cannot read it"),
        ({"lm": "cut early.arpa"}, "cut early.arpa: cut off among its words"),
        ({"lm": "no.arpa"}, "no.arpa: neither ARPA nor a binary"),
        ({"lm": "capitals.arpa"}, "can write none of its words.*capitals"),
        ({"lm": "binary"}, "is a binary; decoder.lm_unit"),
        ({"lm": "binary", "lm_unit": "words"}, "needs decoder.lexicon"),
        ({"lexicon": "missing.txt"}, "missing.txt: No such file"),
        ({"lexicon": "empty.txt"}, "empty.txt: holds no words"),
        ({"lexicon": "foreign.txt"}, "'aé' has 'é', which the model cannot write"),
        ({"lexicon": "parted.txt"}, "'ab ba' is more than a word"),
    ],
)
def test_what_cannot_be_searched_with_is_refused_by_name(settings, why, files):
    paths = {
        key: files / value if key in ("lm", "lexicon") else value for key, value in settings.items()
    }
    with pytest.raises(ConfigError, match=why):
        BeamDecoder(**paths)(emissions(3, 0), TOKENIZER)


def test_an_alphabet_without_the_space_is_refused():
    with pytest.raises(ConfigError, match="alphabet has none"):
        BeamDecoder()(emissions(3, 0), Tokenizer(("a", "b", "c")))
