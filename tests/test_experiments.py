"""Every experiment trains: its first steps with the precision that suits the machine."""

from pathlib import Path

import pytest
import torch

from asr.config.app import CONF, compose
from asr.data.manifest import Utterance, write_manifest
from asr.nn.ctc import CTCModel
from asr.train import train
from asr.training import precision

STEPS = 20
EXPERIMENTS = sorted(path.stem for path in (CONF / "experiment").glob("*.yaml"))


@pytest.fixture
def manifest(tmp_path, recording):
    """Return a manifest of three clips with two words each."""
    utterances = [
        Utterance(recording(f"{i}.wav", 0.9, seed=i), 0.9, text, speaker=f"s{i}")
        for i, text in enumerate(("one two", "two three", "three one"))
    ]
    write_manifest(tmp_path / "clips.jsonl", utterances)
    return tmp_path / "clips.jsonl"


def train_first_steps(experiment: str, manifest: Path, *overrides: str) -> dict:
    """Train an experiment for a few steps of one clip each and return its summary."""
    settings = [
        f"experiment={experiment}",
        f"dir={manifest.parent / 'run'}",
        f"data.train={manifest}",
        f"data.validation={manifest}",
        *("data.workers=0", "data.batch_seconds=0.5", "data.recipe=null", "init=null"),
        "trainer.accelerator=cpu",
        *("trainer.max_epochs=7", f"+trainer.max_steps={STEPS}", "callbacks.plots=null"),
        "trainer.check_val_every_n_epoch=7",
        "logger=csv",
    ]
    return train(compose("train", [*settings, *overrides]))


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_the_first_steps_of_every_experiment_run_with_automatic_precision(
    experiment, manifest
):
    cfg = compose("train", [f"experiment={experiment}"])
    assert cfg.trainer.precision == "auto"
    assert experiment == "lstm" or cfg.model.cell == "gru"
    summary = train_first_steps(experiment, manifest)
    assert summary["steps"] == STEPS
    assert summary["precision"] == precision.resolve_precision("auto", torch.device("cpu"))
    model = CTCModel.load(manifest.parent / "run" / "model.safetensors")
    assert all(p.isfinite().all() for p in model.parameters())


def test_on_a_cpu_without_bfloat16_automatic_precision_is_float32(monkeypatch, manifest):
    monkeypatch.setattr(precision, "has_fast_bfloat16", lambda _: False)
    folder = manifest.parent / "run"
    assert train_first_steps("demo", manifest)["precision"] == "32-true"
    automatic = CTCModel.load(folder / "model.safetensors").state_dict()
    overrides = (f"dir={folder}-float32", "trainer.precision=32-true")
    train_first_steps("demo", manifest, *overrides)
    float32 = CTCModel.load(Path(f"{folder}-float32") / "model.safetensors").state_dict()
    assert all(torch.equal(automatic[name], float32[name]) for name in float32)


def test_slow_bfloat16_is_announced_in_one_line(monkeypatch, manifest, capsys):
    monkeypatch.setattr(precision, "has_fast_bfloat16", lambda _: False)
    train_first_steps("demo", manifest, "trainer.precision=bf16-mixed")
    output = capsys.readouterr().out
    assert output.count("neither AVX512-BF16 nor AMX") == 1
    assert output.index("is slow") < output.index("run in")
