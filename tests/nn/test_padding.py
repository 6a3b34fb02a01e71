"""Padding, masks, and lengths against plain Python."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from asr.nn.padding import (
    conv_output_lengths,
    length_to_mask,
    mask_padding,
    num_frames,
    pad_batch,
    reverse_within_length,
)

SIZES = st.integers(1, 30)
ROWS = SIZES.flatmap(
    lambda size: st.tuples(
        st.just(size), st.lists(st.integers(0, size), min_size=1, max_size=6)
    )
)
COUNTS = st.lists(st.integers(0, 10**7), min_size=1, max_size=20)


@given(ROWS)
def test_the_mask_is_true_before_the_length(rows):
    size, lengths = rows
    assert length_to_mask(torch.tensor(lengths), size).tolist() == [
        [i < n for i in range(size)] for n in lengths
    ]


@given(ROWS)
def test_mask_padding_keeps_valid_values_and_clears_nan(rows):
    size, lengths = rows
    x = torch.full((len(lengths), size, 2, 3), float("nan"))
    for row, n in zip(x, lengths, strict=True):
        row[:n] = 1.5
    y = mask_padding(x, torch.tensor(lengths))
    for row, n in zip(y, lengths, strict=True):
        assert (row[:n] == 1.5).all()
        assert (row[n:] == 0).all()


@given(COUNTS, st.integers(1, 2000), st.integers(1, 500))
def test_num_frames_counts_the_windows_that_fit(samples, window, hop):
    def windows(n):
        return 0 if n < window else 1 + (n - window) // hop

    frames = num_frames(torch.tensor(samples), window, hop)
    assert frames.tolist() == [windows(n) for n in samples]
    assert frames.dtype == torch.int64


def test_num_frames_equals_counting_each_window():
    for n in range(60):
        assert int(num_frames(torch.tensor(n), 10, 4)) == sum(
            1 for start in range(0, 60, 4) if start + 10 <= n
        )


@given(COUNTS)
def test_conv_output_lengths_round_up(lengths):
    assert conv_output_lengths(torch.tensor(lengths)).tolist() == [
        -(-n // 2) for n in lengths
    ]


@given(ROWS)
def test_rows_are_reversed_within_their_length(rows):
    size, lengths = rows
    x = torch.arange(len(lengths) * size * 2.0).view(len(lengths), size, 2)
    y = reverse_within_length(x, torch.tensor(lengths))
    for before, after, n in zip(x, y, lengths, strict=True):
        assert after[:n].tolist() == before[:n].tolist()[::-1]
        assert torch.equal(after[n:], before[n:])


@given(ROWS)
def test_reversing_twice_restores_the_rows(rows):
    size, lengths = rows
    x = torch.arange(len(lengths) * size * 3.0).view(len(lengths), size, 3)
    lengths = torch.tensor(lengths)
    assert torch.equal(reverse_within_length(reverse_within_length(x, lengths), lengths), x)


def test_a_batch_is_padded_with_zeros():
    batch, lengths = pad_batch(
        [torch.tensor([1, 2, 3]), torch.tensor([], dtype=torch.int64), torch.tensor([4])]
    )
    assert batch.tolist() == [[1, 2, 3], [0, 0, 0], [4, 0, 0]]
    assert lengths.tolist() == [3, 0, 1]
    assert lengths.dtype == torch.int64
