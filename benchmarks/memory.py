"""Peak memory of each command for a long recording: benchmarks/memory.py CHECKPOINT MANIFEST.

The recording joins the manifest's utterances with silences. The table has the largest resident
memory and the time of `asr.transcribe`, `asr.evaluate`, and `asr.align`.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from alignment import join
from rich.console import Console
from rich.table import Table

from asr.data.manifest import Utterance, read_manifest, write_manifest
from asr.text import normalize


def measure(arguments: Sequence[str]) -> tuple[float, float]:
    """Return the seconds and the peak memory in megabytes of a command."""
    start = time.perf_counter()
    command = [sys.executable, "-m", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{arguments[0]} failed")
    return time.perf_counter() - start, usage.ru_maxrss / 1024


def main() -> None:
    """Measure the commands and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--minutes", type=float, default=60.0)
    options = parser.parse_args()
    utterances = [u for u in read_manifest(options.manifest) if normalize(u.text)]
    table = Table("command", "seconds", "peak memory, MB", title=f"{options.minutes:g} min")
    with tempfile.TemporaryDirectory() as folder:
        recording, manifest = Path(folder) / "long.wav", Path(folder) / "long.jsonl"
        clips = list(join(utterances, 60 * options.minutes, recording))
        text = " ".join(text for _, _, text in clips)
        recording.with_suffix(".txt").write_text(text)
        write_manifest(manifest, [Utterance(recording, clips[-1][1], text)])
        checkpoint = f"checkpoint={options.checkpoint}"
        corpus = ["data=folder", f"data.test={manifest}", f"dir={folder}/report"]
        for command, *arguments in (
            ("asr.transcribe", str(recording)),
            ("asr.evaluate", "data.workers=0", *corpus),
            ("asr.align", str(recording)),
        ):
            seconds, megabytes = measure([command, checkpoint, *arguments])
            table.add_row(command, f"{seconds:.0f}", f"{megabytes:.0f}")
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
