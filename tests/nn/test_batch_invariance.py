"""An utterance's output does not depend on who else is in its batch, in any model, nor do gradients."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from asr.nn.losses import ctc_loss

SIZES = {"tiny": 3.0, "small": 2.0, "base": 1.6, "large": 1.2}  # the longest utterance, in seconds


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
    """The valid log-probabilities of each utterance, worked out in batches of a size."""
    emissions = [
        model(*(part.to(model.device) for part in pad(group))) for group in groups(waveforms, size)
    ]
    return [e.row(i) for e in emissions for i in range(len(e.lengths))]


def gradients(model, waveforms, size):
    """Of the CTC loss summed over all utterances, by parameter."""
    model.zero_grad()
    for group in groups(waveforms, size):
        emissions = model(*pad(group))
        targets = torch.tensor([[3, 3, 1, 20]]).repeat(len(group), 1)
        ctc_loss(
            emissions.log_probs, emissions.lengths, targets, torch.full((len(group),), 4)
        ).sum().backward()
    return {name: p.grad.clone() for name, p in model.named_parameters()}


def difference(ones, others):
    return max(float((a - b).abs().max()) for a, b in zip(ones, others, strict=True) if a.numel())


def relative_difference(ones, others):
    return max(float((ones[name] - g).abs().max() / g.abs().max()) for name, g in others.items())


@pytest.mark.parametrize("name", SIZES)
def test_log_probs_of_real_utterances_are_the_same_alone_and_in_batches_of_8(size, real, name):
    model = size(name)
    waveforms = real("an4", 40, 0.5, SIZES[name])
    assert len(waveforms) == 40
    assert difference(log_probs(model, waveforms, 8), log_probs(model, waveforms, 1)) < 1e-5


@pytest.mark.parametrize("name", SIZES)
def test_gradients_of_the_summed_loss_are_the_same_alone_and_in_batches_of_8(size, real, name):
    # A gradient is a sum over utterances and frames, which float32 rounds in another order in a batch. Its error
    # goes with the terms, not with what is left of them: so by the parameter's largest gradient.
    model = size(name).train()
    waveforms = real("an4", 16 if name == "tiny" else 8, 0.5, SIZES[name])
    assert (
        relative_difference(gradients(model, waveforms, 8), gradients(model, waveforms, 1)) < 2e-5
    )


@pytest.mark.parametrize("normalize", ["utterance", "corpus", "none"])
@pytest.mark.parametrize("cell", ["gru", "lstm", "rnn"])
@settings(max_examples=15)
@given(lengths=st.lists(st.integers(512, 9_000), min_size=2, max_size=5), seed=st.integers(0, 99))
def test_log_probs_are_the_same_alone_and_together_whatever_the_lengths(
    build, cell, normalize, lengths, seed
):
    model = build(cell=cell, features={"normalize": normalize})
    generator = torch.Generator().manual_seed(seed)
    waveforms = [0.1 * torch.randn(n, generator=generator) for n in lengths]
    assert (
        difference(log_probs(model, waveforms, len(lengths)), log_probs(model, waveforms, 1)) < 1e-5
    )


@pytest.mark.parametrize("intermediate", [(), (1,)])
@pytest.mark.parametrize("cell", ["gru", "lstm", "rnn"])
def test_in_training_mode_without_dropout_too(build, sound, cell, intermediate):
    waveforms = [sound(s, seed=i) for i, s in enumerate((0.9, 0.3, 0.6, 0.45))]
    model = build(cell=cell, intermediate=intermediate, dropout=0.0).train()
    assert difference(log_probs(model, waveforms, 4), log_probs(model, waveforms, 1)) < 1e-5
    assert (
        relative_difference(gradients(model, waveforms, 4), gradients(model, waveforms, 1)) < 1e-5
    )


def test_order_within_the_batch_does_not_matter(build, sound):
    waveforms = [sound(s, seed=i) for i, s in enumerate((0.9, 0.3, 0.6, 0.45))]
    forth, back = log_probs(build(), waveforms, 4), log_probs(build(), waveforms[::-1], 4)
    assert difference(forth, back[::-1]) < 1e-5


def test_an_utterance_too_short_for_a_frame_disturbs_no_other(build, sound):
    waveforms = [sound(0.5), sound(0.01), sound(0.3)]
    rows = log_probs(build(), waveforms, 3)
    assert [len(row) for row in rows] == [12, 0, 7]
    assert difference(rows, log_probs(build(), waveforms, 1)) < 1e-5


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("name", SIZES)
def test_on_a_gpu_too(size, sound, name, exact_gpu):
    model = size(name).cuda()
    waveforms = [sound(0.5 + 0.11 * i, seed=i) for i in range(16)]
    assert difference(log_probs(model, waveforms, 8), log_probs(model, waveforms, 1)) < 1e-5
