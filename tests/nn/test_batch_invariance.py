"""Outputs and gradients of an utterance do not depend on the other utterances in its batch."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from asr.nn.losses import ctc_loss

SIZES = {
    "tiny": 3.0,
    "small": 2.0,
    "base": 1.6,
    "large": 1.2,
}  # longest utterance in seconds


def pad(waveforms):
    lengths = torch.tensor([len(w) for w in waveforms])
    padded = torch.zeros(len(waveforms), int(lengths.max()))
    for row, waveform in zip(padded, waveforms, strict=True):
        row[: len(waveform)] = torch.as_tensor(waveform)
    return padded, lengths


def groups(waveforms, size):
    return [waveforms[i : i + size] for i in range(0, len(waveforms), size)]


@torch.no_grad()
def log_probs(model, waveforms, size):
    """Return the valid log-probabilities of each utterance, computed in batches of a size."""
    emissions = [
        model(*(tensor.to(model.device) for tensor in pad(group)))
        for group in groups(waveforms, size)
    ]
    return [e.row(i) for e in emissions for i in range(len(e.lengths))]


def gradients(model, waveforms, size):
    """Return the gradients of the summed CTC loss by parameter."""
    model.zero_grad()
    for group in groups(waveforms, size):
        emissions = model(*pad(group))
        targets = torch.tensor([[3, 3, 1, 20]]).repeat(len(group), 1)
        target_lengths = torch.full((len(group),), 4)
        losses = ctc_loss(emissions.log_probs, emissions.lengths, targets, target_lengths)
        losses.sum().backward()
    return {name: p.grad.clone() for name, p in model.named_parameters()}


def difference(first, second):
    return max(
        float((a - b).abs().max()) for a, b in zip(first, second, strict=True) if a.numel()
    )


def relative_difference(first, second):
    return max(
        float((first[name] - g).abs().max() / g.abs().max()) for name, g in second.items()
    )


@pytest.mark.parametrize("name", SIZES)
def test_log_probs_of_real_utterances_are_the_same_alone_and_in_batches_of_8(
    size, real, name
):
    model = size(name)
    waveforms = real("an4", 40, 0.5, SIZES[name])
    assert len(waveforms) == 40
    assert difference(log_probs(model, waveforms, 8), log_probs(model, waveforms, 1)) < 1e-5


@pytest.mark.parametrize("name", SIZES)
def test_gradients_of_the_summed_loss_are_the_same_alone_and_in_batches_of_8(
    size, real, name
):
    # A batch sums gradients over utterances and frames in another order. The rounding error grows
    # with the summands, so it is relative to the largest gradient of the parameter.
    model = size(name).train()
    waveforms = real("an4", 16 if name == "tiny" else 8, 0.5, SIZES[name])
    assert (
        relative_difference(gradients(model, waveforms, 8), gradients(model, waveforms, 1))
        < 2e-5
    )


@pytest.mark.parametrize(
    "features",
    [
        {"normalize": "utterance"},
        {"normalize": "corpus", "top_db": 60},
        {"normalize": "speech", "top_db": 60},
        {"normalize": "none", "top_db": None},
    ],
)
@pytest.mark.parametrize("cell", ["gru", "lstm", "rnn"])
@settings(max_examples=15)
@given(
    lengths=st.lists(st.integers(512, 9_000), min_size=2, max_size=5),
    seed=st.integers(0, 99),
)
def test_log_probs_are_the_same_alone_and_in_a_batch_of_any_lengths(
    build, cell, features, lengths, seed
):
    model = build(cell=cell, features=features)
    generator = torch.Generator().manual_seed(seed)
    waveforms = [0.1 * torch.randn(n, generator=generator) for n in lengths]
    assert (
        difference(
            log_probs(model, waveforms, len(lengths)), log_probs(model, waveforms, 1)
        )
        < 1e-5
    )


@pytest.mark.parametrize("intermediate", [(), (1,)])
@pytest.mark.parametrize("cell", ["gru", "lstm", "rnn"])
def test_training_mode_without_dropout_is_batch_invariant(build, sound, cell, intermediate):
    waveforms = [sound(s, seed=i) for i, s in enumerate((0.9, 0.3, 0.6, 0.45))]
    model = build(cell=cell, intermediate=intermediate, dropout=0.0).train()
    assert difference(log_probs(model, waveforms, 4), log_probs(model, waveforms, 1)) < 1e-5
    assert (
        relative_difference(gradients(model, waveforms, 4), gradients(model, waveforms, 1))
        < 1e-5
    )


def test_order_within_the_batch_does_not_matter(build, sound):
    waveforms = [sound(s, seed=i) for i, s in enumerate((0.9, 0.3, 0.6, 0.45))]
    forward = log_probs(build(), waveforms, 4)
    backward = log_probs(build(), waveforms[::-1], 4)
    assert difference(forward, backward[::-1]) < 1e-5


def test_an_utterance_too_short_for_a_frame_does_not_affect_others(build, sound):
    waveforms = [sound(0.5), sound(0.01), sound(0.3)]
    rows = log_probs(build(), waveforms, 3)
    assert [len(row) for row in rows] == [12, 0, 7]
    assert difference(rows, log_probs(build(), waveforms, 1)) < 1e-5


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("name", SIZES)
def test_log_probs_on_a_gpu_are_batch_invariant(size, sound, name, exact_gpu):
    model = size(name).cuda()
    waveforms = [sound(0.5 + 0.11 * i, seed=i) for i in range(16)]
    assert difference(log_probs(model, waveforms, 8), log_probs(model, waveforms, 1)) < 1e-5
