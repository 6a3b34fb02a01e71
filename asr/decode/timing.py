"""From frames to seconds: where words begin and end.

CTC says a word somewhere while it is spoken: its first token comes after the first sound, its last one before the last.
How much, as a rule, validation finds out, from the utterances' own beginnings and ends.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from asr.nn.emissions import NO_OFFSET, BoundaryOffsets, Emissions


@dataclass(frozen=True)
class WordTimer:
    """Turns the frames of words, one behind the other, into seconds."""

    seconds_per_frame: float
    boundary_offsets: BoundaryOffsets = NO_OFFSET

    @classmethod
    def of(cls, emissions: Emissions) -> "WordTimer":
        """From the frames of emissions to seconds."""
        return cls(emissions.seconds_per_frame, emissions.boundary_offsets)

    def __call__(
        self, starts: Sequence[int], ends: Sequence[int], frames: int
    ) -> list[tuple[float, float]]:
        """(start, end) in seconds of words with their first frames and the frames behind their last, of `frames`.

        A word reaches no further than half way to its neighbour, nor out of the recording.
        """
        scale, lead, tail = (
            self.seconds_per_frame,
            self.boundary_offsets.lead,
            self.boundary_offsets.tail,
        )
        halfway = [scale * (end + start) / 2 for end, start in zip(ends, starts[1:], strict=False)]
        bounds = pairwise([0.0, *halfway, scale * frames])
        return [
            (max(scale * start - lead, first), min(scale * end + tail, last))
            for start, end, (first, last) in zip(starts, ends, bounds, strict=False)
        ]


def fit_boundary_offsets(found: Sequence[tuple[float, float]]) -> BoundaryOffsets:
    """The medians of (lead, tail) of utterances, none of them negative; none at all without any utterance."""
    if not found:
        return BoundaryOffsets()
    lead, tail = np.median(np.array(found), axis=0).clip(min=0.0).tolist()
    return BoundaryOffsets(lead, tail)
