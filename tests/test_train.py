"""Training as a user runs it: what it leaves, what it says, and that it can be stopped, killed and gone on with."""

import csv
import errno
import gc
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch
from entry import Call, caller
from matplotlib.figure import Figure

from asr.config import app as cli
from asr.data.dataset import Batch
from asr.data.manifest import read_manifest, write_manifest
from asr.data.shards import write_shards
from asr.evaluate import evaluate
from asr.inference.transcriber import Transcriber
from asr.nn.ctc import CTCModel
from asr.train import main, train
from asr.training.module import CTCModule

SMALL = [
    "model.hidden_size=24",
    "model.num_layers=1",
    "model.channels=4",
    "data.workers=0",
    "data.batch_seconds=20",
]
SMALL += ["trainer.accelerator=cpu"]  # where numbers are the same to the last bit


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    return caller(monkeypatch, capsys)


def run(corpus: Path, folder: Path, *overrides: str) -> dict:
    settings = [*SMALL, f"data.root={corpus}", f"dir={folder}", "trainer.max_epochs=2", *overrides]
    return train(cli.compose("train", settings))


def test_a_run_leaves_a_model_scores_logs_and_pictures(trained: Path) -> None:
    summary = json.loads((trained / "summary.json").read_text())
    assert {"val_wer", "seed", "commit", "versions", "hours", "seconds", "config"} <= set(summary)
    assert summary["hours"]["train"] > 0
    assert CTCModel.load(trained / "model.safetensors").scores["val_wer"] == summary["val_wer"]
    header, *rows = (trained / "csv" / "version_0" / "metrics.csv").read_text().splitlines()
    wanted = "train/loss val/wer val/cer train/lr train/grad_norm train/padding val/blank train/audio_seconds_per_second"
    assert set(wanted.split()) <= set(header.split(","))
    assert rows
    assert list((trained / "tensorboard").glob("events*"))
    assert (trained / "plots" / "0.png").read_bytes().startswith(b"\x89PNG")
    assert "heard" in (trained / "plots" / "utterances.txt").read_text()
    assert {"best.ckpt", "last.ckpt"} == {p.name for p in (trained / "checkpoints").iterdir()}


def test_the_same_seed_gives_the_same_weights_whatever_the_number_of_workers(
    corpus: Path, tmp_path: Path
) -> None:
    for name, workers in (("a", 0), ("b", 2)):
        run(
            corpus,
            tmp_path / name,
            f"data.workers={workers}",
            "trainer.max_epochs=1",
            "callbacks.plots=null",
        )
    first, second = (CTCModel.load(tmp_path / n / "model.safetensors").state_dict() for n in "ab")
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_a_search_for_garbage_leaves_alone_what_data_workers_share(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frozen = []
    monkeypatch.setattr(
        CTCModule, "on_train_start", lambda self: frozen.append(gc.get_freeze_count())
    )
    run(corpus, tmp_path, "trainer.max_epochs=1", "callbacks.plots=null", "data.limit=8")
    assert frozen[0] > 10_000  # modules and what they hold
    assert gc.get_freeze_count() == 0


def test_data_workers_are_forked_before_a_step_has_taken_memory(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    processes: dict[str, set[int]] = {}

    def noting(name: str) -> None:
        step = getattr(CTCModule, name)

        def noted(module: CTCModule, *arguments: object) -> object:
            processes.setdefault(name, {child.pid for child in psutil.Process().children()})
            return step(module, *arguments)

        monkeypatch.setattr(CTCModule, name, noted)

    noting("training_step")
    noting("validation_step")
    before = {child.pid for child in psutil.Process().children()}
    run(corpus, tmp_path, "trainer.max_epochs=1", "callbacks.plots=null", "data.workers=1")
    assert len(processes["training_step"] - before) == 2
    assert processes["validation_step"] == processes["training_step"]


def test_pictures_leave_nothing_in_memory(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alive = []

    def count(_: CTCModule) -> None:
        alive.append(sum(isinstance(thing, Figure) for thing in gc.get_objects()))

    monkeypatch.setattr(CTCModule, "on_train_epoch_start", count)
    run(corpus, tmp_path, "callbacks.plots.epochs=1")
    assert len(list((tmp_path / "plots").glob("*.png"))) > 0
    assert alive == [0, 0]


def test_an_earlier_run_is_moved_aside_and_not_lost(corpus: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.yaml").write_text("seed: 5\n")
    run(corpus, folder, "trainer.max_epochs=1", "callbacks.plots=null")
    assert (tmp_path / "run-1" / "config.yaml").read_text() == "seed: 5\n"


@pytest.mark.parametrize("cell", ["lstm", "rnn"])
def test_other_cells_and_corpus_statistics_train(corpus: Path, tmp_path: Path, cell: str) -> None:
    settings = [
        f"model.cell={cell}",
        "features.normalize=corpus",
        "scheduler=warmup_cosine",
        "tokenizer=manifest",
    ]
    run(corpus, tmp_path, *settings, "trainer.max_epochs=1", "callbacks.plots=null", "logger=csv")
    model = CTCModel.load(tmp_path / "model.safetensors")
    assert model.features.cmvn_mean.abs().sum() > 0


def test_a_few_utterances_are_learnt_by_heart(corpus: Path, tmp_path: Path) -> None:
    settings = [
        "experiment=overfit",
        f"data.root={corpus}",
        f"dir={tmp_path}",
        "data.limit=6",
        "model.num_layers=1",
    ]
    settings += ["trainer.accelerator=cpu"]
    summary = train(cli.compose("train", settings))
    assert summary["final_val_wer"] == 0
    utterance = read_manifest(corpus / "manifests" / "synthetic" / "train.jsonl")[0]
    assert (
        Transcriber.load(tmp_path / "model.safetensors").transcribe(utterance.audio).text
        == utterance.text
    )


@pytest.mark.parametrize(
    "settings",
    [
        ["trainer.max_epochs=3", "trainer.check_val_every_n_epoch=2"],
        [
            "trainer.max_epochs=1",
            "trainer.check_val_every_n_epoch=10",
            "callbacks.checkpoints=null",
        ],
        [
            "trainer.max_time=00:00:00:01",
            "trainer.check_val_every_n_epoch=1000",
            "trainer.max_epochs=10000",
        ],
    ],
)
def test_the_weights_that_a_run_ends_with_are_those_that_its_score_is_of(
    settings: list[str], corpus: Path, tmp_path: Path
) -> None:
    summary = run(
        corpus, tmp_path, *settings, "callbacks.plots=null", "callbacks.stop=null", "data.limit=8"
    )
    data = [
        f"data.root={corpus}",
        "data.limit=8",
        f"dir={tmp_path / 'evaluation'}",
        "split=validation",
    ]
    found = evaluate(
        cli.compose("evaluate", [*data, f"checkpoint={tmp_path / 'model.safetensors'}"])
    )
    assert summary["val_wer"] == pytest.approx(found["wer"])
    assert summary["val_wer"] > 0.5  # so soon


def test_what_cannot_be_read_or_learnt_is_counted_and_named(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    utterances = read_manifest(corpus / "manifests" / "synthetic" / "train.jsonl")[:8]
    broken = tmp_path / "broken.flac"
    broken.write_bytes(utterances[0].audio.read_bytes()[:3000])
    crowded = type(utterances[1])(
        utterances[1].audio, 0.5, "far too many words for half a second of speech"
    )
    write_manifest(
        tmp_path / "m.jsonl", [*utterances, type(crowded)(broken, 1.0, "cut off"), crowded]
    )
    folder = tmp_path / "run"
    summary = run(corpus, folder, f"data.train={tmp_path / 'm.jsonl'}", "callbacks.plots=null")
    assert summary["skipped"] == 1
    assert "broken.flac" in (folder / "skipped.txt").read_text()
    assert summary["left_out"]["train"] == 1
    assert "too short for its transcript" in (folder / "left_out_train.txt").read_text()
    assert "left out: 1 too short" in capsys.readouterr().out


def _start(corpus: Path, folder: Path, *overrides: str) -> subprocess.Popen[str]:
    settings = [
        *SMALL,
        f"data.root={corpus}",
        f"dir={folder}",
        "data.workers=1",
        *overrides,
        "callbacks.plots=null",
    ]
    command = [sys.executable, "-m", "asr.train", *settings]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
        start_new_session=True,
        preexec_fn=lambda: signal.signal(
            signal.SIGINT, signal.SIG_DFL
        ),  # ignored where the tests run in the background
    )


def _wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    for _ in range(1200):
        if path.exists() or process.poll() is not None:
            break
        time.sleep(0.1)
    assert path.exists(), process.communicate()[0]


EPOCHS = 4
STEPS = 12  # of an epoch, each of two batches
EXACTLY = [
    f"trainer.max_epochs={EPOCHS}",
    "logger=csv",
    "data.batch_seconds=4",
    "trainer.accumulate_grad_batches=2",
]
EXACTLY += ["trainer.log_every_n_steps=1", "augment.consistency=0.2", "callbacks=averaged"]
EXACTLY += ["callbacks.checkpoints.average=2", "callbacks.checkpoints.monitor=val/loss"]


def _logged(folder: Path, kind: str) -> dict[int, str]:
    """What the logs of a run, and of its continuation, hold of each step; the later one counts."""
    found = {}
    for path in sorted(folder.glob("csv/**/metrics.csv"), key=lambda path: path.stat().st_mtime):
        with path.open() as file:
            found |= {int(row["step"]): row[kind] for row in csv.DictReader(file) if row.get(kind)}
    return found


@pytest.fixture(scope="module")
def uninterrupted(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("uninterrupted")
    run(corpus, folder, "data.workers=1", *EXACTLY, "callbacks.plots=null")
    assert list(_logged(folder, "train/loss")) == [*range(EPOCHS * STEPS)]
    return folder


def test_a_data_worker_that_is_killed_ends_the_run_with_a_line(
    corpus: Path, tmp_path: Path
) -> None:
    process = _start(corpus, tmp_path, "trainer.max_epochs=1000")
    _wait_for(tmp_path / "checkpoints" / "last.ckpt", process)
    for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
        if b"asr.train" in Path(f"/proc/{pid}/cmdline").read_bytes():
            os.kill(int(pid), signal.SIGKILL)
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 2, output
    assert "a data worker was killed" in output.splitlines()[-1]
    assert "Traceback" not in output


def test_memory_that_runs_out_gets_one_line_with_the_batch_and_the_setting(
    corpus: Path, tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    def step(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(CTCModule, "training_step", step)
    finished = call(main, *SMALL, f"data.root={corpus}", f"dir={tmp_path}")
    assert finished.code == 2
    assert re.search(
        r"ran out in a batch of \d+ utterances of up to \d+\.\d s; lower data.batch_seconds",
        finished.complaint,
    )


@pytest.fixture(scope="module")
def stores(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What to set for a run over the same audio as files, in shards, and decoded."""
    folder = tmp_path_factory.mktemp("shards")
    utterances = read_manifest(corpus / "manifests" / "synthetic" / "train.jsonl")
    write_manifest(
        folder / "train.jsonl", write_shards(utterances, folder, "train", hours=0.002)[0]
    )
    return {
        "files": [],
        "shards": [f"data.train={folder / 'train.jsonl'}"],
        "cache": ["data.cache=pcm", f"data.cache_folder={folder}"],
    }


ANY = -1  # step


@pytest.mark.parametrize(
    ("how", "step", "validating", "store"),
    [
        (signal.SIGKILL, ANY, False, "files"),
        (signal.SIGKILL, ANY, False, "shards"),
        (signal.SIGKILL, ANY, False, "cache"),
        (signal.SIGINT, ANY, False, "files"),
        (signal.SIGINT, 2 * STEPS - 1, False, "files"),  # the last one of an epoch
        (signal.SIGINT, 2 * STEPS, False, "files"),  # the first one
        (signal.SIGINT, STEPS, True, "files"),
        (signal.SIGTERM, ANY, False, "files"),
        (signal.SIGTERM, STEPS, True, "files"),
        (signal.SIGKILL, 2 * STEPS, True, "files"),
    ],
)
def test_a_run_that_was_stopped_goes_on_as_if_nothing_had_been(
    corpus: Path,
    uninterrupted: Path,
    stores: dict[str, list[str]],
    tmp_path: Path,
    how: signal.Signals,
    step: int,
    validating: bool,
    store: str,
) -> None:
    exactly = [*EXACTLY, *stores[store]]
    step = random.randrange(STEPS + 1, EPOCHS * STEPS - 1) if step == ANY else step
    where = f"stopped at step {step}"
    stop = f"{{_target_:stopper.Stop,how:{int(how)},step:{step},validating:{validating}}}"
    process = _start(corpus, tmp_path, *exactly, f"+callbacks.stopper={stop}")
    said = process.communicate(timeout=120)[0]
    assert process.returncode == (-how if how == signal.SIGKILL else 130), said
    reached = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=False)["global_step"]
    if how != signal.SIGKILL:
        assert (
            f"{tmp_path} keeps what was learnt, resume=true dir={tmp_path} goes on"
            in said.splitlines()[-1]
        )
        assert reached == step + (not validating), where
    run(corpus, tmp_path, "resume=true", "data.workers=1", *exactly, "callbacks.plots=null")
    for kind in ("train/loss", "val/wer", "val/loss"):
        expected, found = _logged(uninterrupted, kind), _logged(tmp_path, kind)
        assert {at: value for at, value in found.items() if at >= reached} == {
            at: value for at, value in expected.items() if at >= reached
        }, where
    states = [
        torch.load(folder / "checkpoints" / "last.ckpt", weights_only=False)
        for folder in (uninterrupted, tmp_path)
    ]
    for name, tensor in states[0]["state_dict"].items():
        assert torch.equal(tensor, states[1]["state_dict"][name]), (name, where)
    files = [
        sorted(path.name for path in (folder / "checkpoints").iterdir())
        for folder in (uninterrupted, tmp_path)
    ]
    assert files[0] == files[1]
    assert len(files[0]) == 3
    models = [(folder / "model.safetensors").read_bytes() for folder in (uninterrupted, tmp_path)]
    assert models[0] == models[1], where


def test_interrupting_twice_does_not_wait_and_leaves_the_last_checkpoint_as_it_is(
    corpus: Path, tmp_path: Path
) -> None:
    """An epoch that is nearly over can still be long."""
    stop = (
        f"{{_target_:stopper.Stop,how:{int(signal.SIGINT)},step:{STEPS},validating:true,times:2}}"
    )
    process = _start(corpus, tmp_path, *EXACTLY, f"+callbacks.stopper={stop}")
    said = process.communicate(timeout=120)[0]
    assert process.returncode == 130, said
    *_, note, last = said.splitlines()
    assert note.startswith("stopping when this epoch is validated")
    assert last == f"asr.train: interrupted; {tmp_path} keeps nothing yet"


def test_the_model_is_the_moving_average_of_the_weights_with_the_calibration_of_that(
    corpus: Path, tmp_path: Path
) -> None:
    alone, averaged = tmp_path / "alone", tmp_path / "averaged"
    run(corpus, alone)
    run(corpus, averaged, "callbacks=averaged", "callbacks.ema.decay=0.9")
    weights = [
        dict(CTCModel.load(folder / "model.safetensors").named_parameters())
        for folder in (alone, averaged)
    ]
    assert any(not torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    state = torch.load(averaged / "checkpoints" / "last.ckpt", weights_only=False)
    kept = torch.load(alone / "checkpoints" / "last.ckpt", weights_only=False)["state_dict"]
    current = state["current_model_state"]
    found = {"model.calibration_params", "model.boundary_params"}  # by validation
    assert all(
        torch.equal(tensor, kept[name]) for name, tensor in current.items() if name not in found
    )
    assert all(torch.equal(state["state_dict"][name], current[name]) for name in found)


def test_ctrl_c_while_the_mean_of_the_best_is_validated_keeps_the_run(
    corpus: Path, tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = CTCModule.validation_step

    def interrupted(module: CTCModule, batch: Batch, index: int) -> None:
        if not module.trainer.callbacks:  # training is over
            raise KeyboardInterrupt
        step(module, batch, index)

    settings = [
        *SMALL,
        f"data.root={corpus}",
        f"dir={tmp_path}",
        "trainer.max_epochs=2",
        "callbacks.plots=null",
    ]
    settings += ["callbacks.checkpoints.average=2", "callbacks.checkpoints.monitor=val/loss"]
    with monkeypatch.context() as patch:
        patch.setattr(CTCModule, "validation_step", interrupted)
        finished = call(main, *settings)
    assert finished.code == 130
    assert finished.complaint.endswith(
        f"{tmp_path} keeps what was learnt, resume=true dir={tmp_path} goes on"
    )
    assert not (tmp_path / "model.safetensors").exists()
    again = call(main, *settings, "resume=true")
    assert again.code == 0
    assert "with the mean of the 2 best checkpoints" in again.out
    assert (tmp_path / "model.safetensors").is_file()


def test_ctrl_c_ends_a_run_with_a_checkpoint_one_line_and_code_130(
    corpus: Path, tmp_path: Path
) -> None:
    process = _start(corpus, tmp_path, "trainer.max_epochs=1000")
    checkpoint = tmp_path / "checkpoints" / "last.ckpt"
    _wait_for(checkpoint, process)
    os.kill(process.pid, signal.SIGINT)
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 130, output
    assert "Traceback" not in output
    assert "resume=true" in output.splitlines()[-1]
    assert torch.load(checkpoint, weights_only=False)["global_step"] > 0


def test_a_run_begins_with_the_weights_of_a_trained_model(
    corpus: Path, trained: Path, tmp_path: Path, call: Call
) -> None:
    begin = [
        f"data.root={corpus}",
        f"init={trained / 'model.safetensors'}",
        "data.limit=4",
        "data.workers=0",
    ]
    begin += ["trainer.max_epochs=1", "callbacks.plots=null", "logger=csv"]
    settings = json.loads((trained / "summary.json").read_text())["config"]["model"]
    same = [f"model.{name}={value}" for name, value in settings.items() if name != "_target_"]
    finished = call(
        main,
        *begin,
        *same,
        "optimizer.lr=1e-12",
        "optimizer.weight_decay=0",
        f"dir={tmp_path / 'same'}",
    )
    assert finished.code == 0, finished.err
    old, new = (
        CTCModel.load(folder / "model.safetensors") for folder in (trained, tmp_path / "same")
    )
    for before, after in zip(old.parameters(), new.parameters(), strict=True):
        torch.testing.assert_close(after, before, atol=1e-6, rtol=0)
    other = call(main, *begin, *same, "model.hidden_size=7", f"dir={tmp_path / 'other'}")
    assert other.code == 2
    assert "another architecture" in other.complaint


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["data.batch_second=3"], "did you mean data.batch_seconds?"),
        (["nothing"], "nothing: no setting; one is given as KEY=VALUE"),
        (["modle=tiny"], "did you mean model?"),
        (["modle.hidden_size=3"], "did you mean model.hidden_size?"),
        (["lr=1e-3"], "did you mean optimizer.lr?"),
        (["data.lr=1e-3"], "did you mean optimizer.lr?"),
        (["epochs=3"], "did you mean callbacks.plots.epochs or trainer.max_epochs?"),
        (
            ["trainer.limit_train_batches=3"],
            "no setting 'trainer.limit_train_batches' as yet; +trainer.limit_train_batches=... adds it",
        ),
        (
            ["+trainer.val_check_interval=100"],
            "trainer: `val_check_interval` (100) must be less than or equal",
        ),
        (
            ["+trainer.overfit_batches=2"],
            "trainer.overfit_batches is not for batches of like length",
        ),
        (
            ["trainer.precision=16-true"],
            "trainer.precision is 16-true; it can be 32-true, bf16-mixed or 16-mixed",
        ),
        (
            ["experiment=demo", "augment.spec.time_width=3"],
            "augment.spec as chosen here has no such setting, or is null",
        ),
        (["model=null"], "a group, as model or experiment, is one of its options, not null"),
        (["model=tinny"], "Available options in 'model': base large small tiny"),
        (["+speed=3"], "nothing reads this setting"),
        (["resume=no"], "resume is 'no'; it must be true or false"),
        (
            ["name=2026_11_26"],
            "name is 20261126; it must be text; what looks like a number takes quotes in quotes",
        ),
        (["data.train=[7]"], "data.train is 7; it must be text"),
        (["data.min_seconds=[]"], "data.min_seconds is []; it must be a number"),
        (
            ["tokenizer=bpe", "tokenizer.size=many"],
            "tokenizer.size is 'many'; it must be at least 1",
        ),
        (["scheduler.end={a:1}"], "scheduler.end is {'a': 1}; it must be at least 0"),
        (["callbacks.stop.monitor=null"], "callbacks: None is no score of validation"),
        (["model.dropout=1.5"], "model.dropout is 1.5; it must be at least 0 and at most 1"),
        (["data.cache_folder=null"], "data.cache_folder is None; it must be text"),
        (["init=7"], "init is 7; it must be text"),
        (
            ["augment.noise=true"],
            "augment.noise is True; it is a group of settings, or null for none of it",
        ),
        (
            ["+trainer.limit_val_batches=0"],
            "trainer.limit_val_batches is 0; a run is judged by its validation",
        ),
        (
            ["callbacks.stop=true"],
            "callbacks.stop is True; it is a group of settings, or null for none of it",
        ),
        (["logger.csv=7"], "logger.csv is 7; it is a group of settings, or null for none of it"),
        (
            ["logger.csv.name=2026"],
            "logger.csv.name is 2026; it must be text; what looks like a number takes quotes",
        ),
        (["model.intermediate=2"], "model.intermediate is 2; it must be a list of numbers"),
        (["+data.batch_second=3"], "did you mean batch_seconds?"),
        (
            ["+augment.noize.probability=1"],
            "augment.noize: nothing reads this setting; did you mean noise?",
        ),
        (["model.cell=gro"], "cell is 'gro'; it must be one of gru, lstm, rnn"),
        (["+model.depth=3"], "unexpected keyword argument 'depth'"),
        (["data.batch_seconds=0"], "it must be above 0"),
        (["data.batch_seconds=nan"], "data.batch_seconds is nan; it must be above 0"),
        (["data.limit=-1"], "data.limit is -1; it must be at least 1"),
        (["data.workers=-1"], "data.workers is -1; it must be at least 0"),
        (["seed=-1"], "seed is -1; it must be at least 0"),
        (["trainer.max_epochs=0"], "trainer.max_epochs is 0; it must be at least 1"),
        (
            ["trainer.accumulate_grad_batches=0"],
            "trainer.accumulate_grad_batches is 0; it must be at least 1",
        ),
        (["model.channels=0"], "model.channels is 0; it must be at least 1"),
        (["features.hop_ms=0"], "features.hop_ms is 0; it must be at least 0.0625"),
        (
            ["callbacks.stop.monitor=val/x"],
            "callbacks: 'val/x' is no score of validation; it can be val/wer, val/cer",
        ),
        (["callbacks.plots.epochs=0"], "callbacks.plots.epochs is 0; it must be at least 1"),
        (["data.workers=1.5"], "data.workers is 1.5; it must be a whole number"),
        (["trainer.max_epochs=1.5"], "trainer.max_epochs is 1.5; it must be a whole number"),
        (["augment.consistency=-1"], "augment.consistency is -1; it must be at least 0"),
        (["augment.spec.time_masks=-1"], "augment.spec.time_masks is -1; it must be at least 0"),
        (["optimizer.lr=-1"], "optimizer, scheduler: Invalid learning rate: -1"),
        (["scheduler.warmup=2"], "scheduler.warmup is 2; it must be at least 0 and at most 1"),
        (["data=an4", "data.root=nowhere"], "no such manifest"),
        (["data.train=[]"], "no manifest is named"),
        (["data.cache=zip"], "data.cache is zip; it can be pcm"),
        (["data.min_seconds=500"], "no training utterance is left"),
        (["resume=true"], "there is no checkpoint"),
        (["init=nowhere.safetensors"], "nowhere.safetensors: no such model"),
        (
            ["trainer.accelerator=cpu", "+trainer.speed=1"],
            "trainer: Trainer.__init__() got an unexpected keyword argument 'speed'",
        ),
        (["optimizer._partial_=x"], "optimizer: Instantiation: _partial_ flag must be a bool"),
        (
            ["augment.spec=null", "+augment.spec.time_masks=1"],
            "augment.spec has no _target_, a class to build it of",
        ),
        (["callbacks.stop._target_=Stop"], "callbacks.stop: Error loading 'Stop'"),
        (
            ["optimizer._target_=torch.optim.NAdam"],
            "unexpected keyword argument 'fused'; ~optimizer.KEY leaves a key out",
        ),
    ],
)
def test_bad_settings_get_one_line_and_exit_code_2(
    corpus: Path, tmp_path: Path, call: Call, arguments: list[str], said: str
) -> None:
    finished = call(main, f"data.root={corpus}", f"dir={tmp_path}", *arguments)
    assert finished.code == 2
    assert said in finished.complaint


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["{"], "line 1: not JSON"),
        (
            ['{"audio_filepath": "a.wav", "duration": 1, "text": "a"}', '{"text": "b"}'],
            "line 2: lacks audio_filepath",
        ),
        ([], "the manifest is empty"),
        (['{"audio_filepath": "a.wav", "duration": -1, "text": "a"}'], "duration must be above 0"),
        (
            ['{"audio_filepath": "a.wav", "duration": 2, "text": "naïve"}'],
            "a.wav: the transcript has 'ï'",
        ),
    ],
)
def test_bad_manifests_get_one_line_with_the_line_number(
    corpus: Path, tmp_path: Path, call: Call, lines: list[str], said: str
) -> None:
    manifest = tmp_path / "m.jsonl"
    manifest.write_text("\n".join(lines), encoding="utf-8")
    finished = call(
        main, f"data.root={corpus}", f"dir={tmp_path / 'run'}", f"data.train={manifest}"
    )
    assert finished.code == 2
    assert said in finished.complaint


@pytest.mark.parametrize(
    ("part", "asked", "said"),
    [
        ("train", ["data.on_error=raise"], "PATH: not a recording that can be read"),
        (
            "train",
            ["data.on_error=raise", "data.workers=1"],
            "PATH: not a recording that can be read",
        ),
        ("train", [], "not one training utterance could be read; the first: PATH: not a recording"),
        (
            "validation",
            [],
            "not one validation utterance could be read; the first: PATH: not a recording",
        ),
    ],
)
def test_unreadable_files_stop_the_run_where_asked_to_and_where_nothing_else_is_left(
    corpus: Path, tmp_path: Path, call: Call, part: str, asked: list[str], said: str
) -> None:
    (tmp_path / "a.wav").write_text("not audio")
    (tmp_path / "m.jsonl").write_text('{"audio_filepath": "a.wav", "duration": 2, "text": "a"}\n')
    settings = [
        *SMALL,
        f"data.root={corpus}",
        f"dir={tmp_path / 'run'}",
        f"data.{part}={tmp_path / 'm.jsonl'}",
    ]
    finished = call(main, *settings, *asked, "callbacks.plots=null")
    assert finished.code == 2
    assert finished.complaint.startswith(
        "asr.train: " + said.replace("PATH", str(tmp_path / "a.wav"))
    )
    assert "\n" not in finished.complaint.strip()


def test_a_full_disk_gets_one_line_and_the_last_checkpoint_stays_whole(
    corpus: Path, tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = [
        *SMALL,
        f"data.root={corpus}",
        f"dir={tmp_path}",
        "callbacks.plots=null",
        "logger=csv",
    ]
    call(main, *settings, "trainer.max_epochs=1")
    last = tmp_path / "checkpoints" / "last.ckpt"
    whole = last.read_bytes()

    def half(checkpoint: object, path: Path, **_: object) -> None:
        Path(path).write_bytes(whole[: len(whole) // 2])
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr("lightning.fabric.plugins.io.torch_io._atomic_save", half)
    finished = call(main, *settings, "trainer.max_epochs=2", "resume=true")
    assert finished.code == 2
    assert "No space left on device; free some room" in finished.complaint
    assert last.read_bytes() == whole


def test_only_a_whole_checkpoint_of_the_same_model_is_gone_on_with(
    corpus: Path, tmp_path: Path, call: Call
) -> None:
    settings = [
        *SMALL,
        f"data.root={corpus}",
        f"dir={tmp_path}",
        "callbacks.plots=null",
        "logger=csv",
    ]
    call(main, *settings, "trainer.max_epochs=1")
    before = (tmp_path / "config.yaml").read_text()
    for changed, said in (
        (["model.hidden_size=20"], "resume=true: model.hidden_size is 24 in"),
        (["features.top_db=40"], "resume=true: features.top_db is None in"),
        (["tokenizer=manifest"], "resume=true: the tokens are others in"),
    ):
        finished = call(main, *settings, "trainer.max_epochs=2", "resume=true", *changed)
        assert finished.code == 2
        assert said in finished.complaint
    last = tmp_path / "checkpoints" / "last.ckpt"
    last.write_bytes(last.read_bytes()[:-100])
    finished = call(main, *settings, "trainer.max_epochs=2", "resume=true")
    assert finished.code == 2
    assert "last.ckpt: damaged, or of an older version" in finished.complaint
    assert (tmp_path / "config.yaml").read_text() == before


def test_a_run_that_goes_on_with_other_data_says_so(
    corpus: Path, tmp_path: Path, call: Call
) -> None:
    settings = [
        *SMALL,
        f"data.root={corpus}",
        f"dir={tmp_path}",
        "callbacks.plots=null",
        "logger=csv",
    ]
    call(main, *settings, "trainer.max_epochs=1", "data.limit=6", "data.batch_seconds=20")
    for changed, said in (
        (["data.limit=6", "data.batch_seconds=20"], ""),
        (
            ["data.limit=7", "data.batch_seconds=12.5"],
            "had 6 utterances in batches of 20 s and has 7 utterances in",
        ),
    ):
        finished = call(main, *settings, "trainer.max_epochs=1", "resume=true", *changed)
        assert finished.code == 0
        assert said in finished.out
        assert ("resume=true:" in finished.out) == bool(said)


def test_a_run_that_had_ended_keeps_its_scores_and_its_time(corpus: Path, tmp_path: Path) -> None:
    settings = ["trainer.max_epochs=1", "callbacks.plots=null", "logger=csv"]
    first = run(corpus, tmp_path, *settings)
    unfinished = tmp_path / "checkpoints" / "last.ckpt.0123.partial"
    unfinished.write_bytes(b"half")
    again = run(corpus, tmp_path, *settings, "resume=true")
    assert not unfinished.exists()
    for name in ("val_wer", "final_val_wer", "final_val_cer", "epochs", "steps"):
        assert again[name] == first[name]
    assert again["seconds"] > first["seconds"] > 0


def test_a_folder_that_cannot_be_written_gets_one_line(
    corpus: Path, tmp_path: Path, call: Call
) -> None:
    (tmp_path / "file").touch()
    finished = call(main, *SMALL, f"data.root={corpus}", f"dir={tmp_path / 'file' / 'run'}")
    assert finished.code == 2
    assert "give another dir=" in finished.complaint


def test_verbose_shows_the_traceback(corpus: Path, tmp_path: Path, call: Call) -> None:
    finished = call(main, "-v", f"data.root={corpus}", f"dir={tmp_path}", "data.batch_seconds=0")
    assert finished.code == 2
    assert "Traceback" in finished.err


def test_a_model_that_writes_pieces_is_trained_kept_and_read_again(
    corpus: Path, tmp_path: Path
) -> None:
    run(corpus, tmp_path, "tokenizer=bpe", "tokenizer.size=60", "trainer.max_epochs=1")
    model = CTCModel.load(tmp_path / "model.safetensors")
    assert len(model.tokenizer) == model.head.out_features == 60
    assert not model.tokenizer.spells
    recording = read_manifest(corpus / "manifests" / "synthetic" / "validation.jsonl")[0]
    assert isinstance(Transcriber(model).transcribe(recording.audio).text, str)
