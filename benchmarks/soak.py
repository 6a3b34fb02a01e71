"""Memory of a long training: python benchmarks/soak.py [minutes=120] [key=value ...].

The script runs `asr.train` with these keys and two data workers, and stops it with SIGINT as Ctrl-C
does. The table has a row for every ten minutes with the mean and the peak memory of all processes,
also relative to the second row.

Pages that processes share count once. Pages mapped from libraries do not count, because their
proportional share depends on other programs on the machine. Batches differ, so the memory varies by
about 5 %. The column "±" is the standard error of the mean of 120 samples, about 0.5 %.
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

SAMPLE_SECONDS = 5  # between samples
ROW_SECONDS = 600


def memory(training: psutil.Process) -> float:
    """Return the megabytes of a process and its descendants without pages mapped from files."""
    total = 0
    for process in (training, *training.children(recursive=True)):
        try:
            lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
        except (FileNotFoundError, ProcessLookupError):  # the worker has just ended
            continue
        total += sum(
            int(line.split()[1])
            for line in lines
            if line.startswith(("Pss_Anon:", "Pss_Shmem:"))
        )
    return total / 1024


def run_training(keys: list[str], minutes: float) -> list[tuple[float, float]]:
    """Train for some minutes and return (seconds, megabytes) samples."""
    training = subprocess.Popen([sys.executable, "-m", "asr.train", *keys])
    samples = []
    start = time.monotonic()
    try:
        while (
            seconds := time.monotonic() - start
        ) < 60 * minutes and training.poll() is None:
            samples.append((seconds, memory(psutil.Process(training.pid))))
            time.sleep(SAMPLE_SECONDS)
    finally:
        if training.poll() is None:
            os.kill(training.pid, signal.SIGINT)
        training.wait()
    return samples


def main() -> None:
    minutes = 120.0
    keys = ["data.workers=2", "trainer.max_epochs=100000"]
    for argument in sys.argv[1:]:
        if argument.startswith("minutes="):
            minutes = float(argument.removeprefix("minutes="))
        else:
            keys.append(argument)
    rows: dict[int, list[float]] = {}
    for seconds, megabytes in run_training(keys, minutes):
        rows.setdefault(int(seconds // ROW_SECONDS), []).append(megabytes)
    reference = rows.get(1, rows[0])
    table = Table(title=escape(f"memory of asr.train {' '.join(keys)}"))
    for heading in ("minutes", "mean, MB", "±", "relative", "peak, MB", "relative"):
        table.add_column(heading, justify="right")
    for row, values in rows.items():
        table.add_row(
            f"{10 * row} to {10 * row + 10}",
            f"{fmean(values):,.0f}",
            f"{pstdev(values) / len(values) ** 0.5:,.0f}",
            f"{fmean(values) / fmean(reference):.3f}" if row else "",
            f"{max(values):,.0f}",
            f"{max(values) / max(reference):.3f}" if row else "",
        )
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
