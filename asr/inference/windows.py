"""Divide audio of any length into overlapping windows, of which each keeps its own frames.

Audio that fits in one window takes one pass. Of longer audio, each window is computed with some
context on both sides, whose frames are dropped:

    frames      0                                            U
    window 1    [ kept         ] context )
    window 2         ( context [ kept         ] context )
    window 3                        ( context [ kept         ]

Windows start at frame boundaries, so a frame covers the same samples as in one pass. Features that
are normalized over the utterance are normalized over the window.
"""

import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from asr.audio import SAMPLE_RATE
from asr.inference.model import AcousticModel

WINDOW = 30.0  # seconds that a window keeps at most, unless it is the last
CONTEXT = 3.0  # seconds of context on each side of a window


class Window(NamedTuple):
    """The samples (S,) of a window, and which of their frames to keep."""

    samples: np.ndarray
    frames: slice


class Windower:
    """Windows of a stream of samples. The last one also keeps the frames of its context."""

    def __init__(
        self, model: AcousticModel, *, window: float = WINDOW, context: float = CONTEXT
    ) -> None:
        """Set the lengths, which are in seconds."""
        self._step = math.ceil(window / model.seconds_per_frame - 1e-6)  # frames
        self._margin = math.ceil(context / model.seconds_per_frame - 1e-6)
        self._stride = round(model.seconds_per_frame * SAMPLE_RATE)  # samples
        self._overhang = model.frame_samples  # samples that the last frame reads
        self._samples = np.zeros(0, np.float32)
        self._lead = 0  # frames of context before the next window

    def push(self, samples: np.ndarray) -> Iterator[Window]:
        """Yield the windows that the next samples (S,) complete."""
        self._samples = np.concatenate([self._samples, samples])
        while len(self._samples) > (size := self._size()):
            kept = slice(self._lead, self._lead + self._step)
            yield Window(self._samples[:size], kept)
            begin = max(0, kept.stop - self._margin)
            self._samples = self._samples[begin * self._stride :]
            self._lead = kept.stop - begin

    def finish(self) -> Window:
        """Return the last window, and start again."""
        window = Window(self._samples, slice(self._lead, None))
        self._samples, self._lead = np.zeros(0, np.float32), 0
        return window

    def divide(self, blocks: Iterable[np.ndarray]) -> Iterator[Window]:
        """Yield all windows of blocks (S,)."""
        for block in blocks:
            yield from self.push(block)
        yield self.finish()

    def _size(self) -> int:
        frames = self._lead + self._step + self._margin
        return frames * self._stride + self._overhang
