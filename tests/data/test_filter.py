"""Filtering keeps usable utterances and lists every utterance that it leaves out."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.data.filter import Example, count_tags, filter_utterances, keep_all
from asr.data.manifest import Utterance
from asr.errors import TextError
from asr.text import Tokenizer

TOKENIZER = Tokenizer.english()


def output_length(seconds):
    return int(25 * seconds)


def utterance(name, seconds, text):
    return Utterance(Path(name), seconds, text)


def names(selection):
    return [example.utterance.name for example in selection.examples]


def test_utterances_outside_the_bounds_are_left_out_and_listed():
    utterances = [utterance(f"{s}.wav", s, "a") for s in (0.05, 0.1, 5.0, 20.0, 20.01)]
    selection = filter_utterances(
        utterances, TOKENIZER, output_length=output_length, min_seconds=0.1, max_seconds=20
    )
    assert names(selection) == ["0.1.wav", "5.0.wav", "20.0.wav"]
    assert selection.left_out == (
        ("0.05.wav", "shorter than 0.1 s (0.05 s)"),
        ("20.01.wav", "longer than 20 s (20.01 s)"),
    )


def test_an_unknown_character_raises_an_error_with_utterance_and_characters():
    message = r"^b\.wav: the transcript has '4' 'ï' without a token"
    with pytest.raises(TextError, match=message):
        filter_utterances(
            [utterance("b.wav", 3.0, "naïve 4")], TOKENIZER, output_length=output_length
        )


def test_on_unknown_drop_removes_and_counts_characters():
    utterances = [utterance("a.wav", 3.0, "naïve ï 4 you"), utterance("b.wav", 3.0, "4 4")]
    selection = filter_utterances(
        utterances, TOKENIZER, output_length=output_length, on_unknown="drop"
    )
    assert [TOKENIZER.decode(example.labels) for example in selection.examples] == [
        "nave you",
        "",
    ]
    assert dict(selection.dropped_characters) == {"4": 3, "ï": 2}
    assert "characters dropped from transcripts: '4' x3, 'ï' x2" in selection.summary()


def test_an_utterance_too_short_for_its_transcript_is_left_out_and_listed():
    fits, too_short = utterance("a.wav", 0.2, "abcde"), utterance("b.wav", 0.2, "abbcd")
    selection = filter_utterances([fits, too_short], TOKENIZER, output_length=output_length)
    assert names(selection) == ["a.wav"]
    assert selection.left_out == (
        ("b.wav", "too short for its transcript (0.20 s, 5 tokens)"),
    )


@given(st.text("ab ", max_size=12))
def test_frames_needed_is_one_per_label_and_one_blank_between_equal_labels(text):
    example = Example(utterance("a.wav", 1.0, text), tuple(TOKENIZER.encode(text)))
    path = []
    for label in example.labels:
        path += [0, label] if path and path[-1] == label else [label]
    assert example.frames_needed == len(path)


def test_an_empty_transcript_is_kept():
    selection = filter_utterances(
        [utterance("a.wav", 1.0, "?!")], TOKENIZER, output_length=output_length
    )
    assert selection.examples[0].labels == ()
    assert selection.left_out == ()


def test_summary_is_one_line_of_counts():
    utterances = [utterance(f"{i}.wav", 1800.0, "a") for i in range(3)]
    utterances += [
        utterance("x.wav", 0.01, "a"),
        utterance("y.wav", 0.02, "a"),
        utterance("z.wav", 1.0, "a" * 30),
    ]
    selection = filter_utterances(
        utterances, TOKENIZER, output_length=output_length, min_seconds=0.1
    )
    assert selection.hours == 1.5
    assert selection.summary() == (
        "3 utterances, 1.50 h; left out: 2 shorter than 0.1 s, 1 too short for its transcript"
    )


def test_write_lists_the_utterances_left_out_and_writes_no_file_if_all_are_used(tmp_path):
    selection = filter_utterances(
        [utterance("a.wav", 9.0, "a"), utterance("b.wav", 1.0, "b")],
        TOKENIZER,
        output_length=output_length,
        max_seconds=2,
    )
    selection.write(tmp_path / "left_out.txt")
    assert (tmp_path / "left_out.txt").read_text() == "a.wav\tlonger than 2 s (9.00 s)\n"
    keep_all([utterance("a.wav", 9.0, "a")], TOKENIZER).write(tmp_path / "none.txt")
    assert not (tmp_path / "none.txt").exists()


def test_keep_all_leaves_nothing_out():
    utterances = [
        utterance("a.wav", 0.001, "much too long"),
        utterance("b.wav", 99.0, "naïve 4"),
    ]
    selection = keep_all(utterances, TOKENIZER)
    assert names(selection) == ["a.wav", "b.wav"]
    assert selection.left_out == ()


def test_keep_all_separates_words_by_one_space_after_dropping_characters():
    selection = keep_all([utterance("a.wav", 3.0, "4 naïve ï you 5")], TOKENIZER)
    assert TOKENIZER.decode(selection.examples[0].labels) == "nave you"


def test_characters_that_compose_after_dropping_are_dropped_too():
    tokenizer = Tokenizer(("a", "\u0301", " "))
    selection = keep_all([utterance("a.wav", 3.0, "a\u20dd\u0301a")], tokenizer)
    assert tokenizer.decode(selection.examples[0].labels) == "a"


@pytest.mark.parametrize(
    "bounds",
    [{}, {"min_seconds": None, "max_seconds": None}, {"max_seconds": float("inf")}],
)
def test_no_utterance_is_too_long_without_bounds(bounds):
    selection = filter_utterances(
        [utterance("a.wav", 9000.0, "a")], TOKENIZER, output_length=output_length, **bounds
    )
    assert len(selection.examples) == 1


def test_tags_are_counted_and_symbols_are_refused_or_dropped_between_words():
    utterances = [
        utterance("a.wav", 3.0, "[laughter] at&t <unk>"),
        utterance("b.wav", 3.0, "50% [laughter]"),
    ]
    with pytest.raises(TextError, match=r"a\.wav: the transcript has '&' without a token"):
        filter_utterances(utterances, TOKENIZER, output_length=output_length)
    selection = filter_utterances(
        utterances, TOKENIZER, output_length=output_length, on_unknown="drop"
    )
    texts = [TOKENIZER.decode(example.labels) for example in selection.examples]
    assert texts == ["at t", ""]
    assert selection.tags == (("[laughter]", 2), ("<unk>", 1))
    assert selection.summary().endswith(
        "tags dropped from transcripts: [laughter] x2, <unk> x1"
    )
    assert keep_all(utterances, TOKENIZER).tags == selection.tags
    assert dict(keep_all(utterances, TOKENIZER).dropped_characters)["%"] == 1


def test_only_the_most_frequent_tags_are_named():
    assert (
        count_tags([(f"[{i}]", 2) for i in range(12)], limit=2)
        == "[0] x2, [1] x2, 10 others"
    )


def test_names_that_are_not_utf_8_are_listed(tmp_path):
    selection = filter_utterances(
        [utterance("a\udcff.wav", 9.0, "a")],
        TOKENIZER,
        output_length=output_length,
        max_seconds=2,
    )
    selection.write(tmp_path / "left_out.txt")
    assert (tmp_path / "left_out.txt").read_text().startswith("a\\udcff.wav\t")
