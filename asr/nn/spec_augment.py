"""SpecAugment and vocal tract length perturbation of features."""

from functools import partial

import torch
from torch import Tensor, nn

from asr.audio import SAMPLE_RATE
from asr.nn.mel import mel_edges
from asr.validation import CountOrZero, Fraction, check_arguments, check_number

MAX_WARPED = 4_800  # Hz; higher frequencies matter little for vowels and fill the spectrum


class SpecAugment(nn.Module):
    """Masks over time and frequency of normalized features (Park et al. 2019, arXiv 1904.08779).

    Before masking, the frequencies of each utterance are multiplied by a factor between 1 - `warp`
    and 1 + `warp`, as by another vocal tract length (VTLP, Jaitly and Hinton 2013). Each utterance
    gets `frequency_masks` masks of up to `frequency_width` mel bands, and `time_masks` masks of up
    to `time_width` frames and up to `time_share` of its length. Masked values become 0, the mean.
    """

    @check_arguments
    def __init__(
        self,
        *,
        warp: float = 0.0,
        frequency_masks: CountOrZero = 2,
        frequency_width: CountOrZero = 27,
        time_masks: CountOrZero = 2,
        time_width: CountOrZero = 40,
        time_share: Fraction = 0.2,
    ) -> None:
        super().__init__()
        self.warp = check_number("warp", warp, ge=0, lt=1)
        self.frequency_masks = frequency_masks
        self.frequency_width = frequency_width
        self.time_masks = time_masks
        self.time_width = time_width
        self.time_share = time_share

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Warp and mask features (B, T, F) with lengths (B,). Padding stays unchanged."""
        batch, size, n_mels = x.shape
        if self.warp:
            offsets = 2 * torch.rand(batch, device=x.device) - 1
            x = warp_frequencies(x, 1 + self.warp * offsets)
        widths = (lengths * self.time_share).clamp_max(self.time_width)  # (B,)
        frames = _random_masks(size, lengths, widths, self.time_masks)  # (B, T)
        widths = torch.full_like(widths, min(self.frequency_width, n_mels))
        lengths = torch.full_like(lengths, n_mels)
        bands = _random_masks(n_mels, lengths, widths, self.frequency_masks)  # (B, F)
        mask = frames[:, :, None] | bands[:, None]  # (B, T, F)
        return x.masked_fill(mask, 0.0)


def warp_frequencies(x: Tensor, factors: Tensor) -> Tensor:
    """Multiply the frequencies of features (B, T, F) by `factors` (B,), with interpolation.

    The factor applies to frequencies that lie below 4.8 kHz before and after warping. Higher ones
    are stretched or compressed linearly, so that 8 kHz stays 8 kHz.
    """
    n_mels = x.shape[2]
    centers = torch.from_numpy(mel_edges(n_mels)[1:-1]).to(factors)  # (F,)
    nyquist = SAMPLE_RATE / 2
    factor = factors[:, None]  # (B, 1)
    bend = MAX_WARPED * factor.clamp_max(1)  # the slope changes at this warped frequency
    slope = (nyquist - bend / factor) / (nyquist - bend)
    above = nyquist - (nyquist - centers) * slope
    source = torch.where(centers <= bend, centers / factor, above)
    upper = torch.searchsorted(centers, source.contiguous()).clamp(1, n_mels - 1)  # (B, F)
    lower = upper - 1
    width = centers[upper] - centers[lower]
    weight = ((source - centers[lower]) / width).clamp(0, 1)
    low = x.gather(2, lower[:, None].expand_as(x))
    high = x.gather(2, upper[:, None].expand_as(x))
    return torch.lerp(low, high, weight[:, None].to(x))


def _random_masks(size: int, lengths: Tensor, widths: Tensor, count: int) -> Tensor:
    """Return `count` random masks of up to `widths` (B,) within lengths as one mask (B, size)."""
    random = partial(torch.rand, len(lengths), count, 1, device=lengths.device)
    width = random() * widths[:, None, None]  # (B, count, 1)
    start = random() * (lengths[:, None, None] - width)  # (B, count, 1)
    position = torch.arange(size, device=lengths.device)  # (size,)
    return ((position >= start) & (position < start + width)).any(1)
