"""Measure the word error rate by hours of training speech: python benchmarks/learning_curve.py.

    python benchmarks/learning_curve.py --root data [--hours 2 5 10] [key=value ...]

Each cell trains experiment=english for `--steps` steps on the first hours of real speech by the
hash of the files' names, or on all, without and with the synthetic speech of `recipes.english`. The
steps are the same in all cells; epochs follow from them. key=value are further settings of all
trainings. Columns: WER of greedy decoding on the test set with its 95 % interval.

Finished cells in `--folder` are not trained again. `--plot` writes the figure.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from scoring import Row, describe_wer, to_markdown
from training_cells import Cell, finish, take_seconds, total_seconds

from asr.config.reporting import report_user_errors
from asr.data.manifest import read_manifest
from asr.errors import ConfigError

PLOT = Path("docs/results/learning_curve.png")
REAL, BOTH = "real speech", "real and synthetic speech"


def main() -> None:
    """Print the table and write the figure."""
    call = partial(run, *parse())
    sys.exit(report_user_errors("benchmarks/learning_curve.py", call))


def parse(
    arguments: Sequence[str] | None = None,
) -> tuple[argparse.Namespace, list[str]]:
    """Return the options of the command line, and the settings of `asr.train`."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--root", type=Path, default=Path("data"))
    parser.add_argument("--hours", nargs="*", type=float, default=[2, 5, 10])
    parser.add_argument("--steps", type=int, default=8000)
    parser.add_argument("--folder", type=Path, default=Path("outputs/learning_curve"))
    parser.add_argument("--plot", type=Path, default=PLOT)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    return parser.parse_known_args(arguments)


def run(options: argparse.Namespace, overrides: Sequence[str]) -> None:
    """Train all cells, print the table, and write the files.

    Raises:
        AsrError: If an option is wrong, data is missing, or a training fails.
    """
    if options.steps < 1 or min(options.hours, default=1) <= 0:
        raise ConfigError("--steps and --hours must be positive")
    cells = make_cells(options, overrides)
    rows = [
        {"data": data, "hours": total_seconds(cell.train) / 3600, **finish(cell)}
        for data, cell in cells
    ]
    hours = sorted({row["hours"] for row in rows})
    table = []
    for data in dict.fromkeys(row["data"] for row in rows):
        rates = {row["hours"]: describe_wer(row) for row in rows if row["data"] == data}
        table.append([data, *(rates[amount] for amount in hours)])
    print(to_markdown(["Training", *(f"{amount:.3g} h" for amount in hours)], table))
    plot(rows, options.plot)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def make_cells(
    options: argparse.Namespace, overrides: Sequence[str]
) -> list[tuple[str, Cell]]:
    """Return the cells with the kind of their data, the fewest hours first.

    Raises:
        ManifestError: If a manifest is missing.
    """
    folder = options.root / "manifests" / "english"
    train, validation, test = (
        read_manifest(folder / f"{split}.jsonl")
        for split in ("train", "validation", "test")
    )
    kinds: dict[str, list[Path]] = {REAL: []}
    synthetic = folder / "synthetic.jsonl"
    if synthetic.exists():
        kinds[BOTH] = [synthetic]
    else:
        print(f"left out: {BOTH}, no {synthetic}", file=sys.stderr)
    settings = ["experiment=english", f"data.root={options.root}", *overrides]
    amounts = sorted(
        hours for hours in options.hours if 3600 * hours < total_seconds(train)
    )
    cells = []
    for name, seconds in [*((f"{h:g}", 3600 * h) for h in amounts), ("all", float("inf"))]:
        for kind, more in kinds.items():
            place = options.folder / f"{name}-{'synthetic' if more else 'real'}"
            real = take_seconds(train, seconds)
            cell = Cell(place, real, validation, test, settings, options.steps, more)
            cells.append((kind, cell))
    return cells


def plot(rows: Sequence[Row], path: Path) -> None:
    """Plot the word error rates with their intervals, a line for each kind of data."""
    import matplotlib.pyplot as plt

    fig, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
    for kind in dict.fromkeys(row["data"] for row in rows):
        line = [row for row in rows if row["data"] == kind]
        rates = np.array([[row["wer"], *row["wer_interval"]] for row in line]).T * 100
        wer, low, high = rates
        hours = [row["hours"] for row in line]
        margins = np.stack([wer - low, high - wer]).clip(min=0)
        axes.errorbar(hours, wer, yerr=margins, marker="o", capsize=3, label=kind)
    hours = sorted({row["hours"] for row in rows})
    axes.set_xscale("log")
    axes.set_xticks(hours, [f"{amount:.3g}" for amount in hours])
    axes.minorticks_off()
    axes.set(xlabel="hours of real speech", ylabel="WER in %", ylim=(0, None))
    axes.legend()
    axes.grid(alpha=0.3)
    path.parent.mkdir(parents=True, exist_ok=True)
    fig.savefig(path, dpi=120)
    plt.close(fig)


if __name__ == "__main__":
    main()
