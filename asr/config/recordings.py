"""The recordings of `asr.adapt`: a folder or a table, and the manifests that a recipe writes.

This module does not import torch, so that threads can be set first.
"""

import mimetypes
import re
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from asr.config.build import instantiate
from asr.config.quoting import quote_override, shell_command
from asr.config.reporting import find_user_error, one_line
from asr.errors import AsrError, ConfigError

PATHS = ("audio", "table", "root")  # one path can be written in several ways
WITHOUT_TEXT = ("no transcript", "empty transcript")  # reasons in left_out.txt


def describe_source(arguments: Sequence[str]) -> list[str]:
    """Return the settings that name a folder of recordings, or a table of them.

    Raises:
        ConfigError: If there is not exactly one folder or table.
    """
    if len(arguments) != 1:
        raise ConfigError(f"pass one folder of recordings or one table, got {arguments}")
    path = Path(arguments[0])
    kind = (mimetypes.guess_type(path.name)[0] or "").partition("/")[0]
    if path.is_dir():
        key, name = "audio", path.resolve().name
    elif kind in ("audio", "video"):
        raise ConfigError(f"{path}: pass its folder, or a table of recordings and texts")
    elif path.is_file():
        key, name = "table", path.stem
    else:
        raise ConfigError(f"{path}: no such folder or table")
    name = re.sub(r"[^\w.-]+", "-", name).lstrip("-.") or "recordings"
    values = {f"data.recipe.{key}": str(path), "data.name": name}
    return [quote_override(key, value) for key, value in values.items()]


def prepare_recordings(cfg: DictConfig) -> None:
    """Write the manifests of the recordings, and print which recordings have no text.

    A run that resumes keeps its manifests.

    Raises:
        ConfigError: If no recording has a text, none is held out, or a run that resumes has other
            settings than these manifests.
    """
    manifests = Path(cfg.data.manifests)
    if cfg.data.recipe is None:
        return
    if cfg.resume and manifests.is_dir():
        _check_same_recipe(cfg)
        return
    # an earlier attempt may have left it
    (manifests / "left_out.txt").unlink(missing_ok=True)
    try:
        instantiate("data.recipe", cfg.data.recipe)
    except Exception as error:
        cause, hint = find_user_error(error), explain_missing_texts(cfg)
        if isinstance(cause, AsrError) and hint:
            raise ConfigError(f"{one_line(cause)} {hint}") from error
        raise
    if hint := explain_missing_texts(cfg):
        print(hint)
    if not (manifests / "validation.jsonl").is_file():
        lines = (manifests / "train.jsonl").read_text(encoding="utf-8").splitlines()
        raise ConfigError(
            f"{len(lines)} usable recording{'s' * (len(lines) != 1)}, and none is held out to "
            "score the model. "
            "Record more, or set data.recipe.validation or the column split"
        )


def _check_same_recipe(cfg: DictConfig) -> None:
    """Check that the settings of the recipe are those of the run that resumes, except paths."""
    path = Path(cfg.dir, "config.yaml")
    if not path.is_file():
        return
    saved = OmegaConf.load(path).data.recipe or {}
    for key, value in cfg.data.recipe.items():
        if key not in PATHS and saved.get(key) != value:
            raise ConfigError(
                f"data.recipe.{key} is {value}, but {saved.get(key)} in {path}. Resume with the "
                "settings of the run"
            )


def explain_missing_texts(cfg: DictConfig) -> str:
    """Return how many recordings have no text and how to write it, or "" if all have one."""
    path = Path(cfg.data.manifests, "left_out.txt")
    if not path.is_file():
        return ""
    rows = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()]
    audio = [Path(file) for _, file, reason in rows if reason.startswith(WITHOUT_TEXT)]
    if not audio:
        return ""
    count = f"{len(audio)} recording{'s have' if len(audio) > 1 else ' has'} no text"
    if cfg.data.recipe.table:
        return f"{count}. Fill the column text, for example of {audio[0]}"
    folder = cfg.data.recipe.audio
    draft = shell_command("asr.transcribe", folder, checkpoint=cfg.init, output=folder)
    return (
        f"{count}. Write the words of {audio[0].name} into {audio[0].with_suffix('.txt')}. "
        f"{draft} writes drafts, which you then correct"
    )
