"""The result of transcription."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from asr.decode.hypothesis import Hypothesis, Word
from asr.inference.segments import Segment


@dataclass(frozen=True)
class Skipped:
    """A part of a recording that was not transcribed, with times in seconds."""

    start: float
    end: float
    reason: Literal["silence", "damaged"]


@dataclass(frozen=True)
class Transcript:
    """The words of a recording. All times are in seconds from its beginning.

    Attributes:
        text: All words.
        duration: Length of the recording in seconds.
        score: Log-probability of the text in nats, according to the decoder.
        segments: Segments with their words, at most 7 s and two lines each.
        alternatives: The next best texts with their scores, if the decoder finds several.
        skipped: Parts that were not transcribed, in order.
        channel: Number of the channel from 1 if each is transcribed, otherwise None.
    """

    text: str
    duration: float
    score: float
    segments: tuple[Segment, ...] = ()
    alternatives: tuple[tuple[str, float], ...] = ()
    skipped: tuple[Skipped, ...] = ()
    channel: int | None = None

    @cached_property
    def words(self) -> tuple[Word, ...]:
        """Words with times and confidence."""
        return tuple(word for segment in self.segments for word in segment.words)

    @cached_property
    def confidence(self) -> float:
        """Mean confidence of the words, 0 if there are none."""
        return sum(word.confidence for word in self.words) / max(1, len(self.words))


def merge_alternatives(parts: Sequence[Hypothesis]) -> tuple[tuple[str, float], ...]:
    """Return the next best texts of consecutive parts with their scores, best first.

    There are as many as the parts have at most. Scores of parts add up.
    """
    size = max((len(part.alternatives) for part in parts), default=0) + 1
    best = [("", 0.0)]
    for part in parts:
        choices = [(h.text, h.score) for h in (part, *part.alternatives)]
        joined = [
            (f"{before} {text}".strip(), score + added)
            for before, score in best
            for text, added in choices
        ]
        best = sorted(joined, key=lambda entry: -entry[1])[:size]
    return tuple(best[1:])
