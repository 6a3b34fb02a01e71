"""Comparison of training runs: the settings that differ and the word error rates."""

import csv
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from asr.errors import ConfigError
from asr.evaluation.plots import plot_runs, save_figure
from asr.tables import print_tables

WIDTH = 200  # characters, if the output is not a terminal


@dataclass(frozen=True)
class Run:
    """A finished run: name of its folder, settings by dotted name, and validation scores."""

    name: str
    settings: dict[str, Any]
    wer: float
    epochs: int
    minutes: float

    @classmethod
    def read(cls, path: Path) -> "Run":
        """Read a `summary.json`.

        Raises:
            ConfigError: If the file is not the summary of a training run.
        """
        try:
            summary = json.loads(path.read_text(encoding="utf-8"))
            wer, epochs = summary["val_wer"], summary["epochs"]
            settings = _comparable_settings(summary["config"])
            return cls(path.parent.name, settings, wer, epochs, summary["seconds"] / 60)
        except (ValueError, KeyError, TypeError) as error:
            reason = f"not the summary of a training run ({error!r})"
            raise ConfigError(f"{path}: {reason}") from None


def compare_runs(folder: Path) -> None:
    """Compare the runs in a folder, best first.

    Prints a table, writes `compare.csv`, and plots the runs to `compare.png` if settings differ.

    Raises:
        ConfigError: If no run in the folder has finished.
    """
    runs = [Run.read(path) for path in folder.glob("*/summary.json")]
    if not runs:
        raise ConfigError(f"{folder}: no finished run, which has a summary.json")
    runs.sort(key=lambda run: (run.wer, run.name))
    settings = _differing_settings(runs)
    table = _write_table(runs, settings, folder / "compare.csv")
    message = f"best: {folder / runs[0].name}, WER {runs[0].wer:.2%}, of {len(runs)} runs"
    started = folder.glob("*/config.yaml")
    unfinished = sum(not path.with_name("summary.json").exists() for path in started)
    if unfinished:
        message += f"; {unfinished} more have not finished"
    if settings:
        plot = folder / "compare.png"
        save_figure(plot_runs(settings, [run.wer for run in runs]), plot)
        message += f"; see {plot}"
    print_tables(table, width=WIDTH)
    print(message)


def _comparable_settings(config: dict[str, Any]) -> dict[str, Any]:
    """Return the settings except `resume`, loggers, and paths in the run's own folder."""
    folder = Path(config["dir"])
    config = {key: config[key] for key in config if key not in ("resume", "logger")}
    settings = flatten_settings(config)
    return {
        name: value
        for name, value in settings.items()
        if not (isinstance(value, str) and Path(value).is_relative_to(folder))
    }


def flatten_settings(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings by dotted name, and lists as JSON."""
    settings: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, dict):
            settings |= flatten_settings(value, f"{prefix}{key}.")
        else:
            settings[prefix + key] = json.dumps(value) if isinstance(value, list) else value
    return settings


def _differing_settings(runs: Sequence[Run]) -> dict[str, list[Any]]:
    """Return the values in each run for the settings that differ between runs."""
    names = dict.fromkeys(name for run in runs for name in run.settings)
    columns = {name: [run.settings.get(name) for run in runs] for name in names}
    return {name: values for name, values in columns.items() if len(set(values)) > 1}


def _write_table(runs: Sequence[Run], names: Iterable[str], path: Path) -> Table:
    """Write the runs with the settings of these names as CSV, and return them as a table."""
    table = Table("run", *names, "WER", "minutes")
    rows: list[list[Any]] = [["run", *names, "val_wer", "epochs", "minutes"]]
    for run in runs:
        values = [run.settings.get(name) for name in names]
        scores = f"{run.wer:.2%}", f"{run.minutes:.1f}"
        table.add_row(run.name, *map(_format_value, values), *scores)
        rows.append([run.name, *values, run.wer, run.epochs, round(run.minutes, 2)])
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    return table


def _format_value(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
