"""Commands on systems without fork, SIGCHLD, and UTF-8, simulated where possible."""

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from asr.audio.remote import is_url
from asr.config.alignment import _label_requests
from asr.data.manifest import Utterance, write_manifest
from asr.errors import ConfigError
from asr.inference.timeline import AlignmentRequest
from asr.nn.ctc import CTCModel
from asr.text import Tokenizer
from asr.training import run_folder

ROOT = Path(__file__).parents[1]

# A system like Windows. Spawned processes import it again.
WITHOUT = """
import multiprocessing, os, signal, sys, types
import torch.utils.data._utils.signal_handling as torch_signals
torch_signals.IS_WINDOWS = True
for module, name in ((signal, "SIGCHLD"), (os, "fork"), (os, "sched_getaffinity")):
    if hasattr(module, name):
        delattr(module, name)
locking = types.SimpleNamespace(locking=lambda *_: None, LK_NBLCK=2)
sys.modules.setdefault("msvcrt", locking)
sys.modules["fcntl"] = None
if __name__ == "__main__":
    multiprocessing.set_start_method("spawn")
    from asr.train import main
    main()
"""


def run_python(*arguments: object, **variables: str) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    environment = {name: value for name, value in environment.items() if value}
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True)


def test_a_training_needs_neither_fork_nor_sigchld_nor_utf_8(
    utterances: list[Utterance], tmp_path: Path
) -> None:
    for split in ("train", "validation"):
        write_manifest(tmp_path / "manifests" / "mine" / f"{split}.jsonl", utterances)
    script = tmp_path / "train.py"
    script.write_text(WITHOUT, encoding="utf-8")
    finished = run_python(
        script,
        f"data.root={tmp_path}",
        "data.name=mine",
        "data.recipe=null",
        "data.workers=1",
        "data.batch_seconds=2",
        f"dir='{tmp_path / 'запуск'}'",
        "trainer.accelerator=cpu",
        "trainer.max_epochs=2",
        "model.hidden_size=8",
        "model.channels=2",
        "callbacks.plots=null",
        "logger=csv",
        PYTHONIOENCODING="cp1252",
        LC_ALL="C",
    )
    assert finished.returncode == 0, finished.stderr.decode()
    assert "запуск" in finished.stdout.decode("utf-8")
    assert not finished.stderr
    assert CTCModel.load(tmp_path / "запуск" / "model.safetensors")


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_output_is_utf_8_whatever_the_console_uses(
    build: Callable[..., CTCModel],
    recording: Callable[..., Path],
    tmp_path: Path,
    encoding: str,
) -> None:
    model = build(tokenizer=Tokenizer((" ", *"абвгдежзик")))
    model.save(tmp_path / "model.safetensors")
    names = [recording("речь.wav", 0.5).name, "нет.wav"]
    finished = run_python(
        *("-m", "asr.transcribe", *(tmp_path / name for name in names), "format=json"),
        f"checkpoint={tmp_path / 'model.safetensors'}",
        PYTHONIOENCODING=encoding,
    )
    assert finished.returncode == 2
    assert Path(json.loads(finished.stdout.decode("utf-8"))["file"]).name == "речь.wav"
    (line,) = finished.stderr.decode("utf-8").splitlines()
    assert "нет.wav" in line


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have Unicode names")
def test_a_name_that_is_not_utf_8_is_printed_with_an_escape(
    build: Callable[..., CTCModel], recording: Callable[..., Path], tmp_path: Path
) -> None:
    build().save(tmp_path / "model.safetensors")
    path = os.fsencode(tmp_path) + b"/\xff.wav"
    os.rename(recording("a.wav", 0.5), path)  # noqa: PTH104
    settings = [f"checkpoint={tmp_path / 'model.safetensors'}", "format=json"]
    finished = run_python("-m", "asr.transcribe", os.fsdecode(path), *settings)
    assert finished.returncode == 0, finished.stderr
    assert os.fsencode(json.loads(finished.stdout)["file"]) == path


def test_a_windows_lock_refuses_the_second_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked: list[int] = []

    def locking(descriptor: int, mode: int, size: int) -> None:
        if locked:
            raise PermissionError(errno.EACCES, "Permission denied")
        locked.append(size)

    monkeypatch.setattr(run_folder, "fcntl", None)
    windows = SimpleNamespace(locking=locking, LK_NBLCK=2)
    monkeypatch.setattr(run_folder, "msvcrt", windows, raising=False)
    with (
        run_folder.hold_folder(tmp_path),
        pytest.raises(ConfigError, match="another run is using this folder"),
        run_folder.hold_folder(tmp_path),
    ):
        pass
    assert locked == [1]


def test_a_drive_letter_is_not_the_protocol_of_a_url() -> None:
    assert not any(map(is_url, ("C:/a.wav", "C:\\a.wav", "C://a.wav", "a/b://c", "a.wav")))
    assert all(map(is_url, ("s3://a/b.wav", "https://a/b", "simplecache::https://a/b")))


def test_recordings_on_several_drives_are_labeled_by_their_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def commonpath(*_: object) -> str:
        raise ValueError("Paths don't have the same drive")

    monkeypatch.setattr("os.path.commonpath", commonpath)
    requests = [AlignmentRequest(name, Path(name), "") for name in ("c/a.wav", "d/b.wav")]
    requests.append(AlignmentRequest("-", b"", ""))
    assert _label_requests(requests) == ["a", "b", "stdin"]
