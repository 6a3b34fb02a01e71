"""The result of transcription."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Literal

from asr.decode.hypothesis import Hypothesis, Word
from asr.inference.segments import Segment
from asr.inference.subtitles import render_srt, render_vtt


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
        warnings: Faults of the recording, such as a missing end.
        channel: Number of the channel from 1 if each is transcribed, otherwise None.
    """

    text: str
    duration: float
    score: float
    segments: tuple[Segment, ...] = ()
    alternatives: tuple[tuple[str, float], ...] = ()
    skipped: tuple[Skipped, ...] = ()
    warnings: tuple[str, ...] = ()
    channel: int | None = None

    @cached_property
    def words(self) -> tuple[Word, ...]:
        """Words with times and confidence."""
        return tuple(word for segment in self.segments for word in segment.words)

    @cached_property
    def confidence(self) -> float:
        """Mean confidence of the words, 0 if there are none."""
        return sum(word.confidence for word in self.words) / max(1, len(self.words))

    @property
    def end(self) -> float:
        """End of the recording in seconds."""
        return self.duration

    def tiers(self) -> dict[str, Sequence[Word]]:
        """Return the segments and the words."""
        segments = [Word(s.text, s.start, s.end, s.confidence) for s in self.segments]
        return {"segments": segments, "words": self.words}

    def to_dict(self) -> dict[str, Any]:
        """Return the transcript as a JSON object. The documentation has its schema."""
        return {
            "channel": self.channel,
            "text": self.text,
            "duration": round(self.duration, 3),
            "score": round(self.score, 4),
            "confidence": round(self.confidence, 3),
            "segments": [timed(segment) for segment in self.segments],
            "words": [timed(word) for word in self.words],
            "alternatives": [
                {"text": text, "score": round(score, 4)}
                for text, score in self.alternatives
            ],
            "skipped": [
                {**asdict(part), "start": round(part.start, 3), "end": round(part.end, 3)}
                for part in self.skipped
            ],
            "warnings": list(self.warnings),
        }

    def to_srt(self) -> str:
        """Return the segments as SubRip subtitles."""
        return render_srt([self])

    def to_vtt(self) -> str:
        """Return the segments as WebVTT subtitles."""
        return render_vtt([self])


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


def timed(span: Segment | Word) -> dict[str, Any]:
    """Return a segment or a word as a JSON object."""
    times = {"start": round(span.start, 3), "end": round(span.end, 3)}
    return {"text": span.text, **times, "confidence": round(span.confidence, 3)}
