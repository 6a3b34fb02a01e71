"""The training loss: CTC, intermediate CTC, and the consistency of two views."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from asr.data.dataset import Batch
from asr.nn.ctc import CTCModel
from asr.nn.emissions import Emissions
from asr.nn.losses import consistency_loss, ctc_loss
from asr.nn.padding import length_to_mask
from asr.nn.spec_augment import SpecAugment
from asr.text import BLANK

INTERMEDIATE_WEIGHT = 0.3  # share of the intermediate layers in the loss


def make_views(
    model: CTCModel, batch: Batch, spec_augment: SpecAugment | None, count: int
) -> list[Emissions]:
    """Return the emissions of `count` views of a batch, each with its own masks and dropout.

    The encoder processes all views as one batch, because a recurrent layer needs little more time
    for twice the rows.
    """
    features, lengths = model.features(batch.waveforms, batch.lengths)  # (B, T, F), (B,)
    features = features.repeat(count, 1, 1)  # (count * B, T, F)
    lengths = lengths.repeat(count)
    if spec_augment is not None:
        features = spec_augment(features, lengths)
    emissions = model.forward_features(features, lengths)  # (count * B, U, V)
    tensors = (emissions.log_probs, emissions.lengths, *emissions.intermediate)
    views = zip(*(tensor.chunk(count) for tensor in tensors), strict=True)
    return [
        replace(emissions, log_probs=log_probs, lengths=lengths, intermediate=tuple(others))
        for log_probs, lengths, *others in views
    ]


def training_loss(
    batch: Batch,
    views: Sequence[Emissions],
    fits: Tensor,
    *,
    scale: Tensor,
    consistency: float,
) -> Tensor:
    """Return the loss of a batch in nats, divided by `scale`.

    It is the mean CTC loss of the views. Intermediate layers, if the model has any, contribute a
    share of `INTERMEDIATE_WEIGHT` (Lee and Watanabe 2021, arXiv 2102.03216). With `consistency`
    above 0, that weight times the divergence of two views is added.
    """
    loss = _mean_nll(batch, views, fits) / scale
    intermediate = [replace(view, log_probs=x) for view in views for x in view.intermediate]
    if intermediate:
        intermediate_loss = _mean_nll(batch, intermediate, fits) / scale
        loss = (1 - INTERMEDIATE_WEIGHT) * loss + INTERMEDIATE_WEIGHT * intermediate_loss
    if consistency:
        first, second = views
        divergence = consistency_loss(first.log_probs, second.log_probs, first.lengths)
        loss = loss + consistency * divergence.sum() / scale
    return loss


def ctc_nll(batch: Batch, emissions: Emissions, fits: Tensor) -> Tensor:
    """Return the negative log-likelihood in nats of the utterances that `fits` (B,) selects."""
    tensors = (emissions.log_probs, emissions.lengths, batch.targets, batch.target_lengths)
    return ctc_loss(*(tensor[fits] for tensor in tensors)).sum()


def count_blanks(emissions: Emissions) -> tuple[Tensor, Tensor]:
    """Return the number of frames that emit the blank, and the number of all frames (at least 1).

    Nearly all frames emit the blank until a model starts to learn.
    """
    is_blank = emissions.log_probs.detach().argmax(-1) == BLANK  # (B, U)
    is_valid = length_to_mask(emissions.lengths, is_blank.shape[1])
    return (is_blank & is_valid).sum(), emissions.lengths.sum().clamp_min(1)


def _mean_nll(batch: Batch, views: Sequence[Emissions], fits: Tensor) -> Tensor:
    return torch.stack([ctc_nll(batch, view, fits) for view in views]).mean()
