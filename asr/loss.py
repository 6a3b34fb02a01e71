"""Connectionist temporal classification (Graves et al. 2006)."""

import torch
import torch.nn.functional as F
from torch import Tensor

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
            log_probs.float().transpose(0, 1), targets, lengths, target_lengths, blank=BLANK, reduction="none"
        )
