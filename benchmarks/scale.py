"""What training costs against the length of clips and the size of the corpus: python benchmarks/scale.py [key=value].

Generated audio, pieces of one recording of noise, by way of manifest, selection, sampler, reading and the steps of
training; the keys are those of `asr.train`. First table: clips of one length each. Second: corpora of 5 s clips, what
they take to start, and the same number of batches of each. "against": the time of a second of audio against that of the
first row.
"""

import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from rich.console import Console
from rich.table import Table

from asr import cli
from asr.audio import SAMPLE_RATE
from asr.data.dataset import SpeechDataset, loader
from asr.data.manifest import Utterance, read_manifest, write_manifest
from asr.data.sampler import BucketSampler
from asr.data.select import select
from asr.loss import ctc_loss
from asr.model import CTCModel

LENGTHS = (1, 2, 4, 8, 16, 32)  # seconds
SIZES = (1_000, 10_000, 100_000, 281_241)  # utterances; the last is LibriSpeech's 960 hours
RECORDING = 600  # seconds of noise that clips are cut from
BATCHES = 12
CLIP = 5.0  # seconds


def manifest(folder: Path, noise: Path, count: int, seconds: float) -> Path:
    """A corpus of that many clips of about one length."""
    rng = np.random.default_rng(0)
    lengths = seconds * rng.uniform(0.9, 1.1, count)
    starts = rng.uniform(0, RECORDING - lengths.max(), count)
    text = "a b " * max(1, round(seconds))
    path = folder / f"{count}-{seconds:g}.jsonl"
    write_manifest(path, [Utterance(noise, n, text.strip(), o) for n, o in zip(lengths, starts, strict=True)])
    return path


def measure(cfg: object, path: Path) -> tuple[float, float]:
    """Seconds to the first batch's order, and those of a step for a second of audio."""
    torch.manual_seed(0)
    tokenizer = instantiate(cfg.tokenizer)
    plain = [OmegaConf.to_container(part, resolve=True) for part in (cfg.features, cfg.model)]
    model = CTCModel(features=plain[0], encoder=plain[1], tokenizer=tokenizer)
    optimizer = instantiate(cfg.optimizer)(model.parameters())
    began = time.perf_counter()
    chosen = select(
        read_manifest(path), tokenizer, frames=lambda s: int(model.frames(torch.tensor(int(s * SAMPLE_RATE))))
    )
    sampler = BucketSampler([e.utterance.duration for e in chosen.examples], batch_seconds=cfg.data.batch_seconds)
    order = iter(sampler)
    start = time.perf_counter() - began
    items = [next(order) for _ in range(min(BATCHES, len(sampler)))]
    audio = 0.0
    for number, batch in enumerate(loader(SpeechDataset(chosen.examples), items, workers=cfg.data.workers)):
        if number == 2:  # the first ones warm up
            began, audio = time.perf_counter(), 0.0
        emissions = model(batch.waveforms, batch.lengths)
        losses = ctc_loss(emissions.log_probs, emissions.lengths, batch.targets, batch.target_lengths)
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


def main() -> None:
    cfg = cli.compose("train", ["trainer=cpu", *sys.argv[1:]])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        noise = folder / "noise.wav"
        samples = np.random.default_rng(0).normal(0, 0.1, RECORDING * SAMPLE_RATE)
        soundfile.write(noise, samples.astype(np.float32), SAMPLE_RATE)
        rows, first = [], 0.0
        for seconds in LENGTHS:
            _, cost = measure(cfg, manifest(folder, noise, int(60 * BATCHES / seconds) + BATCHES, seconds))
            first = first or cost
            rows.append((f"{seconds}", f"{1e3 * cost:.2f}", f"{cost / first:.2f}"))
        table("clips of one length", ("seconds", "ms a second of audio", "against"), rows)
        rows, first = [], 0.0
        for size in SIZES:
            start, cost = measure(cfg, manifest(folder, noise, size, CLIP))
            first = first or cost
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            rows.append((f"{size:,}", f"{start:.2f}", f"{peak:,.0f}", f"{1e3 * cost:.2f}", f"{cost / first:.2f}"))
        headings = ("utterances", "start, s", "peak memory so far, MB", "ms a second of audio", "against")
        table(f"corpora of {CLIP:g} s clips", headings, rows)


if __name__ == "__main__":
    main()
