"""Times of words in seconds.

CTC emits a word while it is spoken: its first token comes after the first sound, and its last token
comes before the last sound. Validation measures the typical delays at the beginnings and ends of
whole utterances (BoundaryOffsets).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from asr.decode.ctc_path import WordSpan
from asr.decode.hypothesis import Word
from asr.nn.emissions import NO_OFFSET, BoundaryOffsets, Emissions


@dataclass(frozen=True)
class WordTimer:
    """A map from the frames of consecutive words to seconds."""

    seconds_per_frame: float
    boundary_offsets: BoundaryOffsets = NO_OFFSET

    @classmethod
    def of(cls, emissions: Emissions) -> "WordTimer":
        """Return the timer for the frames of emissions."""
        return cls(emissions.seconds_per_frame, emissions.boundary_offsets)

    def __call__(
        self, starts: Sequence[int], ends: Sequence[int], frames: int
    ) -> list[tuple[float, float]]:
        """Return (start, end) of each word in seconds.

        A word extends at most halfway to its neighbor and never beyond the recording.

        Args:
            starts: First frame of each word.
            ends: Frame after the last frame of each word.
            frames: U, the length of the recording.
        """
        scale = self.seconds_per_frame
        offsets = self.boundary_offsets
        gaps = zip(ends, starts[1:], strict=False)
        halfway = [scale * (end + start) / 2 for end, start in gaps]
        limits = pairwise([0.0, *halfway, scale * frames])
        return [
            (max(scale * start - offsets.lead, low), min(scale * end + offsets.tail, high))
            for start, end, (low, high) in zip(starts, ends, limits, strict=False)
        ]

    def time_words(
        self, spans: Sequence[WordSpan], confidences: Iterable[float], frames: int
    ) -> tuple[Word, ...]:
        """Return words with their times and confidence, for a recording of U `frames`."""
        starts = [start for _, start, _ in spans]
        ends = [end for _, _, end in spans]
        times = self(starts, ends, frames)
        words = zip(spans, times, confidences, strict=True)
        return tuple(Word(span[0], *time, confidence) for span, time, confidence in words)


def fit_boundary_offsets(offsets: Sequence[tuple[float, float]]) -> BoundaryOffsets:
    """Return the medians of (lead, tail) of utterances in seconds, at least 0."""
    if not offsets:
        return NO_OFFSET
    return BoundaryOffsets(*np.median(offsets, axis=0).clip(min=0.0).tolist())
