"""Requests and results of alignment: words and characters with their times."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

from asr.audio import Channel, Source
from asr.data.manifest import Utterance
from asr.decode.hypothesis import Word
from asr.inference.segments import Segment, split_segments

DOUBT = "(?)"  # follows a word in subtitles that does not fit the audio


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
        label: Path of output files without extension, "" to derive it from `source`.
    """

    name: str
    source: Source
    text: str
    offset: float = 0.0
    duration: float | None = None
    channel: Channel = "mix"
    label: str = ""

    @classmethod
    def from_utterance(cls, utterance: Utterance) -> "AlignmentRequest":
        """Return the request for an utterance of a manifest."""
        u = utterance
        return cls(u.name, u.audio, u.text, u.offset, u.duration, u.channel)


@dataclass(frozen=True)
class TimedSpan:
    """A text with its start and end in seconds and a score between 0 and 1."""

    text: str
    start: float
    end: float
    score: float

    def to_dict(self) -> dict[str, Any]:
        """Return the attributes as a JSON object."""
        times = {"start": round(self.start, 3), "end": round(self.end, 3)}
        return {"text": self.text, **times, "score": round(self.score, 4)}


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

    def to_dict(self) -> dict[str, Any]:
        """Return the attributes as a JSON object."""
        characters = [character.to_dict() for character in self.characters]
        entry = {**super().to_dict(), "written": self.written, "fits": self.fits}
        return {**entry, "characters": characters}


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

    @cached_property
    def segments(self) -> tuple[Segment, ...]:
        """The written forms in segments for subtitles. "(?)" follows those that do not fit."""
        return tuple(split_segments(list(_written_words(self.words))))

    def tiers(self) -> dict[str, Sequence[Word]]:
        """Return the words, the characters, and the scores of the words that do not fit."""
        spans = [span for word in self.words for span in word.characters]
        doubtful = [word for word in self.words if not word.fits]
        return {
            "words": [Word(w.text, w.start, w.end, w.score) for w in self.words],
            "characters": [Word(c.text, c.start, c.end, c.score) for c in spans],
            "doubtful": [Word(f"{w.score:.4f}", w.start, w.end, w.score) for w in doubtful],
        }

    def to_dict(self) -> dict[str, Any]:
        """Return the attributes as a JSON object."""
        span = TimedSpan(self.text, self.start, self.end, self.score).to_dict()
        words = [word.to_dict() for word in self.words]
        return {"channel": self.channel, **span, "fits": self.fits, "words": words}


def _written_words(words: Sequence[TimedWord]) -> Iterator[Word]:
    """Yield the written forms of the text, each with the times of all its words."""
    starts = [i for i, word in enumerate(words) if word.written or i == 0]
    for first, stop in pairwise([*starts, len(words)]):
        group = words[first:stop]
        text = group[0].written
        if not all(word.fits for word in group):
            text += f" {DOUBT}"
        score = sum(word.score for word in group) / len(group)
        yield Word(text, group[0].start, group[-1].end, score)
