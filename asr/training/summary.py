"""The results of a run: the model, the skipped utterances, and a summary."""

import json
import platform
from pathlib import Path
from typing import Any

import torch
from lightning import Trainer

from asr.nn.ctc import CTCModel
from asr.training.data import SpeechData
from asr.training.module import CTCModule
from asr.training.precision import slow_precision_warning
from asr.versions import read_commit, read_versions


def report_start(trainer: Trainer, model: CTCModel, data: SpeechData, folder: Path) -> None:
    """Print what is trained and how, and list the utterances that are left out in the folder."""
    for split, selection in data.selections.items():
        print(f"{split}: {selection.summary()}")
        selection.write(folder / f"left_out_{split}.txt")
    device = trainer.strategy.root_device
    if warning := slow_precision_warning(trainer.precision, device):
        print(warning)
    count = torch.get_num_threads()
    threads = f", {count} thread{'s'[: count - 1]}" if device.type == "cpu" else ""
    size = (
        f"{count_parameters(model) / 1e6:.1f} M parameters, {len(model.tokenizer)} tokens"
    )
    print(f"{size}; {trainer.precision} on {device}{threads}; run in {folder}", flush=True)


def summarize(
    trainer: Trainer,
    module: CTCModule,
    data: SpeechData,
    results: dict[str, Any],
    config: Any,
) -> dict[str, Any]:
    """Return the results of `fit` with the circumstances and the configuration of the run."""
    selections = data.selections.items()
    return {
        "val_wer": module.score.wer,
        **results,
        "epochs": trainer.current_epoch,
        "steps": trainer.global_step,
        "seconds": round(module.seconds, 3),
        "hours": {split: round(selection.hours, 4) for split, selection in selections},
        "left_out": {split: len(selection.left_out) for split, selection in selections},
        "skipped": len(module.skipped),
        "parameters": count_parameters(module.model),
        "seed": module.seed,
        "commit": read_commit(),
        "versions": read_versions(),
        "precision": trainer.precision,
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads, "
        f"{trainer.strategy.root_device}",
        "config": config,
    }


def save_results(folder: Path, module: CTCModule, summary: dict[str, Any]) -> None:
    """Write the model, the skipped utterances, and the summary, and print the score."""
    model_path = folder / "model.safetensors"
    module.model.save(model_path, scores={"val_wer": module.score.wer})
    if module.skipped:
        path = folder / "skipped.txt"
        lines = [f"{name}\t{reason}\n" for name, reason in module.skipped.items()]
        path.write_text("".join(lines), encoding="utf-8", errors="backslashreplace")
        print(f"skipped {len(lines)} unreadable or too short utterances, listed in {path}")
    (folder / "summary.json").write_text(
        json.dumps(summary, indent=2) + "\n", encoding="utf-8"
    )
    print(
        f"WER {module.score.wer:.2%} on {module.score.utterances} validation utterances "
        f"after {summary['epochs']} epochs and {module.seconds / 60:.1f} minutes; "
        f"model in {model_path}",
        flush=True,
    )


def count_parameters(model: CTCModel) -> int:
    """Return the number of parameters of a model."""
    return sum(p.numel() for p in model.parameters())
