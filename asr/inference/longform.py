"""Audio of any length: emissions worked out in windows, so that no more than a few of them are in memory.

A recording of no more than a window is one pass. A longer one is cut into equal parts; each is read with some context
on both sides, and what is said of the context is dropped:

    frames      0                                            U
    window 1    [ kept         ] context )
    window 2         ( context [ kept         ] context )
    window 3                        ( context [ kept         ]

Windows start at whole frames, so that a frame stands for the same samples as in one pass. Features that are normalised
over the utterance are normalised over the window.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from asr import audio
from asr.audio import SAMPLE_RATE, Source
from asr.nn import padding as ln
from asr.nn.ctc import CTCModel
from asr.nn.emissions import Emissions

WINDOW, CONTEXT = (
    30.0,
    5.0,
)  # seconds that a window keeps at most, and that it reads more on either side


@torch.inference_mode()
def compute_emissions(
    model: CTCModel,
    source: Source,
    *,
    offset: float = 0.0,
    duration: float | None = None,
    window: float = WINDOW,
    context: float = CONTEXT,
    batch: int = 4,
) -> Emissions:
    """Emissions (1, U, V) of a recording, or of a piece of it, from windows of which `batch` are worked out at once.

    `source` is a path or the file's bytes; `offset`, `duration`, `window` and `context` are seconds. Raises AudioError
    where the recording cannot be read.
    """
    seconds = audio.info(source).duration - offset if duration is None else duration
    frames = int(model.output_lengths(torch.tensor(round(max(0.0, seconds) * SAMPLE_RATE))))
    per_frame = model.seconds_per_frame
    parts = math.ceil(frames * per_frame / window - 1e-6)
    if parts <= 1:
        return compute_batch_emissions(
            model, [torch.from_numpy(audio.load(source, offset=offset, duration=duration))]
        )
    step, margin = -(-frames // parts), math.ceil(context / per_frame - 1e-6)
    reach = model.features.n_fft / SAMPLE_RATE  # what the last frame reads behind its start

    def read(first: int) -> Tensor:
        """The samples of the window that keeps the frames from `first` on."""
        start, end = max(0, first - margin), first + step + margin
        at = start * per_frame
        if end < frames:
            length = min((end - start) * per_frame + reach, seconds - at)
        else:  # whatever there is: the number of frames is only what the header says
            length = None if duration is None else duration - at
        return torch.from_numpy(audio.load(source, offset=offset + at, duration=length))

    kept = []
    firsts = range(0, frames, step)
    for at in range(0, len(firsts), batch):
        group = firsts[at : at + batch]
        said = compute_batch_emissions(model, [read(first) for first in group])
        for i, first in enumerate(group):
            dropped = first - max(0, first - margin)
            last = None if first == firsts[-1] else dropped + step
            kept.append(said.row(i)[dropped:last].clone())
    joined = torch.cat(kept)[None]
    lengths = torch.tensor([joined.shape[1]], device=joined.device)
    return replace(said, log_probs=joined, lengths=lengths, intermediate=())


@torch.inference_mode()
def compute_batch_emissions(model: CTCModel, waveforms: Sequence[Tensor]) -> Emissions:
    """Emissions (B, U, V) of whole waveforms (S,), as one batch."""
    padded, lengths = ln.pad_batch(waveforms)
    return model(padded.to(model.device), lengths.to(model.device))
