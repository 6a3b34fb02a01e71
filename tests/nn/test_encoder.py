"""The encoder against its equations, torch's packed sequence, and changes of padding."""

import subprocess
import sys
from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from asr.nn.encoder import BiRNN, Encoder, Subsampling
from asr.nn.padding import PackedIndex, length_to_mask, mask_padding

LENGTHS = st.lists(st.integers(1, 13), min_size=1, max_size=5)
CELLS = ("gru", "lstm", "rnn")


def layer(cell, dim=5, hidden_size=4):
    torch.manual_seed(0)
    return BiRNN(input_size=dim, hidden_size=hidden_size, cell=cell)


def output_and_gradients(run, module, x, lengths):
    """Return valid output, and gradients of a weighted sum of it by input and parameters."""
    x = x.clone().requires_grad_()
    module.zero_grad()
    y = mask_padding(run(x, lengths), lengths)
    weights = torch.linspace(-1, 1, y.numel(), device=y.device).view(y.shape)
    (y * weights).sum().backward()
    return [
        y.detach(),
        mask_padding(x.grad, lengths),
        *(p.grad.clone() for p in module.parameters()),
    ]


def reference(birnn, x, lengths):
    """Run the layer with torch's own packing and padding."""
    rows = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    return pad_packed_sequence(
        birnn.rnn(rows)[0], batch_first=True, total_length=x.shape[1]
    )[0]


FORMS = {
    "forward": BiRNN.forward,
    "reversed": BiRNN.reversed_within_length,
    "packed": lambda birnn, x, lengths: birnn.packed(x, PackedIndex(lengths, x.shape[1])),
}


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("form", FORMS)
@given(lengths=LENGTHS)
def test_a_layer_equals_the_packed_sequence_in_output_and_gradients(form, cell, lengths):
    birnn, lengths = layer(cell), torch.tensor(lengths)
    x = torch.randn(
        len(lengths), int(lengths.max()), 5, generator=torch.Generator().manual_seed(1)
    )
    ours = output_and_gradients(partial(FORMS[form], birnn), birnn, x, lengths)
    expected = output_and_gradients(partial(reference, birnn), birnn, x, lengths)
    assert len(ours) == 2 + 8  # two weights and two biases per direction
    for a, b in zip(ours, expected, strict=True):
        assert (a - b).abs().max() < 1e-5


@pytest.mark.parametrize("cell", CELLS)
def test_a_row_equals_the_plain_layer_of_torch_over_that_row(cell):
    birnn, lengths = layer(cell), torch.tensor([1, 9, 4])
    x = torch.randn(3, 9, 5)
    y = birnn(x, lengths)
    for i, n in enumerate(lengths.tolist()):
        assert (y[i, :n] - birnn.rnn(x[i : i + 1, :n])[0][0]).abs().max() < 1e-6


def test_the_gru_follows_its_equations():
    hidden, steps = 4, 7
    birnn, x = layer("gru", hidden_size=hidden), torch.randn(1, steps, 5)
    y = birnn(x, torch.tensor([steps]))[0]
    for suffix, order, columns in [
        ("l0", range(steps), slice(0, hidden)),
        ("l0_reverse", reversed(range(steps)), slice(hidden, None)),
    ]:
        w_r, w_z, w_n = getattr(birnn.rnn, f"weight_ih_{suffix}").chunk(3)
        u_r, u_z, u_n = getattr(birnn.rnn, f"weight_hh_{suffix}").chunk(3)
        b_r, b_z, b_n = getattr(birnn.rnn, f"bias_ih_{suffix}").chunk(3)
        c_r, c_z, c_n = getattr(birnn.rnn, f"bias_hh_{suffix}").chunk(3)
        h = torch.zeros(hidden)
        for t in order:
            reset = torch.sigmoid(w_r @ x[0, t] + b_r + u_r @ h + c_r)
            update = torch.sigmoid(w_z @ x[0, t] + b_z + u_z @ h + c_z)
            candidate = torch.tanh(w_n @ x[0, t] + b_n + reset * (u_n @ h + c_n))
            h = (1 - update) * candidate + update * h
            assert (y[t, columns] - h).abs().max() < 1e-6


@pytest.mark.parametrize("cell", CELLS)
def test_padding_does_not_change_valid_output(cell):
    birnn, lengths = layer(cell), torch.tensor([3, 8, 1])
    x = torch.randn(3, 8, 5)
    noisy = torch.where(
        length_to_mask(lengths, 8)[:, :, None], x, 100 * torch.randn(3, 8, 5)
    )
    valid = length_to_mask(lengths, 8)
    assert torch.equal(birnn(x, lengths)[valid], birnn(noisy, lengths)[valid])


@pytest.mark.parametrize("form", FORMS)
def test_an_empty_row_does_not_affect_others(form):
    birnn, x = layer("gru"), torch.randn(2, 6, 5)
    y = FORMS[form](birnn, x, torch.tensor([6, 0]))
    assert (y[:1] - reference(birnn, x[:1], torch.tensor([6]))).abs().max() < 1e-6


def test_a_batch_without_frames_has_output_and_gradients_of_0():
    birnn, x = layer("gru"), torch.randn(2, 3, 5, requires_grad=True)
    y = birnn(x, torch.tensor([0, 0]))
    y.sum().backward()
    assert y.shape == (2, 3, 8)
    gradients = [x.grad, *(p.grad for p in birnn.parameters())]
    assert all((tensor == 0).all() for tensor in (y, *gradients))
    assert torch.equal(FORMS["packed"](birnn, x, torch.tensor([0, 0])), y)


@pytest.mark.parametrize("cell", CELLS)
def test_mixed_precision_on_a_cpu_is_close_to_float32(cell):
    birnn, x, lengths = layer(cell), torch.randn(2, 6, 5), torch.tensor([6, 4])
    valid = length_to_mask(lengths, 6)
    with torch.autocast("cpu", torch.bfloat16):
        y = birnn(x, lengths)
        y[valid].sum().backward()
    assert 1e-5 < (y - birnn(x, lengths))[valid].abs().max() < 0.05
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        assert torch.equal(y, birnn(x, lengths)) or cell != "gru"


def test_the_recurrence_of_a_gru_stays_in_float32_in_mixed_precision():
    birnn, x, lengths = layer("gru"), torch.zeros(1, 50, 5), torch.tensor([50])
    expected = birnn(
        x, lengths
    )  # the bias alone drives it, so only the recurrence can differ
    with torch.autocast("cpu", torch.bfloat16):
        y = birnn(x, lengths)
    assert y.dtype == torch.float32
    assert (y - expected).abs().max() < 2e-3


def test_an_unknown_cell_is_rejected():
    with pytest.raises(ValueError, match="cell must be one of gru, lstm, rnn, got 'gated'"):
        BiRNN(input_size=2, hidden_size=2, cell="gated")


@given(st.lists(st.integers(0, 40), min_size=1, max_size=4), st.sampled_from([20, 33, 80]))
def test_four_frames_become_one_rounded_up(lengths, n_mels):
    lengths = torch.tensor(lengths)
    frames = max(1, int(lengths.max()))
    encoder = Encoder(n_mels=n_mels, channels=2, hidden_size=3, num_layers=1).eval()
    y, after = encoder(torch.randn(len(lengths), frames, n_mels), lengths)
    assert after.tolist() == [-(-n // 4) for n in lengths.tolist()]
    assert torch.equal(after, Encoder.output_lengths(lengths))
    assert y.shape == (len(lengths), -(-frames // 4), 6)


def test_convolutions_do_not_read_padding():
    torch.manual_seed(0)
    subsampling, lengths = (
        Subsampling(n_mels=8, channels=3, dim=4),
        torch.tensor([5, 9, 13]),
    )
    x = torch.randn(3, 13, 8)
    y, after = subsampling(
        torch.where(length_to_mask(lengths, 13)[:, :, None], x, float("nan")), lengths
    )
    for i, n in enumerate(lengths.tolist()):
        alone, _ = subsampling(x[i : i + 1, :n], torch.tensor([n]))
        assert (alone[0] - y[i, : after[i]]).abs().max() < 1e-6


def test_layers_are_residual_over_normalized_input():
    encoder = Encoder(n_mels=8, channels=2, hidden_size=3, num_layers=2, dropout=0.5).eval()
    x, lengths = torch.randn(1, 20, 8), torch.tensor([20])
    hidden, after = encoder.subsampling(x, lengths)
    for norm, birnn in zip(encoder.norms, encoder.layers, strict=True):
        hidden = hidden + birnn.rnn(norm(hidden))[0]
    y, _ = encoder(x, lengths)
    assert (y - nn.functional.layer_norm(hidden, (6,))).abs().max() < 1e-5
    assert after.tolist() == [5]


def test_the_output_of_the_hook_is_added_after_an_intermediate_layer():
    encoder = Encoder(
        n_mels=8, channels=2, hidden_size=3, num_layers=3, intermediate=[2]
    ).eval()
    x, lengths = torch.randn(1, 20, 8), torch.tensor([20])
    hidden, _ = encoder.subsampling(x, lengths)
    for number, (norm, birnn) in enumerate(
        zip(encoder.norms, encoder.layers, strict=True), 1
    ):
        hidden = hidden + birnn.rnn(norm(hidden))[0]
        if number == 2:
            hidden = hidden + nn.functional.layer_norm(hidden, (6,)).sin()
    y, _ = encoder(x, lengths, torch.sin)
    assert (y - nn.functional.layer_norm(hidden, (6,))).abs().max() < 1e-5


@pytest.mark.parametrize("numbers", [[0], [3], [1, 4]])
def test_an_intermediate_layer_must_lie_below_the_last(numbers):
    with pytest.raises(ValueError, match="intermediate must list layers from 1 to 2"):
        Encoder(num_layers=3, intermediate=numbers)


def test_dropout_applies_only_in_training():
    torch.manual_seed(0)
    encoder = Encoder(n_mels=8, channels=2, hidden_size=3, num_layers=1, dropout=0.5)
    x, lengths = torch.randn(1, 20, 8), torch.tensor([20])
    assert not torch.equal(encoder(x, lengths)[0], encoder(x, lengths)[0])
    encoder.eval()
    assert torch.equal(encoder(x, lengths)[0], encoder(x, lengths)[0])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("cell", CELLS)
def test_the_packed_form_on_a_gpu_equals_the_cpu(cell, exact_gpu):
    birnn, lengths = layer(cell, dim=64, hidden_size=64), torch.tensor([1, 30, 17])
    x = torch.randn(3, 30, 64)
    expected = output_and_gradients(birnn, birnn, x, lengths)
    birnn.cuda()
    on_gpu = output_and_gradients(birnn, birnn, x.cuda(), lengths.cuda())
    for gpu, cpu in zip(on_gpu, expected, strict=True):
        assert (gpu.cpu() - cpu).abs().max() < 1e-5 * max(1, cpu.abs().max())


def test_kernels_of_past_shapes_are_not_kept():
    """Check memory after 160 new lengths. Their kernels would take 90 MB by default."""
    code = """
from asr.config.environment import set_library_defaults
set_library_defaults()
import psutil, torch
from asr.nn.encoder import Encoder

encoder = Encoder(hidden_size=64, num_layers=2, channels=8, cell="lstm")

def megabytes(lengths):
    for length in lengths:
        with torch.autocast("cpu", torch.bfloat16):
            y, _ = encoder(torch.zeros(2, length, 80), torch.tensor([length, length]))
        y.sum().backward()
    return psutil.Process().memory_info().rss / 2**20

before = megabytes(range(100, 180))
print(megabytes(range(180, 340)) - before)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert float(done.stdout) < 40
