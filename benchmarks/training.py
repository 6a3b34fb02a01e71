"""What training costs around the network: python benchmarks/training.py [data=an4] [key=value ...].

Seconds of audio a second of `asr.train` over FLAC files (reading, collating, logging, Lightning) against a bare loop
over the same model, loss and optimizer on batches that are in memory already, in one run and in turns. The keys
are those of `asr.train`; augmentation is off in both. Last line: the ratio.
"""

import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import soundfile
import torch
from lightning import Callback, Trainer
from omegaconf import open_dict
from rich.console import Console
from rich.table import Table

from asr import audio, cli
from asr.data.dataset import Batch
from asr.data.manifest import Utterance, read_manifests, write_manifest
from asr.loss import ctc_loss
from asr.train import train

EPOCHS = 4  # of each, taken in turns; the first is not counted


class Timer(Callback):
    """Times the steps of each epoch, then a bare epoch over the batches that the first one left in memory."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.rates: list[tuple[float, float]] = []  # seconds of audio a second: asr.train, bare
        MEASURED.append(self)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: torch.nn.Module) -> None:
        self.began, self.audio = time.perf_counter(), 0.0

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: torch.nn.Module, outputs: object, batch: Batch, batch_idx: int
    ) -> None:
        self.audio += seconds(batch)
        self.ended = time.perf_counter()
        if trainer.current_epoch == 0:
            self.batches.append(batch)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: torch.nn.Module) -> None:
        ours = self.audio / (self.ended - self.began)
        self.rates.append((ours, bare(pl_module.model, self.batches, trainer.optimizers[0])))


MEASURED: list[Timer] = []


def seconds(batch: Batch) -> float:
    return float(batch.lengths.sum()) / audio.SAMPLE_RATE


def bare(model: torch.nn.Module, batches: list[Batch], optimizer: torch.optim.Optimizer) -> float:
    """Seconds of audio a second of the smallest loop that does the same work."""
    began = time.perf_counter()
    for batch in batches:
        emissions = model(batch.waveforms, batch.lengths)
        losses = ctc_loss(emissions.log_probs, emissions.lengths, batch.targets, batch.target_lengths)
        optimizer.zero_grad()
        (losses.sum() / batch.target_lengths.sum()).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return sum(map(seconds, batches)) / (time.perf_counter() - began)


def as_flac(utterances: list[Utterance], folder: Path) -> Path:
    """The utterances as FLAC files of their own, and their manifest."""
    written = []
    for number, utterance in enumerate(utterances):
        path = folder / f"{number}.flac"
        soundfile.write(path, audio.read(utterance.audio, offset=utterance.offset, duration=utterance.duration), 16_000)
        written.append(Utterance(path, utterance.duration, utterance.text))
    write_manifest(folder / "flac.jsonl", written)
    return folder / "flac.jsonl"


def main() -> None:
    overrides = ["data.limit=600", *sys.argv[1:]]
    with tempfile.TemporaryDirectory() as folder:
        cfg = cli.compose("train", [*overrides, "augment=none", "logger=csv", f"dir={folder}/run"])
        cli.make_corpus(cfg.data)
        cfg.data.train = str(as_flac(read_manifests(cfg.data.train, limit=cfg.data.limit), Path(folder)))
        cfg.data.limit = None
        cfg.data.validation = cfg.data.train
        cfg.trainer.max_epochs = EPOCHS
        with open_dict(cfg):
            cfg.trainer.limit_val_batches = 1
            cfg.callbacks = {"checkpoints": cfg.callbacks.checkpoints, "timer": {"_target_": "__main__.Timer"}}
        train(cfg)
    table = Table(title=f"seconds of audio a second, {torch.get_num_threads()} threads, torch {torch.__version__}")
    for heading in ("epoch", "asr.train", "bare loop", "ratio"):
        table.add_column(heading, justify="right")
    rates = MEASURED[0].rates[1:]
    for epoch, (ours, limit) in enumerate(rates, 2):
        table.add_row(str(epoch), f"{ours:.1f}", f"{limit:.1f}", f"{ours / limit:.3f}")
    Console().print(table)
    print(f"asr.train / bare loop: {median(ours / limit for ours, limit in rates):.3f} (median)")


if __name__ == "__main__":
    main()
