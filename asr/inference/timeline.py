"""Requests and results of alignment: words and characters with their times."""

from dataclasses import dataclass

from asr.audio import Channel, Source


@dataclass(frozen=True)
class AlignmentRequest:
    """A recording and its text.

    Attributes:
        name: Name in messages.
        source: Path or content of the recording.
        text: The words that are spoken.
        offset: Start of the segment to align, in seconds.
        duration: Length of the segment in seconds, None for the rest of the recording.
        channel: "mix" for the mean of all channels, or the number of a channel from 1.
    """

    name: str
    source: Source
    text: str
    offset: float = 0.0
    duration: float | None = None
    channel: Channel = "mix"


@dataclass(frozen=True)
class TimedSpan:
    """A text with its start and end in seconds and a score between 0 and 1."""

    text: str
    start: float
    end: float
    score: float


@dataclass(frozen=True)
class TimedWord(TimedSpan):
    """A normalized word.

    Attributes:
        written: The written form that begins with this word, as "Twenty-one," for "twenty" and ""
            for "one".
        fits: Whether the score reaches the aligner's minimum.
        characters: The characters of the word, or the word pieces that the model emits.
    """

    written: str
    fits: bool
    characters: tuple[TimedSpan, ...]


@dataclass(frozen=True)
class Timeline:
    """An aligned text. All times are seconds from the beginning of the recording's file.

    `channel` is the number of the recording's channel from 1, None for a mix of all channels.
    """

    text: str
    start: float
    end: float
    score: float
    fits: bool
    words: tuple[TimedWord, ...]
    channel: int | None = None
