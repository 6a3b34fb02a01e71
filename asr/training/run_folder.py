"""Prepare the folder of a run and check that a run can resume in it."""

from pathlib import Path
from textwrap import shorten
from typing import Any

import torch

from asr.errors import ConfigError, ModelError
from asr.nn.ctc import CTCModel


def latest_checkpoint(folder: Path) -> Path:
    """Return the path of the checkpoint that a run resumes from."""
    return folder / "checkpoints" / "last.ckpt"


def load_checkpoint(path: str | Path) -> dict[str, Any]:
    """Load a checkpoint of this program, which holds more than weights, on the CPU."""
    return torch.load(path, map_location="cpu", weights_only=False, mmap=True)


def prepare_run_folder(folder: Path, *, resume: bool, is_main: bool) -> Path | None:
    """Create the folder of a run and return the checkpoint to resume from.

    An earlier run in the folder is moved aside. Only the main process changes existing files.

    Raises:
        ConfigError: If there is no checkpoint to resume from.
    """
    checkpoint = latest_checkpoint(folder)
    if resume:
        if not checkpoint.is_file():
            raise ConfigError(
                f"{checkpoint} not found. Omit resume=true or pass the right dir=DIR"
            )
        if is_main:
            for unfinished in checkpoint.parent.glob("*.partial"):  # left by a killed run
                unfinished.unlink()
        return checkpoint
    if is_main and (folder / "config.yaml").exists():
        number = 1
        while (backup := folder.with_name(f"{folder.name}-{number}")).exists():
            number += 1
        folder.rename(backup)
        print(f"moved the earlier run in {folder} to {backup}")
    folder.mkdir(parents=True, exist_ok=True)
    return None


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
