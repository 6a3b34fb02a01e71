"""Compute the emissions of recordings of any length in overlapping windows.

A recording that fits in one window takes one pass. A longer one is divided into equal windows. Each
is computed with some context on both sides, whose frames are dropped:

    frames      0                                            U
    window 1    [ kept         ] context )
    window 2         ( context [ kept         ] context )
    window 3                        ( context [ kept         ]

Windows start at frame boundaries, so a frame covers the same samples as in one pass. Features that
are normalized over the utterance are normalized over the window. Only a few windows are in memory.
"""

import math
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from asr.audio import SAMPLE_RATE, Channel, Recording, Source
from asr.inference.model import AcousticModel
from asr.nn.emissions import Emissions

WINDOW = 30.0  # seconds that a window keeps at most
CONTEXT = 5.0  # seconds of context on each side of a window


class _Window(NamedTuple):
    """The audio of a window in seconds, relative to the segment, and the frames to keep of it."""

    offset: float
    duration: float | None
    frames: slice


def compute_emissions(
    model: AcousticModel,
    source: Source | Recording,
    *,
    offset: float = 0.0,
    duration: float | None = None,
    channel: Channel = "mix",
    window: float = WINDOW,
    context: float = CONTEXT,
    batch_size: int = 4,
) -> Emissions:
    """Return the emissions (1, U, V) of a recording or a segment of it.

    `offset`, `duration`, `window`, and `context` are in seconds. A batch has `batch_size` windows.
    An open recording stays open.

    Raises:
        AudioError: If the recording cannot be read.
    """
    kept = []
    opened: AbstractContextManager[Recording] = (
        nullcontext(source) if isinstance(source, Recording) else Recording(source)
    )
    with opened as recording:
        seconds = recording.info.duration - offset if duration is None else duration
        windows = _plan_windows(model, seconds, duration, window, context)
        for i in range(0, len(windows), batch_size):
            batch = windows[i : i + batch_size]
            waveforms = [
                recording.load(
                    offset=offset + w.offset, duration=w.duration, channel=channel
                )
                for w in batch
            ]
            emissions = model.compute_emissions(waveforms)
            if len(windows) == 1:
                return emissions
            rows = emissions.rows()
            # copies free the rest of the batch
            kept += [row[w.frames].copy() for row, w in zip(rows, batch, strict=True)]
    log_probs = np.concatenate(kept)[None]  # (1, U, V)
    lengths = np.array([log_probs.shape[1]])
    return replace(emissions, log_probs=log_probs, lengths=lengths, intermediate=())


def _plan_windows(
    model: AcousticModel,
    seconds: float,
    duration: float | None,
    window: float,
    context: float,
) -> list[_Window]:
    """Return the windows of a segment, which together keep each of its frames once."""
    frames = model.num_frames(round(max(0.0, seconds) * SAMPLE_RATE))
    per_frame = model.seconds_per_frame
    count = math.ceil(frames * per_frame / window - 1e-6)
    if count <= 1:
        return [_Window(0.0, duration, slice(None))]
    step, margin = math.ceil(frames / count), math.ceil(context / per_frame - 1e-6)
    overhang = model.frame_samples / SAMPLE_RATE  # seconds that the last frame reads
    windows = []
    for first in range(0, frames, step):
        begin, end = max(0, first - margin), first + step + margin
        offset = begin * per_frame
        # Without a duration, read to the end, whatever length the file's header declares.
        length = None if duration is None else duration - offset
        if end < frames:
            length = min((end - begin) * per_frame + overhang, seconds - offset)
        stop = first - begin + step if first + step < frames else None
        windows.append(_Window(offset, length, slice(first - begin, stop)))
    return windows
