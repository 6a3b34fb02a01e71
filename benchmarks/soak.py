"""Whether a long training's memory grows: python benchmarks/soak.py [minutes=120] [key=value ...].

Runs `asr.train` with these keys and two data workers for so long, then stops it as Ctrl-C does. A row for every ten
minutes: the mean and the peak of the memory of all its processes, each against that of the first row after the first
ten minutes. Pages that they share count once. Those of libraries do not count: how large their proportional share is
depends on what else runs on the machine. Batches differ, so memory swings by a twentieth or so: the mean of 120 samples
has a standard error of half a hundredth, which its column "±" gives.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from statistics import fmean, pstdev

import psutil
from rich.console import Console
from rich.markup import escape
from rich.table import Table

EVERY = 5  # seconds between samples
ROW = 600  # seconds


def memory(training: psutil.Process) -> float:
    """Megabytes of a process and of all below it, without what they have mapped from files."""
    total = 0
    for process in (training, *training.children(recursive=True)):
        try:
            lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
        except (FileNotFoundError, ProcessLookupError):  # a worker that has just ended
            continue
        total += sum(
            int(line.split()[1]) for line in lines if line.startswith(("Pss_Anon:", "Pss_Shmem:"))
        )
    return total / 1024


def main() -> None:
    overrides = [argument for argument in sys.argv[1:] if not argument.startswith("minutes=")]
    minutes = next(
        (
            float(argument[len("minutes=") :])
            for argument in sys.argv[1:]
            if argument not in overrides
        ),
        120,
    )
    keys = ["data.workers=2", "trainer.max_epochs=100000", *overrides]
    training = subprocess.Popen([sys.executable, "-m", "asr.train", *keys])
    samples: list[tuple[float, float]] = []  # seconds, megabytes
    began = time.monotonic()
    try:
        while (passed := time.monotonic() - began) < 60 * minutes and training.poll() is None:
            samples.append((passed, memory(psutil.Process(training.pid))))
            time.sleep(EVERY)
    finally:
        if training.poll() is None:
            os.kill(training.pid, signal.SIGINT)
        training.wait()
    table = Table(title=escape(f"memory of asr.train {' '.join(keys)}"))
    for heading in ("minutes", "mean, MB", "±", "against", "peak, MB", "against"):
        table.add_column(heading, justify="right")
    rows: dict[int, list[float]] = {}
    for seconds, megabytes in samples:
        rows.setdefault(int(seconds // ROW), []).append(megabytes)
    first = rows.get(1, rows[0])
    for row, found in rows.items():
        table.add_row(
            f"{10 * row} to {10 * row + 10}",
            f"{fmean(found):,.0f}",
            f"{pstdev(found) / len(found) ** 0.5:,.0f}",
            f"{fmean(found) / fmean(first):.3f}" if row else "",
            f"{max(found):,.0f}",
            f"{max(found) / max(first):.3f}" if row else "",
        )
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
