"""Runs that are interrupted, killed, and resumed."""

import errno
import json
import os
import random
import signal
import warnings
from pathlib import Path

import pytest
import torch
import yaml
from entry import Call, caller
from training_runs import SMALL, children, finish, logged, run, start, wait_for_line

from asr.data.dataset import Batch
from asr.data.manifest import Utterance, read_manifest, write_manifest
from asr.data.shards import write_shards
from asr.nn.ctc import CTCModel
from asr.train import main
from asr.training.module import CTCModule

QUICK = ["callbacks.plots=null", "logger=csv"]
EPOCHS = 4
STEPS = 12  # optimizer steps of an epoch, each of two batches
EXACTLY = [
    *QUICK,
    f"trainer.max_epochs={EPOCHS}",
    "data.batch_seconds=4",
    "data.workers=1",
    "trainer.accumulate_grad_batches=2",
    "trainer.log_every_n_steps=1",
    "augment.consistency=0.2",
    "callbacks=averaged",
    "callbacks.checkpoints.average=2",
    "callbacks.checkpoints.monitor=val/loss",
]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    return caller(monkeypatch, capsys)


@pytest.fixture(scope="module")
def uninterrupted(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a complete run."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    run(corpus, folder, *EXACTLY)
    assert list(logged(folder, "train/loss")) == [*range(EPOCHS * STEPS)]
    return folder


@pytest.fixture(scope="module")
def stores(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """Return the settings of runs over the same audio in files, in shards, and in a cache."""
    folder = tmp_path_factory.mktemp("shards")
    utterances = read_manifest(corpus / "manifests" / "synthetic" / "train.jsonl")
    sharded = write_shards(utterances, folder, "train", hours=0.002)[0]
    write_manifest(folder / "train.jsonl", sharded)
    return {
        "files": [],
        "shards": [f"data.train={folder / 'train.jsonl'}"],
        "cache": ["data.cache=pcm", f"data.cache_folder={folder}"],
    }


def stop_at(
    how: signal.Signals, step: int, validating: bool = False, times: int = 1
) -> str:
    """Return the setting that sends a signal to a run at a step, or in the validation after it."""
    target = f"_target_:stopper.Stop,how:{int(how)},step:{step}"
    return f"+callbacks.stopper={{{target},validating:{validating},times:{times}}}"


ANY = -1  # step


@pytest.mark.parametrize(
    ("how", "step", "validating", "store"),
    [
        (signal.SIGKILL, ANY, False, "files"),
        (signal.SIGKILL, ANY, False, "shards"),
        (signal.SIGKILL, ANY, False, "cache"),
        (signal.SIGINT, ANY, False, "files"),
        (signal.SIGINT, 2 * STEPS - 1, False, "files"),  # the last step of an epoch
        (signal.SIGINT, 2 * STEPS, False, "files"),  # the first step
        (signal.SIGINT, STEPS, True, "files"),
        (signal.SIGTERM, ANY, False, "files"),
        (signal.SIGTERM, STEPS, True, "files"),
        (signal.SIGKILL, 2 * STEPS, True, "files"),
    ],
)
def test_a_stopped_run_resumes_exactly(
    corpus: Path,
    uninterrupted: Path,
    stores: dict[str, list[str]],
    tmp_path: Path,
    how: signal.Signals,
    step: int,
    validating: bool,
    store: str,
) -> None:
    settings = [*EXACTLY, *stores[store]]
    step = random.randrange(STEPS + 1, EPOCHS * STEPS - 1) if step == ANY else step
    place = f"stopped at step {step}"
    process = start(corpus, tmp_path, *settings, stop_at(how, step, validating))
    output = finish(process)
    assert process.returncode == (-how if how == signal.SIGKILL else 130), output
    last = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=False)
    if how != signal.SIGKILL:
        assert (
            f"interrupted. Continue from the last checkpoint with resume=true dir={tmp_path}"
            in (output.splitlines()[-1])
        )
        assert last["global_step"] == step + (not validating), place
    run(corpus, tmp_path, "resume=true", *settings)
    for metric in ("train/loss", "val/wer", "val/loss"):
        expected, resumed = (
            {
                n: value
                for n, value in logged(folder, metric).items()
                if n >= last["global_step"]
            }
            for folder in (uninterrupted, tmp_path)
        )
        assert resumed == expected, place
    states = [
        torch.load(folder / "checkpoints" / "last.ckpt", weights_only=False)
        for folder in (uninterrupted, tmp_path)
    ]
    for name, tensor in states[0]["state_dict"].items():
        assert torch.equal(tensor, states[1]["state_dict"][name]), (name, place)
    files = [
        sorted(path.name for path in (folder / "checkpoints").iterdir())
        for folder in (uninterrupted, tmp_path)
    ]
    assert files[0] == files[1]
    assert len(files[0]) == 3
    models = [
        (folder / "model.safetensors").read_bytes() for folder in (uninterrupted, tmp_path)
    ]
    assert models[0] == models[1], place


def test_a_second_interrupt_stops_at_once(corpus: Path, tmp_path: Path) -> None:
    process = start(
        corpus, tmp_path, *EXACTLY, stop_at(signal.SIGINT, STEPS, validating=True, times=2)
    )
    output = finish(process)
    assert process.returncode == 130, output
    *_, note, last = output.splitlines()
    assert note.startswith("stopping after the validation of this epoch")
    assert last == f"asr.train: interrupted; {tmp_path} has no checkpoint yet"


def test_ctrl_c_leaves_a_checkpoint_and_prints_one_line_with_exit_code_130(
    corpus: Path, tmp_path: Path
) -> None:
    process = start(corpus, tmp_path, "data.workers=1", "trainer.max_epochs=1000")
    output = wait_for_line(process, "epoch 2/")
    os.kill(process.pid, signal.SIGINT)
    output += finish(process)
    assert process.returncode == 130, output
    assert "GPU available" not in output
    assert "Detected KeyboardInterrupt" not in output
    assert "Traceback" not in output
    assert "resume=true" in output.splitlines()[-1]
    checkpoint = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=False)
    assert checkpoint["global_step"] > 0


def test_ctrl_c_during_the_validation_of_the_average_keeps_the_run(
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
        "callbacks.checkpoints.average=2",
        "callbacks.checkpoints.monitor=val/loss",
    ]
    with monkeypatch.context() as patch:
        patch.setattr(CTCModule, "validation_step", interrupted)
        finished = call(main, *settings)
    assert finished.code == 130
    assert finished.complaint.endswith(f"with resume=true dir={tmp_path}")
    assert not (tmp_path / "model.safetensors").exists()
    resumed = call(main, *settings, "resume=true")
    assert resumed.code == 0
    assert "with the average of the 2 best checkpoints" in resumed.out
    assert (tmp_path / "model.safetensors").is_file()


def test_the_last_epoch_is_validated(corpus: Path, tmp_path: Path) -> None:
    settings = [*QUICK, "data.batch_seconds=4", "trainer.check_val_every_n_epoch=10"]
    in_last_epoch = 3 * STEPS
    with pytest.raises(KeyboardInterrupt):
        run(corpus, tmp_path, *settings, stop_at(signal.SIGTERM, in_last_epoch))
    assert not logged(tmp_path, "val/wer")
    run(corpus, tmp_path, *settings, "resume=true")
    assert list(logged(tmp_path, "val/wer")) == [4 * STEPS - 1]


@pytest.mark.parametrize(
    "device",
    [
        "cpu",
        pytest.param(
            "gpu",
            marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"),
        ),
    ],
)
def test_training_shows_no_irrelevant_warnings(
    corpus: Path, tmp_path: Path, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # the default on a machine with two cores hides one of the warnings
    connector = "lightning.pytorch.trainer.connectors.data_connector"
    monkeypatch.setattr(f"{connector}.suggested_max_num_workers", lambda _: 8)
    utterances = read_manifest(corpus / "manifests" / "synthetic" / "train.jsonl")[:6]
    broken = tmp_path / "broken.wav"
    broken.write_text("not audio")
    write_manifest(tmp_path / "m.jsonl", [*utterances, Utterance(broken, 4.0, "a")])
    settings = [
        *QUICK,
        f"data.train={tmp_path / 'm.jsonl'}",
        "data.batch_seconds=4",  # the broken recording is a batch of its own
        "trainer.max_epochs=3",
        "trainer.check_val_every_n_epoch=2",
        *(["trainer=ddp", "trainer.devices=1"] if device == "gpu" else []),
        f"trainer.accelerator={device}",
    ]
    folder = tmp_path / "run"
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        with pytest.raises(KeyboardInterrupt):
            run(corpus, folder, *settings, stop_at(signal.SIGTERM, 9))
        assert run(corpus, folder, *settings, "resume=true")["skipped"] == 1
    messages = {str(w.message) for w in shown if "lightning" in w.filename}
    messages |= {str(w.message) for w in shown if "AccumulateGrad" in str(w.message)}
    assert not messages


def test_a_killed_data_worker_ends_the_run_with_one_line(
    corpus: Path, tmp_path: Path
) -> None:
    process = start(corpus, tmp_path, "data.workers=1", "trainer.max_epochs=1000")
    wait_for_line(process, "epoch 2/")
    for pid in children(process):
        os.kill(pid, signal.SIGKILL)
    output = finish(process)
    assert process.returncode == 2, output
    assert "a data worker was killed" in output.splitlines()[-1]
    assert f"resume=true dir={tmp_path}" in output.splitlines()[-1]
    assert "Traceback" not in output


def test_a_full_disk_gets_one_line_and_the_last_checkpoint_stays_complete(
    corpus: Path, tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = [*SMALL, *QUICK, f"data.root={corpus}", f"dir={tmp_path}"]
    call(main, *settings, "trainer.max_epochs=1")
    last = tmp_path / "checkpoints" / "last.ckpt"
    complete = last.read_bytes()

    def write_half(checkpoint: object, path: Path, **_: object) -> None:
        Path(path).write_bytes(complete[: len(complete) // 2])
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr("lightning.fabric.plugins.io.torch_io._atomic_save", write_half)
    finished = call(main, *settings, "trainer.max_epochs=2", "resume=true")
    assert finished.code == 2
    assert "No space left on device" in finished.complaint
    assert last.read_bytes() == complete


def test_a_run_resumes_only_from_a_complete_checkpoint_of_the_same_model(
    corpus: Path, tmp_path: Path, call: Call
) -> None:
    settings = [*SMALL, *QUICK, f"data.root={corpus}", f"dir={tmp_path}"]
    call(main, *settings, "trainer.max_epochs=1")
    before = (tmp_path / "config.yaml").read_text()
    last = tmp_path / "checkpoints" / "last.ckpt"
    for changed, message in (
        ("model.hidden_size=20", f"model.hidden_size is 20, but 24 in {last}"),
        ("features.top_db=40", f"features.top_db is 40, but 60 in {last}"),
        ("tokenizer=manifest", f"the tokens differ from those in {last}"),
    ):
        finished = call(main, *settings, "trainer.max_epochs=2", "resume=true", changed)
        assert finished.code == 2
        assert message in finished.complaint
    last.write_bytes(last.read_bytes()[:-100])
    finished = call(main, *settings, "trainer.max_epochs=2", "resume=true")
    assert finished.code == 2
    assert "last.ckpt is damaged or from an older version" in finished.complaint
    assert (tmp_path / "config.yaml").read_text() == before


def test_a_moved_run_resumes_with_its_best_checkpoints(
    corpus: Path, tmp_path: Path
) -> None:
    settings = [*QUICK, "callbacks.checkpoints.average=2", "trainer.max_epochs=2"]
    run(corpus, tmp_path / "first", *settings)
    (tmp_path / "first").rename(tmp_path / "moved")
    summary = run(
        corpus, tmp_path / "moved", *settings, "trainer.max_epochs=3", "resume=true"
    )
    used = [Path(path) for path in summary["best_checkpoints"]]
    assert used
    assert {path.parent for path in used} == {tmp_path / "moved" / "checkpoints"}
    assert all(path.is_file() for path in used)
    assert len(list((tmp_path / "moved" / "checkpoints").glob("best*"))) == 2
    assert not (tmp_path / "first").exists()


def test_a_run_refuses_to_resume_with_another_optimizer(
    corpus: Path, tmp_path: Path, call: Call
) -> None:
    settings = [*SMALL, *QUICK, f"data.root={corpus}", f"dir={tmp_path}"]
    call(main, *settings, "trainer.max_epochs=1")
    before = (tmp_path / "config.yaml").read_text()
    finished = call(main, *settings, "resume=true", "optimizer.lr=0.5")
    assert finished.code == 2
    assert "optimizer.lr is 0.5, but 0.003 in" in finished.complaint
    assert "init=" in finished.complaint
    assert (tmp_path / "config.yaml").read_text() == before


def test_a_run_resumes_with_another_schedule_and_records_it(
    corpus: Path, tmp_path: Path
) -> None:
    run(corpus, tmp_path, *QUICK, "trainer.max_epochs=1")
    settings = ["trainer.max_epochs=2", "scheduler.end=0.5", "augment.speed=null"]
    run(corpus, tmp_path, *QUICK, *settings, "resume=true", "trainer.log_every_n_steps=1")
    saved = yaml.safe_load((tmp_path / "config.yaml").read_text())
    assert saved["scheduler"]["end"] == 0.5
    assert saved["augment"]["speed"] is None
    *_, last = logged(tmp_path, "train/lr").values()
    assert float(last) > 0.5 * saved["optimizer"]["lr"]


def test_a_folder_has_one_run_at_a_time(corpus: Path, tmp_path: Path, call: Call) -> None:
    settings = [*SMALL, f"data.root={corpus}", f"dir={tmp_path}", "trainer.max_epochs=1"]
    process = start(corpus, tmp_path, "trainer.max_epochs=1000", "data.workers=1")
    wait_for_line(process, "epoch 1/")
    try:
        for options in ([], ["resume=true"]):
            finished = call(main, *settings, *options)
            assert finished.code == 2
            assert "another run is using this folder" in finished.complaint
        assert process.poll() is None
    finally:
        os.kill(process.pid, signal.SIGKILL)  # its data worker lives on for a while
        process.wait()
    assert call(main, *settings, *QUICK).code == 0
    finish(process)


def test_a_run_that_resumes_with_other_data_prints_a_warning(
    corpus: Path, tmp_path: Path, call: Call
) -> None:
    settings = [
        *SMALL,
        *QUICK,
        f"data.root={corpus}",
        f"dir={tmp_path}",
        "trainer.max_epochs=1",
    ]
    call(main, *settings, "data.limit=6", "data.batch_seconds=20")
    for changed, message in (
        (["data.limit=6", "data.batch_seconds=20"], ""),
        (
            ["data.limit=7", "data.batch_seconds=12.5"],
            "had 6 utterances in batches of 20 s and now has 7 utterances in batches of 12.5 s",
        ),
    ):
        finished = call(main, *settings, "resume=true", *changed)
        assert finished.code == 0
        assert message in finished.out
        assert ("resume=true:" in finished.out) == bool(message)


def test_a_finished_run_keeps_its_scores_and_its_duration_when_resumed(
    corpus: Path, tmp_path: Path
) -> None:
    settings = ["trainer.max_epochs=1", *QUICK]
    first = run(corpus, tmp_path, *settings)
    unfinished = tmp_path / "checkpoints" / "last.ckpt.0123.partial"
    unfinished.write_bytes(b"half")
    again = run(corpus, tmp_path, *settings, "resume=true")
    assert not unfinished.exists()
    for name in ("val_wer", "final_val_wer", "final_val_cer", "epochs", "steps"):
        assert again[name] == first[name]
    assert again["seconds"] > first["seconds"] > 0


def test_the_model_is_the_moving_average_with_its_own_calibration(
    corpus: Path, tmp_path: Path
) -> None:
    plain, averaged = tmp_path / "plain", tmp_path / "averaged"
    run(corpus, plain)
    run(corpus, averaged, "callbacks=averaged", "callbacks.ema.decay=0.9")
    weights = [
        dict(CTCModel.load(folder / "model.safetensors").named_parameters())
        for folder in (plain, averaged)
    ]
    assert any(not torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    state = torch.load(averaged / "checkpoints" / "last.ckpt", weights_only=False)
    plain_state = torch.load(plain / "checkpoints" / "last.ckpt", weights_only=False)[
        "state_dict"
    ]
    current = state["current_model_state"]
    fitted = {"model.calibration_params", "model.boundary_params"}  # by validation
    assert all(
        torch.equal(tensor, plain_state[name])
        for name, tensor in current.items()
        if name not in fitted
    )
    assert all(torch.equal(state["state_dict"][name], current[name]) for name in fitted)


def test_training_starts_with_the_weights_of_a_trained_model(
    corpus: Path, trained: Path, tmp_path: Path, call: Call
) -> None:
    init = [
        *QUICK,
        f"data.root={corpus}",
        f"init={trained / 'model.safetensors'}",
        "data.limit=4",
        "data.workers=0",
        "trainer.max_epochs=1",
    ]
    frozen = ["optimizer.lr=1e-12", "optimizer.weight_decay=0"]
    finished = call(main, *init, *frozen, f"dir={tmp_path / 'same'}")
    assert finished.code == 0, finished.err
    old, new = (
        CTCModel.load(folder / "model.safetensors")
        for folder in (trained, tmp_path / "same")
    )
    for before, after in zip(old.parameters(), new.parameters(), strict=True):
        torch.testing.assert_close(after, before, atol=1e-6, rtol=0)
    config = json.loads((tmp_path / "same" / "summary.json").read_text())["config"]
    assert config["model"]["hidden_size"] == 24  # as in the trained model
    dropped = call(main, *init, "model.dropout=0.3", f"dir={tmp_path / 'dropped'}")
    assert dropped.code == 0, dropped.err
    assert (
        CTCModel.load(tmp_path / "dropped" / "model.safetensors").encoder.dropout.p == 0.3
    )


@pytest.mark.parametrize("override", ["model.hidden_size=7", "model=base"])
def test_settings_that_contradict_the_trained_model_are_refused(
    corpus: Path, trained: Path, tmp_path: Path, call: Call, override: str
) -> None:
    init = f"init={trained / 'model.safetensors'}"
    other = call(main, *QUICK, f"data.root={corpus}", init, override, f"dir={tmp_path}")
    assert other.code == 2
    assert "architecture" in other.complaint
    assert "Leave out model and features" in other.complaint
