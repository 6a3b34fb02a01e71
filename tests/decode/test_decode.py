"""Greedy decoding against its definition."""

import math
from dataclasses import replace
from itertools import groupby

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from asr.decode.ctc_path import word_log_probs, word_spans
from asr.decode.greedy import GreedyDecoder
from asr.nn.emissions import Calibration, Emissions
from asr.text import Tokenizer

TOKENIZER = Tokenizer((" ", "a", "b"))  # indices 1, 2, 3; 0 is the blank
PATHS = st.lists(st.integers(0, 3), max_size=25)


def emissions(*paths, seconds=0.04):
    """Return emissions with given best paths. Padding emits "b", so that reading it shows."""
    size = max(map(len, paths))
    logits = torch.randn(len(paths), size, 4, generator=torch.Generator().manual_seed(0))
    for row, path in zip(logits, paths, strict=True):
        row[torch.arange(size), [*path, *[3] * (size - len(path))]] += 6
    return Emissions(logits.log_softmax(-1), torch.tensor([len(p) for p in paths]), seconds)


def frames(text):
    """Return the path of a text with one character per frame; . is blank, _ space."""
    return ["._ab".index(c) for c in text]


@given(st.lists(PATHS, min_size=1, max_size=4))
def test_text_is_the_best_path_with_repeats_merged_and_blanks_dropped(paths):
    for path, hypothesis in zip(
        paths, GreedyDecoder()(emissions(*paths), TOKENIZER), strict=True
    ):
        merged = TOKENIZER.decode([token for token, _ in groupby(path)])
        assert hypothesis.text == " ".join(merged.split())
        assert hypothesis.text == " ".join(word.text for word in hypothesis.words)


@given(st.lists(PATHS, min_size=1, max_size=4))
def test_words_are_ordered_inside_the_recording_with_confidence_between_0_and_1(paths):
    for path, hypothesis in zip(
        paths, GreedyDecoder()(emissions(*paths), TOKENIZER), strict=True
    ):
        times = [time for word in hypothesis.words for time in (word.start, word.end)]
        assert times == sorted(times)
        assert all(0 <= time <= len(path) * 0.04 + 1e-9 for time in times)
        assert all(
            word.start < word.end and 0 <= word.confidence <= 1 for word in hypothesis.words
        )


@given(st.lists(PATHS, min_size=1, max_size=4))
def test_the_score_is_the_log_probability_of_the_best_path(paths):
    given_emissions = emissions(*paths)
    for i, hypothesis in enumerate(GreedyDecoder()(given_emissions, TOKENIZER)):
        assert hypothesis.score == pytest.approx(
            float(given_emissions.row(i).max(-1).values.sum()), abs=1e-4
        )


@pytest.mark.parametrize("seconds", [0.04, 0.02])
def test_words_start_at_their_first_frame_and_end_after_their_last(seconds):
    (hypothesis,) = GreedyDecoder()(
        emissions(frames("..aa.b__.bb.ab._"), seconds=seconds), TOKENIZER
    )
    spans = [
        (word.text, word.start / seconds, word.end / seconds) for word in hypothesis.words
    ]
    assert spans == [
        ("ab", pytest.approx(2), pytest.approx(6)),
        ("bab", pytest.approx(9), pytest.approx(14)),
    ]


def test_a_blank_separates_repeated_characters():
    texts = [
        h.text
        for h in GreedyDecoder()(
            emissions(frames("aab"), frames("a.ab"), frames("a_ab")), TOKENIZER
        )
    ]
    assert texts == ["ab", "aab", "a ab"]


@given(st.lists(st.tuples(st.integers(0, 3), st.floats(-30, 0)), max_size=12))
def test_word_log_probs_average_the_best_frame_of_each_letter(frames):
    parts = [[]]
    for token, run in groupby(frames, key=lambda frame: frame[0]):
        if token == 1:
            parts.append([])
        elif token:
            parts[-1].append(max(log_prob for _, log_prob in run))
    path, log_probs = np.array(frames, dtype=np.float64).reshape(-1, 2).T
    expected = [sum(part) / len(part) for part in parts if part]
    assert word_log_probs(
        path.astype(np.int64), log_probs, TOKENIZER
    ).tolist() == pytest.approx(expected)


def test_confidence_is_the_geometric_mean_of_each_characters_best_frame():
    probabilities = torch.tensor(
        [[0.1, 0.0, 0.5, 0.4], [0.0, 0.0, 0.9, 0.1], [0.3, 0.1, 0.2, 0.4]]
    )
    (hypothesis,) = GreedyDecoder()(
        Emissions(probabilities.log()[None], torch.tensor([3]), 0.04), TOKENIZER
    )
    assert hypothesis.text == "ab"
    assert hypothesis.words[0].confidence == pytest.approx(math.sqrt(0.9 * 0.4))
    assert hypothesis.score == pytest.approx(math.log(0.5 * 0.9 * 0.4))


def test_no_frames_have_no_words():
    nothing, something = GreedyDecoder()(emissions([], frames("a")), TOKENIZER)
    assert (nothing.text, nothing.score, nothing.words) == ("", 0.0, ())
    assert something.text == "a"
    assert (
        GreedyDecoder()(
            Emissions(torch.zeros(1, 0, 4), torch.tensor([0]), 0.04), TOKENIZER
        )[0].text
        == ""
    )
    assert (
        GreedyDecoder()(
            Emissions(torch.zeros(0, 5, 4), torch.tensor([], dtype=torch.int64), 0.04),
            TOKENIZER,
        )
        == []
    )


def test_blanks_and_spaces_have_no_words():
    (hypothesis,) = GreedyDecoder()(emissions(frames("._..__.")), TOKENIZER)
    assert hypothesis.text == ""
    assert hypothesis.words == ()


def test_the_calibration_of_the_model_corrects_confidence():
    raw = GreedyDecoder()(emissions(frames(".aab._b.")), TOKENIZER)[0]
    calibrated = replace(emissions(frames(".aab._b.")), calibration=Calibration(0.5, -1.0))
    corrected = GreedyDecoder()(calibrated, TOKENIZER)[0]
    assert corrected.text == raw.text
    for before, after in zip(raw.words, corrected.words, strict=True):
        assert after.confidence == pytest.approx(Calibration(0.5, -1.0)(before.confidence))
        assert after.confidence < before.confidence


def spans_of_words(path):
    """Return the words of one path with their first frames and end frames, read token by token."""
    words, frame, in_word = [], 0, False
    for token, run in groupby(path):
        start, frame = frame, frame + len(list(run))
        if token == 1:
            in_word = False
        elif token:
            text, start, _ = words.pop() if in_word else ("", start, 0)
            words.append((text + TOKENIZER.decode([token]), start, frame))
            in_word = True
    return words


@given(
    st.lists(st.lists(st.integers(0, 3), min_size=12, max_size=12), min_size=1, max_size=5)
)
def test_the_words_of_many_paths_are_those_of_each(paths):
    assert word_spans(np.array(paths), TOKENIZER) == [
        spans_of_words(path) for path in paths
    ]


def test_a_vocabulary_without_a_space_has_one_word_per_path():
    assert word_spans(np.array([[0, 1, 1, 0, 2, 0]]), Tokenizer(("a", "b"))) == [
        [("ab", 1, 5)]
    ]
