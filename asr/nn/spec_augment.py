"""SpecAugment: masks of time and of frequency over features, and other voices."""

import torch
from torch import Tensor, nn

from asr.audio import SAMPLE_RATE
from asr.nn.features import mel_edges
from asr.validation import check_integer, check_number

BEND = 4_800  # Hz: above it vowels have little to tell


class SpecAugment(nn.Module):
    """Masks of time and of frequency over normalised features (Park et al. 2019, arXiv 1904.08779), and other voices.

    First the frequencies of each utterance are multiplied by a factor drawn from 1 - `warp` to 1 + `warp`, as by
    another length of the vocal tract (Jaitly and Hinton 2013, "Vocal Tract Length Perturbation (VTLP) improves speech
    recognition").
    Then each gets `frequency_masks` bands of up to `frequency_width` mel bands and `time_masks` stretches of up to
    `time_width` frames, but no stretch above `time_share` of its own length. What is masked becomes 0, the mean.
    """

    def __init__(
        self,
        *,
        warp: float = 0.0,
        frequency_masks: int = 2,
        frequency_width: int = 27,
        time_masks: int = 2,
        time_width: int = 40,
        time_share: float = 0.2,
    ) -> None:
        super().__init__()
        self.warp = check_number("warp", warp, ge=0, lt=1)
        self.frequency_masks = check_integer("frequency_masks", frequency_masks, ge=0)
        self.frequency_width = check_integer("frequency_width", frequency_width, ge=0)
        self.time_masks = check_integer("time_masks", time_masks, ge=0)
        self.time_width = check_integer("time_width", time_width, ge=0)
        self.time_share = check_number("time_share", time_share, ge=0, le=1)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Features (B, T, F), lengths (B,) to features of the same shape, warped and masked; padding is left alone."""
        if self.warp:
            x = warp_frequencies(x, 1 + self.warp * (2 * torch.rand(len(x), device=x.device) - 1))
        time = (lengths * self.time_share).clamp_max(self.time_width)
        band = torch.full_like(time, min(self.frequency_width, x.shape[2]))
        hidden = _stretches(x.shape[1], lengths, time, self.time_masks)[:, :, None]
        hidden = (
            hidden
            | _stretches(
                x.shape[2], torch.full_like(lengths, x.shape[2]), band, self.frequency_masks
            )[:, None]
        )
        return x.masked_fill(hidden, 0.0)


def warp_frequencies(x: Tensor, factors: Tensor) -> Tensor:
    """Features (B, T, F) with what stood at a frequency at `factors` (B,) times that, between bands interpolated.

    Up to a bend, where 4.8 kHz come from or go to, the factor holds; above it the rest is drawn out or together so that
    8 kHz stay where they are.
    """
    bands = x.shape[2]
    tops = torch.from_numpy(mel_edges(bands)[1:-1]).to(factors)
    nyquist, factor = SAMPLE_RATE / 2, factors[:, None]
    bend = BEND * factor.clamp_max(1)  # where what stood at `bend / factor` goes
    rest = (nyquist - bend / factor) / (nyquist - bend)
    source = torch.where(tops <= bend, tops / factor, nyquist - (nyquist - tops) * rest)
    above = torch.searchsorted(tops, source.contiguous()).clamp(1, bands - 1)
    share = ((source - tops[above - 1]) / (tops[above] - tops[above - 1])).clamp(0, 1)

    def taken(at: Tensor) -> Tensor:
        return x.gather(2, at[:, None].expand_as(x))

    return torch.lerp(taken(above - 1), taken(above), share[:, None].to(x))


def _stretches(size: int, lengths: Tensor, widths: Tensor, count: int) -> Tensor:
    """(B, size) of bool: the union of `count` stretches of random width in 0..widths at random places below lengths."""
    shape = (len(lengths), count)
    width = torch.rand(shape, device=lengths.device) * widths[:, None]
    start = torch.rand(shape, device=lengths.device) * (lengths[:, None] - width)
    position = torch.arange(size, device=lengths.device)
    return ((position >= start[..., None]) & (position < (start + width)[..., None])).any(1)
