"""Compare engines and other packages for transcription: python benchmarks/transcription.py.

    pip install pocketsphinx transformers

Both are installed separately. A package that is missing gives a row without figures.

Our models and Whisper have random weights, because only time counts. Recordings are noise, or
repetitions of `--recording`. The first table has one row for each length and engine:

    network       the network alone, on samples in memory, in the windows and batches of the program
    RTF           its time divided by the length of the recording
    / torch       its time divided by torch's
    reading       decoding the file to samples
    program       `Transcriber.transcribe`: reading, finding pauses, the network, and decoding
    / bare        the program divided by network + reading

Set OMP_WAIT_POLICY=passive, as all commands do, if torch has several threads. All engines take
turns, and a time is the smallest of the rounds. Whisper has the architecture of
its tiny model and emits 100 tokens for each window of 30 s, or three per second of a shorter file.

The second table shows the time and the peak memory of the command `asr.transcribe` for five
seconds of audio. The third shows a folder of short files in one command and in one command for
each file.
"""

import argparse
import importlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from numpy import ndarray
from omegaconf import OmegaConf
from rich.console import Console
from rich.table import Table
from sphinx import Sphinx

from asr.audio import SAMPLE_RATE, load
from asr.config.app import compose
from asr.inference.batcher import BATCH_WINDOWS
from asr.inference.model import AcousticModel, load_model
from asr.inference.transcriber import Transcriber
from asr.inference.windows import Windower
from asr.nn.checkpoint import read_checkpoint
from asr.nn.ctc import CTCModel
from asr.nn.onnx_export import build_onnx
from asr.text import Tokenizer

ENGINES = ("torch", "onnx", "int8")
COMMAND_SECONDS = 5.0
SINGLE_COMMANDS = 10  # from which the time of one command for each file is extrapolated
WHISPER_SECONDS = 30  # of a window
WHISPER_TOKENS = 100  # for a whole window
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
    """Print all tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", default=["tiny", "small", "base"])
    parser.add_argument("--seconds", nargs="+", type=float, default=[2, 10, 60, 3600])
    parser.add_argument("--threads", nargs="+", type=int, default=[2, 1])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--recording", type=Path, help="speech to repeat instead of noise")
    parser.add_argument("--files", type=int, default=1000, help="short files; 0 for none")
    parser.add_argument(
        "--peer-seconds",
        type=float,
        default=60,
        help="longest recording for other packages",
    )
    options = parser.parse_args()
    console = Console(width=110)
    with tempfile.TemporaryDirectory() as folder:
        options.folder = Path(folder)
        models = {name: save_model(name, options.folder) for name in options.models}
        for threads in options.threads:
            os.environ["OMP_NUM_THREADS"] = str(threads)
            torch.set_num_threads(threads)
            console.print(f"torch {torch.__version__}, {threads} threads")
            console.print(compare_engines(models, options))
            console.print(compare_peers(options, threads))
        console.print(measure_commands(models, options.folder))
        if options.files:
            console.print(measure_files(models[options.models[0]], options))


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


def write_recording(seconds: float, options: argparse.Namespace) -> Path:
    """Write a recording of a length and return its path."""
    path: Path = options.folder / f"{seconds:g}.wav"
    size = round(seconds * SAMPLE_RATE)
    if options.recording:
        samples = np.resize(load(options.recording), size)
    else:
        samples = 0.1 * np.random.default_rng(0).standard_normal(size)
    soundfile.write(path, samples, SAMPLE_RATE)
    return path


def compare_engines(models: dict[str, Path], options: argparse.Namespace) -> Table:
    """Return the table of our engines."""
    table = Table("model", "s", "engine", "network ms", "RTF", "/ torch", "reading ms")
    table.add_column("program ms")
    table.add_column("/ bare")
    for name, path in models.items():
        engines = load_models(path)
        for seconds in options.seconds:
            recording = write_recording(seconds, options)
            samples = load(recording)
            work = {"reading": partial(load, recording)}
            for engine, model in engines.items():
                work[engine] = partial(run_network, model, samples)
                work[f"{engine} program"] = partial(
                    Transcriber(model).transcribe, recording
                )
            times = take_turns(work, options.rounds if seconds < 600 else 1)
            for engine in ENGINES:
                network, program = times[engine], times[f"{engine} program"]
                bare = network + times["reading"]
                table.add_row(
                    *(name, f"{seconds:g}", engine, f"{1000 * network:.1f}"),
                    *(f"{network / seconds:.4f}", f"{network / times['torch']:.2f}"),
                    *(f"{1000 * times['reading']:.1f}", f"{1000 * program:.1f}"),
                    f"{program / bare:.2f}",
                    end_section=engine == ENGINES[-1],
                )
    return table


def take_turns(work: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Return the smallest time in seconds of each call."""
    times: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(rounds):
        for name, call in work.items():
            times[name].append(elapsed(call))
    return {name: min(values) for name, values in times.items()}


def elapsed(work: Callable[[], object]) -> float:
    """Return the seconds of a call."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def run_network(model: AcousticModel, samples: ndarray) -> None:
    """Compute the emissions of samples (S,) in memory."""
    windows = [window.samples for window in Windower(model).divide([samples])]
    rows = BATCH_WINDOWS
    for first in range(0, len(windows), rows):
        model.compute_emissions(windows[first : first + rows])


def compare_peers(options: argparse.Namespace, threads: int) -> Table:
    """Return the table of other packages."""
    table = Table("package", "s", "ms", "RTF")
    for name, build in (("pocketsphinx 5", Sphinx), ("Whisper tiny", Whisper)):
        try:
            peer = build()
        except ImportError as error:
            table.add_row(name, "", str(error), "")
            continue
        for seconds in options.seconds:
            if seconds <= options.peer_seconds:
                samples = load(write_recording(seconds, options))
                call = partial(peer.transcribe, samples)
                best = take_turns({name: call}, min(3, options.rounds))[name]
                row = f"{seconds:g}", f"{1000 * best:.0f}", f"{best / seconds:.4f}"
                table.add_row(name, *row)
    return table


class Whisper:
    """The architecture of Whisper tiny in transformers, with random weights."""

    def __init__(self) -> None:
        module = importlib.import_module("transformers")
        module.logging.set_verbosity_error()
        torch.manual_seed(0)
        self.features = module.WhisperFeatureExtractor()
        config = module.WhisperConfig()
        self.model = module.WhisperForConditionalGeneration(config).eval()

    def transcribe(self, samples: ndarray) -> None:
        """Emit tokens for each window of samples (S,)."""
        size = WHISPER_SECONDS * SAMPLE_RATE
        for first in range(0, len(samples), size):
            window = samples[first : first + size]
            tokens = WHISPER_TOKENS * len(window) // size
            features = self.features(window, sampling_rate=SAMPLE_RATE, return_tensors="pt")
            with torch.inference_mode():
                self.model.generate(
                    features.input_features, min_new_tokens=tokens, max_new_tokens=tokens
                )


def measure_commands(models: dict[str, Path], folder: Path) -> Table:
    """Return the table of the time and the memory of whole commands."""
    table = Table("model", "engine", "command s", "memory MB")
    path = folder / "command.wav"
    size = round(COMMAND_SECONDS * SAMPLE_RATE)
    soundfile.write(path, 0.1 * np.random.default_rng(0).standard_normal(size), SAMPLE_RATE)
    for name, model in models.items():
        for engine in ("torch", "onnx"):
            arguments = [str(path), f"checkpoint={model}", f"engine={engine}"]
            results = [run_command(arguments)[:2] for _ in range(3)]
            seconds, megabytes = map(min, zip(*results, strict=True))
            table.add_row(name, engine, f"{seconds:.2f}", f"{megabytes:.0f}")
    return table


def run_command(arguments: Sequence[str]) -> tuple[float, float, str]:
    """Return the seconds, the peak memory in megabytes, and the output of asr.transcribe."""
    command = [sys.executable, "-c", MEASURED, *arguments]
    began = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    seconds = time.perf_counter() - began
    return seconds, int(done.stderr.split()[-2]) / 1024, done.stdout


def measure_files(model: Path, options: argparse.Namespace) -> Table:
    """Return the table of many short files in one command, and in one command for each."""
    folder = options.folder / "short"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(options.files):
        samples = 0.1 * rng.standard_normal(round(rng.uniform(1, 4) * SAMPLE_RATE))
        soundfile.write(folder / f"{number:05d}.wav", samples, SAMPLE_RATE)
    checkpoint = f"checkpoint={model}"
    together, *_ = run_command([str(folder), checkpoint])
    paths = sorted(folder.iterdir())[:SINGLE_COMMANDS]
    each = np.mean([run_command([str(path), checkpoint])[0] for path in paths])
    table = Table("files", "one command s", "a command for each s", "ratio")
    apart = each * options.files
    ratio = f"{apart / together:.1f}"
    table.add_row(str(options.files), f"{together:.1f}", f"{apart:.1f}", ratio)
    return table


if __name__ == "__main__":
    main()
