"""The hand-written gradient of the GRU against finite differences, and the order of its frames.

tests/nn/test_encoder.py compares it with torch.
"""

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from asr.nn.gru import bidirectional_gru
from asr.nn.padding import PackedIndex

LENGTHS = st.lists(st.integers(0, 9), min_size=1, max_size=5)


@given(LENGTHS)
def test_the_index_has_every_frame_once_per_direction_in_packed_order(lengths):
    size = max(1, *lengths) + 1
    index = PackedIndex(torch.tensor(lengths), size)
    expected = [sum(n > step for n in lengths) for step in range(max(lengths))]
    batch_sizes, (forward_index, backward_index) = index.layout
    assert batch_sizes == expected
    rows = sorted(range(len(lengths)), key=lambda row: -lengths[row])
    order = [(row, step) for step, count in enumerate(expected) for row in rows[:count]]
    assert forward_index.tolist() == [row * size + step for row, step in order]
    assert backward_index.tolist() == [
        row * size + lengths[row] - 1 - step for row, step in order
    ]


def test_the_gradient_equals_finite_differences():
    torch.manual_seed(0)
    rnn = nn.GRU(3, 2, batch_first=True, bidirectional=True).double()
    x = torch.randn(3, 4, 3, dtype=torch.float64, requires_grad=True)
    index = PackedIndex(torch.tensor([2, 4, 1]), 4)

    def run(x, *_):
        return bidirectional_gru(rnn, x, index)

    assert torch.autograd.gradcheck(run, (x, *rnn.parameters()))
