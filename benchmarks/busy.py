"""Measure how much longer a training takes on a busy machine: python benchmarks/busy.py.

Each row is a wait policy of the threads. Columns: seconds of a short training on the idle machine,
the same beside one process that never waits, and their ratio. With two cores, a ratio of 2 means
that the training lost one of them.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.table import Table


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="trainings for each figure")
    parser.add_argument("--utterances", type=int, default=400, help="in each training")
    options, overrides = parser.parse_known_args()
    table = Table("wait policy", "idle s", "busy s", "ratio")
    for policy in ("auto", "active"):
        settings = [f"cpu.wait_policy={policy}", f"data.limit={options.utterances}"]
        times: dict[bool, list[float]] = {False: [], True: []}
        for _ in range(options.rounds):
            for busy in times:
                times[busy].append(training_seconds([*settings, *overrides], busy))
        idle, loaded = (statistics.median(times[busy]) for busy in (False, True))
        table.add_row(policy, f"{idle:.1f}", f"{loaded:.1f}", f"{loaded / idle:.2f}")
    Console(width=80).print(table)


def training_seconds(overrides: list[str], busy: bool) -> float:
    """Return the seconds of three epochs of experiment=demo, or of the overrides' experiment."""
    with tempfile.TemporaryDirectory() as folder, busy_process(busy):
        command = [sys.executable, "-m", "asr.train", "experiment=demo", f"dir={folder}"]
        command += ["trainer.max_epochs=3", "callbacks.plots=null", *overrides]
        subprocess.run(command, check=True, capture_output=True)
        summary = json.loads((Path(folder) / "summary.json").read_text(encoding="utf-8"))
    return float(summary["seconds"])


@contextmanager
def busy_process(busy: bool) -> Iterator[None]:
    """Run a process that never waits, if `busy`."""
    if not busy:
        yield
        return
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    main()
