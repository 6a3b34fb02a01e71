"""Training runs for tests, in this process or in one of their own."""

import csv
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

from asr.config.app import compose
from asr.train import train

TIMEOUT = 1200  # seconds; only a process that hangs takes that long
SMALL = [
    "model.hidden_size=24",
    "model.num_layers=1",
    "model.channels=4",
    "data.workers=0",
    "data.batch_seconds=20",
    "trainer.accelerator=cpu",  # the only device with bit-identical results
]


def run(corpus: Path, folder: Path, *overrides: str) -> dict:
    """Train a small model for two epochs in this process and return the summary."""
    settings = [*SMALL, f"data.root={corpus}", f"dir={folder}", "trainer.max_epochs=2"]
    return train(compose("train", [*settings, *overrides]))


def start(
    corpus: Path, folder: Path, *overrides: str, **environment: str
) -> subprocess.Popen[str]:
    """Start to train a small model in a process group of its own."""
    settings = [
        *SMALL,
        f"data.root={corpus}",
        f"dir={folder}",
        "callbacks.plots=null",
        *overrides,
    ]
    return subprocess.Popen(
        [sys.executable, "-m", "asr.train", *settings],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent), **environment},
        start_new_session=True,
        # a shell makes background processes, such as these tests, ignore SIGINT
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def finish(process: subprocess.Popen[str]) -> str:
    """Wait for a process and return what it prints until it ends."""
    return process.communicate(timeout=TIMEOUT)[0]


def wait_for_line(process: subprocess.Popen[str], prefix: str) -> str:
    """Return the output of a process up to a line with a prefix."""
    watchdog = threading.Timer(TIMEOUT, process.kill)
    watchdog.start()
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith(prefix):
            break
    watchdog.cancel()
    output = "".join(lines)
    assert lines, "no output"
    assert lines[-1].startswith(prefix), output
    return output


def children(process: subprocess.Popen[str]) -> list[int]:
    """Return the process IDs of the training processes and data workers that a process started."""
    pids = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [int(p) for p in pids if b"asr.train" in Path(f"/proc/{p}/cmdline").read_bytes()]


def logged(folder: Path, metric: str) -> dict[int, str]:
    """Return a metric of a run by step. After a resumption, the later value of a step counts."""
    values = {}
    for path in sorted(
        folder.glob("csv/**/metrics.csv"), key=lambda path: path.stat().st_mtime
    ):
        with path.open() as file:
            rows = [row for row in csv.DictReader(file) if row.get(metric)]
        values |= {int(row["step"]): row[metric] for row in rows}
    return values
