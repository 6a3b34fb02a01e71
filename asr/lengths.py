"""The one place that turns rows into a batch, lengths into masks, and lengths before a layer into those behind it."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence


def mask(lengths: Tensor, size: int) -> Tensor:
    """(B, size) of bool, true where a position lies within the row's length; `lengths` (B,) of int64."""
    return torch.arange(size, device=lengths.device) < lengths[:, None]


def zero_padding(x: Tensor, lengths: Tensor) -> Tensor:
    """`x` (B, N, ...) with every position at or behind its row's length set to 0."""
    keep = mask(lengths, x.shape[1])
    return x.masked_fill(~keep.view(*keep.shape, *[1] * (x.dim() - 2)), 0.0)


def padded(rows: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Rows of different lengths, (N,) each, as one tensor (B, N) with 0 behind their ends, and their lengths (B,)."""
    return pad_sequence(list(rows), batch_first=True), torch.tensor([len(row) for row in rows])


def framed(samples: Tensor, window: int, hop: int) -> Tensor:
    """Whole windows that fit into a number of samples, 1 + (S - window) // hop; 0 where not one fits."""
    return ((samples - window) // hop + 1).clamp_min(0)


def halved(lengths: Tensor) -> Tensor:
    """Frames behind a convolution of stride 2 that pads so that every second frame has an output: ceil(T / 2)."""
    return (lengths + 1) // 2


def reversed_index(lengths: Tensor, size: int) -> Tensor:
    """(B, size): where each position comes from when every row is reversed within its length, padding left in place.

        length 3 of 5:  0 1 2 . .  ->  2 1 0 . .

    The map is its own inverse.
    """
    position = torch.arange(size, device=lengths.device).expand(len(lengths), size)
    last = lengths[:, None] - 1
    return torch.where(position <= last, last - position, position)


def reverse(x: Tensor, lengths: Tensor) -> Tensor:
    """`x` (B, N, D) with every row reversed within its length."""
    index = reversed_index(lengths, x.shape[1])
    return x.gather(1, index[:, :, None].expand_as(x))
