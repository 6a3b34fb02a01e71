"""Cost of training by clip length and corpus size: python benchmarks/scale.py [key=value ...].

The first table shows the time and memory that the sampler needs for its first batch.

The other tables train on clips of one generated noise recording with the manifest, filter, sampler,
and loader of `asr.train`. Keys are those of `asr.train`; the defaults are the model `small` and
batches of 480 s as in experiment=librispeech_100. The second table has clips of one length per row.
The third has corpora of 5 s clips: their start-up time, and the same number of batches of each.
"relative" is the time per second of audio divided by the median of the table.
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
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.table import Table

from asr.audio import SAMPLE_RATE
from asr.config.app import compose
from asr.data.dataset import SpeechDataset
from asr.data.filter import filter_utterances
from asr.data.loader import Loader
from asr.data.manifest import Utterance, read_manifest, write_manifest
from asr.data.sampler import BucketSampler
from asr.nn.ctc import CTCModel
from asr.nn.losses import ctc_loss

CLIP_SECONDS = (1, 2, 4, 8, 16, 32)
SAMPLER_SIZES = (281_241, 10_000_000)  # utterances; LibriSpeech's 960 hours have 281,241
CORPUS_SIZES = (1_000, 10_000, 100_000, 281_241)  # utterances
CORPUS_CLIP_SECONDS = 5.0
RECORDING_SECONDS = 600  # length of the noise that clips are cut from
BATCHES = 8
WARM_UP_BATCHES = 2


def write_corpus(folder: Path, noise: Path, count: int, seconds: float) -> Path:
    """Write a manifest of clips of about one length and return its path."""
    rng = np.random.default_rng(0)
    durations = seconds * rng.uniform(0.9, 1.1, count)
    starts = rng.uniform(0, RECORDING_SECONDS - durations.max(), count)
    text = " ".join(["a b"] * max(1, round(seconds)))
    path = folder / f"{count}-{seconds:g}.jsonl"
    utterances = [
        Utterance(noise, duration, text, start)
        for duration, start in zip(durations, starts, strict=True)
    ]
    write_manifest(path, utterances)
    return path


def measure_sampler(cfg: DictConfig, count: int) -> tuple[float, float]:
    """Return the seconds and megabytes that the sampler needs for its first batch."""
    durations = np.random.default_rng(0).uniform(1, 17, count)
    memory, start = peak_memory(), time.perf_counter()
    next(iter(BucketSampler(durations, batch_seconds=cfg.data.batch_seconds)))
    return time.perf_counter() - start, peak_memory() - memory


def peak_memory() -> float:
    """Return the largest memory of this process so far in megabytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure_training(cfg: DictConfig, manifest: Path) -> tuple[float, float]:
    """Return the seconds until the first batch is drawn, and seconds per second of audio."""
    torch.manual_seed(0)
    tokenizer = instantiate(cfg.tokenizer)
    features, encoder = (
        OmegaConf.to_container(c, resolve=True) for c in (cfg.features, cfg.model)
    )
    model = CTCModel(features=features, encoder=encoder, tokenizer=tokenizer)
    optimizer = instantiate(cfg.optimizer)(model.parameters())

    def output_length(seconds: float) -> int:
        return int(model.output_lengths(torch.tensor(int(seconds * SAMPLE_RATE))))

    start = time.perf_counter()
    utterances = read_manifest(manifest)
    examples = filter_utterances(
        utterances, tokenizer, output_length=output_length
    ).examples
    durations = [example.utterance.duration for example in examples]
    sampler = BucketSampler(durations, batch_seconds=cfg.data.batch_seconds)
    batches = iter(sampler)
    start_up = time.perf_counter() - start
    items = [next(batches) for _ in range(min(BATCHES, len(sampler)))]
    loader = Loader(SpeechDataset(examples), items, workers=cfg.data.workers)
    audio_seconds = 0.0
    for number, batch in enumerate(loader):
        if number == WARM_UP_BATCHES:
            start, audio_seconds = time.perf_counter(), 0.0
        emissions = model(batch.waveforms, batch.lengths)
        losses = ctc_loss(
            emissions.log_probs, emissions.lengths, batch.targets, batch.target_lengths
        )
        optimizer.zero_grad()
        (losses.sum() / batch.target_lengths.sum()).backward()
        optimizer.step()
        audio_seconds += float(batch.lengths.sum()) / SAMPLE_RATE
    return start_up, (time.perf_counter() - start) / audio_seconds


def print_table(title: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    table = Table(title=title)
    for heading in headings:
        table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(*row)
    Console(width=100).print(table)


def format_costs(costs: Sequence[float]) -> list[tuple[str, str]]:
    """Return each cost in milliseconds and relative to the median."""
    return [(f"{1e3 * cost:.2f}", f"{cost / median(costs):.2f}") for cost in costs]


def print_clip_lengths(cfg: DictConfig, folder: Path, noise: Path) -> None:
    """Print the cost of training on clips of each length."""
    total = cfg.data.batch_seconds * BATCHES
    costs = []
    for seconds in CLIP_SECONDS:
        manifest = write_corpus(folder, noise, round(total / seconds) + BATCHES, seconds)
        costs.append(measure_training(cfg, manifest)[1])
    rows = [
        (f"{s}", *cost) for s, cost in zip(CLIP_SECONDS, format_costs(costs), strict=True)
    ]
    print_table(
        "clips of one length", ("seconds", "ms per second of audio", "relative"), rows
    )


def print_corpus_sizes(cfg: DictConfig, folder: Path, noise: Path) -> None:
    """Print the cost of training on corpora of each size."""
    results = []
    for size in CORPUS_SIZES:
        manifest = write_corpus(folder, noise, size, CORPUS_CLIP_SECONDS)
        results.append((*measure_training(cfg, manifest), peak_memory()))
    costs = format_costs([cost for _, cost, _ in results])
    rows = [
        (f"{size:,}", f"{start_up:.2f}", f"{memory:,.0f}", *cost)
        for size, (start_up, _, memory), cost in zip(
            CORPUS_SIZES, results, costs, strict=True
        )
    ]
    headings = (
        "utterances",
        "start-up, s",
        "peak memory so far, MB",
        "ms per second of audio",
        "relative",
    )
    print_table(f"corpora of {CORPUS_CLIP_SECONDS:g} s clips", headings, rows)


def main() -> None:
    defaults = ["trainer=cpu", "model=small", "data.batch_seconds=480"]
    cfg = compose("train", [*defaults, *sys.argv[1:]])
    rows = []
    for count in SAMPLER_SIZES:
        seconds, megabytes = measure_sampler(cfg, count)
        rows.append((f"{count:,}", f"{seconds:.2f}", f"{megabytes:.0f}"))
    print_table("sampler", ("utterances", "s", "MB"), rows)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        noise = folder / "noise.wav"
        samples = np.random.default_rng(0).normal(0, 0.1, RECORDING_SECONDS * SAMPLE_RATE)
        soundfile.write(noise, samples.astype(np.float32), SAMPLE_RATE)
        print_clip_lengths(cfg, folder, noise)
        print_corpus_sizes(cfg, folder, noise)


if __name__ == "__main__":
    main()
