"""Words and characters on the time axis, and the formats in which they are written: one class each."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

from asr.audio import Source

DOUBT = "(?)"  # behind a word in subtitles that does not fit the audio


@dataclass(frozen=True)
class AlignmentRequest:
    """What to align: its name in messages, its path or the file's bytes, its text; a piece of it in seconds, or all."""

    name: str
    source: Source
    text: str
    offset: float = 0.0
    duration: float | None = None


@dataclass(frozen=True)
class TimedSpan:
    """A stretch of a recording: what is said there, start and end in seconds, how sure that is, from 0 to 1."""

    text: str
    start: float
    end: float
    score: float


@dataclass(frozen=True)
class TimedWord(TimedSpan):
    """A normalised word with its characters, or the pieces that the model writes it in.

    `written` is the piece of the text that it begins, "" inside of one. `fits` is false where the score says that
    something else is heard there.
    """

    written: str
    fits: bool
    characters: tuple[TimedSpan, ...]


@dataclass(frozen=True)
class Timeline:
    """A text on the time axis of its recording, of which it takes the seconds from `start` to `end`.

    All times count from the beginning of the file.
    """

    text: str
    start: float
    end: float
    score: float
    fits: bool
    words: tuple[TimedWord, ...]


class Format(Protocol):
    """How a timeline is written: `write` makes the text of one recording, which ends with a new line.

    Only what is `joinable` still is of that format when several recordings follow one another.
    """

    suffix: str
    joinable: bool

    def write(self, name: str, timeline: Timeline) -> str: ...


class Ctm:
    """A line for each word or character: recording, channel, start, duration, text, score (NIST's time-marked form)."""

    suffix, joinable = ".ctm", True

    def __init__(self, *, characters: bool = False) -> None:
        self.characters = characters

    def write(self, name: str, timeline: Timeline) -> str:
        spans: Iterable[TimedSpan] = timeline.words
        if self.characters:
            spans = (character for word in timeline.words for character in word.characters)
        recording = "_".join(name.split()) or "_"
        lines = []
        for span in spans:
            start, end = round(span.start, 3), round(span.end, 3)
            lines.append(
                f"{recording} 1 {start:.3f} {end - start:.3f} {span.text} {span.score:.4f}\n"
            )
        return "".join(lines)


class Json:
    """A JSON object on a line: file, start, end, text, score, fits, and words with their characters."""

    suffix, joinable = ".json", True

    def write(self, name: str, timeline: Timeline) -> str:
        words = [
            {
                "text": word.text,
                "written": word.written,
                **_figures(word),
                "fits": word.fits,
                "characters": [{"text": c.text, **_figures(c)} for c in word.characters],
            }
            for word in timeline.words
        ]
        entry = {
            "file": name,
            "text": timeline.text,
            **_figures(timeline),
            "fits": timeline.fits,
            "words": words,
        }
        return json.dumps(entry, ensure_ascii=False) + "\n"


class TextGrid:
    """Praat's TextGrid in its long form, from 0 to the end: tiers of words, of characters, and of words in doubt.

    A word that does not fit the audio has an interval in the third tier, with its score.
    """

    suffix, joinable = ".TextGrid", False

    def write(self, name: str, timeline: Timeline) -> str:
        words = timeline.words
        tiers: dict[str, Sequence[TimedSpan]] = {
            "words": words,
            "characters": [character for word in words for character in word.characters],
            "doubtful": [
                TimedSpan(f"{w.score:.4f}", w.start, w.end, w.score) for w in words if not w.fits
            ],
        }
        end = _seconds(timeline.end)
        lines = [
            'File type = "ooTextFile"',
            'Object class = "TextGrid"',
            "",
            "xmin = 0",
            f"xmax = {end}",
        ]
        lines += ["tiers? <exists>", f"size = {len(tiers)}", "item []:"]
        for number, (tier, spans) in enumerate(tiers.items(), 1):
            lines += [
                f"    item [{number}]:",
                '        class = "IntervalTier"',
                f'        name = "{tier}"',
            ]
            intervals = list(_filled(spans, timeline.end))
            lines += [
                "        xmin = 0",
                f"        xmax = {end}",
                f"        intervals: size = {len(intervals)}",
            ]
            for i, (start, stop, text) in enumerate(intervals, 1):
                lines += [
                    f"        intervals [{i}]:",
                    f"            xmin = {start}",
                    f"            xmax = {stop}",
                ]
                quoted = text.replace('"', '""')
                lines.append(f'            text = "{quoted}"')
        return "\n".join(lines) + "\n"


class Srt:
    """Subtitles in the text's own spelling: cues of two lines at most, which end at pauses or when they are full.

    A word that does not fit the audio is followed by (?).
    """

    suffix, joinable = ".srt", False
    width = 42  # characters of a line, as broadcasters have it
    longest, pause, linger = (
        7.0,
        0.8,
        0.4,
    )  # seconds: of a cue, between two of them, and that one stays when it is said

    def write(self, name: str, timeline: Timeline) -> str:
        cues = list(self._cues(timeline.words))
        blocks = []
        for number, cue in enumerate(cues, 1):
            limit = cues[number][0].start if number < len(cues) else timeline.end
            end = max(cue[-1].end, min(cue[-1].end + self.linger, limit))
            text = "\n".join(self._lines([piece.text for piece in cue])).replace("-->", "→")
            blocks.append(f"{number}\n{_clock(cue[0].start)} --> {_clock(end)}\n{text}\n")
        return "\n".join(blocks)

    def _cues(self, words: Sequence[TimedWord]) -> Iterator[list[TimedSpan]]:
        cue: list[TimedSpan] = []
        for piece in _written(words):
            full = cue and (
                piece.start - cue[-1].end >= self.pause
                or piece.end - cue[0].start > self.longest
                or max(map(len, self._lines([p.text for p in [*cue, piece]]))) > self.width
            )
            if full:
                yield cue
                cue = []
            cue.append(piece)
        if cue:
            yield cue

    def _lines(self, pieces: list[str]) -> list[str]:
        """One line where that is enough, else the two that are most alike in length."""
        whole = " ".join(pieces)
        if len(whole) <= self.width or len(pieces) == 1:
            return [whole]
        halves = [[" ".join(pieces[:i]), " ".join(pieces[i:])] for i in range(1, len(pieces))]
        return min(halves, key=lambda lines: max(map(len, lines)))


FORMATS: dict[str, type[Ctm] | type[Json] | type[TextGrid] | type[Srt]] = {
    "ctm": Ctm,
    "textgrid": TextGrid,
    "srt": Srt,
    "json": Json,
}


def _figures(span: TimedSpan | Timeline) -> dict[str, float]:
    return {"start": round(span.start, 3), "end": round(span.end, 3), "score": round(span.score, 4)}


def _filled(spans: Sequence[TimedSpan], end: float) -> Iterator[tuple[str, str, str]]:
    """Spans as (start, end, text), with empty ones between them, so that all is covered from 0 to the end."""
    at = "0"
    for span in spans:
        start, stop = _seconds(span.start), _seconds(span.end)
        if start != at:
            yield at, start, ""
        yield start, stop, span.text
        at = stop
    if at != _seconds(end):
        yield at, _seconds(end), ""


def _written(words: Sequence[TimedWord]) -> Iterator[TimedSpan]:
    """The pieces of the text as they are written, each over all of its words."""
    begins = [i for i, word in enumerate(words) if word.written or i == 0]
    for first, last in pairwise([*begins, len(words)]):
        inside = words[first:last]
        sure = all(word.fits for word in inside)
        text = inside[0].written if sure else f"{inside[0].written} {DOUBT}"
        yield TimedSpan(text, inside[0].start, inside[-1].end, min(word.score for word in inside))


def _seconds(time: float) -> str:
    return f"{time:.6f}".rstrip("0").rstrip(".")


def _clock(time: float) -> str:
    """HH:MM:SS,mmm"""
    seconds, milliseconds = divmod(round(time * 1000), 1000)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02},{milliseconds:03}"
