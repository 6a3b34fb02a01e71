"""CTC against the sum over all alignments, and the consistency of two views."""

import math
from itertools import groupby, product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from asr.nn.losses import consistency_loss, ctc_loss

CASES = st.tuples(
    st.integers(1, 5),  # frames
    st.integers(2, 4),  # tokens
    st.lists(st.integers(1, 3), max_size=3),  # labels
    st.integers(0, 10**6),
)


def collapse(path):
    return [token for token, _ in groupby(path) if token]


def brute_force(log_probs, labels):
    """Return the negative log of the summed probability of all paths (U,) that give the labels."""
    paths = [
        p
        for p in product(range(log_probs.shape[1]), repeat=len(log_probs))
        if collapse(p) == labels
    ]
    if not paths:
        return torch.tensor(math.inf)
    steps = torch.arange(len(log_probs))
    return -torch.stack([log_probs[steps, list(path)].sum() for path in paths]).logsumexp(0)


def emissions(frames, tokens, seed):
    return torch.randn(
        frames, tokens, generator=torch.Generator().manual_seed(seed)
    ).log_softmax(-1)


def loss_of_one(log_probs, labels):
    targets = torch.tensor([labels], dtype=torch.int64)
    return ctc_loss(
        log_probs[None],
        torch.tensor([len(log_probs)]),
        targets,
        torch.tensor([len(labels)]),
    )


@given(CASES)
def test_the_loss_sums_over_all_alignments(case):
    frames, tokens, labels, seed = case
    labels = [min(label, tokens - 1) for label in labels]
    log_probs = emissions(frames, tokens, seed)
    assert loss_of_one(log_probs, labels).item() == pytest.approx(
        brute_force(log_probs, labels).item(), abs=1e-4
    )


def test_the_gradient_is_that_of_the_sum_over_all_alignments():
    logits = torch.randn(5, 3, generator=torch.Generator().manual_seed(3)).requires_grad_()
    ours = torch.autograd.grad(loss_of_one(logits.log_softmax(-1), [1, 1]).sum(), logits)[0]
    brute = torch.autograd.grad(brute_force(logits.log_softmax(-1), [1, 1]), logits)[0]
    assert (ours - brute).abs().max() < 1e-5


def test_padding_does_not_change_the_losses_of_a_batch():
    rows = [(5, [1, 2]), (3, [2]), (4, []), (2, [1])]
    log_probs = torch.full((4, 5, 4), float("nan"))
    targets = torch.full((4, 2), 3)
    for i, (frames, labels) in enumerate(rows):
        log_probs[i, :frames] = emissions(frames, 4, i)
        targets[i, : len(labels)] = torch.tensor(labels)
    lengths, target_lengths = (
        torch.tensor(sizes) for sizes in ([5, 3, 4, 2], [2, 1, 0, 1])
    )
    losses = ctc_loss(log_probs, lengths, targets, target_lengths)
    for i, (frames, labels) in enumerate(rows):
        assert losses[i].item() == pytest.approx(
            brute_force(emissions(frames, 4, i), labels).item(), abs=1e-4
        )


def test_an_empty_transcript_means_only_blanks():
    log_probs = emissions(6, 4, 0)
    assert loss_of_one(log_probs, []).item() == pytest.approx(
        -log_probs[:, 0].sum().item(), abs=1e-5
    )


@pytest.mark.parametrize("labels", [[1, 1, 1], [1, 2, 3, 1, 2]])
def test_labels_that_do_not_fit_have_an_infinite_loss(labels):
    assert loss_of_one(emissions(4, 4, 0), labels).item() == math.inf


def test_the_loss_is_float32_under_autocast():
    log_probs = emissions(6, 4, 0).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = loss_of_one(log_probs, [1, 2])
    assert loss.dtype == torch.float32
    assert torch.equal(loss, loss_of_one(log_probs.float(), [1, 2]))


def test_an_empty_batch_has_no_losses():
    lengths, targets = (
        torch.zeros(0, dtype=torch.int64),
        torch.zeros(0, 2, dtype=torch.int64),
    )
    assert ctc_loss(torch.zeros(0, 5, 4), lengths, targets, lengths).shape == (0,)


def test_consistency_is_the_symmetric_divergence_over_valid_frames():
    first, second = (
        torch.stack([emissions(5, 4, seed), emissions(5, 4, seed + 1)]) for seed in (0, 10)
    )
    lengths = torch.tensor([5, 3])
    p, q = first.exp(), second.exp()
    divergence = ((p - q) * (first - second)).sum(-1) / 2
    expected = torch.stack([divergence[0].sum(), divergence[1, :3].sum()])
    torch.testing.assert_close(consistency_loss(first, second, lengths), expected)
    assert consistency_loss(first, first, lengths).abs().max() < 1e-6


def test_each_view_moves_towards_the_other_without_its_gradient():
    first, second = (emissions(3, 4, seed)[None].requires_grad_() for seed in (0, 1))
    consistency_loss(first, second, torch.tensor([3])).sum().backward()
    alone = first.detach().clone().requires_grad_()
    # the part of KL(second || first) that depends on the first view
    (-(second.detach().exp() * alone).sum() / 2).backward()
    torch.testing.assert_close(first.grad, alone.grad)
