"""Which utterances are used, and that every one that is not is counted and named."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.data.filter import Example, filter_utterances, keep_all
from asr.data.manifest import Utterance
from asr.errors import ConfigError, TextError
from asr.text import Tokenizer

TOKENIZER = Tokenizer.english()


def frames(seconds):
    return int(25 * seconds)


def utterance(name, seconds, text):
    return Utterance(Path(name), seconds, text)


def names(selection):
    return [example.utterance.name for example in selection.examples]


def test_utterances_outside_the_bounds_are_left_out_and_named():
    given_utterances = [utterance(f"{s}.wav", s, "a") for s in (0.05, 0.1, 5.0, 20.0, 20.01)]
    selection = filter_utterances(
        given_utterances, TOKENIZER, frames=frames, min_seconds=0.1, max_seconds=20
    )
    assert names(selection) == ["0.1.wav", "5.0.wav", "20.0.wav"]
    assert selection.left_out == (
        ("0.05.wav", "shorter than 0.1 s (0.05 s)"),
        ("20.01.wav", "longer than 20 s (20.01 s)"),
    )


def test_an_unknown_character_is_an_error_that_names_utterance_and_characters():
    with pytest.raises(
        TextError, match=r"^b\.wav: the transcript has '4' 'ï', for which there is no token"
    ):
        filter_utterances([utterance("b.wav", 3.0, "naïve 4")], TOKENIZER, frames=frames)


def test_unknown_characters_can_be_dropped_and_are_counted():
    given_utterances = [utterance("a.wav", 3.0, "naïve ï 4 you"), utterance("b.wav", 3.0, "4 4")]
    selection = filter_utterances(given_utterances, TOKENIZER, frames=frames, on_unknown="drop")
    assert [TOKENIZER.decode(example.labels) for example in selection.examples] == ["nave you", ""]
    assert dict(selection.dropped_characters) == {"4": 3, "ï": 2}
    assert "characters dropped from transcripts: '4' x3, 'ï' x2" in selection.summary()


def test_what_is_too_short_for_its_transcript_is_left_out_and_named():
    fits, too_short = utterance("a.wav", 0.2, "abcde"), utterance("b.wav", 0.2, "abbcd")
    selection = filter_utterances([fits, too_short], TOKENIZER, frames=frames)
    assert names(selection) == ["a.wav"]
    assert selection.left_out == (("b.wav", "too short for its transcript (0.20 s, 5 tokens)"),)


@given(st.text("ab ", max_size=12))
def test_frames_needed_are_one_a_label_and_a_blank_between_equal_ones(text):
    example = Example(utterance("a.wav", 1.0, text), tuple(TOKENIZER.encode(text)))
    path = []
    for label in example.labels:
        path += [0, label] if path and path[-1] == label else [label]
    assert example.frames_needed == len(path)


def test_an_empty_transcript_is_used():
    selection = filter_utterances([utterance("a.wav", 1.0, "?!")], TOKENIZER, frames=frames)
    assert selection.examples[0].labels == ()
    assert selection.left_out == ()


def test_the_summary_is_one_line_of_counts():
    given_utterances = [utterance(f"{i}.wav", 1800.0, "a") for i in range(3)]
    given_utterances += [
        utterance("x.wav", 0.01, "a"),
        utterance("y.wav", 0.02, "a"),
        utterance("z.wav", 1.0, "a" * 30),
    ]
    selection = filter_utterances(given_utterances, TOKENIZER, frames=frames, min_seconds=0.1)
    assert selection.hours == 1.5
    assert selection.summary() == (
        "3 utterances, 1.50 h; left out: 2 shorter than 0.1 s, 1 too short for its transcript"
    )


def test_those_left_out_are_written_one_a_line_and_no_file_where_there_are_none(tmp_path):
    selection = filter_utterances(
        [utterance("a.wav", 9.0, "a"), utterance("b.wav", 1.0, "b")],
        TOKENIZER,
        frames=frames,
        max_seconds=2,
    )
    selection.write(tmp_path / "left_out.txt")
    assert (tmp_path / "left_out.txt").read_text() == "a.wav\tlonger than 2 s (9.00 s)\n"
    keep_all([utterance("a.wav", 9.0, "a")], TOKENIZER).write(tmp_path / "none.txt")
    assert not (tmp_path / "none.txt").exists()


def test_for_scoring_nothing_is_left_out():
    given_utterances = [
        utterance("a.wav", 0.001, "much too long"),
        utterance("b.wav", 99.0, "naïve 4"),
    ]
    selection = keep_all(given_utterances, TOKENIZER)
    assert names(selection) == ["a.wav", "b.wav"]
    assert selection.left_out == ()


@pytest.mark.parametrize(
    "bounds", [{}, {"min_seconds": None, "max_seconds": None}, {"max_seconds": float("inf")}]
)
def test_without_bounds_no_utterance_is_too_long(bounds):
    selection = filter_utterances(
        [utterance("a.wav", 9000.0, "a")], TOKENIZER, frames=frames, **bounds
    )
    assert len(selection.examples) == 1


def test_a_bound_that_is_no_number_is_named():
    with pytest.raises(ConfigError, match=r"data\.max_seconds is 'ten'; it must be a number"):
        filter_utterances([], TOKENIZER, frames=frames, max_seconds="ten")
