"""Transcribe long recordings: python benchmarks/long_audio.py CHECKPOINT MANIFEST.

The recordings join the manifest's utterances with pauses. The table has the time
of `asr.transcribe`, relative to the length of the recording, its peak memory, and the word error
rate of the recording and of its utterances one by one.
"""

import argparse
import os
import tempfile
from collections.abc import Iterable
from itertools import cycle, islice
from pathlib import Path

import jiwer
from alignment import join, load
from rich.console import Console
from rich.table import Table
from transcription import run_command

from asr.audio import SAMPLE_RATE
from asr.data.manifest import Utterance, read_manifest
from asr.inference.model import Engine, load_model
from asr.inference.transcriber import Transcriber
from asr.text import normalize


def main() -> None:
    """Measure each length and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--minutes", nargs="+", type=float, default=[10, 30, 60, 180])
    parser.add_argument(
        "--pauses", nargs=2, type=float, default=[0.2, 1.5], help="their range in seconds"
    )
    parser.add_argument("--engine", default="onnx", choices=["torch", "onnx"])
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    utterances = [u for u in read_manifest(options.manifest) if normalize(u.text)]
    alone = transcribe_alone(options.checkpoint, options.engine, utterances)
    table = Table("minutes", "seconds", "RTF", "peak memory, MB", "WER %", "one by one %")
    for minutes in options.minutes:
        table.add_row(*measure(minutes, utterances, alone, options))
    Console(width=100).print(table)


def transcribe_alone(
    checkpoint: Path, engine: Engine, utterances: Iterable[Utterance]
) -> list[str]:
    """Return the text that the model finds in each utterance."""
    transcriber = Transcriber(load_model(checkpoint, engine=engine))
    return [
        transcriber.transcribe(load(utterance), sample_rate=SAMPLE_RATE).text
        for utterance in utterances
    ]


def measure(
    minutes: float,
    utterances: list[Utterance],
    alone: list[str],
    options: argparse.Namespace,
) -> list[str]:
    """Return the row of a length."""
    with tempfile.TemporaryDirectory() as folder:
        recording = Path(folder) / "long.wav"
        texts = [
            text for _, _, text in join(utterances, 60 * minutes, recording, options.pauses)
        ]
        arguments = [f"checkpoint={options.checkpoint}", f"engine={options.engine}"]
        seconds, megabytes, output = run_command([str(recording), *arguments])
    reference = " ".join(texts)
    one_by_one = " ".join(filter(None, islice(cycle(alone), len(texts))))
    rates = [100 * jiwer.wer(reference, text) for text in (output.strip(), one_by_one)]
    row = [f"{minutes:g}", f"{seconds:.1f}", f"{seconds / minutes / 60:.4f}"]
    return [*row, f"{megabytes:.0f}", *(f"{rate:.2f}" for rate in rates)]


if __name__ == "__main__":
    main()
