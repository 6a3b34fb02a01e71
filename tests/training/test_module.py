"""Training steps: the loss, its gradients, and skipped utterances."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from lightning import Trainer
from lightning.pytorch.plugins import MixedPrecision
from torch.utils.data import DataLoader

from asr.data.dataset import SpeechDataset
from asr.data.filter import keep_all
from asr.nn.losses import consistency_loss, ctc_loss
from asr.text import Tokenizer
from asr.training.module import CTCModule
from asr.training.objective import ctc_nll, make_views

SILENT = dict.fromkeys(
    ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False
)


@pytest.fixture
def module(build):
    return CTCModule(
        model=build(dropout=0.0),
        optimizer=torch.optim.SGD,
        scheduler=torch.optim.lr_scheduler.LRScheduler,
    )


@pytest.fixture
def batch(utterances):
    dataset = SpeechDataset(keep_all(utterances, Tokenizer.english()).examples)
    return dataset[[(i, 0) for i in range(len(utterances))]]


def test_the_loss_is_in_nats_per_label_of_the_batch(module, batch):
    emissions = module.model(batch.waveforms, batch.lengths)
    losses = ctc_loss(
        emissions.log_probs, emissions.lengths, batch.targets, batch.target_lengths
    )
    fits = emissions.lengths >= batch.frames_needed
    assert fits.sum() > 1
    expected = losses[fits].sum() / batch.target_lengths[fits].sum()
    torch.testing.assert_close(module.training_step(batch, 0), expected)


def test_accumulated_batches_give_the_step_of_one_large_batch(build, utterances):
    weights = []
    for batches in (
        [[0, 1, 3], [4], [5]],
        [[0, 1, 3, 4, 5]],
    ):  # the second batch has most of the labels
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


def test_float16_clips_unscaled_gradients(build, utterances):
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


def test_a_step_is_logged_only_if_the_loggers_write_it(build, utterances):
    module = CTCModule(
        model=build(dropout=0.0),
        optimizer=torch.optim.SGD,
        scheduler=lambda optimizer, steps: torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda _: 1.0
        ),
    )
    calls = []
    module.log_dict = lambda values, **_: calls.append(
        (module.trainer.global_step, *values)
    )
    dataset = SpeechDataset(keep_all(utterances, Tokenizer.english()).examples)
    loader = DataLoader(dataset, batch_size=None, sampler=[[(0, 0)]] * 7)
    Trainer(max_epochs=1, accelerator="cpu", log_every_n_steps=3, **SILENT).fit(
        module, loader
    )
    per_step = [
        ("train/loss", "train/padding", "train/blank"),
        ("train/grad_norm", "train/lr"),
    ]
    assert calls == [(step, *names) for step in (2, 5) for names in per_step]


def test_an_utterance_with_too_many_labels_is_skipped_and_leaves_the_loss_finite(
    module, batch
):
    frames_needed = torch.tensor([10_000, *batch.frames_needed.tolist()[1:]])
    loss = module.training_step(replace(batch, frames_needed=frames_needed), 0)
    loss.backward()
    assert loss.isfinite()
    assert all(
        p.grad.isfinite().all() for p in module.model.parameters() if p.grad is not None
    )
    assert module.skipped[batch.utterances[0].name] == "too short for its transcript"


def test_a_batch_without_readable_utterances_is_skipped(module, batch, tmp_path):
    missing = [replace(batch.utterances[0], audio=tmp_path / "gone.wav")]
    empty = SpeechDataset(keep_all(missing, Tokenizer.english()).examples)[[(0, 0)]]
    assert module.training_step(empty, 0) is None
    module.validation_step(empty, 0)
    assert "no such file" in module.skipped[str(tmp_path / "gone.wav")]


def test_intermediate_layers_contribute_their_share_of_the_loss(build, batch):
    module = CTCModule(
        model=build(dropout=0.0, num_layers=3, intermediate=[1, 2]).train(),
        optimizer=torch.optim.SGD,
        scheduler=torch.optim.lr_scheduler.LRScheduler,
        consistency=0.5,
    )
    emissions = module.model(batch.waveforms, batch.lengths)
    fits = emissions.lengths >= batch.frames_needed
    labels = batch.target_lengths[fits].sum()
    last, first, second = (
        ctc_nll(batch, replace(emissions, log_probs=log_probs), fits) / labels
        for log_probs in (emissions.log_probs, *emissions.intermediate)
    )
    assert len({loss.item() for loss in (last, first, second)}) == 3
    torch.testing.assert_close(
        module.training_step(batch, 0), 0.7 * last + 0.3 * (first + second) / 2
    )


def test_the_consistency_loss_adds_the_divergence_of_two_views(build, batch):
    module = CTCModule(
        model=build(dropout=0.5).train(),
        optimizer=torch.optim.SGD,
        scheduler=torch.optim.lr_scheduler.LRScheduler,
        consistency=0.5,
    )
    torch.manual_seed(0)
    loss = module.training_step(batch, 0)
    torch.manual_seed(0)
    first, second = make_views(module.model, batch, module.spec_augment, 2)
    assert not torch.equal(first.log_probs, second.log_probs)
    fits = first.lengths >= batch.frames_needed
    labels = batch.target_lengths[fits].sum()
    nats = (ctc_nll(batch, first, fits) + ctc_nll(batch, second, fits)) / 2
    divergence = consistency_loss(first.log_probs, second.log_probs, first.lengths).sum()
    assert divergence > 0
    torch.testing.assert_close(loss, (nats + 0.5 * divergence) / labels)


def test_two_equal_views_give_the_loss_of_one(build, batch):
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
