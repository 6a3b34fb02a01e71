"""Output formats of transcripts and alignments, one class each.

A format renders the result of a recording, or one result for each of its channels.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from asr.decode.hypothesis import Word
from asr.inference.subtitles import Segmented, label_channel, render_srt, render_vtt


class Result(Segmented, Protocol):
    """A transcript or an alignment of one channel."""

    @property
    def text(self) -> str:
        """All words."""

    def tiers(self) -> Mapping[str, Sequence[Word]]:
        """Return texts with times, such as words, by the name of the tier."""

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON object."""


class Format(Protocol):
    """A text format for the results of recordings.

    Attributes:
        suffix: Extension of a file in this format.
        joinable: Whether one file can contain several recordings.
    """

    suffix: str
    joinable: bool

    def render(self, name: str, results: Sequence[Result]) -> str:
        """Return the text for one recording: lines that end with a newline, or nothing."""
        ...


class Text:
    """The words of each channel on one line, after its number if there is one.

    With `named`, each line starts with the name of the recording and a tab.
    """

    suffix, joinable = ".txt", True

    def __init__(self, *, named: bool = False) -> None:
        self.named = named

    def render(self, name: str, results: Sequence[Result]) -> str:
        """Return the lines of the recording."""
        prefix = f"{one_line(name)}\t" if self.named else ""
        channels = [f"channel {r.channel}: " if r.channel else "" for r in results]
        lines = zip(channels, results, strict=True)
        return "".join(f"{prefix}{channel}{result.text}\n" for channel, result in lines)


class JsonLines:
    """A JSON object on one line for each channel, with the file and the attributes."""

    suffix, joinable = ".jsonl", True

    def render(self, name: str, results: Sequence[Result]) -> str:
        """Return the lines of the recording."""
        entries = [{"file": name, **result.to_dict()} for result in results]
        return "".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries)


class Json:
    """The same object, indented. The objects of several channels are a list."""

    suffix, joinable = ".json", False

    def render(self, name: str, results: Sequence[Result]) -> str:
        """Return the object or the list."""
        entries = [{"file": name, **result.to_dict()} for result in results]
        content = entries[0] if len(entries) == 1 else entries
        return json.dumps(content, ensure_ascii=False, indent=2) + "\n"


class Srt:
    """SubRip subtitles of at most two lines."""

    suffix, joinable = ".srt", False

    def render(self, name: str, results: Sequence[Result]) -> str:
        """Return the subtitles of the recording."""
        return render_srt(results)


class Vtt:
    """WebVTT subtitles of at most two lines."""

    suffix, joinable = ".vtt", False

    def render(self, name: str, results: Sequence[Result]) -> str:
        """Return the subtitles of the recording."""
        return render_vtt(results)


class Tsv:
    """A table of segments as Whisper's: start and end in milliseconds, and text.

    The text of a segment of channel 2 starts with "[2]".
    """

    suffix, joinable = ".tsv", False

    def render(self, name: str, results: Sequence[Result]) -> str:
        """Return the table of the recording."""
        rows = [
            (round(s.start * 1000), round(s.end * 1000), label_channel(r.channel) + s.text)
            for r in results
            for s in r.segments
        ]
        lines = [f"{start}\t{end}\t{one_line(text)}\n" for start, end, text in sorted(rows)]
        return "".join(["start\tend\ttext\n", *lines])


class Ctm:
    """NIST's time-marked format with one line per word, or per character of an alignment.

    The columns are recording, channel (1 for a mix), start, duration, text, and confidence. Lines
    are sorted by channel and start and do not overlap.
    """

    suffix, joinable = ".ctm", True

    def __init__(self, *, unit: str = "words") -> None:
        self.unit = unit

    def render(self, name: str, results: Sequence[Result]) -> str:
        """Return the lines of the recording."""
        lines = []
        for result in results:
            prefix = f"{one_word(name)} {result.channel or 1}"
            for start, end, word in _without_overlaps(result.tiers()[self.unit], 1000):
                times = f"{start / 1000:.3f} {(end - start) / 1000:.3f}"
                lines.append(
                    f"{prefix} {times} {one_word(word.text)} {word.confidence:.4f}\n"
                )
        return "".join(lines)


class TextGrid:
    """Praat's TextGrid in its long form, from 0 to the end of the recording.

    A transcript has tiers of segments and words. An alignment has tiers of words, characters, and
    the scores of doubtful words. The name of a tier of channel 2 starts with "[2]".
    """

    suffix, joinable = ".TextGrid", False

    def render(self, name: str, results: Sequence[Result]) -> str:
        """Return the TextGrid of the recording."""
        tiers = {
            label_channel(result.channel) + tier: words
            for result in results
            for tier, words in result.tiers().items()
        }
        ends = [word.end for words in tiers.values() for word in words]
        end = round(max([result.end for result in results] + ends) * 1_000_000)
        header = (
            'File type = "ooTextFile"\n'
            'Object class = "TextGrid"\n'
            "\n"
            "xmin = 0\n"
            f"xmax = {_decimal(end)}\n"
            "tiers? <exists>\n"
            f"size = {len(tiers)}\n"
            "item []:\n"
        )
        items = (
            f"    item [{number}]:\n{_textgrid_tier(tier, words, end)}"
            for number, (tier, words) in enumerate(tiers.items(), 1)
        )
        return header + "".join(items)


FORMATS: dict[str, Callable[[], Format]] = {
    "text": Text,
    "txt": Text,
    "json": Json,
    "jsonl": JsonLines,
    "srt": Srt,
    "vtt": Vtt,
    "tsv": Tsv,
    "ctm": Ctm,
    "textgrid": TextGrid,
    "TextGrid": TextGrid,
}


def one_line(text: str) -> str:
    """Replace tabs and line breaks, which separate columns and rows."""
    return text.translate({ord(character): " " for character in "\t\n\r"})


def one_word(text: str) -> str:
    """Replace white space, which separates columns, by underscores."""
    return "_".join(text.split()) or "_"


def _without_overlaps(words: Sequence[Word], units: int) -> Iterator[tuple[int, int, Word]]:
    """Yield (start, end, word) with times in `units` per second. No word starts before 0.

    A word that starts before the end of the previous one is shortened.
    """
    position = 0
    for word in words:
        start = max(round(word.start * units), position)
        position = max(round(word.end * units), start)
        yield start, position, word


def _textgrid_tier(name: str, words: Sequence[Word], end: int) -> str:
    intervals = list(_fill_gaps(words, end))
    lines = [
        '        class = "IntervalTier"\n'
        f'        name = "{name}"\n'
        "        xmin = 0\n"
        f"        xmax = {_decimal(end)}\n"
        f"        intervals: size = {len(intervals)}\n"
    ]
    for number, (start, stop, text) in enumerate(intervals, 1):
        quoted = text.replace('"', '""')
        lines.append(
            f"        intervals [{number}]:\n"
            f"            xmin = {_decimal(start)}\n"
            f"            xmax = {_decimal(stop)}\n"
            f'            text = "{quoted}"\n'
        )
    return "".join(lines)


def _fill_gaps(words: Sequence[Word], end: int) -> Iterator[tuple[int, int, str]]:
    """Yield (start, end, text) in microseconds, with empty intervals between, from 0 to `end`."""
    position = 0
    for start, stop, word in _without_overlaps(words, 1_000_000):
        if start > position:
            yield position, start, ""
        if stop > start:  # Praat has no empty intervals
            yield start, stop, word.text
        position = stop
    if position < end:
        yield position, end, ""


def _decimal(microseconds: int) -> str:
    return f"{microseconds / 1_000_000:.6f}".rstrip("0").rstrip(".")
