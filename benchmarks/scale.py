"""What training costs against the length of clips and the size of the corpus: python benchmarks/scale.py [key=value].

First table: what the sampler takes until it gives its first batch. The others: generated audio, pieces of one recording
of noise, by way of manifest, selection, sampler, reading and the steps of training; the keys are those of `asr.train`,
which trains `small` in batches of 480 s, as experiment=librispeech_100 does, unless others are asked for. Second:
clips of one length each. Third: corpora of 5 s clips, what they take to start, and the same number of batches of each.
"against": the time of a second of audio against the median of the table.
"""

import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import numpy as np
import soundfile
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from rich.console import Console
from rich.table import Table

from asr.audio import SAMPLE_RATE
from asr.config import app as cli
from asr.data.dataset import SpeechDataset
from asr.data.filter import filter_utterances
from asr.data.loader import Loader
from asr.data.manifest import Utterance, read_manifest, write_manifest
from asr.data.sampler import BucketSampler
from asr.nn.ctc import CTCModel
from asr.nn.losses import ctc_loss

LENGTHS = (1, 2, 4, 8, 16, 32)  # seconds
SAMPLED = (281_241, 10_000_000)  # utterances; the first are LibriSpeech's 960 hours
SIZES = (1_000, 10_000, 100_000, 281_241)
RECORDING = 600  # seconds of noise that clips are cut from
BATCHES = 8
CLIP = 5.0  # seconds


def manifest(folder: Path, noise: Path, count: int, seconds: float) -> Path:
    """A corpus of that many clips of about one length."""
    rng = np.random.default_rng(0)
    lengths = seconds * rng.uniform(0.9, 1.1, count)
    starts = rng.uniform(0, RECORDING - lengths.max(), count)
    text = "a b " * max(1, round(seconds))
    path = folder / f"{count}-{seconds:g}.jsonl"
    write_manifest(
        path, [Utterance(noise, n, text.strip(), o) for n, o in zip(lengths, starts, strict=True)]
    )
    return path


def first_batch(cfg: object, count: int) -> tuple[float, float]:
    """Seconds and megabytes that the sampler takes to give its first batch."""
    durations = np.random.default_rng(0).uniform(1, 17, count)
    before, began = peak(), time.perf_counter()
    next(iter(BucketSampler(durations, batch_seconds=cfg.data.batch_seconds)))
    return time.perf_counter() - began, peak() - before


def peak() -> float:
    """The most memory that this process has had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(cfg: object, path: Path) -> tuple[float, float]:
    """Seconds to the first batch's order, and those of a step for a second of audio."""
    torch.manual_seed(0)
    tokenizer = instantiate(cfg.tokenizer)
    plain = [OmegaConf.to_container(part, resolve=True) for part in (cfg.features, cfg.model)]
    model = CTCModel(features=plain[0], encoder=plain[1], tokenizer=tokenizer)
    optimizer = instantiate(cfg.optimizer)(model.parameters())
    began = time.perf_counter()
    chosen = filter_utterances(
        read_manifest(path),
        tokenizer,
        frames=lambda s: int(model.output_lengths(torch.tensor(int(s * SAMPLE_RATE)))),
    )
    sampler = BucketSampler(
        [e.utterance.duration for e in chosen.examples], batch_seconds=cfg.data.batch_seconds
    )
    order = iter(sampler)
    start = time.perf_counter() - began
    items = [next(order) for _ in range(min(BATCHES, len(sampler)))]
    audio = 0.0
    for number, batch in enumerate(
        Loader(SpeechDataset(chosen.examples), items, workers=cfg.data.workers)
    ):
        if number == 2:  # the first ones warm up
            began, audio = time.perf_counter(), 0.0
        emissions = model(batch.waveforms, batch.lengths)
        losses = ctc_loss(
            emissions.log_probs, emissions.lengths, batch.targets, batch.target_lengths
        )
        optimizer.zero_grad()
        (losses.sum() / batch.target_lengths.sum()).backward()
        optimizer.step()
        audio += float(batch.lengths.sum()) / SAMPLE_RATE
    return start, (time.perf_counter() - began) / audio


def table(title: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    shown = Table(title=title)
    for heading in headings:
        shown.add_column(heading, justify="right")
    for row in rows:
        shown.add_row(*row)
    Console(width=100).print(shown)


def costs(found: Sequence[float]) -> list[tuple[str, str]]:
    """Each as milliseconds, and against their median."""
    return [(f"{1e3 * cost:.2f}", f"{cost / median(found):.2f}") for cost in found]


def main() -> None:
    cfg = cli.compose(
        "train", ["trainer=cpu", "model=small", "data.batch_seconds=480", *sys.argv[1:]]
    )
    samplers = [(count, *first_batch(cfg, count)) for count in SAMPLED]
    table(
        "sampler",
        ("utterances", "s", "MB"),
        [(f"{n:,}", f"{s:.2f}", f"{mb:.0f}") for n, s, mb in samplers],
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        noise = folder / "noise.wav"
        samples = np.random.default_rng(0).normal(0, 0.1, RECORDING * SAMPLE_RATE)
        soundfile.write(noise, samples.astype(np.float32), SAMPLE_RATE)
        audio = cfg.data.batch_seconds * BATCHES
        found = [
            measure(cfg, manifest(folder, noise, round(audio / s) + BATCHES, s))[1] for s in LENGTHS
        ]
        rows = [(f"{seconds}", *cost) for seconds, cost in zip(LENGTHS, costs(found), strict=True)]
        table("clips of one length", ("seconds", "ms a second of audio", "against"), rows)
        measured = [(*measure(cfg, manifest(folder, noise, size, CLIP)), peak()) for size in SIZES]
        starts, found, most = zip(*measured, strict=True)
        rows = [
            (f"{size:,}", f"{start:.2f}", f"{mb:,.0f}", *cost)
            for size, start, mb, cost in zip(SIZES, starts, most, costs(found), strict=True)
        ]
        headings = (
            "utterances",
            "start, s",
            "peak memory so far, MB",
            "ms a second of audio",
            "against",
        )
        table(f"corpora of {CLIP:g} s clips", headings, rows)


if __name__ == "__main__":
    main()
