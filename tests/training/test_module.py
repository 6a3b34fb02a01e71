"""A step of training: the loss, and what is left out of it."""

from dataclasses import replace

import pytest
import torch

from asr.data.dataset import SpeechDataset
from asr.data.select import everything
from asr.loss import ctc_loss
from asr.text import Tokenizer
from asr.training.module import Recogniser


@pytest.fixture
def recogniser(build):
    return Recogniser(
        model=build(dropout=0.0), optimizer=torch.optim.SGD, scheduler=torch.optim.lr_scheduler.LRScheduler
    )


@pytest.fixture
def batch(utterances):
    dataset = SpeechDataset(everything(utterances, Tokenizer.english()).examples)
    return dataset[[(i, 0) for i in range(len(utterances))]]


def test_the_loss_is_nats_for_each_character_of_the_batch(recogniser, batch):
    emissions = recogniser.model(batch.waveforms, batch.lengths)
    each = ctc_loss(emissions.log_probs, emissions.lengths, batch.targets, batch.target_lengths)
    fits = emissions.lengths >= batch.frames_needed
    assert fits.sum() > 1
    expected = each[fits].sum() / batch.target_lengths[fits].sum()
    torch.testing.assert_close(recogniser._loss(batch, emissions), expected)


def test_an_utterance_whose_labels_cannot_fit_is_named_and_leaves_the_loss_finite(recogniser, batch):
    crowded = replace(batch, frames_needed=torch.tensor([10_000, *batch.frames_needed.tolist()[1:]]))
    loss = recogniser._loss(crowded, recogniser.model(batch.waveforms, batch.lengths))
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad.isfinite().all() for p in recogniser.model.parameters() if p.grad is not None)
    assert recogniser.skipped[batch.utterances[0].name] == "too short for its transcript"


def test_a_batch_in_which_nothing_could_be_read_is_passed_over(recogniser, batch, tmp_path):
    gone = [replace(batch.utterances[0], audio=tmp_path / "gone.wav")]
    empty = SpeechDataset(everything(gone, Tokenizer.english()).examples)[[(0, 0)]]
    assert recogniser.training_step(empty, 0) is None
    recogniser.validation_step(empty, 0)
    assert "no such file" in recogniser.skipped[str(tmp_path / "gone.wav")]
