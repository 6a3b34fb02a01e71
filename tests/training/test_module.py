"""A step of training: the loss, and what is left out of it."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import soundfile
import torch
from lightning import Trainer
from lightning.pytorch.plugins import MixedPrecision
from torch.utils.data import DataLoader

from asr.data.dataset import SpeechDataset
from asr.data.filter import keep_all
from asr.data.manifest import Utterance
from asr.decode import Hypothesis, Word
from asr.nn.losses import consistency_loss, ctc_loss
from asr.text import Tokenizer
from asr.training.module import CTCModule

SILENT = dict.fromkeys(
    ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False
)


@pytest.fixture
def recogniser(build):
    return CTCModule(
        model=build(dropout=0.0),
        optimizer=torch.optim.SGD,
        scheduler=torch.optim.lr_scheduler.LRScheduler,
    )


@pytest.fixture
def batch(utterances):
    dataset = SpeechDataset(keep_all(utterances, Tokenizer.english()).examples)
    return dataset[[(i, 0) for i in range(len(utterances))]]


def test_the_loss_is_nats_for_each_character_of_the_batch(recogniser, batch):
    emissions = recogniser.model(batch.waveforms, batch.lengths)
    each = ctc_loss(emissions.log_probs, emissions.lengths, batch.targets, batch.target_lengths)
    fits = emissions.lengths >= batch.frames_needed
    assert fits.sum() > 1
    expected = each[fits].sum() / batch.target_lengths[fits].sum()
    torch.testing.assert_close(recogniser.training_step(batch, 0), expected)


def test_accumulated_batches_make_the_step_of_one_batch_of_them_all(build, utterances):
    weights = []
    for batches in (
        [[0, 1, 3], [4], [5]],
        [[0, 1, 3, 4, 5]],
    ):  # the last but one has most of the labels
        module = CTCModule(
            model=build(dropout=0.0),
            optimizer=partial(torch.optim.SGD, lr=0.1),
            scheduler=lambda optimizer, steps: torch.optim.lr_scheduler.LambdaLR(
                optimizer, lambda _: 1.0
            ),
        )
        dataset = SpeechDataset(keep_all(utterances, Tokenizer.english()).examples)
        loader = DataLoader(
            dataset, batch_size=None, sampler=[[(i, 0) for i in items] for items in batches]
        )
        trainer = Trainer(
            max_epochs=1, accelerator="cpu", accumulate_grad_batches=len(batches), **SILENT
        )
        trainer.fit(module, loader)
        assert trainer.global_step == 1
        weights.append([p.detach() for p in module.model.parameters()])
    for accumulated, together in zip(*weights, strict=True):
        torch.testing.assert_close(accumulated, together, rtol=1e-4, atol=1e-6)


def test_float16_clips_the_gradient_of_the_loss_not_of_the_scaled_loss(build, utterances):
    norms = []
    half = MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu", init_scale=1024.0))
    for settings in ({}, {"plugins": half}):
        module = CTCModule(
            model=build(dropout=0.0),
            optimizer=partial(torch.optim.AdamW, lr=1e-3, fused=True),
            scheduler=lambda optimizer, steps: torch.optim.lr_scheduler.LambdaLR(
                optimizer, lambda _: 1.0
            ),
        )
        dataset = SpeechDataset(keep_all(utterances, Tokenizer.english()).examples)
        loader = DataLoader(dataset, batch_size=None, sampler=[[(0, 0), (1, 0)]])
        trainer = Trainer(
            max_epochs=1, accelerator="cpu", log_every_n_steps=1, **SILENT, **settings
        )
        trainer.fit(module, loader)
        assert trainer.optimizers[0].defaults["fused"] is not bool(settings)
        norms.append(trainer.logged_metrics["train/grad_norm"].item())
    assert norms[1] == pytest.approx(norms[0], rel=0.05)


def test_only_steps_that_are_written_say_what_is_in_them(build, utterances):
    module = CTCModule(
        model=build(dropout=0.0),
        optimizer=torch.optim.SGD,
        scheduler=lambda optimizer, steps: torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda _: 1.0
        ),
    )
    said = []
    module.log_dict = lambda values, **_: said.append((module.trainer.global_step, *values))
    dataset = SpeechDataset(keep_all(utterances, Tokenizer.english()).examples)
    loader = DataLoader(dataset, batch_size=None, sampler=[[(0, 0)]] * 7)
    Trainer(max_epochs=1, accelerator="cpu", log_every_n_steps=3, **SILENT).fit(module, loader)
    per_step = [("train/loss", "train/padding", "train/blank"), ("train/grad_norm", "train/lr")]
    assert said == [(step, *names) for step in (2, 5) for names in per_step]


def test_validation_finds_how_far_words_reach_beyond_their_tokens(
    recogniser, sound, tmp_path, monkeypatch
):
    noise = 1e-4 * np.random.default_rng(0).standard_normal(32_000).astype(np.float32)
    noise[8_000:24_000] += sound(1.0)  # speech from 0.5 to 1.5 s
    soundfile.write(tmp_path / "a.wav", noise, 16_000)
    dataset = SpeechDataset(
        keep_all([Utterance(tmp_path / "a.wav", 2.0, "a b")], Tokenizer.english()).examples
    )
    monkeypatch.setattr(recogniser, "_spread", lambda: 1)
    words = (Word("a", 0.72, 0.8, 1.0), Word("b", 1.2, 1.4, 1.0))
    recogniser.decode = lambda emissions, tokenizer: [Hypothesis("a b", 0.0, words)]
    recogniser.on_validation_epoch_start()
    recogniser.validation_step(dataset[[(0, 0)]], 0)
    recogniser.on_validation_epoch_end()
    assert recogniser.model.boundary_offsets.lead == pytest.approx(0.22, abs=0.05)
    assert recogniser.model.boundary_offsets.tail == pytest.approx(0.1, abs=0.05)


def test_an_utterance_whose_labels_cannot_fit_is_named_and_leaves_the_loss_finite(
    recogniser, batch
):
    crowded = replace(
        batch, frames_needed=torch.tensor([10_000, *batch.frames_needed.tolist()[1:]])
    )
    loss = recogniser._nats(crowded, recogniser.model(batch.waveforms, batch.lengths))
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad.isfinite().all() for p in recogniser.model.parameters() if p.grad is not None)
    assert recogniser.skipped[batch.utterances[0].name] == "too short for its transcript"


def test_a_batch_in_which_nothing_could_be_read_is_passed_over(recogniser, batch, tmp_path):
    gone = [replace(batch.utterances[0], audio=tmp_path / "gone.wav")]
    empty = SpeechDataset(keep_all(gone, Tokenizer.english()).examples)[[(0, 0)]]
    assert recogniser.training_step(empty, 0) is None
    recogniser.validation_step(empty, 0)
    assert "no such file" in recogniser.skipped[str(tmp_path / "gone.wav")]


def test_intermediate_layers_have_their_share_of_the_loss(build, batch):
    module = CTCModule(
        model=build(dropout=0.0, num_layers=3, intermediate=[1, 2]).train(),
        optimizer=torch.optim.SGD,
        scheduler=torch.optim.lr_scheduler.LRScheduler,
        consistency=0.5,
    )
    emissions = module.model(batch.waveforms, batch.lengths)
    labels = batch.target_lengths[emissions.lengths >= batch.frames_needed].sum()
    last, first, second = (
        module._nats(batch, replace(emissions, log_probs=said)) / labels
        for said in (emissions.log_probs, *emissions.intermediate)
    )
    assert len({said.item() for said in (last, first, second)}) == 3
    torch.testing.assert_close(
        module.training_step(batch, 0), 0.7 * last + 0.3 * (first + second) / 2
    )


def test_with_consistency_a_step_sees_two_views_and_adds_their_disagreement(build, batch):
    module = CTCModule(
        model=build(dropout=0.5).train(),
        optimizer=torch.optim.SGD,
        scheduler=torch.optim.lr_scheduler.LRScheduler,
        consistency=0.5,
    )
    torch.manual_seed(0)
    loss = module.training_step(batch, 0)
    torch.manual_seed(0)
    first, second = module._views(batch)
    assert not torch.equal(first.log_probs, second.log_probs)
    labels = batch.target_lengths[first.lengths >= batch.frames_needed].sum()
    nats = (module._nats(batch, first) + module._nats(batch, second)) / 2
    apart = consistency_loss(first.log_probs, second.log_probs, first.lengths).sum()
    assert apart > 0
    torch.testing.assert_close(loss, (nats + 0.5 * apart) / labels)


def test_two_views_that_are_the_same_give_the_loss_of_one(build, batch):
    losses = []
    for consistency in (0.0, 0.5):
        module = CTCModule(
            model=build(dropout=0.0).train(),
            optimizer=torch.optim.SGD,
            scheduler=torch.optim.lr_scheduler.LRScheduler,
            consistency=consistency,
        )
        losses.append(module.training_step(batch, 0))
    torch.testing.assert_close(*losses)
