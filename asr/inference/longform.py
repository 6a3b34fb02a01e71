"""Compute the emissions of recordings of any length. Only a few windows are in memory."""

from contextlib import AbstractContextManager, nullcontext
from itertools import islice

import numpy as np

from asr.audio import Channel, Recording, Source
from asr.inference.model import AcousticModel
from asr.inference.windows import CONTEXT, WINDOW, Windower
from asr.nn.emissions import Emissions


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
    opened: AbstractContextManager[Recording] = (
        nullcontext(source) if isinstance(source, Recording) else Recording(source)
    )
    windower = Windower(model, window=window, context=context)
    kept = []
    with opened as recording:
        blocks = recording.blocks(window, offset=offset, duration=duration, channel=channel)
        windows = windower.divide(blocks)
        while batch := list(islice(windows, batch_size)):
            emissions = model.compute_emissions([w.samples for w in batch])
            rows = zip(emissions.rows(), batch, strict=True)
            kept += [row[w.frames].copy() for row, w in rows]  # copies free the rest
    return emissions.with_rows([np.concatenate(kept)])
