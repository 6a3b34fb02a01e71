"""Output formats: the properties that programs which read them rely on."""

import json
import re
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.decode.hypothesis import Hypothesis, Word
from asr.inference.formats import TIMELINE_FORMATS, TRANSCRIPT_FORMATS, Ctm, Srt, TextGrid
from asr.inference.timeline import TimedSpan, TimedWord, Timeline

FRAME = 0.04
HYPOTHESIS = Hypothesis(
    "größe zwei",
    -1.23456,
    (Word("größe", 0.1, 1 / 3, 0.98765), Word("zwei", 0.4, 0.8, 1.0)),
)


def make_timeline(entries, *, start=0.0, end=None, score=0.9, fits=True):
    """Return a timeline of (written, first frame, frames, score) with letters of equal length."""
    words = []
    for written, first, frames, word_score in entries:
        text = written.strip(".,!?\"'").lower()
        edges = [
            start + (first + i * frames / len(text)) * FRAME for i in range(len(text) + 1)
        ]
        letters = tuple(
            TimedSpan(letter, *times, word_score)
            for letter, times in zip(text, pairwise(edges), strict=True)
        )
        word_fits = word_score >= 0.15
        words.append(
            TimedWord(text, edges[0], edges[-1], word_score, written, word_fits, letters)
        )
    end = (words[-1].end if words else start + 1.0) if end is None else end
    return Timeline(
        " ".join(word.text for word in words), start, end, score, fits, tuple(words)
    )


TIMELINE = make_timeline([("Größe,", 5, 3, 0.98765), ('"two"', 20, 10, 0.01)], end=1.5)


@st.composite
def timelines(draw):
    frame, entries = draw(st.integers(0, 30)), []
    for _ in range(draw(st.integers(0, 25))):
        letters = draw(st.integers(1, 60 if draw(st.booleans()) else 9))
        frames = letters * draw(st.integers(1, 4))
        entries.append(("a" * letters, frame, frames, draw(st.floats(0, 1))))
        frame += frames + draw(st.one_of(st.integers(0, 5), st.integers(0, 100)))
    start = draw(st.sampled_from([0.0, 12.345, 3599.99]))
    return make_timeline(
        entries, start=start, end=start + frame * FRAME + draw(st.floats(0.01, 3))
    )


def test_transcript_text_has_only_the_words():
    assert TRANSCRIPT_FORMATS["text"]().render("a.wav", HYPOTHESIS) == "größe zwei\n"


def test_transcript_json_is_an_object_on_one_line_with_timed_words():
    line = TRANSCRIPT_FORMATS["json"]().render("a.wav", HYPOTHESIS)
    assert line.count("\n") == 1
    assert line.endswith("\n")
    assert "größe" in line
    assert json.loads(line) == {
        "file": "a.wav",
        "text": "größe zwei",
        "score": -1.2346,
        "words": [
            {"text": "größe", "start": 0.1, "end": 0.333, "confidence": 0.988},
            {"text": "zwei", "start": 0.4, "end": 0.8, "confidence": 1.0},
        ],
    }


def test_an_empty_hypothesis_has_a_line_in_every_transcript_format():
    empty = Hypothesis("", 0.0)
    assert TRANSCRIPT_FORMATS["text"]().render("a.wav", empty) == "\n"
    assert json.loads(TRANSCRIPT_FORMATS["json"]().render("a\nb.wav", empty))["words"] == []


def test_transcript_json_has_alternatives_if_there_are_any():
    hypothesis = Hypothesis("one", -1.0, (), (Hypothesis("won", -2.5),))
    entry = json.loads(TRANSCRIPT_FORMATS["json"]().render("a.wav", hypothesis))
    assert entry["alternatives"] == [{"text": "won", "score": -2.5, "words": []}]
    entry = json.loads(TRANSCRIPT_FORMATS["json"]().render("a.wav", HYPOTHESIS))
    assert "alternatives" not in entry


def test_ctm_lines_are_recording_channel_start_duration_text_score():
    assert Ctm().render("a b", TIMELINE) == (
        "a_b 1 0.200 0.120 größe 0.9877\na_b 1 0.800 0.400 two 0.0100\n"
    )
    letters = Ctm(characters=True).render("a", TIMELINE).splitlines()
    assert [line.split()[4] for line in letters] == list("größetwo")
    assert letters[-1] == "a 1 1.067 0.133 o 0.0100"


def test_every_format_of_a_channel_has_its_number():
    second = replace(TIMELINE, channel=2)
    assert [line.split()[1] for line in Ctm().render("a", second).splitlines()] == ["2"] * 2
    assert json.loads(TIMELINE_FORMATS["json"]().render("a", second))["channel"] == 2
    assert "channel" not in json.loads(TIMELINE_FORMATS["json"]().render("a", TIMELINE))
    cues = parse_subtitles(Srt().render("a", second))
    assert [line for _, _, lines in cues for line in lines] == ['[2] Größe, "two" (?)']


def test_the_number_of_the_channel_is_part_of_the_width_of_subtitles():
    words = [(f"word{i:03}", 5 * i, 4, 1.0) for i in range(40)]
    timeline = replace(make_timeline(words), channel=12)
    for _, _, lines in parse_subtitles(Srt().render("a", timeline)):
        assert lines[0].startswith("[12] word")
        assert max(map(len, lines)) <= 42


def test_timeline_json_is_one_line_with_words_characters_and_fits():
    line = TIMELINE_FORMATS["json"]().render("a.wav", TIMELINE)
    assert line.count("\n") == 1
    assert "größe" in line
    entry = json.loads(line)
    assert {
        key: entry[key] for key in ("file", "text", "start", "end", "score", "fits")
    } == {
        "file": "a.wav",
        "text": "größe two",
        "start": 0.0,
        "end": 1.5,
        "score": 0.9,
        "fits": True,
    }
    first, second = entry["words"]
    assert (first["written"], first["fits"], second["fits"]) == ("Größe,", True, False)
    assert [c["text"] for c in second["characters"]] == list("two")
    assert second["characters"][0] == {
        "text": "t",
        "start": 0.8,
        "end": 0.933,
        "score": 0.01,
    }


def parse_textgrid(text):
    """Return {tier: [(start, end, text)]} and the end of a TextGrid, and check its counts."""
    head, *parts = re.split(r"^    item \[\d+\]:\n", text, flags=re.MULTILINE)
    assert head.startswith(
        'File type = "ooTextFile"\nObject class = "TextGrid"\n\nxmin = 0\n'
    )
    assert f"size = {len(parts)}\n" in head
    tiers = {}
    for part in parts:
        intervals = re.findall(
            r'xmin = (\S+)\n +xmax = (\S+)\n +text = "((?:[^"]|"")*)"\n', part
        )
        assert f"intervals: size = {len(intervals)}\n" in part
        assert [int(n) for n in re.findall(r"intervals \[(\d+)\]:", part)] == list(
            range(1, len(intervals) + 1)
        )
        name = re.search(r'name = "(\w+)"', part)[1]
        tiers[name] = [
            (start, end, label.replace('""', '"')) for start, end, label in intervals
        ]
    return tiers, re.search(r"xmax = (\S+)", head)[1]


@given(timelines())
def test_textgrid_intervals_cover_0_to_the_end_without_gap_or_overlap(timeline):
    tiers, end = parse_textgrid(TextGrid().render("a", timeline))
    assert float(end) == pytest.approx(timeline.end, abs=1e-6)
    for intervals in tiers.values():
        assert (intervals[0][0], intervals[-1][1]) == ("0", end)
        assert all(a[1] == b[0] for a, b in pairwise(intervals))
        assert all(float(start) < float(stop) for start, stop, _ in intervals)
    labels = {name: [text for _, _, text in tier if text] for name, tier in tiers.items()}
    assert labels["words"] == [word.text for word in timeline.words]
    assert labels["characters"] == list("".join(labels["words"]))
    assert labels["doubtful"] == [
        f"{word.score:.4f}" for word in timeline.words if not word.fits
    ]


def test_textgrid_doubles_quotation_marks():
    quoted = Timeline(
        "", 0.0, 1.0, 1.0, True, (TimedWord('a"b', 0.0, 1.0, 1.0, 'a"b', True, ()),)
    )
    assert parse_textgrid(TextGrid().render("a", quoted))[0]["words"] == [("0", "1", 'a"b')]


def parse_subtitles(text):
    """Return [(start, end, lines)] of subtitles in milliseconds, and check their numbers."""
    cues = []
    for number, block in enumerate(filter(None, re.split(r"\n\n|\n\Z", text)), 1):
        counter, clock, *lines = block.split("\n")
        assert int(counter) == number
        times = re.fullmatch(
            r"(\d\d):(\d\d):(\d\d),(\d\d\d) --> (\d\d):(\d\d):(\d\d),(\d\d\d)", clock
        ).groups()
        hours, minutes, seconds, thousandths = (
            list(map(int, times[i::4])) for i in range(4)
        )
        assert max(minutes + seconds) < 60
        start, end = (
            ((h * 60 + m) * 60 + s) * 1000 + ms
            for h, m, s, ms in zip(hours, minutes, seconds, thousandths, strict=True)
        )
        cues.append((start, end, lines))
    return cues


@given(timelines())
def test_cues_do_not_overlap_have_one_or_two_lines_and_contain_every_word(timeline):
    cues = parse_subtitles(Srt().render("a", timeline))
    assert all(start < end for start, end, _ in cues)
    assert all(a[1] <= b[0] for a, b in pairwise(cues))
    if cues:
        assert cues[-1][1] <= round(timeline.end * 1000) + 1
    for start, end, lines in cues:
        assert 1 <= len(lines) <= 2
        words = " ".join(lines).replace(" (?)", "").split()
        assert len(words) == 1 or max(map(len, lines)) <= 42
        assert len(words) == 1 or end - start <= 7400
    words = [word for _, _, lines in cues for word in " ".join(lines).split()]
    assert words == [
        part
        for word in timeline.words
        for part in (word.written, *["(?)"] * (not word.fits))
    ]


def test_subtitles_have_the_written_form_and_end_at_pauses():
    words = [("Hello,", 0, 5, 1.0), ("world!", 7, 5, 1.0), ("Bye.", 60, 5, 0.1)]
    assert Srt().render("a", make_timeline(words, end=2.7)) == (
        "1\n00:00:00,000 --> 00:00:00,880\nHello, world!\n\n"
        "2\n00:00:02,400 --> 00:00:02,700\nBye. (?)\n"
    )


def test_two_lines_have_similar_lengths_and_no_line_looks_like_a_time():
    words = [(f"word{i}", 5 * i, 4, 1.0) for i in range(9)]
    ((_, _, lines),) = parse_subtitles(Srt().render("a", make_timeline(words)))
    assert list(map(len, lines)) in ([29, 23], [23, 29])
    arrow = make_timeline([("a", 0, 1, 1.0), ("-->b", 1, 1, 1.0)])
    assert "-->" not in Srt().render("a", arrow).split("\n")[2]


def test_a_written_form_of_several_words_is_one_word_in_subtitles():
    words = (
        TimedWord("twenty", 0.0, 0.3, 1.0, "Twenty-one.", True, ()),
        TimedWord("one", 0.3, 0.5, 0.1, "", False, ()),
    )
    ((start, _, lines),) = parse_subtitles(
        Srt().render("a", Timeline("twenty one", 0.0, 0.5, 1.0, True, words))
    )
    assert (start, lines) == (0, ["Twenty-one. (?)"])


@pytest.mark.parametrize("name", TIMELINE_FORMATS)
def test_every_timeline_format_ends_with_a_newline_or_is_empty(name):
    text = TIMELINE_FORMATS[name]().render("a", make_timeline([]))
    assert text.endswith("\n") or (name in ("ctm", "srt") and text == "")
    assert TIMELINE_FORMATS[name]().render("a", TIMELINE).endswith("\n")
