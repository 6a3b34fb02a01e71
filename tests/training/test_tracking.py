"""Runs in experiment trackers: what they get, how they resume, and how they fail."""

import sys
from pathlib import Path
from typing import Any, ClassVar

import pytest
import yaml
from entry import Call, caller
from lightning.pytorch.loggers.logger import Logger
from training_runs import SMALL, run

from asr.config import training
from asr.train import main


class WandbError(Exception):
    __module__ = "wandb.errors"


class StandIn(Logger):
    """A tracker that records its calls."""

    runs: ClassVar[list["StandIn"]] = []
    fail_at = ""

    def __init__(self, **settings: Any) -> None:
        super().__init__()
        self.settings, self.config, self.status = settings, {}, ""
        self.metrics: dict[str, float] = {}
        self.runs.append(self)

    @property
    def experiment(self) -> "StandIn":
        if self.fail_at == "start":
            raise WandbError("no API key.\nRun wandb login")
        return self

    @property
    def name(self) -> str:
        return "stand-in"

    @property
    def version(self) -> str:
        return self.settings["id"] or "new-id"

    def log_hyperparams(self, params: Any, *_: Any, **__: Any) -> None:
        self.config = params

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        is_summary = any(name.startswith("summary/") for name in metrics)
        if self.fail_at == "metrics" or (self.fail_at == "summary" and is_summary):
            raise WandbError("the server does not answer")
        self.metrics |= metrics

    def finalize(self, status: str) -> None:
        self.status = status
        if self.fail_at == "end":
            raise WandbError("the server does not answer")


STAND_IN = ["logger=wandb", f"logger.wandb._target_={__name__}.StandIn"]


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> type[StandIn]:
    monkeypatch.setattr(training, "is_installed", lambda name: True)
    monkeypatch.setattr(StandIn, "runs", [])
    return StandIn


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    return caller(monkeypatch, capsys)


def saved_id(folder: Path, name: str, key: str) -> str:
    return yaml.safe_load((folder / "config.yaml").read_text())["logger"][name][key]


def test_a_tracker_gets_settings_metrics_and_the_summary_and_a_resumed_run_continues(
    corpus: Path, tmp_path: Path, stand_in: type[StandIn]
) -> None:
    settings = [*STAND_IN, "data.limit=8", "callbacks.plots=null"]
    summary = run(corpus, tmp_path, *settings, "trainer.max_epochs=1")
    assert saved_id(tmp_path, "wandb", "id") == "new-id"
    run(corpus, tmp_path, *settings, "trainer.max_epochs=2", "resume=true")
    first, resumed = stand_in.runs
    assert first.settings["id"] is None
    assert first.config["optimizer"]["lr"] == summary["config"]["optimizer"]["lr"]
    assert first.metrics["summary/val_wer"] == summary["val_wer"]
    assert first.metrics["summary/hours_train"] == summary["hours"]["train"]
    assert "val/wer" in first.metrics
    assert resumed.settings["id"] == "new-id"
    assert resumed.config["trainer"]["max_epochs"] == 2
    assert {first.status, resumed.status} == {"success"}


def test_a_tracker_that_cannot_start_gives_one_line_and_keeps_the_earlier_run(
    corpus: Path,
    tmp_path: Path,
    stand_in: type[StandIn],
    call: Call,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stand_in, "fail_at", "start")
    earlier = tmp_path / "run" / "config.yaml"
    earlier.parent.mkdir()
    earlier.write_text("of an earlier run")
    finished = call(main, *SMALL, *STAND_IN, f"data.root={corpus}", f"dir={earlier.parent}")
    assert finished.code == 2
    assert finished.complaint.endswith("logger.wandb: no API key. Run wandb login")
    assert earlier.read_text() == "of an earlier run"
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_tracker_that_fails_during_training_gives_one_line_with_the_way_to_resume(
    corpus: Path,
    tmp_path: Path,
    stand_in: type[StandIn],
    call: Call,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stand_in, "fail_at", "metrics")
    settings = [*SMALL, *STAND_IN, "data.limit=8", "callbacks.plots=null"]
    finished = call(main, *settings, f"data.root={corpus}", f"dir={tmp_path}")
    assert finished.code == 2
    assert (
        "logger: the server does not answer. Continue from the last" in finished.complaint
    )
    assert [tracker.status for tracker in stand_in.runs] == ["failed"]


@pytest.mark.parametrize(
    ("stage", "message", "file"),
    [
        ("summary", "does not answer. The tracked run is incomplete", "model.safetensors"),
        ("end", "does not answer. Continue from the last", "checkpoints/last.ckpt"),
    ],
)
def test_a_tracker_that_fails_after_training_gives_one_line_and_nothing_is_lost(
    corpus: Path,
    tmp_path: Path,
    stand_in: type[StandIn],
    call: Call,
    monkeypatch: pytest.MonkeyPatch,
    stage: str,
    message: str,
    file: str,
) -> None:
    monkeypatch.setattr(stand_in, "fail_at", stage)
    settings = [*SMALL, *STAND_IN, "data.limit=8", "callbacks.plots=null"]
    finished = call(main, *settings, f"data.root={corpus}", f"dir={tmp_path}")
    assert finished.code == 2
    assert message in finished.complaint
    assert (tmp_path / file).is_file()
    assert [tracker.status for tracker in stand_in.runs] == ["failed"]


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_a_missing_package_gives_one_line_before_anything_is_written(
    tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    settings = [f"data.root={tmp_path / 'data'}", f"dir={tmp_path / 'run'}"]
    finished = call(main, f"logger={name}", *settings)
    assert finished.code == 2
    assert f"logger.{name} requires a package. Run pip install 'asr[{name}]'" in (
        finished.complaint
    )
    assert not list(tmp_path.iterdir())


def test_weights_and_biases_offline_writes_plots_to_the_run_folder_and_resumes(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv(
        "WANDB_MODE", "offline"
    )  # Lightning sets it; restored after the test
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    folder = tmp_path / "run"
    settings = ["logger=wandb", "logger.wandb.offline=true", "data.limit=8"]
    run(corpus, folder, *settings, "trainer.max_epochs=1")
    run_id = saved_id(folder, "wandb", "id")
    run(corpus, folder, *settings, "resume=true")
    assert saved_id(folder, "wandb", "id") == run_id
    runs = list((folder / "wandb").glob(f"offline-run-*-{run_id}"))
    assert len(runs) == 2
    assert all(list(each.rglob("media/images/utterance/0_*.png")) for each in runs)
    assert wandb.run is None
    assert not list((tmp_path / "cwd").iterdir())


def test_mlflow_writes_to_a_database_in_the_run_folder_and_resumes(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow = pytest.importorskip("mlflow")
    pytest.importorskip("sqlalchemy")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    folder = tmp_path / "run"
    settings = ["logger=mlflow", "data.limit=8", "callbacks.plots.epochs=1"]
    run(corpus, folder, *settings, "trainer.max_epochs=1")
    run_id = saved_id(folder, "mlflow", "run_id")
    summary = run(corpus, folder, *settings, "resume=true")
    client = mlflow.MlflowClient(f"sqlite:///{folder}/mlflow.db")
    (experiment,) = [e for e in client.search_experiments() if e.name == "asr"]
    (tracked,) = client.search_runs([experiment.experiment_id])
    assert tracked.info.run_id == run_id
    assert tracked.info.run_name == str(folder)
    assert tracked.info.status == "FINISHED"
    assert tracked.data.params["model/hidden_size"] == "24"
    assert tracked.data.metrics["summary/val_wer"] == summary["val_wer"]
    assert len(client.get_metric_history(run_id, "val/wer")) == 2
    assert not list((tmp_path / "cwd").iterdir())
