"""Batches of rows with different lengths: padding, masks, and the lengths after a layer."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

Padded = tuple[Tensor, Tensor]  # rows (B, N, ...) and their lengths (B,)


def length_to_mask(lengths: Tensor, size: int) -> Tensor:
    """Return a mask (B, size) of bool that is true at positions before each length (B,)."""
    position = torch.arange(size, device=lengths.device)
    return position < lengths[:, None]


def mask_padding(x: Tensor, lengths: Tensor) -> Tensor:
    """Set all positions of `x` (B, N, ...) at or after each length (B,) to 0."""
    mask = length_to_mask(lengths, x.shape[1])
    trailing = [1] * (x.dim() - 2)
    return x.masked_fill(~mask.view(*mask.shape, *trailing), 0.0)


def pad_batch(rows: list[Tensor]) -> Padded:
    """Combine rows (N,) into one tensor (B, N), padded with 0, and return it with lengths (B,)."""
    lengths = torch.tensor([len(row) for row in rows])
    return pad_sequence(rows, batch_first=True), lengths


def num_frames(samples: Tensor, window: int, hop: int) -> Tensor:
    """Return how many complete windows fit, 1 + (S - window) // hop, or 0."""
    return ((samples - window) // hop + 1).clamp_min(0)


def conv_output_lengths(lengths: Tensor) -> Tensor:
    """Return lengths after a convolution of stride 2, kernel 3, and padding 1: ceil(T / 2)."""
    return (lengths + 1) // 2


def reverse_within_length(x: Tensor, lengths: Tensor) -> Tensor:
    """Reverse each row of `x` (B, N, D) within its length and leave its padding in place.

        length 3 of 5:  0 1 2 . .  ->  2 1 0 . .

    Applying it twice restores `x`.
    """
    position = torch.arange(x.shape[1], device=lengths.device)  # (N,)
    last = lengths[:, None] - 1  # (B, 1)
    index = torch.where(position <= last, last - position, position)  # (B, N)
    return x.gather(1, index[:, :, None].expand_as(x))


@dataclass(eq=False)
class PackedIndex:
    """The order of the valid frames of a batch padded to `size` frames, as in a PackedSequence.

    Recurrent layers read one frame of every row per step. Longer rows come first, so the rows of a
    step are the first rows of the step before. P is the sum of the lengths. For the lengths 2 (row
    a) and 3 (row b):

        batch_sizes       2       2       1
        forward_index     b0 a0 | b1 a1 | b2
        backward_index    b2 a1 | b1 a0 | b0

    An index (P,) counts frames of the flattened batch: row * size + frame.
    """

    lengths: Tensor  # (B,)
    size: int

    @cached_property
    def layout(self) -> tuple[list[int], list[Tensor]]:
        """`batch_sizes`, and `forward_index` and `backward_index` on the device of the lengths.

        They are computed on first use.
        """
        lengths = self.lengths.cpu()  # only once, because each copy synchronizes the GPU
        lengths, order = lengths.sort(descending=True, stable=True)  # (B,), (B,)
        first = order * self.size  # (B,)
        step = torch.arange(self.size)[:, None]  # (size, 1)
        valid = step < lengths  # (size, B)
        batch_sizes = [rows for rows in valid.sum(1).tolist() if rows]
        frames = first + step, first + lengths - 1 - step  # (size, B), (size, B)
        device = self.lengths.device
        return batch_sizes, [index[valid].to(device, non_blocking=True) for index in frames]
