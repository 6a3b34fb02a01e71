"""The progress report of a run, on a terminal and elsewhere."""

import re
from types import SimpleNamespace

import pytest
import torch

from asr.training.callbacks import ProgressReport


@pytest.fixture
def trainer():
    metrics = {
        "train/loss": torch.tensor(1.5),
        "val/wer": torch.tensor(0.25),
        "val/cer": torch.tensor(0.1),
    }
    return SimpleNamespace(
        global_step=50,
        estimated_stepping_batches=200,
        current_epoch=1,
        max_epochs=8,
        sanity_checking=False,
        is_global_zero=True,
        callback_metrics=metrics,
    )


def test_without_a_terminal_each_validation_prints_a_line_with_the_remaining_time(
    trainer, capsys
):
    report = ProgressReport()
    trainer.global_step = 0
    report.on_train_start(trainer, None)
    trainer.global_step = 50
    report.on_validation_end(trainer, None)
    line = capsys.readouterr().out
    assert re.fullmatch(
        r"epoch 2/8  loss 1\.500  WER 25\.0%  CER 10\.0%  left \d:\d\d:\d\d\n", line
    )


def test_on_a_terminal_a_bar_follows_the_steps_until_the_run_ends(trainer, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    report = ProgressReport()
    report.on_train_start(trainer, None)
    report.on_train_batch_end(trainer, None, None, None, 0)
    assert report.bar.tasks[0].completed == 50
    assert report.bar.tasks[0].total == 200
    report.on_validation_end(trainer, None)
    report.on_exception(trainer, None, KeyboardInterrupt())
    assert report.bar is None
