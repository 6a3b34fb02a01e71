"""Length arithmetic against plain Python."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from asr.nn import padding as ln

SIZES = st.integers(1, 30)
ROWS = SIZES.flatmap(
    lambda size: st.tuples(st.just(size), st.lists(st.integers(0, size), min_size=1, max_size=6))
)
COUNTS = st.lists(st.integers(0, 10**7), min_size=1, max_size=20)


@given(ROWS)
def test_mask_is_true_where_a_position_lies_within_the_length(rows):
    size, lengths = rows
    assert ln.length_to_mask(torch.tensor(lengths), size).tolist() == [
        [i < n for i in range(size)] for n in lengths
    ]


@given(ROWS)
def test_zero_padding_keeps_what_is_valid_and_clears_the_rest_even_of_nan(rows):
    size, lengths = rows
    x = torch.full((len(lengths), size, 2, 3), float("nan"))
    for row, n in zip(x, lengths, strict=True):
        row[:n] = 1.5
    y = ln.mask_padding(x, torch.tensor(lengths))
    for row, n in zip(y, lengths, strict=True):
        assert (row[:n] == 1.5).all()
        assert (row[n:] == 0).all()


@given(COUNTS, st.integers(1, 2000), st.integers(1, 500))
def test_framed_counts_the_windows_that_fit(samples, window, hop):
    def windows(n):
        return 0 if n < window else 1 + (n - window) // hop

    framed = ln.num_frames(torch.tensor(samples), window, hop)
    assert framed.tolist() == [windows(n) for n in samples]
    assert framed.dtype == torch.int64


def test_framed_by_counting_one_window_after_the_other():
    for n in range(60):
        assert int(ln.num_frames(torch.tensor(n), 10, 4)) == sum(
            1 for start in range(0, 60, 4) if start + 10 <= n
        )


@given(COUNTS)
def test_halved_rounds_up(lengths):
    assert ln.conv_output_lengths(torch.tensor(lengths)).tolist() == [-(-n // 2) for n in lengths]


@given(ROWS)
def test_reverse_turns_each_row_within_its_length_and_leaves_padding(rows):
    size, lengths = rows
    x = torch.arange(len(lengths) * size * 2.0).view(len(lengths), size, 2)
    y = ln.reverse_within_length(x, torch.tensor(lengths))
    for before, after, n in zip(x, y, lengths, strict=True):
        assert after[:n].tolist() == before[:n].tolist()[::-1]
        assert torch.equal(after[n:], before[n:])


@given(ROWS)
def test_reverse_is_its_own_inverse(rows):
    size, lengths = rows
    x = torch.arange(len(lengths) * size * 3.0).view(len(lengths), size, 3)
    lengths = torch.tensor(lengths)
    assert torch.equal(ln.reverse_within_length(ln.reverse_within_length(x, lengths), lengths), x)


def test_rows_become_a_batch_with_zeros_behind_their_ends():
    batch, lengths = ln.pad_batch(
        [torch.tensor([1, 2, 3]), torch.tensor([], dtype=torch.int64), torch.tensor([4])]
    )
    assert batch.tolist() == [[1, 2, 3], [0, 0, 0], [4, 0, 0]]
    assert lengths.tolist() == [3, 0, 1]
    assert lengths.dtype == torch.int64
