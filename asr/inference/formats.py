"""Output formats of transcription and alignment, one class each."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Protocol

from asr.inference.timeline import TimedSpan, TimedWord, Timeline

if TYPE_CHECKING:  # at run time this would import torch, which takes seconds
    from asr.decode.hypothesis import Hypothesis

# attributes in JSON in their order, and the decimals of numbers
JSON_KEYS = ["channel", "text", "written", "start", "end", "score", "fits", "confidence"]
JSON_KEYS += ["words", "characters", "alternatives"]
DECIMALS = {"start": 3, "end": 3, "confidence": 3, "score": 4}
DOUBT = "(?)"  # follows a word in subtitles that does not fit the audio
LINE_WIDTH = 42  # characters in a line of subtitles, as broadcasters recommend
MAX_CUE_SECONDS = 7.0
PAUSE_SECONDS = 0.8  # silence that ends a cue
LINGER_SECONDS = 0.4  # a cue stays this long after its last word


class Format(Protocol):
    """A text format for the results of recordings.

    Attributes:
        suffix: Extension of a file in this format.
        joinable: Whether one file can contain several recordings.
    """

    suffix: str
    joinable: bool

    def render(self, name: str, result: Any) -> str:
        """Return the text for one recording: lines that end with a newline, or nothing."""
        ...


class TranscriptText:
    """The words on one line, after the number of the channel if each is transcribed."""

    suffix, joinable = ".txt", True

    def render(self, name: str, result: "Hypothesis") -> str:
        """Return the text of the hypothesis."""
        prefix = f"channel {result.channel}: " if result.channel else ""
        return f"{prefix}{result.text}\n"


class Json:
    """A JSON object on one line with the file and the attributes of a hypothesis or a timeline.

    Words, characters, and alternatives are lists of such objects. Times are in seconds.
    """

    suffix, joinable = ".json", True

    def render(self, name: str, result: "Hypothesis | Timeline") -> str:
        """Return the result as JSON."""
        entry = {"file": name, **_attributes(result)}
        return json.dumps(entry, ensure_ascii=False) + "\n"


class Ctm:
    """NIST's time-marked format with one line per word or per character.

    The columns are recording, channel (1 for a mix), start, duration, text, and score.
    """

    suffix, joinable = ".ctm", True

    def __init__(self, *, characters: bool = False) -> None:
        self.characters = characters

    def render(self, name: str, result: Timeline) -> str:
        """Return the lines of the timeline."""
        recording, channel = "_".join(name.split()) or "_", result.channel or 1
        lines = []
        for span in _characters(result) if self.characters else result.words:
            start = round(span.start, 3)
            duration = round(span.end, 3) - start
            times = f"{start:.3f} {duration:.3f}"
            lines.append(f"{recording} {channel} {times} {span.text} {span.score:.4f}\n")
        return "".join(lines)


class TextGrid:
    """Praat's TextGrid in its long form, from 0 to the end of the timeline.

    It has the tiers "words", "characters", and "doubtful". The last one shows the scores of the
    words that do not fit the audio.
    """

    suffix, joinable = ".TextGrid", False

    def render(self, name: str, result: Timeline) -> str:
        """Return the TextGrid of the timeline."""
        tiers: dict[str, Sequence[TimedSpan]] = {
            "words": result.words,
            "characters": _characters(result),
            "doubtful": [
                replace(word, text=f"{word.score:.4f}")
                for word in result.words
                if not word.fits
            ],
        }
        end = _decimal(result.end)
        header = (
            'File type = "ooTextFile"\n'
            'Object class = "TextGrid"\n'
            "\n"
            "xmin = 0\n"
            f"xmax = {end}\n"
            "tiers? <exists>\n"
            f"size = {len(tiers)}\n"
            "item []:\n"
        )
        items = (
            f"    item [{number}]:\n{_textgrid_tier(tier, spans, end)}"
            for number, (tier, spans) in enumerate(tiers.items(), 1)
        )
        return header + "".join(items)


class Srt:
    """Subtitles in the written form of the text.

    A cue has at most two lines and ends at a pause or when it is full. "(?)" follows a word that
    does not fit the audio. A cue starts with "[2]" if its channel is 2, and with no number for a
    mix of all channels.
    """

    suffix, joinable = ".srt", False

    def render(self, name: str, result: Timeline) -> str:
        """Return the subtitles of the timeline."""
        label = f"[{result.channel}] " if result.channel else ""
        cues = list(_cues(result.words, label))
        blocks = []
        for number, cue in enumerate(cues, 1):
            next_start = cues[number][0].start if number < len(cues) else result.end
            end = max(cue[-1].end, min(cue[-1].end + LINGER_SECONDS, next_start))
            text = "\n".join(_wrap(cue, label)).replace("-->", "→")
            blocks.append(f"{number}\n{_clock(cue[0].start)} --> {_clock(end)}\n{text}\n")
        return "\n".join(blocks)


TRANSCRIPT_FORMATS: dict[str, type[Format]] = {"text": TranscriptText, "json": Json}
TIMELINE_FORMATS: dict[str, type[Format]] = {
    "ctm": Ctm,
    "textgrid": TextGrid,
    "srt": Srt,
    "json": Json,
}


def _attributes(result: object) -> dict[str, Any]:
    """Return the attributes of a result that JSON has, with rounded numbers."""
    entry: dict[str, Any] = {}
    for key in JSON_KEYS:
        value = getattr(result, key, None)
        if isinstance(value, tuple):
            value = [_attributes(item) for item in value]
        elif isinstance(value, float):
            value = round(value, DECIMALS[key])
        if value is not None and (value or key != "alternatives"):
            entry[key] = value
    return entry


def _characters(timeline: Timeline) -> list[TimedSpan]:
    return [character for word in timeline.words for character in word.characters]


def _textgrid_tier(name: str, spans: Sequence[TimedSpan], end: str) -> str:
    intervals = list(_fill_gaps(spans, end))
    lines = [
        '        class = "IntervalTier"\n'
        f'        name = "{name}"\n'
        "        xmin = 0\n"
        f"        xmax = {end}\n"
        f"        intervals: size = {len(intervals)}\n"
    ]
    for number, (start, stop, text) in enumerate(intervals, 1):
        quoted = text.replace('"', '""')
        lines.append(
            f"        intervals [{number}]:\n"
            f"            xmin = {start}\n"
            f"            xmax = {stop}\n"
            f'            text = "{quoted}"\n'
        )
    return "".join(lines)


def _fill_gaps(spans: Sequence[TimedSpan], end: str) -> Iterator[tuple[str, str, str]]:
    """Yield (start, end, text) of spans, with empty intervals in between, from 0 to `end`."""
    position = "0"
    for span in spans:
        start, stop = _decimal(span.start), _decimal(span.end)
        if start != position:
            yield position, start, ""
        yield start, stop, span.text
        position = stop
    if position != end:
        yield position, end, ""


def _cues(words: Sequence[TimedWord], label: str) -> Iterator[list[TimedSpan]]:
    """Yield the written forms that each subtitle shows after its label."""
    cue: list[TimedSpan] = []
    for span in _written_spans(words):
        if cue and (
            span.start - cue[-1].end >= PAUSE_SECONDS
            or span.end - cue[0].start > MAX_CUE_SECONDS
            or max(map(len, _wrap([*cue, span], label))) > LINE_WIDTH
        ):
            yield cue
            cue = []
        cue.append(span)
    if cue:
        yield cue


def _written_spans(words: Sequence[TimedWord]) -> Iterator[TimedSpan]:
    """Yield the written forms of the text, each with the times of all its words."""
    starts = [i for i, word in enumerate(words) if word.written or i == 0]
    for first, stop in pairwise([*starts, len(words)]):
        group = words[first:stop]
        text = group[0].written
        if not all(word.fits for word in group):
            text += f" {DOUBT}"
        yield replace(group[0], text=text, end=group[-1].end)


def _wrap(cue: Sequence[TimedSpan], label: str) -> list[str]:
    """Return one line if it is short enough, or the two lines that are closest in length."""
    texts = [span.text for span in cue]
    texts[0] = label + texts[0]
    line = " ".join(texts)
    if len(line) <= LINE_WIDTH or len(texts) == 1:
        return [line]
    splits = [[" ".join(texts[:i]), " ".join(texts[i:])] for i in range(1, len(texts))]
    return min(splits, key=lambda lines: max(map(len, lines)))


def _decimal(seconds: float) -> str:
    return f"{seconds:.6f}".rstrip("0").rstrip(".")


def _clock(time: float) -> str:
    """Return a time as HH:MM:SS,mmm."""
    seconds, milliseconds = divmod(round(time * 1000), 1000)
    return (
        f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02},{milliseconds:03}"
    )
