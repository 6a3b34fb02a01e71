"""Layers that keep their weights in training."""

import shutil
from pathlib import Path

import pytest
import torch
from entry import Call, caller
from training_runs import SMALL, run

from asr.nn.ctc import CTCModel
from asr.train import main

FROZEN = ("encoder.subsampling.", "encoder.norms.0.", "encoder.layers.0.")


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    return caller(monkeypatch, capsys)


@pytest.fixture(scope="module")
def frozen(
    corpus: Path, trained: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[str]]:
    """Return the folder of a run with a frozen layer, and its settings."""
    folder = tmp_path_factory.mktemp("frozen")
    settings = [
        f"init={trained / 'model.safetensors'}",
        *("freeze=1", "callbacks=averaged", "callbacks.plots=null", "logger=csv"),
    ]
    run(corpus, folder, *settings)
    return folder, settings


def test_frozen_weights_stay_bit_identical_and_all_others_change(
    trained: Path, frozen: tuple[Path, list[str]]
) -> None:
    before, after = (
        dict(CTCModel.load(folder / "model.safetensors").named_parameters())
        for folder in (trained, frozen[0])
    )
    same = {name for name in before if torch.equal(before[name], after[name])}
    assert same == {name for name in before if name.startswith(FROZEN)}


@pytest.mark.parametrize("setting", ["features.normalize=speech", "features.window_ms=15"])
def test_features_keep_the_statistics_of_init_unless_they_are_other_features(
    corpus: Path,
    trained: Path,
    frozen: tuple[Path, list[str]],
    setting: str,
    tmp_path: Path,
) -> None:
    run(corpus, tmp_path, *frozen[1], setting)
    means = [
        CTCModel.load(folder / "model.safetensors").features.cmvn_mean
        for folder in (trained, frozen[0], tmp_path)
    ]
    assert torch.equal(means[1], means[0])
    assert not torch.allclose(means[2], means[0], atol=0.01)


def test_the_optimizer_has_no_state_of_frozen_weights(
    frozen: tuple[Path, list[str]],
) -> None:
    checkpoint = torch.load(frozen[0] / "checkpoints" / "last.ckpt", weights_only=False)
    model = CTCModel.load(frozen[0] / "model.safetensors")
    free = [name for name, _ in model.named_parameters() if not name.startswith(FROZEN)]
    (state,) = checkpoint["optimizer_states"]
    assert len(state["state"]) == len(free)


def test_frozen_layers_get_no_gradient(build) -> None:
    model = build(num_layers=3, intermediate=(1,)).train()
    model.encoder.freeze(2)
    x, lengths = torch.randn(2, 40, 80), torch.tensor([40, 30])
    emissions = model.forward_features(x, lengths)
    (emissions.log_probs.sum() + emissions.intermediate[0].sum()).backward()
    without = {name for name, p in model.named_parameters() if p.grad is None}
    prefixes = (*FROZEN, "encoder.norms.1.", "encoder.layers.1.")
    assert without == {n for n, _ in model.named_parameters() if n.startswith(prefixes)}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["freeze=2"], "freeze must be <= 1, the layers of the model, got 2"),
        (["freeze=1", "init=null"], "freeze=1 would keep random weights. Pass init=PATH"),
    ],
)
def test_layers_that_cannot_be_frozen_get_one_line(
    trained: Path, tmp_path: Path, call: Call, settings: list[str], message: str
) -> None:
    init = f"init={trained / 'model.safetensors'}"
    finished = call(main, *SMALL, init, f"dir={tmp_path / 'run'}", *settings)
    assert finished.code == 2
    assert message in finished.complaint
    assert not list(tmp_path.iterdir())


def test_a_run_refuses_to_resume_with_other_frozen_layers(
    corpus: Path, frozen: tuple[Path, list[str]], call: Call
) -> None:
    folder, settings = frozen
    arguments = [*SMALL, f"data.root={corpus}", f"dir={folder}", *settings]
    finished = call(main, *arguments, "resume=true", "freeze=0")
    assert finished.code == 2
    assert "freeze is 0, but 1 in" in finished.complaint


def test_a_run_is_refused_in_the_folder_of_its_init(
    trained: Path, tmp_path: Path, call: Call
) -> None:
    init = shutil.copy(trained / "model.safetensors", tmp_path)
    finished = call(main, *SMALL, f"init={init}", f"dir={tmp_path}")
    assert finished.code == 2
    assert f"is in dir={tmp_path}, which a new run moves aside" in finished.complaint
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]
