"""The GRU's own gradient: against differences, and the order of its steps (tests/test_encoder.py: against torch's)."""

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from asr.nn.gru import bidirectional_gru
from asr.nn.padding import PackedIndex

LENGTHS = st.lists(st.integers(0, 9), min_size=1, max_size=5)


@given(LENGTHS)
def test_every_frame_is_taken_once_in_each_direction_by_the_row_whose_step_it_is(lengths):
    size = max(1, *lengths) + 1
    steps = PackedIndex(torch.tensor(lengths), size)
    taken = steps.batch_sizes
    assert taken == [sum(n > step for n in lengths) for step in range(max(lengths))]
    rows = sorted(range(len(lengths)), key=lambda row: -lengths[row])
    order = [(row, step) for step, count in enumerate(taken) for row in rows[:count]]
    assert steps.forward_index.tolist() == [row * size + step for row, step in order]
    assert steps.backward_index.tolist() == [
        row * size + lengths[row] - 1 - step for row, step in order
    ]


def test_the_gradient_is_that_of_differences():
    torch.manual_seed(0)
    rnn = nn.GRU(3, 2, batch_first=True, bidirectional=True).double()
    x, steps = (
        torch.randn(3, 4, 3, dtype=torch.float64, requires_grad=True),
        PackedIndex(torch.tensor([2, 4, 1]), 4),
    )

    def run(x, *_):
        return bidirectional_gru(rnn, x, steps)

    assert torch.autograd.gradcheck(run, (x, *rnn.parameters()))
