"""Compare torch and ONNX Runtime for transcription: python benchmarks/transcription.py.

Models have random weights, and recordings are noise, because only time counts. Columns: length of
the recording, engine, milliseconds of the network alone and of `transcribe`, which also reads the
file and decodes, the real-time factor of `transcribe`, the network relative to torch, and
`transcribe` relative to the network. Engines take turns. The last table is the time and the memory
of whole commands for five seconds of audio.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from omegaconf import OmegaConf
from rich.console import Console
from rich.table import Table

from asr.audio import SAMPLE_RATE, load
from asr.config.app import compose
from asr.inference.model import AcousticModel, load_model
from asr.inference.transcriber import Transcriber
from asr.nn.checkpoint import read_checkpoint
from asr.nn.ctc import CTCModel
from asr.nn.onnx_export import build_onnx
from asr.text import Tokenizer

ENGINES = ("torch", "onnx", "int8")
COMMAND_SECONDS = 5.0
# Linux adds the memory of the parent to ru_maxrss, but not to VmHWM.
MEASURED = """
import atexit, sys
from asr.transcribe import main
status = open("/proc/self/status")
peak = lambda: status.read().partition("VmHWM:")[2].partition("kB")[0]
atexit.register(lambda: sys.stderr.write(f"{peak()} kB"))
main()
"""


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=["tiny", "small", "base"])
    parser.add_argument("--seconds", nargs="+", type=float, default=[2, 10, 60, 3600])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    torch.set_num_threads(options.threads)
    table = Table("model", "s", "engine", "network ms", "transcribe ms", "RTF")
    table.add_column("network / torch")
    table.add_column("transcribe / network")
    commands = Table("model", "engine", "command s", "memory MB")
    with tempfile.TemporaryDirectory() as folder:
        for name in options.models:
            path = save_model(name, Path(folder))
            models = load_models(path)
            for seconds in options.seconds:
                add_rows(table, name, seconds, models, Path(folder), options.rounds)
            for engine in ("torch", "onnx"):
                figures = measure_command(path, engine, Path(folder))
                commands.add_row(name, engine, *figures)
    console = Console(width=110)
    console.print(f"torch {torch.__version__}, {options.threads} threads")
    console.print(table, commands)


def save_model(name: str, folder: Path) -> Path:
    """Write a model with random weights and return its path."""
    cfg: Any = OmegaConf.to_container(compose("train", [f"model={name}"]), resolve=True)
    parts = {"features": cfg["features"], "encoder": cfg["model"]}
    torch.manual_seed(0)
    model = CTCModel(**parts, tokenizer=Tokenizer.english())
    path = folder / f"{name}.safetensors"
    model.save(path)
    return path


def load_models(path: Path) -> dict[str, AcousticModel]:
    """Return the model in each engine."""
    int8 = path.with_suffix(".onnx")
    int8.write_bytes(build_onnx(*read_checkpoint(path), int8=True).SerializeToString())
    models = {engine: load_model(path, engine=engine) for engine in ("torch", "onnx")}
    return {**models, "int8": load_model(int8)}


def add_rows(
    table: Table,
    name: str,
    seconds: float,
    models: dict[str, AcousticModel],
    folder: Path,
    rounds: int,
) -> None:
    """Measure a recording with each engine and add the rows."""
    path = folder / f"{seconds:g}.wav"
    size = round(seconds * SAMPLE_RATE)
    noise = 0.1 * np.random.default_rng(0).standard_normal(size)
    soundfile.write(path, noise, SAMPLE_RATE)
    samples = load(path)
    rounds = rounds if seconds < 600 else 1
    networks, programs = [{engine: [] for engine in ENGINES} for _ in range(2)]
    for _ in range(rounds):
        for engine in ENGINES:
            model = models[engine]
            transcriber = Transcriber(model)
            networks[engine].append(elapsed(run_network, model, samples))
            programs[engine].append(elapsed(transcriber.transcribe, path))
    for engine in ENGINES:
        network, program, reference = map(
            statistics.median, (networks[engine], programs[engine], networks["torch"])
        )
        factor = program / seconds
        table.add_row(
            *(
                name,
                f"{seconds:g}",
                engine,
                f"{1000 * network:.1f}",
                f"{1000 * program:.1f}",
            ),
            *(f"{factor:.4f}", f"{network / reference:.2f}", f"{program / network:.2f}"),
            end_section=engine == ENGINES[-1],
        )


def run_network(model: AcousticModel, samples: np.ndarray) -> None:
    """Compute the emissions of samples (S,) in memory, in windows of half a minute."""
    size = 30 * SAMPLE_RATE
    for first in range(0, len(samples), size):
        model.compute_emissions([samples[first : first + size]])


def elapsed(work: Callable[..., object], *arguments: object) -> float:
    """Return the seconds of a call."""
    began = time.perf_counter()
    work(*arguments)
    return time.perf_counter() - began


def measure_command(model: Path, engine: str, folder: Path) -> tuple[str, str]:
    """Return the seconds and the peak memory in megabytes of asr.transcribe."""
    path = folder / "command.wav"
    size = round(COMMAND_SECONDS * SAMPLE_RATE)
    soundfile.write(path, 0.1 * np.random.default_rng(0).standard_normal(size), SAMPLE_RATE)
    arguments = [str(path), f"checkpoint={model}", f"engine={engine}"]
    results = []
    for _ in range(3):
        began = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", MEASURED, *arguments],
            capture_output=True,
            text=True,
            check=True,
        )
        results.append((time.perf_counter() - began, int(done.stderr.split()[-2]) / 1024))
    seconds, megabytes = min(results)
    return f"{seconds:.2f}", f"{megabytes:.0f}"


if __name__ == "__main__":
    main()
