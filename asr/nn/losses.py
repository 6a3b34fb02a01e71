"""Connectionist temporal classification (Graves et al. 2006), and the agreement of two views of an utterance."""

import torch
import torch.nn.functional as F
from torch import Tensor

from asr.nn import padding as ln
from asr.text import BLANK


def ctc_loss(log_probs: Tensor, lengths: Tensor, targets: Tensor, target_lengths: Tensor) -> Tensor:
    """Negative log-likelihood in nats of each utterance's labels, (B,), in float32 whatever the autocast.

    `log_probs` (B, U, V) with lengths (B,); `targets` (B, L) with lengths (B,), which may be 0. Where labels cannot fit
    (`Example.frames_needed`) the loss is infinite: the caller leaves such utterances out, and says so.
    """
    if not len(lengths):  # torch refuses a batch of none
        return log_probs.float().sum((1, 2))
    with torch.autocast(log_probs.device.type, enabled=False):
        return F.ctc_loss(
            log_probs.float().transpose(0, 1),
            targets,
            lengths,
            target_lengths,
            blank=BLANK,
            reduction="none",
        )


def consistency_loss(first: Tensor, second: Tensor, lengths: Tensor) -> Tensor:
    """How far two emissions (B, U, V) of the same utterances, lengths (B,), are apart: nats of each utterance, (B,).

    Half of KL(second || first) + KL(first || second), summed over the frames; each is drawn towards the other as it
    stands, without a gradient (consistency regularisation, Yao et al. 2024, arXiv 2410.05101).
    """
    apart = _divergence(second.detach(), first) + _divergence(first.detach(), second)
    return ln.mask_padding(apart, lengths).sum(1) / 2


def _divergence(target: Tensor, log_probs: Tensor) -> Tensor:
    return F.kl_div(log_probs, target, log_target=True, reduction="none").sum(-1)
