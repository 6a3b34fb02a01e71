"""The one place that turns rows into a batch, lengths into masks, and lengths before a layer into those behind it."""

from collections.abc import Sequence
from functools import cached_property

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence


def length_to_mask(lengths: Tensor, size: int) -> Tensor:
    """(B, size) of bool, true where a position lies within the row's length; `lengths` (B,) of int64."""
    return torch.arange(size, device=lengths.device) < lengths[:, None]


def mask_padding(x: Tensor, lengths: Tensor) -> Tensor:
    """`x` (B, N, ...) with every position at or behind its row's length set to 0."""
    keep = length_to_mask(lengths, x.shape[1])
    return x.masked_fill(~keep.view(*keep.shape, *[1] * (x.dim() - 2)), 0.0)


def pad_batch(rows: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Rows of different lengths, (N,) each, as one tensor (B, N) with 0 behind their ends, and their lengths (B,)."""
    return pad_sequence(list(rows), batch_first=True), torch.tensor([len(row) for row in rows])


def num_frames(samples: Tensor, window: int, hop: int) -> Tensor:
    """Whole windows that fit into a number of samples, 1 + (S - window) // hop; 0 where not one fits."""
    return ((samples - window) // hop + 1).clamp_min(0)


def conv_output_lengths(lengths: Tensor) -> Tensor:
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


def reverse_within_length(x: Tensor, lengths: Tensor) -> Tensor:
    """`x` (B, N, D) with every row reversed within its length."""
    index = reversed_index(lengths, x.shape[1])
    return x.gather(1, index[:, :, None].expand_as(x))


class PackedIndex:
    """The frames of a batch padded to `size`, step by step, as recurrent layers take them; worked out once, if at all.

    Longer rows come first, so that the rows that take a step are the first ones of those that took the step before.
    P is the sum of the lengths:

        lengths 2, 3:    b0 a0 | b1 a1 | b2    and back    b2 a1 | b1 a0 | b0    2, 2 and 1 rows
    """

    def __init__(self, lengths: Tensor, size: int) -> None:
        self.lengths, self.size = lengths, size

    @cached_property
    def _taken(self) -> tuple[Tensor, Tensor, Tensor]:
        """The rows, longest first, and their lengths; which of them take a step (size, B)."""
        lengths = self.lengths.cpu()  # of a GPU they are asked for once, since it stops for that
        order = lengths.argsort(descending=True, stable=True)
        return order, lengths[order], torch.arange(self.size)[:, None] < lengths[order]

    @cached_property
    def batch_sizes(self) -> list[int]:
        """How many rows take each step."""
        return [rows for rows in self._taken[2].sum(1).tolist() if rows]

    @cached_property
    def forward_index(self) -> Tensor:
        """Each frame (P,), as row * size + frame, on the device of the lengths."""
        order, _, taken = self._taken
        return self._placed((order * self.size + torch.arange(self.size)[:, None])[taken])

    @cached_property
    def backward_index(self) -> Tensor:
        """The same with every row from its last frame back."""
        order, lengths, taken = self._taken
        return self._placed(
            (order * self.size + lengths - 1 - torch.arange(self.size)[:, None])[taken]
        )

    def _placed(self, index: Tensor) -> Tensor:
        return index.to(self.lengths.device, non_blocking=True)
