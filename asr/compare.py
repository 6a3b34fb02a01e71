"""Set runs side by side: `python -m asr.compare dir=outputs/an4-sweep`.

What differs between their settings, and the word error rate that came of it: a table on the terminal, the best run
first, `compare.csv`, and a picture. A sweep does this by itself when it ends.
"""

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table

from asr.config import app as cli
from asr.errors import ConfigError
from asr.evaluation.plots import plot_runs, save_figure


@dataclass(frozen=True)
class Run:
    """A run that has ended: its folder's name, its settings by their dotted names, its scores on validation."""

    name: str
    settings: dict[str, Any]
    wer: float
    epochs: int
    minutes: float

    @classmethod
    def read(cls, summary: Path) -> "Run":
        """The run of a `summary.json`. Raises ConfigError for a file that is none."""
        try:
            said = json.loads(summary.read_text(encoding="utf-8"))
            own = Path(
                said["config"]["dir"]
            )  # what lies in a run's own folder does not tell it from others
            settings = {
                name: value
                for name, value in _leaves(said["config"])
                if name != "resume"
                and not (isinstance(value, str) and Path(value).is_relative_to(own))
            }
            return cls(
                summary.parent.name, settings, said["val_wer"], said["epochs"], said["seconds"] / 60
            )
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigError(
                f"{summary}: not the summary of a training ({type(error).__name__}: {error})"
            ) from None


def _leaves(node: Any, prefix: str = "") -> list[tuple[str, Any]]:
    if not isinstance(node, dict):
        return [(prefix, json.dumps(node) if isinstance(node, list) else node)]
    return [
        leaf
        for key, value in node.items()
        for leaf in _leaves(value, f"{prefix}.{key}" if prefix else key)
    ]


def differing(runs: Sequence[Run]) -> list[str]:
    """Names of the settings that are not the same in all runs."""
    names = dict.fromkeys(name for run in runs for name in run.settings)
    return [
        name
        for name in names
        if any(run.settings.get(name) != runs[0].settings.get(name) for run in runs)
    ]


def compare(cfg: DictConfig) -> list[Run]:
    """Print, write and draw the comparison; the runs, the best one first. Raises ConfigError where there is none."""
    folder = Path(cfg.dir)
    runs = sorted(
        (Run.read(path) for path in folder.glob("*/summary.json")),
        key=lambda run: (run.wer, run.name),
    )
    if not runs:
        raise ConfigError(
            f"{folder}: no run in it has ended yet; each would have left a summary.json in its folder"
        )
    names = differing(runs)
    rows = [
        [
            run.name,
            *(_shown(run.settings.get(name)) for name in names),
            f"{run.wer:.2%}",
            f"{run.minutes:.1f}",
        ]
        for run in runs
    ]
    table = Table(*(["run", *names, "WER", "minutes"]))
    for row in rows:
        table.add_row(*row)
    Console(width=None if Console().is_terminal else 200).print(table)
    with (folder / "compare.csv").open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        writer.writerow(["run", *names, "val_wer", "epochs", "minutes"])
        for run in runs:
            values = [run.settings.get(name) for name in names]
            writer.writerow([run.name, *values, run.wer, run.epochs, round(run.minutes, 2)])
    picture = folder / "compare.png"
    if names:
        columns = {name: [run.settings.get(name) for run in runs] for name in names}
        save_figure(plot_runs(columns, [run.wer for run in runs]), picture)
    unfinished = sum(
        not (path.parent / "summary.json").exists() for path in folder.glob("*/config.yaml")
    )
    rest = f"; {unfinished} more have not ended" if unfinished else ""
    seen = f"; see {picture}" if names else ""
    print(f"best: {folder / runs[0].name}, WER {runs[0].wer:.2%}, of {len(runs)} runs{rest}{seen}")
    return runs


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else "" if value is None else str(value)


class AfterSweep(Callback):
    """Compares the runs of a sweep when it is over, as Hydra's callback."""

    def on_multirun_end(self, config: DictConfig, **rest: Any) -> None:
        """Compare the runs in the sweep's folder, where there are any that ended."""
        if any(Path(config.dir).glob("*/summary.json")):
            compare(config)


def main() -> None:
    """Entry point."""
    cli.run("compare", compare)


if __name__ == "__main__":
    main()
