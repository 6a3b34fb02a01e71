"""Prepare the folder of a run and check that a run can resume in it."""

import errno
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from textwrap import shorten
from typing import Any

import torch
import yaml  # type: ignore[import-untyped]

try:
    import fcntl
except ImportError:  # Windows
    import msvcrt

    fcntl = None  # type: ignore[assignment]

from asr.errors import ConfigError, ModelError
from asr.nn.ctc import CTCModel

LOCK = ".lock"  # file in the folder of a run


def latest_checkpoint(folder: Path) -> Path:
    """Return the path of the checkpoint that a run resumes from."""
    return folder / "checkpoints" / "last.ckpt"


def load_checkpoint(path: str | Path) -> dict[str, Any]:
    """Load a checkpoint of this program, which holds more than weights, on the CPU."""
    return torch.load(path, map_location="cpu", weights_only=False, mmap=True)


def find_checkpoint(folder: Path, *, resume: bool) -> Path | None:
    """Return the checkpoint that a run resumes from, or None for a new run.

    Raises:
        ConfigError: If the run should resume and there is no checkpoint.
    """
    checkpoint = latest_checkpoint(folder)
    if resume and not checkpoint.is_file():
        raise ConfigError(
            f"{checkpoint} not found. Omit resume=true or pass the right dir=DIR"
        )
    return checkpoint if resume else None


def check_optimizer(folder: Path, optimizer: Mapping[str, Any], freeze: int) -> None:
    """Check that a resumed run has the optimizer of the run in the folder, and its frozen layers.

    The checkpoint restores the state and the settings of the optimizer, so other settings would
    have no effect, and other parameters would have no state. Settings of all other groups apply
    from the next step on.

    Raises:
        ConfigError: If a setting differs.
    """
    path = folder / "config.yaml"
    if not path.is_file():
        return
    config = yaml.safe_load(path.read_text(encoding="utf-8"))
    settings = {f"optimizer.{key}": value for key, value in optimizer.items()}
    saved = {f"optimizer.{key}": value for key, value in config["optimizer"].items()}
    saved["freeze"] = config.get("freeze", 0)  # older runs lack it
    settings["freeze"] = freeze
    for key in {**saved, **settings}:
        old, new = saved.get(key), settings.get(key)
        if old != new:
            raise ConfigError(
                f"{key} is {new}, but {old} in {path}. Resume with the settings of the "
                f"run, or start another one with init={folder / 'model.safetensors'}"
            )


@contextmanager
def open_run_folder(folder: Path, *, resume: bool, is_main: bool) -> Iterator[None]:
    """Create the folder of a run and hold it against other runs until the context ends.

    An earlier run in the folder is moved aside, unless this one resumes it. Only the main process
    changes files.

    Raises:
        ConfigError: If another run is using the folder.
    """
    if not is_main:
        yield
        return
    if folder.is_dir():
        with hold_folder(folder):  # a run that is alive must not be moved
            pass
    backup = None
    if resume:
        for unfinished in latest_checkpoint(folder).parent.glob("*.partial"):
            unfinished.unlink()  # left by a killed run
    elif (folder / "config.yaml").exists():
        backup = _move_aside(folder)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with hold_folder(folder):
            yield
    except ConfigError:  # Lightning checks some settings only when training starts
        if backup is not None and not latest_checkpoint(folder).exists():
            shutil.rmtree(folder)
            backup.rename(folder)
            print(f"moved {backup} back to {folder}")
        raise


def _move_aside(folder: Path) -> Path:
    """Rename the folder of an earlier run and return its new path.

    Raises:
        ConfigError: If it contains the working directory, which relative paths depend on.
    """
    if Path.cwd().is_relative_to(folder.resolve()):
        raise ConfigError(
            f"dir={folder} has an earlier run, and cannot be moved aside because it contains the "
            "working directory. Pass another dir=DIR"
        )
    number = 1
    while (backup := folder.with_name(f"{folder.name}-{number}")).exists():
        number += 1
    folder.rename(backup)
    print(f"moved the earlier run in {folder} to {backup}")
    return backup


@contextmanager
def hold_folder(folder: Path, lock: str = LOCK) -> Iterator[None]:
    """Lock a folder. The system releases the lock when the process ends, however it ends.

    The lock belongs to this process, not to those that it forks: data workers of a killed run may
    live on for some seconds.

    Raises:
        ConfigError: If another process has locked the folder.
    """
    with (folder / lock).open("a") as file:
        try:
            if fcntl is not None:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            else:
                msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN, errno.EDEADLK):
                raise ConfigError(
                    f"dir={folder}: another run is using this folder. Wait for it or pass "
                    "another dir=DIR"
                ) from None
            # the file system has no locks
        yield


def check_architecture(checkpoint: Path, model: CTCModel) -> None:
    """Check that a checkpoint belongs to a model like this one.

    Raises:
        ModelError: If the checkpoint is damaged or belongs to another model.
    """
    try:
        saved = load_checkpoint(checkpoint)["architecture"]
    except (RuntimeError, KeyError) as error:
        reason = shorten(str(error), 100)
        raise ModelError(
            f"{checkpoint} is damaged or from an older version ({reason}). Omit resume=true"
        ) from None
    hint = "Resume with the settings of the run"
    for part, group in (("features", "features"), ("encoder", "model")):
        old, new = saved[part], model.architecture[part]
        for key in old | new:
            if old.get(key) != new.get(key):
                values = f"{new.get(key)}, but {old.get(key)} in {checkpoint}"
                raise ModelError(f"{group}.{key} is {values}. {hint}")
    if saved["tokens"] != model.architecture["tokens"]:
        raise ModelError(f"the tokens differ from those in {checkpoint}. {hint}")
