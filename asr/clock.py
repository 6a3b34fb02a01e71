"""From frames to seconds: where words begin and end.

CTC says a word somewhere while it is spoken: its first token comes after the first sound, its last one before the last.
How much, as a rule, validation finds out, from the utterances' own beginnings and ends.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from asr.audio import SAMPLE_RATE

WINDOW, HOP = 400, 80  # samples over which a level is measured, and between two measurements
QUIET = 0.1  # share of an utterance that is taken for silence
CONTRAST = 20.0  # dB between silence and speech, below which nothing is said of where speech begins


@dataclass(frozen=True)
class Reach:
    """Seconds by which words begin before their first token's frame and end behind their last one's."""

    lead: float = 0.0
    tail: float = 0.0

    @classmethod
    def fit(cls, found: Sequence[tuple[float, float]]) -> "Reach":
        """The medians of (lead, tail) of utterances, none of them negative; none at all without any utterance."""
        if not found:
            return cls()
        lead, tail = np.median(np.array(found), axis=0).clip(min=0.0).tolist()
        return cls(lead, tail)


AT_TOKENS = Reach()


@dataclass(frozen=True)
class Clock:
    """Turns the frames of words, one behind the other, into seconds."""

    seconds_per_frame: float
    reach: Reach = AT_TOKENS

    def __call__(self, starts: Sequence[int], ends: Sequence[int], frames: int) -> list[tuple[float, float]]:
        """(start, end) in seconds of words with their first frames and the frames behind their last, of `frames`.

        A word reaches no further than half way to its neighbour, nor out of the recording.
        """
        scale, lead, tail = self.seconds_per_frame, self.reach.lead, self.reach.tail
        halfway = [scale * (end + start) / 2 for end, start in zip(ends, starts[1:], strict=False)]
        bounds = pairwise([0.0, *halfway, scale * frames])
        return [
            (max(scale * start - lead, first), min(scale * end + tail, last))
            for start, end, (first, last) in zip(starts, ends, bounds, strict=False)
        ]


def speech_bounds(waveform: np.ndarray, *, above: float = 10.0) -> tuple[float, float] | None:
    """Seconds at which speech begins and ends in a waveform (S,) at 16 kHz; None where that cannot be told.

    Speech is what lies `above` dB over the quietest tenth: an utterance's noise sets the bound, not its peak.
    """
    if len(waveform) < WINDOW:
        return None
    energy = np.append(0.0, np.cumsum(np.square(waveform, dtype=np.float64)))
    level = 10 * np.log10((energy[WINDOW:] - energy[:-WINDOW])[::HOP] / WINDOW + 1e-10)
    quiet, loudest = np.quantile(level, [QUIET, 1.0])
    loud = np.flatnonzero(level > quiet + above)
    if loudest - quiet < CONTRAST or not len(loud):
        return None
    middle = WINDOW // 2  # a frame that is just loud enough has speech in its inner half
    return (int(loud[0]) * HOP + middle) / SAMPLE_RATE, (int(loud[-1]) * HOP + middle) / SAMPLE_RATE
