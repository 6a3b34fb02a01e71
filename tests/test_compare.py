"""Command line of the comparison of runs, and sweeps."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from entry import Call, caller
from omegaconf import OmegaConf
from training_runs import TIMEOUT

from asr import compare, train
from asr.config import sweep
from asr.config.app import compose
from asr.data.manifest import Utterance
from asr.decode.hypothesis import Hypothesis
from asr.errors import ConfigError, WorkerError
from asr.evaluation.report import Evaluation, Result
from asr.evaluation.wer import score_utterance
from asr.processes import usable_cpus


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    return caller(monkeypatch, capsys)


def write_finished_run(folder: Path, wer: float, **settings: object) -> None:
    """Write the files of a finished run that `asr.compare` reads."""
    folder.mkdir(parents=True)
    config = {
        "dir": str(folder),
        "resume": False,
        "model": {"hidden_size": 8, "num_layers": [1, 2]},
        "logger": {"save_dir": f"{folder}/logs"},
    }
    summary = {"config": config | settings, "val_wer": wer, "epochs": 3, "seconds": 90.0}
    (folder / "summary.json").write_text(json.dumps(summary))
    (folder / "config.yaml").write_text("")


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "compare.csv").open(newline="", encoding="utf-8") as table:
        return list(csv.DictReader(table))


def test_runs_are_listed_best_first_with_the_settings_that_differ(
    tmp_path: Path, call: Call
) -> None:
    write_finished_run(tmp_path / "0", 0.5, seed=1)
    write_finished_run(tmp_path / "1", 0.25, seed=2, init="a.safetensors")
    write_finished_run(tmp_path / "2", 0.75, seed=2, resume=True)
    (tmp_path / "3").mkdir()
    (tmp_path / "3" / "config.yaml").write_text("")
    finished = call(compare.main, f"dir={tmp_path}")
    assert finished.code == 0
    assert rows(tmp_path) == [
        {
            "run": "1",
            "seed": "2",
            "init": "a.safetensors",
            "val_wer": "0.25",
            "epochs": "3",
            "minutes": "1.5",
        },
        {
            "run": "0",
            "seed": "1",
            "init": "",
            "val_wer": "0.5",
            "epochs": "3",
            "minutes": "1.5",
        },
        {
            "run": "2",
            "seed": "2",
            "init": "",
            "val_wer": "0.75",
            "epochs": "3",
            "minutes": "1.5",
        },
    ]
    assert (
        f"best: {tmp_path / '1'}, WER 25.00%, of 3 runs; 1 more have not finished"
        in finished.out
    )
    assert (tmp_path / "compare.png").read_bytes().startswith(b"\x89PNG")


def test_runs_with_equal_settings_have_no_plot(tmp_path: Path, call: Call) -> None:
    for name, wer in (("a", 0.5), ("b", 0.4)):
        write_finished_run(tmp_path / name, wer)
    finished = call(compare.main, f"dir={tmp_path}")
    assert finished.code == 0
    assert ".png" not in finished.out
    assert not (tmp_path / "compare.png").exists()


def test_wrong_input_gives_one_line(tmp_path: Path, call: Call) -> None:
    alone = call(compare.main)
    assert alone.code == 2
    assert "python -m asr.compare A B" in alone.out
    assert "dir has no value; pass dir=..." in call(compare.main, "examples=3").complaint
    assert "no finished run" in call(compare.main, f"dir={tmp_path}").complaint
    (tmp_path / "0").mkdir()
    (tmp_path / "0" / "summary.json").write_text("[]")
    finished = call(compare.main, f"dir={tmp_path}")
    assert finished.code == 2
    assert (
        f"{tmp_path / '0' / 'summary.json'}: not the summary of a training"
        in finished.complaint
    )


def write_evaluation(folder: Path, hypotheses: list[str]) -> Path:
    results = []
    for i, (reference, text) in enumerate(
        zip(("one two", "three"), hypotheses, strict=True)
    ):
        scored = score_utterance(reference, text)
        utterance = Utterance(Path(f"{i}.wav"), 1.0, reference)
        results.append(Result(utterance, Hypothesis(text, -1.0), scored))
    Evaluation(results, 1.0).write(folder)
    return folder


def test_two_evaluations_are_compared_in_tables_and_in_a_page(
    tmp_path: Path, call: Call
) -> None:
    a = write_evaluation(tmp_path / "a", ["one too", "three"])
    b = write_evaluation(tmp_path / "b", ["one two", "three"])
    finished = call(compare.main, a, b)
    assert finished.code == 0, finished.err
    for text in ("33.33%", "0.00%", "one too", "B - A: -33.33 points", "1 better, 0 worse"):
        assert text in finished.out
    assert (b / "compare.html").exists()
    page = tmp_path / "pages" / "a-b.html"
    assert call(compare.main, a, b, f"output={page}", "examples=0").code == 0
    assert "<article" not in page.read_text(encoding="utf-8")


def test_folders_with_an_equals_sign_are_compared(tmp_path: Path, call: Call) -> None:
    texts = ["one too", "three"]
    folders = [write_evaluation(tmp_path / f"lr={lr}", texts) for lr in (0.1, 0.2)]
    finished = call(compare.main, *folders)
    assert (finished.code, finished.err) == (0, "")
    assert (folders[1] / "compare.html").is_file()


def test_wrong_folders_and_settings_of_two_evaluations_give_one_line(
    tmp_path: Path, call: Call
) -> None:
    a = write_evaluation(tmp_path / "a", ["one too", "three"])
    for arguments, message in (
        ((a,), "pass two folders of asr.evaluate"),
        ((a, tmp_path / "none"), "none: no evaluation; run asr.evaluate"),
        ((a, a, "exmples=3"), "did you mean examples?"),
        ((a, a, "examples=-3"), "examples must be >= 0, got -3"),
    ):
        finished = call(compare.main, *arguments)
        assert finished.code == 2
        assert message in finished.complaint


@pytest.mark.parametrize(
    ("hparams", "settings"),
    [
        ("grid", ["optimizer.lr=1e-3,2e-3", "model.dropout=0.1"]),
        ("optuna", ["hydra.sweeper.n_trials=2", "model.dropout=0.1,0.2"]),
    ],
)
def test_a_sweep_trains_runs_and_compares_them(
    hparams: str, settings: list[str], corpus: Path, tmp_path: Path, call: Call
) -> None:
    small = [
        "model.hidden_size=8",
        "model.num_layers=1",
        "model.channels=4",
        "logger=csv",
        "callbacks.plots=null",
    ]
    data = [f"data.root={corpus}", "data.workers=0", "data.limit=4", "trainer.max_epochs=1"]
    folder = tmp_path / "sweep"
    finished = call(
        train.main, f"hparams={hparams}", *settings, *small, *data, f"dir={folder}"
    )
    assert finished.code == 0, finished.err
    table = rows(folder)
    assert {row["run"] for row in table} == {"0", "1"}
    differing = set(table[0]) - {"run", "val_wer", "epochs", "minutes"}
    assert differing == (
        {"optimizer.lr"}
        if hparams == "grid"
        else {
            "optimizer.lr",
            "optimizer.weight_decay",
            "model.dropout",
            "augment.spec.time_width",
        }
        & differing
    )
    for run in ("0", "1"):
        assert (folder / run / "model.safetensors").exists()
    assert (
        "run 1: " in finished.out
        and "data.root" not in finished.out.partition("run 1: ")[2].splitlines()[0]
    )


@pytest.mark.parametrize("hparams", ["grid", "optuna"])
def test_a_failed_run_of_a_sweep_has_one_line_and_the_others_are_compared(
    hparams: str, corpus: Path, tmp_path: Path, call: Call
) -> None:
    small = ["model.num_layers=1", "model.channels=4", "logger=csv", "callbacks.plots=null"]
    data = [f"data.root={corpus}", "data.workers=0", "data.limit=4", "trainer.max_epochs=1"]
    if hparams == "optuna":  # which values the trials get is left to Optuna
        data += ["hydra.sweeper.n_trials=4", "hydra.sweeper.max_failure_rate=1"]
    folder = tmp_path / "sweep"
    widths = "model.hidden_size=8,-1,9"
    finished = call(
        train.main, f"hparams={hparams}", widths, *small, *data, f"dir={folder}"
    )
    lines = [line for line in finished.err.splitlines() if line.startswith("asr.train: ")]
    assert all("model.hidden_size must be >= 1, got -1" in line for line in lines)
    assert finished.err.count("hidden_size") == len(lines)
    assert finished.code == (2 if lines else 0)
    failed = {line.removeprefix(f"asr.train: {folder}/")[0] for line in lines}
    assert "best: " in finished.out
    assert failed.isdisjoint(row["run"] for row in rows(folder))
    if hparams == "grid":
        assert failed == {"1"}
        assert {row["run"] for row in rows(folder)} == {"0", "2"}


@pytest.mark.parametrize(
    ("launcher", "settings"),
    [
        ("joblib", ["hparams=grid", "hydra.launcher.n_jobs=2"]),
        ("joblib", ["hparams=optuna", "hydra.launcher.n_jobs=2", "hydra.sweeper.n_jobs=2"]),
        ("submitit_local", ["hparams=grid", "cpu.threads=1"]),
    ],
)
def test_runs_in_parallel_processes_are_compared_and_a_failed_one_has_one_line(
    launcher: str, settings: list[str], corpus: Path, tmp_path: Path
) -> None:
    pytest.importorskip(f"hydra_plugins.hydra_{launcher.partition('_')[0]}_launcher")
    folder = Path("sweep")
    if "hparams=grid" in settings:
        settings = [*settings, "model.hidden_size=8,-1"]
    else:  # the trials differ in the learning rate only
        settings = [*settings, "hydra.sweeper.n_trials=2", "model.hidden_size=8"]
    small = ["model.num_layers=1", "model.channels=4", "logger=csv", "callbacks.plots=null"]
    small += [
        f"data.root={corpus}",
        "data.workers=0",
        "data.limit=4",
        "trainer.max_epochs=1",
    ]
    command = [sys.executable, "-m", "asr.train", f"hydra/launcher={launcher}", *settings]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    environment.pop("OMP_NUM_THREADS", None)
    finished = subprocess.run(
        [*command, *small, f"dir={folder}"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment,
        timeout=TIMEOUT,
    )
    failures = [line for line in finished.stderr.splitlines() if "hidden_size" in line]
    runs = {row["run"] for row in rows(tmp_path / folder)}
    if "hparams=grid" in settings:
        assert failures == ["asr.train: sweep/1: model.hidden_size must be >= 1, got -1"]
        assert (tmp_path / folder / "failed_1.txt").read_text() == f"{failures[0]}\n"
        assert (finished.returncode, runs) == (2, {"0"})
    else:
        assert (finished.returncode, runs) == (0, {"0", "1"}), finished.stderr
    assert "best: sweep/" in finished.stdout
    for run in runs:
        summary = json.loads((tmp_path / folder / run / "summary.json").read_text())
        assert f" {max(1, usable_cpus() // 2)} threads" in summary["machine"] or (
            " 1 threads" in summary["machine"]
        )
    assert [path.name for path in tmp_path.iterdir()] == ["sweep"]


def test_runs_of_different_names_are_compared_in_the_folder_of_the_sweep(
    corpus: Path, tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    small = ["model.num_layers=1", "model.channels=4", "logger=csv", "callbacks.plots=null"]
    data = [f"data.root={corpus}", "data.workers=0", "data.limit=4", "trainer.max_epochs=1"]
    swept = ["name=a,b", "model.hidden_size=8,-1"]
    finished = call(train.main, "hparams=grid", *swept, *small, *data)
    folder = Path("outputs/synthetic-sweep")
    assert finished.code == 2
    assert {(row["run"], row["name"]) for row in rows(folder)} == {("0", "a"), ("2", "b")}
    assert {path.name for path in folder.glob("failed_*")} == {
        "failed_1.txt",
        "failed_3.txt",
    }
    assert [path.name for path in Path("outputs").iterdir()] == ["synthetic-sweep"]


@pytest.mark.parametrize("launcher", ["joblib", "submitit_local"])
def test_parallel_runs_of_different_names_report_to_the_folder_of_the_sweep(
    launcher: str, tmp_path: Path
) -> None:
    pytest.importorskip(f"hydra_plugins.hydra_{launcher.partition('_')[0]}_launcher")
    command = [sys.executable, "-m", "asr.train", f"hydra/launcher={launcher}"]
    finished = subprocess.run(
        [*command, "hparams=grid", "name=a,b", "model.hidden_size=-1"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        timeout=TIMEOUT,
    )
    folder = tmp_path / "outputs" / "synthetic-sweep"
    assert finished.returncode == 2
    assert {path.name for path in folder.glob("failed_*")} == {
        "failed_0.txt",
        "failed_1.txt",
    }
    assert [path.name for path in folder.parent.iterdir()] == ["synthetic-sweep"]


def test_the_command_line_of_a_run_has_its_folder_whatever_its_characters_are(
    tmp_path: Path, call: Call
) -> None:
    folder = tmp_path / "café, it's lr=1"
    quoted = str(folder).replace("'", "\\'")
    swept = ["hparams=grid", "seed=1,2", "model.hidden_size=-1"]
    assert call(train.main, *swept, f"dir='{quoted}'").code == 2
    assert {path.name for path in folder.glob("failed_*")} == {
        "failed_0.txt",
        "failed_1.txt",
    }
    assert compose("train", sys.argv[1:]).dir == f"{folder}/1"


def test_the_corpus_of_parallel_runs_is_prepared_before_they_start(tmp_path: Path) -> None:
    data = [f"data.root={tmp_path / 'data'}", "+data.recipe.hours=0.01"]

    def start(
        *settings: str, launcher: str, swept: str = "seed=1,2", **params: str
    ) -> None:
        cfg = compose("train", [*data, f"dir={tmp_path / 'sweep'}", *settings])
        launch = {"_target_": f"plugin.{launcher}Launcher"}
        hydra = {
            "launcher": launch,
            "overrides": {"hydra": [], "task": [*settings, swept]},
            "sweeper": {"params": params},
        }
        sweep.Sweep().on_multirun_start(OmegaConf.create({**cfg, "hydra": hydra}))

    start(launcher="Basic")
    start("optimizer.lr=-1", launcher="Joblib")  # each run reports the setting
    start(launcher="Joblib", swept="data=an4,librispeech")
    start(launcher="Joblib", swept="+data.recipe.seed=1,2")
    start(launcher="Joblib", experiment="an4")
    assert not (tmp_path / "data").exists()
    start(launcher="Joblib", swept="data.batch_seconds=20,40")
    assert (tmp_path / "data" / "manifests" / "synthetic" / "train.jsonl").is_file()


def test_an_error_of_a_launcher_gives_one_line_and_a_fault_of_the_program_passes() -> None:
    lost = type("TerminatedWorkerError", (RuntimeError,), {"__module__": "joblib.loky"})
    with pytest.raises(WorkerError, match="joblib: killed"), sweep.explain_lost_runs():
        raise lost("killed")
    with pytest.raises(ValueError, match="a fault"), sweep.explain_lost_runs():
        raise ValueError("a fault")


def test_a_missing_launcher_names_the_extra() -> None:
    with pytest.raises(ConfigError, match=r"run pip install 'asr\[sweep\]'"):
        compose("train", ["hydra/launcher=missing"])
