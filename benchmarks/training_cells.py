"""Cells of a table that are trainings: each runs in its own process, and only once.

A cell's folder holds its manifests, the run of `asr.train`, its log, and result.json. A cell with a
result is not trained again, and an interrupted training continues.
"""

import json
import math
import subprocess
import sys
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

from held_out import choose_first
from scoring import Row, build_decoders, score_decoders, scores

from asr.config.app import compose
from asr.data.manifest import Utterance, read_manifest, write_manifest
from asr.errors import ConfigError
from asr.files import atomic_write
from asr.inference.model import load_model

DECODER = "greedy"
VALIDATIONS = 10  # of each training
MEMORY = 0.1  # steps that the moving average remembers, as a share of all steps
MAX_DECAY = 0.999


class Cell(NamedTuple):
    """A training and the utterances that score it.

    Attributes:
        folder: Folder of the cell.
        train: Utterances for training.
        validation: Utterances for validation.
        test: Utterances that are scored.
        settings: Settings of `asr.train`, except data and epochs.
        steps: Number of training steps, rounded up to whole epochs.
        more: Manifests to train on besides `train`.
    """

    folder: Path
    train: Sequence[Utterance]
    validation: Sequence[Utterance]
    test: Sequence[Utterance]
    settings: Sequence[str]
    steps: int
    more: Sequence[Path] = ()


def finish(cell: Cell) -> Row:
    """Return the scores of a cell. Train and score it if its folder has none.

    Raises:
        ConfigError: If the folder is of other settings, or the training fails.
    """
    result_path, run = cell.folder / "result.json", cell.folder / "run"
    settings = write_settings(cell)
    if result_path.exists():
        return json.loads(result_path.read_text(encoding="utf-8"))
    print(f"training in {run}", file=sys.stderr, flush=True)
    if not (run / "summary.json").exists():
        train(run, settings, cell.folder / "train.log")
    summary = json.loads((run / "summary.json").read_text(encoding="utf-8"))
    result = score(run / "model.safetensors", cell.test)
    result |= {key: summary[key] for key in ("steps", "epochs", "seconds", "commit")}
    with atomic_write(result_path) as temporary:
        temporary.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return result


def score(model: str | Path, utterances: Sequence[Utterance]) -> Row:
    """Return the scores of a model with greedy decoding."""
    decoders = build_decoders([DECODER])
    return scores(score_decoders(load_model(model), decoders, utterances)[DECODER])


def write_settings(cell: Cell) -> list[str]:
    """Write the manifests and the settings of a cell, and return the settings.

    Raises:
        ConfigError: If the folder is of other settings.
    """
    cell.folder.mkdir(parents=True, exist_ok=True)
    train_path, validation = cell.folder / "train.jsonl", cell.folder / "validation.jsonl"
    write_manifest(train_path, cell.train)
    write_manifest(validation, cell.validation)
    manifests = ",".join(map(str, [train_path, *cell.more]))
    settings = [
        *cell.settings,
        f"data.train=[{manifests}]",
        f"data.validation={validation}",
    ]
    settings += schedule(cell, settings)
    record, path = (
        {"settings": settings, "clips": len(cell.train)},
        cell.folder / "cell.json",
    )
    if not path.exists():
        path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    elif json.loads(path.read_text(encoding="utf-8")) != record:
        raise ConfigError(f"{path}: of other settings or data; delete {cell.folder}")
    return settings


def schedule(cell: Cell, settings: Sequence[str]) -> list[str]:
    """Return the settings that give a training its number of steps.

    Epochs are steps / (seconds of audio / data.batch_seconds), rounded up. A tenth of them are
    validated. The moving average of the weights, if there is one, forgets the first weights.
    """
    cfg = compose("train", settings)
    more = [utterance for path in cell.more for utterance in read_manifest(path)]
    seconds = sum(utterance.duration for utterance in [*cell.train, *more])
    epochs = math.ceil(cell.steps / math.ceil(seconds / cfg.data.batch_seconds))
    chosen = [f"trainer.max_epochs={epochs}"]
    chosen.append(f"trainer.check_val_every_n_epoch={max(1, epochs // VALIDATIONS)}")
    if "ema" in cfg.callbacks:
        decay = min(MAX_DECAY, max(0.0, 1 - 1 / (MEMORY * cell.steps)))
        chosen.append(f"callbacks.ema.decay={decay:.4g}")
    return chosen


def train(run: Path, settings: Sequence[str], log: Path) -> None:
    """Run `asr.train` in a new process, and continue an interrupted training.

    Raises:
        ConfigError: If it fails.
    """
    command = [sys.executable, "-m", "asr.train", f"dir={run}", *settings]
    if (run / "checkpoints" / "last.ckpt").exists():
        command.append("resume=true")
    with log.open("w", encoding="utf-8") as file:
        done = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT)
    if done.returncode:
        last = log.read_text(encoding="utf-8").strip().rpartition("\n")[2]
        raise ConfigError(f"training failed, see {log}: {last}")


def take_seconds(utterances: Sequence[Utterance], seconds: float) -> list[Utterance]:
    """Return utterances of at most this duration and at least one, the first by hash."""
    ordered = choose_first(utterances, None)
    ends = accumulate(utterance.duration for utterance in ordered)
    return ordered[: max(1, sum(end <= seconds for end in ends))]


def total_seconds(utterances: Sequence[Utterance]) -> float:
    """Return the duration of utterances in seconds."""
    return sum(utterance.duration for utterance in utterances)
