"""Output formats of transcription and alignment, one class each."""

import json
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from asr.inference.timeline import TimedSpan, TimedWord, Timeline

if TYPE_CHECKING:  # at run time this would import torch, which takes seconds
    from asr.decode.hypothesis import Hypothesis

DECIMALS = {"start": 3, "end": 3, "confidence": 3, "score": 4}  # of numbers in JSON

DOUBT = "(?)"  # follows a word in subtitles that does not fit the audio
LINE_WIDTH = 42  # characters in a line of subtitles, as broadcasters recommend
MAX_CUE_SECONDS = 7.0
PAUSE_SECONDS = 0.8  # silence that ends a cue
LINGER_SECONDS = 0.4  # a cue stays this long after its last word

TEXTGRID_HEADER = """\
File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = {end}
tiers? <exists>
size = {size}
item []:
"""
TEXTGRID_TIER = """\
    item [{number}]:
        class = "IntervalTier"
        name = "{name}"
        xmin = 0
        xmax = {end}
        intervals: size = {size}
"""
TEXTGRID_INTERVAL = """\
        intervals [{number}]:
            xmin = {start}
            xmax = {end}
            text = "{text}"
"""

Result = TypeVar("Result", contravariant=True)


class Format(Protocol[Result]):
    """A text format for the results of recordings.

    Attributes:
        suffix: Extension of a file in this format.
        joinable: Whether one file can contain several recordings.
    """

    suffix: str
    joinable: bool

    def render(self, name: str, result: Result) -> str:
        """Return the text for one recording: lines that end with a newline, or nothing."""
        ...


class TranscriptText:
    """The words on one line."""

    suffix, joinable = ".txt", True

    def render(self, name: str, result: "Hypothesis") -> str:
        """Return the text of the hypothesis."""
        return f"{result.text}\n"


class TranscriptJson:
    """A JSON object on one line with file, text, score, words, and alternatives if there are any.

    Each word has its start and end in seconds and its confidence.
    """

    suffix, joinable = ".json", True

    def render(self, name: str, result: "Hypothesis") -> str:
        """Return the hypothesis as JSON."""
        return _json_line(name, self._entry(result))

    def _entry(self, hypothesis: "Hypothesis") -> dict[str, Any]:
        entry = _attributes(hypothesis, "text", "score")
        entry["words"] = [
            _attributes(word, "text", "start", "end", "confidence")
            for word in hypothesis.words
        ]
        if hypothesis.alternatives:
            entry["alternatives"] = [
                self._entry(other) for other in hypothesis.alternatives
            ]
        return entry


class TimelineJson:
    """A JSON object on one line with file, text, start, end, score, fits, and words.

    Each word also has its written form and its characters.
    """

    suffix, joinable = ".json", True

    def render(self, name: str, result: Timeline) -> str:
        """Return the timeline as JSON."""
        entry = _attributes(result, "text", "start", "end", "score", "fits")
        entry["words"] = [
            {
                **_attributes(word, "text", "written", "start", "end", "score", "fits"),
                "characters": [
                    _attributes(character, "text", "start", "end", "score")
                    for character in word.characters
                ],
            }
            for word in result.words
        ]
        return _json_line(name, entry)


class Ctm:
    """NIST's time-marked format with one line per word or per character.

    The columns are recording, channel, start, duration, text, and score.
    """

    suffix, joinable = ".ctm", True

    def __init__(self, *, characters: bool = False) -> None:
        self.characters = characters

    def render(self, name: str, result: Timeline) -> str:
        """Return the lines of the timeline."""
        recording = "_".join(name.split()) or "_"
        lines = []
        for span in _characters(result) if self.characters else result.words:
            start = round(span.start, 3)
            duration = round(span.end, 3) - start
            lines.append(
                f"{recording} 1 {start:.3f} {duration:.3f} {span.text} {span.score:.4f}\n"
            )
        return "".join(lines)


class TextGrid:
    """Praat's TextGrid in its long form, from 0 to the end of the timeline.

    It has the tiers "words", "characters", and "doubtful". The last one shows the scores of the
    words that do not fit the audio.
    """

    suffix, joinable = ".TextGrid", False

    def render(self, name: str, result: Timeline) -> str:
        """Return the TextGrid of the timeline."""
        doubtful = [word for word in result.words if not word.fits]
        tiers: dict[str, Sequence[TimedSpan]] = {
            "words": result.words,
            "characters": _characters(result),
            "doubtful": [
                TimedSpan(f"{w.score:.4f}", w.start, w.end, w.score) for w in doubtful
            ],
        }
        end = _decimal(result.end)
        parts = [TEXTGRID_HEADER.format(end=end, size=len(tiers))]
        for number, (tier, spans) in enumerate(tiers.items(), 1):
            intervals = list(_fill_gaps(spans, end))
            size = len(intervals)
            parts.append(TEXTGRID_TIER.format(number=number, name=tier, end=end, size=size))
            for i, (start, stop, text) in enumerate(intervals, 1):
                quoted = text.replace('"', '""')
                parts.append(
                    TEXTGRID_INTERVAL.format(number=i, start=start, end=stop, text=quoted)
                )
        return "".join(parts)


class Srt:
    """Subtitles in the written form of the text.

    A cue has at most two lines and ends at a pause or when it is full. "(?)" follows a word that
    does not fit the audio.
    """

    suffix, joinable = ".srt", False

    def render(self, name: str, result: Timeline) -> str:
        """Return the subtitles of the timeline."""
        cues = list(_cues(result.words))
        blocks = []
        for number, cue in enumerate(cues, 1):
            next_start = cues[number][0].start if number < len(cues) else result.end
            end = max(cue[-1].end, min(cue[-1].end + LINGER_SECONDS, next_start))
            text = "\n".join(_wrap(cue)).replace("-->", "→")
            blocks.append(f"{number}\n{_clock(cue[0].start)} --> {_clock(end)}\n{text}\n")
        return "\n".join(blocks)


TRANSCRIPT_FORMATS: dict[str, type[Format["Hypothesis"]]] = {
    "text": TranscriptText,
    "json": TranscriptJson,
}
TIMELINE_FORMATS: dict[str, type[Format[Timeline]]] = {
    "ctm": Ctm,
    "textgrid": TextGrid,
    "srt": Srt,
    "json": TimelineJson,
}


def _attributes(value: object, *names: str) -> dict[str, Any]:
    """Return attributes by name, with numbers rounded as in `DECIMALS`."""
    values = {name: getattr(value, name) for name in names}
    rounded = {
        name: round(values[name], DECIMALS[name]) for name in names if name in DECIMALS
    }
    return values | rounded


def _json_line(name: str, entry: dict[str, Any]) -> str:
    return json.dumps({"file": name, **entry}, ensure_ascii=False) + "\n"


def _characters(timeline: Timeline) -> list[TimedSpan]:
    return [character for word in timeline.words for character in word.characters]


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


def _cues(words: Sequence[TimedWord]) -> Iterator[list[TimedSpan]]:
    """Yield the written forms that each subtitle shows."""
    cue: list[TimedSpan] = []
    for span in _written_spans(words):
        if cue and (
            span.start - cue[-1].end >= PAUSE_SECONDS
            or span.end - cue[0].start > MAX_CUE_SECONDS
            or max(map(len, _wrap([*cue, span]))) > LINE_WIDTH
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
        yield TimedSpan(
            text, group[0].start, group[-1].end, min(word.score for word in group)
        )


def _wrap(cue: Sequence[TimedSpan]) -> list[str]:
    """Return one line if it is short enough, or the two lines that are closest in length."""
    texts = [span.text for span in cue]
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
