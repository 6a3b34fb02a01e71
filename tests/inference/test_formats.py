"""Output formats: the properties that programs which read them rely on."""

import html
import io
import json
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pysubs2
import pytest
import webvtt
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from praatio import textgrid

from asr.decode.hypothesis import Word
from asr.inference.formats import FORMATS, Ctm
from asr.inference.segments import Segment, split_segments
from asr.inference.timeline import TimedSpan, TimedWord, Timeline
from asr.inference.transcript import Skipped, Transcript

ROOT = Path(__file__).parents[2]
FRAME = 0.04
WORDS = (Word("größe", 0.1, 1 / 3, 0.98765), Word("zwei", 1.4, 1.8, 1.0))
TRANSCRIPT = Transcript("größe zwei", 2.5, -1.23456, tuple(split_segments(WORDS)))


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


@st.composite
def transcripts(draw):
    """Return the transcripts of one to three channels, with words that formats must escape."""
    letters = st.text("ab-<>&\"'ß;{", min_size=1, max_size=9)
    texts = letters | st.sampled_from(["-->", "a" * 60, "&amp;", "</v>", "NOTE", "1"])
    count = draw(st.integers(1, 3))
    results = []
    for channel in range(1, count + 1):
        time, words = draw(st.floats(0, 4000)), []
        for text in draw(st.lists(texts, max_size=25)):
            start = time + draw(st.just(0.0) | st.floats(0, 2))
            time = start + draw(st.floats(0.04, 0.6))
            words.append(Word(text, start, time, draw(st.floats(0, 1))))
        result = Transcript(
            " ".join(word.text for word in words),
            time + draw(st.floats(0.01, 3)),
            -1.0,
            tuple(split_segments(words)),
            channel=channel if count > 1 else None,
        )
        results.append(result)
    return results


def render(name, *results):
    return FORMATS[name]().render("more/a.wav", results)


def test_text_is_one_line_for_each_channel():
    assert render("text", TRANSCRIPT) == "größe zwei\n"
    channels = [replace(TRANSCRIPT, channel=1), replace(TRANSCRIPT, text="", channel=2)]
    assert render("text", *channels) == "channel 1: größe zwei\nchannel 2: \n"


ENTRY = {
    "file": "more/a.wav",
    "channel": None,
    "text": "größe zwei",
    "duration": 2.5,
    "score": -1.2346,
    "confidence": 0.994,
    "segments": [
        {"text": "größe", "start": 0.1, "end": 0.333, "confidence": 0.988},
        {"text": "zwei", "start": 1.4, "end": 1.8, "confidence": 1.0},
    ],
    "words": [
        {"text": "größe", "start": 0.1, "end": 0.333, "confidence": 0.988},
        {"text": "zwei", "start": 1.4, "end": 1.8, "confidence": 1.0},
    ],
    "alternatives": [{"text": "größer zwei", "score": -2.5}],
    "skipped": [{"start": 0.333, "end": 1.4, "reason": "silence"}],
    "warnings": [],
}


def test_json_has_all_attributes_of_a_transcript():
    transcript = replace(
        TRANSCRIPT,
        alternatives=(("größer zwei", -2.5),),
        skipped=(Skipped(1 / 3, 1.4, "silence"),),
    )
    line = render("jsonl", transcript)
    assert line.count("\n") == 1
    assert line.endswith("\n")
    assert "größe" in line
    assert json.loads(line) == ENTRY
    assert (
        render("json", transcript) == json.dumps(ENTRY, indent=2, ensure_ascii=False) + "\n"
    )


def test_json_of_several_channels_is_a_list_or_several_lines():
    channels = [replace(TRANSCRIPT, channel=channel) for channel in (1, 2)]
    objects = json.loads(render("json", *channels))
    assert [entry["channel"] for entry in objects] == [1, 2]
    assert list(map(json.loads, render("jsonl", *channels).splitlines())) == objects


@given(transcripts())
def test_the_published_schema_describes_every_transcript(schema, channels):
    for transcript in channels:
        schema.validate(transcript.to_dict())


@pytest.fixture(scope="module")
def schema():
    path = ROOT / "docs" / "reference" / "transcript.schema.json"
    schema = json.loads(path.read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def test_the_schema_refuses_other_objects(schema):
    entry = TRANSCRIPT.to_dict()
    for change in (
        {"duration": -1},
        {"text": None},
        {"words": [{"text": "a", "start": 0.0, "end": 1.0}]},
        {"skipped": [{"start": 0.0, "end": 1.0, "reason": "boring"}]},
        {"channel": 0},
        {"confidence": 1.5},
    ):
        assert not schema.is_valid({**entry, **change}), change
    for key in entry:
        assert not schema.is_valid({k: v for k, v in entry.items() if k != key}), key


def test_tsv_is_a_table_of_segments_in_milliseconds():
    assert (
        render("tsv", TRANSCRIPT) == "start\tend\ttext\n100\t333\tgröße\n1400\t1800\tzwei\n"
    )
    second = Transcript(
        "a\tb", 2.5, 0.0, (split_segments([Word("a\tb", 1.0, 2.0, 1.0)])[0],)
    )
    rows = render("tsv", TRANSCRIPT, replace(second, channel=2)).splitlines()
    assert rows[2] == "1000\t2000\t[2] a b"


def test_ctm_lines_are_recording_channel_start_duration_text_score():
    assert Ctm().render("a b", [TIMELINE]) == (
        "a_b 1 0.200 0.120 größe 0.9877\na_b 1 0.800 0.400 two 0.0100\n"
    )
    letters = Ctm(unit="characters").render("a", [TIMELINE]).splitlines()
    assert [line.split()[4] for line in letters] == list("größetwo")
    assert letters[-1] == "a 1 1.067 0.133 o 0.0100"


@given(transcripts())
def test_ctm_obeys_the_rules_of_sclite(channels):
    """Six columns, sorted by file, channel, and start, without overlap in a channel."""
    rows = [line.split(" ") for line in render("ctm", *channels).splitlines()]
    assert all(len(row) == 6 and all(row) for row in rows)
    keys = [(row[0], row[1], float(row[2])) for row in rows]
    assert keys == sorted(keys)
    assert all(re.fullmatch(r"\d+\.\d{3}", time) for row in rows for time in row[2:4])
    assert all(0 <= float(row[5]) <= 1 for row in rows)
    for row, following in pairwise(rows):
        if row[1] == following[1]:
            assert float(row[2]) + float(row[3]) <= float(following[2]) + 1e-6
    texts = [word.text for channel in channels for word in channel.words]
    assert [row[4] for row in rows] == texts


def test_words_that_overlap_are_shortened_in_ctm_and_textgrid(tmp_path):
    words = [Word("a", -0.01, 1.0, 1.0), Word("b", 0.9, 2.0, 1.0)]
    transcript = Transcript("a b", 2.0, 0.0, tuple(split_segments(words)))
    assert render("ctm", transcript) == (
        "more/a.wav 1 0.000 1.000 a 1.0000\nmore/a.wav 1 1.000 1.000 b 1.0000\n"
    )
    assert read_textgrid(tmp_path, transcript)["words"] == [(0, 1, "a"), (1, 2, "b")]


def test_every_format_of_a_channel_has_its_number(tmp_path):
    second = replace(TIMELINE, channel=2)
    assert [line.split()[1] for line in render("ctm", second).splitlines()] == ["2"] * 2
    assert json.loads(render("json", second))["channel"] == 2
    assert json.loads(render("json", TIMELINE))["channel"] is None
    cues = parse_subtitles(render("srt", second))
    assert [line for _, _, lines in cues for line in lines] == ['[2] Größe, "two" (?)']
    assert '\n<v Channel 2>Größe, "two" (?)\n' in render("vtt", second)
    assert "\t[2] Größe" in render("tsv", second)
    tiers = read_textgrid(tmp_path, second)
    assert list(tiers) == ["[2] words", "[2] characters", "[2] doubtful"]


def test_the_number_of_the_channel_is_part_of_the_width_of_subtitles():
    words = [(f"word{i:03}", 5 * i, 4, 1.0) for i in range(40)]
    timeline = replace(make_timeline(words), channel=12)
    for _, _, lines in parse_subtitles(render("srt", timeline)):
        assert lines[0].startswith("[12] word")
        assert max(map(len, lines)) <= 42


def test_timeline_json_is_one_line_with_words_characters_and_fits():
    line = render("jsonl", TIMELINE)
    assert line.count("\n") == 1
    assert "größe" in line
    entry = json.loads(line)
    assert {
        key: entry[key] for key in ("file", "text", "start", "end", "score", "fits")
    } == {
        "file": "more/a.wav",
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


def read_textgrid(folder, *results):
    """Return {tier: [(start, end, text)]} of a TextGrid, read by praatio."""
    path = folder / "a.TextGrid"
    path.write_text(render("textgrid", *results), encoding="utf-8")
    grid = textgrid.openTextgrid(str(path), includeEmptyIntervals=True)
    tiers = {}
    for tier in grid.tiers:
        assert (tier.minTimestamp, tier.maxTimestamp) == (0, grid.maxTimestamp)
        tiers[tier.name] = list(map(tuple, tier.entries))
    return tiers


def check_intervals(tiers, end):
    """Check that the intervals of each tier cover 0 to the end without gap or overlap."""
    for intervals in tiers.values():
        assert intervals[0][0] == 0
        assert intervals[-1][1] == pytest.approx(end, abs=1e-6)
        assert all(a[1] == b[0] for a, b in pairwise(intervals))
        assert all(start < stop for start, stop, _ in intervals)


@given(timelines())
def test_textgrid_of_an_alignment_has_words_characters_and_doubtful_words(folder, timeline):
    tiers = read_textgrid(folder, timeline)
    check_intervals(tiers, timeline.end)
    labels = {name: [text for _, _, text in tier if text] for name, tier in tiers.items()}
    assert labels["words"] == [word.text for word in timeline.words]
    assert labels["characters"] == list("".join(labels["words"]))
    assert labels["doubtful"] == [
        f"{word.score:.4f}" for word in timeline.words if not word.fits
    ]


@given(transcripts())
def test_textgrid_of_a_transcript_has_segments_and_words_of_each_channel(folder, channels):
    tiers = read_textgrid(folder, *channels)
    check_intervals(tiers, max(channel.duration for channel in channels))
    labels = [[text for _, _, text in tier if text] for tier in tiers.values()]
    expected = [
        [item.text for item in items]
        for channel in channels
        for items in (channel.segments, channel.words)
    ]
    assert labels == expected
    prefixes = [f"[{c.channel}] " if c.channel else "" for c in channels]
    assert list(tiers) == [p + name for p in prefixes for name in ("segments", "words")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("textgrid")


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
    cues = parse_subtitles(render("srt", timeline))
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
    assert render("srt", make_timeline(words, end=2.7)) == (
        "1\n00:00:00,000 --> 00:00:00,880\nHello, world!\n\n"
        "2\n00:00:02,400 --> 00:00:02,700\nBye. (?)\n"
    )


def test_two_lines_have_similar_lengths_and_no_line_looks_like_a_time():
    words = [(f"word{i}", 5 * i, 4, 1.0) for i in range(9)]
    ((_, _, lines),) = parse_subtitles(render("srt", make_timeline(words)))
    assert list(map(len, lines)) in ([29, 23], [23, 29])
    arrow = make_timeline([("a", 0, 1, 1.0), ("-->b", 1, 1, 1.0)])
    assert "-->" not in render("srt", arrow).split("\n")[2]


def test_a_written_form_of_several_words_is_one_word_in_subtitles():
    words = (
        TimedWord("twenty", 0.0, 0.3, 1.0, "Twenty-one.", True, ()),
        TimedWord("one", 0.3, 0.5, 0.1, "", False, ()),
    )
    ((start, _, lines),) = parse_subtitles(
        render("srt", Timeline("twenty one", 0.0, 0.5, 1.0, True, words))
    )
    assert (start, lines) == (0, ["Twenty-one. (?)"])


def read_cues(name, text):
    """Return (start, end, text) of cues, after checking that two parsers agree on them."""
    events = pysubs2.SSAFile.from_string(text, format_=name)
    cues = [(event.start, event.end, event.plaintext) for event in events]
    captions = webvtt.from_buffer(io.StringIO(text), format=name)
    assert [
        (milliseconds(caption.start_time), milliseconds(caption.end_time), caption.text)
        for caption in captions
    ] == cues
    return cues


def milliseconds(time):
    hours, minutes, seconds, thousandths = time.to_tuple()
    return ((hours * 60 + minutes) * 60 + seconds) * 1000 + thousandths


@pytest.mark.parametrize("name", ["srt", "vtt"])
@given(channels=transcripts())
def test_two_independent_parsers_read_the_subtitles(name, channels):
    if name == "srt":  # has no escapes, so players drop what looks like markup
        channels = [strip_markup(channel) for channel in channels]
    text = render(name, *channels)
    cues = read_cues(name, text) if "-->" in text else []
    assert cues == sorted(cues, key=lambda cue: cue[0])
    words = [word.text for channel in channels for word in channel.words]
    shown = " ".join(text for _, _, text in cues).split()
    if name == "vtt":
        shown = list(map(html.unescape, shown))
    else:
        words = [word.replace("-->", "→") for word in words]
        shown = [word for word in shown if not re.fullmatch(r"\[\d\]", word)]
    assert sorted(shown) == sorted(words)


def strip_markup(transcript):
    words = [w._replace(text=re.sub("[<{]", "", w.text) or "a") for w in transcript.words]
    return replace(transcript, segments=tuple(split_segments(words)))


def test_to_srt_and_to_vtt_are_the_formats():
    assert TRANSCRIPT.to_srt() == render("srt", TRANSCRIPT)
    assert (
        TRANSCRIPT.to_vtt()
        == render("vtt", TRANSCRIPT)
        == (
            "WEBVTT\n\n00:00:00.100 --> 00:00:00.733\ngröße\n"
            "\n00:00:01.400 --> 00:00:02.200\nzwei\n"
        )
    )


def test_a_segment_without_text_has_no_cue():
    transcript = Transcript(
        "", 3.0, 0.0, (Segment(" ", 0.0, 1.0, 0.0, ()), *TRANSCRIPT.segments)
    )
    assert render("srt", transcript) == render("srt", replace(TRANSCRIPT, duration=3.0))


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_ends_with_a_newline_or_is_empty(name):
    empty = [make_timeline([]), Transcript("", 0.0, 0.0)]
    for result in empty:
        text = render(name, result)
        assert text.endswith("\n") or (name in ("ctm", "srt") and text == "")
    for result in (TIMELINE, TRANSCRIPT):
        assert render(name, result).endswith("\n")
