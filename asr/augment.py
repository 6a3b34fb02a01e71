"""What training does to speech so that a model does not learn a corpus by heart; validation sees none of it."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from asr.audio import SAMPLE_RATE, resample


class Speed:
    """Speed perturbation: play a waveform faster or slower, pitch and formants with it (Ko et al. 2015)."""

    def __init__(self, *, factors: Sequence[float] = (0.9, 1.0, 1.1)) -> None:
        if not factors or min(factors) <= 0:
            raise ValueError(f"factors are {list(factors)}; they must be above 0")
        self.factors = tuple(factors)

    @property
    def fastest(self) -> float:
        """The factor by which a recording can become shorter."""
        return max(self.factors)

    def __call__(self, waveform: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """A waveform (S,) at a factor drawn at random, (S / factor,)."""
        return resample(waveform, SAMPLE_RATE * float(rng.choice(self.factors)), SAMPLE_RATE)


class SpecAugment(nn.Module):
    """Masks of time and of frequency over normalised features (Park et al. 2019, arXiv 1904.08779).

    Each utterance gets `frequency_masks` bands of up to `frequency_width` mel bands and `time_masks` stretches of up to
    `time_width` frames, but no stretch above `time_share` of its own length. What is masked becomes 0, the mean.
    """

    def __init__(
        self,
        *,
        frequency_masks: int = 2,
        frequency_width: int = 27,
        time_masks: int = 2,
        time_width: int = 40,
        time_share: float = 0.2,
    ) -> None:
        super().__init__()
        self.frequency_masks = frequency_masks
        self.frequency_width = frequency_width
        self.time_masks = time_masks
        self.time_width = time_width
        self.time_share = time_share

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Features (B, T, F), lengths (B,) to features of the same shape, masked; padding is left alone."""
        time = (lengths * self.time_share).clamp_max(self.time_width)
        band = torch.full_like(time, min(self.frequency_width, x.shape[2]))
        hidden = _stretches(x.shape[1], lengths, time, self.time_masks)[:, :, None]
        hidden = (
            hidden | _stretches(x.shape[2], torch.full_like(lengths, x.shape[2]), band, self.frequency_masks)[:, None]
        )
        return x.masked_fill(hidden, 0.0)


def _stretches(size: int, lengths: Tensor, widths: Tensor, count: int) -> Tensor:
    """(B, size) of bool: the union of `count` stretches of random width in 0..widths at random places below lengths."""
    shape = (len(lengths), count)
    width = torch.rand(shape, device=lengths.device) * widths[:, None]
    start = torch.rand(shape, device=lengths.device) * (lengths[:, None] - width)
    position = torch.arange(size, device=lengths.device)
    return ((position >= start[..., None]) & (position < (start + width)[..., None])).any(1)
