"""Formats of alignment: the facts that programs which read them rely on."""

import json
import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.inference.timeline import FORMATS, Ctm, Srt, TextGrid, TimedSpan, TimedWord, Timeline

FRAME = 0.04


def timed(words, *, start=0.0, end=None, score=0.9, fits=True):
    """A timeline of [(written, first frame, frames, score)]; each letter takes an equal share of its word."""
    made = []
    for written, first, frames, sure in words:
        text = written.strip(".,!?\"'").lower()
        edges = [start + (first + i * frames / len(text)) * FRAME for i in range(len(text) + 1)]
        letters = tuple(
            TimedSpan(c, a, b, sure) for c, (a, b) in zip(text, pairwise(edges), strict=True)
        )
        made.append(TimedWord(text, edges[0], edges[-1], sure, written, sure >= 0.15, letters))
    end = (made[-1].end if made else start + 1.0) if end is None else end
    return Timeline(" ".join(word.text for word in made), start, end, score, fits, tuple(made))


TALK = timed([("Größe,", 5, 3, 0.98765), ('"two"', 20, 10, 0.01)], end=1.5)


@st.composite
def timelines(draw):
    at, words = draw(st.integers(0, 30)), []
    for _ in range(draw(st.integers(0, 25))):
        letters = draw(st.integers(1, 60 if draw(st.booleans()) else 9))
        words.append(("a" * letters, at, letters * draw(st.integers(1, 4)), draw(st.floats(0, 1))))
        at += words[-1][2] + draw(st.one_of(st.integers(0, 5), st.integers(0, 100)))
    start = draw(st.sampled_from([0.0, 12.345, 3599.99]))
    return timed(words, start=start, end=start + at * FRAME + draw(st.floats(0.01, 3)))


def test_ctm_is_recording_channel_start_duration_word_score():
    assert Ctm().write("a b", TALK) == (
        "a_b 1 0.200 0.120 größe 0.9877\na_b 1 0.800 0.400 two 0.0100\n"
    )
    letters = Ctm(characters=True).write("a", TALK).splitlines()
    assert [line.split()[4] for line in letters] == list("größetwo")
    assert letters[-1] == "a 1 1.067 0.133 o 0.0100"


def test_json_is_one_line_with_words_and_characters_and_what_does_not_fit():
    line = FORMATS["json"]().write("a.wav", TALK)
    assert line.count("\n") == 1
    assert "größe" in line
    entry = json.loads(line)
    assert {key: entry[key] for key in ("file", "text", "start", "end", "score", "fits")} == {
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
    assert second["characters"][0] == {"text": "t", "start": 0.8, "end": 0.933, "score": 0.01}


def tiers(text):
    """{tier: [(start, end, text)]} of a TextGrid, and its own end; fails where a count is wrong."""
    head, *parts = re.split(r"^    item \[\d+\]:\n", text, flags=re.MULTILINE)
    assert head.startswith('File type = "ooTextFile"\nObject class = "TextGrid"\n\nxmin = 0\n')
    assert f"size = {len(parts)}\n" in head
    found = {}
    for part in parts:
        intervals = re.findall(r'xmin = (\S+)\n +xmax = (\S+)\n +text = "((?:[^"]|"")*)"\n', part)
        assert f"intervals: size = {len(intervals)}\n" in part
        assert [int(n) for n in re.findall(r"intervals \[(\d+)\]:", part)] == list(
            range(1, len(intervals) + 1)
        )
        name = re.search(r'name = "(\w+)"', part)[1]
        found[name] = [(start, end, said.replace('""', '"')) for start, end, said in intervals]
    return found, re.search(r"xmax = (\S+)", head)[1]


@given(timelines())
def test_textgrid_covers_all_from_0_to_the_end_without_gap_or_overlap(timeline):
    found, end = tiers(TextGrid().write("a", timeline))
    assert float(end) == pytest.approx(timeline.end, abs=1e-6)
    for intervals in found.values():
        assert (intervals[0][0], intervals[-1][1]) == ("0", end)
        assert all(a[1] == b[0] for a, b in pairwise(intervals))
        assert all(float(start) < float(stop) for start, stop, _ in intervals)
    said = {name: [text for _, _, text in intervals if text] for name, intervals in found.items()}
    assert said["words"] == [word.text for word in timeline.words]
    assert said["characters"] == list("".join(said["words"]))
    assert said["doubtful"] == [f"{word.score:.4f}" for word in timeline.words if not word.fits]


def test_textgrid_doubles_quotation_marks():
    quoted = Timeline("", 0.0, 1.0, 1.0, True, (TimedWord('a"b', 0.0, 1.0, 1.0, 'a"b', True, ()),))
    assert tiers(TextGrid().write("a", quoted))[0]["words"] == [("0", "1", 'a"b')]


def cues(text):
    """[(start, end, lines)] of subtitles, times in milliseconds; fails where a number is out of order."""
    found = []
    for number, block in enumerate(filter(None, re.split(r"\n\n|\n\Z", text)), 1):
        counted, clock, *lines = block.split("\n")
        assert int(counted) == number
        times = re.fullmatch(
            r"(\d\d):(\d\d):(\d\d),(\d\d\d) --> (\d\d):(\d\d):(\d\d),(\d\d\d)", clock
        ).groups()
        hours, minutes, seconds, thousandths = (list(map(int, times[i::4])) for i in range(4))
        assert max(minutes + seconds) < 60
        start, end = (
            ((h * 60 + m) * 60 + s) * 1000 + ms
            for h, m, s, ms in zip(hours, minutes, seconds, thousandths, strict=True)
        )
        found.append((start, end, lines))
    return found


@given(timelines())
def test_cues_follow_one_another_with_two_lines_at_most_and_hold_every_word(timeline):
    found = cues(Srt().write("a", timeline))
    assert all(start < end for start, end, _ in found)
    assert all(a[1] <= b[0] for a, b in pairwise(found))
    if found:
        assert found[-1][1] <= round(timeline.end * 1000) + 1
    for start, end, lines in found:
        assert 1 <= len(lines) <= 2
        words = " ".join(lines).replace(" (?)", "").split()
        assert len(words) == 1 or max(map(len, lines)) <= 42
        assert len(words) == 1 or end - start <= 7400
    said = [word for _, _, lines in found for word in " ".join(lines).split()]
    assert said == [
        part for word in timeline.words for part in (word.written, *["(?)"] * (not word.fits))
    ]


def test_subtitles_are_spelled_as_the_text_is_and_end_at_pauses():
    words = [("Hello,", 0, 5, 1.0), ("world!", 7, 5, 1.0), ("Bye.", 60, 5, 0.1)]
    assert Srt().write("a", timed(words, end=2.7)) == (
        "1\n00:00:00,000 --> 00:00:00,880\nHello, world!\n\n2\n00:00:02,400 --> 00:00:02,700\nBye. (?)\n"
    )


def test_two_lines_are_of_like_length_and_no_line_looks_like_a_time():
    words = [(f"word{i}", 5 * i, 4, 1.0) for i in range(9)]
    ((_, _, lines),) = cues(Srt().write("a", timed(words)))
    assert list(map(len, lines)) in ([29, 23], [23, 29])
    assert (
        "-->" not in Srt().write("a", timed([("a", 0, 1, 1.0), ("-->b", 1, 1, 1.0)])).split("\n")[2]
    )


def test_a_piece_of_several_words_is_one_in_subtitles():
    parts = [
        TimedWord("twenty", 0.0, 0.3, 1.0, "Twenty-one.", True, ()),
        TimedWord("one", 0.3, 0.5, 0.1, "", False, ()),
    ]
    ((start, _, lines),) = cues(
        Srt().write("a", Timeline("twenty one", 0.0, 0.5, 1.0, True, tuple(parts)))
    )
    assert (start, lines) == (0, ["Twenty-one. (?)"])


@pytest.mark.parametrize("name", FORMATS)
def test_what_is_written_ends_with_a_new_line_or_is_nothing(name):
    written = FORMATS[name]().write("a", timed([]))
    assert written.endswith("\n") or (name in ("ctm", "srt") and written == "")
    assert FORMATS[name]().write("a", TALK).endswith("\n")
