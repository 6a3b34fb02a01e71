"""Connectionist temporal classification (Graves et al. 2006) and consistency of two views."""

import torch
import torch.nn.functional as F
from torch import Tensor

from asr.nn.padding import mask_padding
from asr.text import BLANK


def ctc_loss(
    log_probs: Tensor, lengths: Tensor, targets: Tensor, target_lengths: Tensor
) -> Tensor:
    """Return the negative log-likelihood (B,) of the labels in nats, always in float32.

    The loss is infinite if the labels do not fit into the frames. The caller must leave out and
    report such utterances.

    Args:
        log_probs: Log-probabilities (B, U, V).
        lengths: Valid frames (B,).
        targets: Labels (B, L).
        target_lengths: Valid labels (B,), may be 0.
    """
    if not len(lengths):  # torch rejects empty batches
        return log_probs.float().sum((1, 2))
    with torch.autocast(log_probs.device.type, enabled=False):
        return F.ctc_loss(
            log_probs.float().transpose(0, 1),  # (U, B, V)
            targets,
            lengths,
            target_lengths,
            blank=BLANK,
            reduction="none",
        )


def consistency_loss(first: Tensor, second: Tensor, lengths: Tensor) -> Tensor:
    """Return the divergence (B,) of two log-probabilities (B, U, V) of the same utterances in nats.

    It is half of KL(second || first) + KL(first || second), summed over valid frames. Each view
    moves towards the other, which gets no gradient (CR-CTC, Yao et al. 2024, arXiv 2410.05101).
    """
    divergence = _kl(second.detach(), first) + _kl(first.detach(), second)  # (B, U)
    return mask_padding(divergence, lengths).sum(1) / 2


def _kl(target: Tensor, log_probs: Tensor) -> Tensor:
    return F.kl_div(log_probs, target, log_target=True, reduction="none").sum(-1)
