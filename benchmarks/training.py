"""What training costs around the network: python benchmarks/training.py [rows=files] [model=tiny] [key=value ...].

Seconds of audio a second of `asr.train` (reading, augmenting, collating, logging, Lightning) against a bare loop over
the same model, loss and optimizer on batches that are in memory already, epoch by epoch in turns. A row each for
audio in FLAC files, in shards and decoded once, and for files with every augmentation; `rows=` picks some by the words
they contain. The keys are those of `asr.train`, the model is `small` unless another is asked for. A worker that decodes
takes its time from the network where both want the same cores: OMP_NUM_THREADS=1 leaves it one of two. On a GPU the
batches of the bare loop lie there, and both run in the precision asked for: trainer=gpu model=base data.workers=12.
"""

import contextlib
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import soundfile
import torch
from lightning import Callback, Trainer
from lightning.pytorch.plugins.precision import Precision
from omegaconf import open_dict
from rich.console import Console
from rich.table import Table

from asr import audio
from asr.config import app as cli
from asr.config import build
from asr.data.dataset import Batch
from asr.data.manifest import Utterance, read_manifests, write_manifest
from asr.data.shards import write_shards
from asr.nn.losses import ctc_loss
from asr.train import train

EPOCHS = 4  # of each, taken in turns; the first is not counted
CACHE = ["data.cache=pcm"]
ALL = [
    "augment.reverb.probability=0.5",
    "augment.equalizer.probability=0.5",
    "augment.noise.probability=0.5",
    "augment.gain.probability=0.5",
    "augment.spec.warp=0.1",
]
ROWS = [  # name, manifest, settings
    ("files", "files", ["augment=none"]),
    ("files", "files", ["augment=none", "data.workers=2"]),
    ("shards", "shards", ["augment=none"]),
    ("decoded once", "files", ["augment=none", *CACHE]),
    ("files, every augmentation", "files", ALL),
    ("files, every augmentation", "files", [*ALL, "data.workers=2"]),
]


class Timer(Callback):
    """Times the steps of each epoch, then a bare epoch over the batches that the first one left in memory."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.rates: list[tuple[float, float]] = []  # seconds of audio a second: asr.train, bare
        MEASURED.append(self)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: torch.nn.Module) -> None:
        self.began, self.audio = time.perf_counter(), 0.0

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: torch.nn.Module,
        outputs: object,
        batch: Batch,
        batch_idx: int,
    ) -> None:
        self.audio += seconds(batch)
        if batch_idx + 1 == trainer.num_training_batches:
            synchronised()
        self.ended = time.perf_counter()
        if trainer.current_epoch == 0:
            self.batches.append(batch)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: torch.nn.Module) -> None:
        ours = self.audio / (self.ended - self.began)
        self.rates.append(
            (
                ours,
                bare(
                    pl_module.model, self.batches, trainer.optimizers[0], trainer.precision_plugin
                ),
            )
        )


MEASURED: list[Timer] = []


def seconds(batch: Batch) -> float:
    return float(batch.lengths.sum()) / audio.SAMPLE_RATE


def synchronised() -> None:
    """Wait for what a GPU has been told to do."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def bare(
    model: torch.nn.Module,
    batches: list[Batch],
    optimizer: torch.optim.Optimizer,
    precision: Precision,
) -> float:
    """Seconds of audio a second of the smallest loop that does the same work."""
    began = time.perf_counter()
    for batch in batches:
        with precision.forward_context():
            emissions = model(batch.waveforms, batch.lengths)
        losses = ctc_loss(
            emissions.log_probs, emissions.lengths, batch.targets, batch.target_lengths
        )
        optimizer.zero_grad()
        (losses.sum() / batch.target_lengths.sum()).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    synchronised()
    return sum(map(seconds, batches)) / (time.perf_counter() - began)


def manifests(utterances: list[Utterance], folder: Path) -> dict[str, Path]:
    """The utterances as FLAC files of their own, and in shards; and a few of them to validate on."""
    files = []
    for number, utterance in enumerate(utterances):
        path = folder / f"{number}.flac"
        soundfile.write(
            path,
            audio.load(utterance.audio, offset=utterance.offset, duration=utterance.duration),
            16_000,
        )
        files.append(Utterance(path, utterance.duration, utterance.text))
    written = {
        "files": files,
        "validation": files[:8],
        "shards": write_shards(files, folder / "shards", "train", hours=0.1)[0],
    }
    for name, found in written.items():
        write_manifest(folder / f"{name}.jsonl", found)
    return {name: folder / f"{name}.jsonl" for name in written}


def rates(overrides: list[str], manifest: Path, folder: Path) -> list[tuple[float, float]]:
    """Seconds of audio a second of asr.train and of the bare loop, for each epoch that counts."""
    cfg = cli.compose(
        "train",
        [*overrides, "logger=csv", f"dir={folder}/run", f"data.cache_folder={folder}/cache"],
    )
    cfg.data.train, cfg.data.validation = str(manifest), str(folder / "validation.jsonl")
    cfg.data.limit = None
    cfg.trainer.max_epochs = EPOCHS
    with open_dict(cfg):
        cfg.callbacks = {
            "checkpoints": cfg.callbacks.checkpoints,
            "timer": {"_target_": "__main__.Timer"},
        }
    with contextlib.redirect_stdout(sys.stderr):
        train(cfg)
    return MEASURED[-1].rates[1:]


def main() -> None:
    asked = [argument for argument in sys.argv[1:] if not argument.startswith("rows=")]
    overrides = ["model=small", "data.limit=300", *asked]
    wanted = next(
        (argument[len("rows=") :] for argument in sys.argv[1:] if argument.startswith("rows=")), ""
    )
    table = Table(
        title=f"seconds of audio a second, {torch.get_num_threads()} threads, torch {torch.__version__}"
    )
    for heading in ("", "asr.train", "bare loop", "ratio (median)", "from", "to"):
        table.add_column(heading, justify="right" if heading else "left")
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root)
        cfg = cli.compose("train", overrides)
        build.ensure_corpus(cfg.data)
        listed = manifests(read_manifests(cfg.data.train, limit=cfg.data.limit), folder)
        for name, store, settings in ROWS:
            keys = [*settings, *overrides]
            row = f"{name}, workers: {cli.compose('train', keys).data.workers}"
            if wanted not in row:
                continue
            pairs = rates(keys, listed[store], folder)
            ours, limit = (median(each) for each in zip(*pairs, strict=True))
            ratios = [ours / limit for ours, limit in pairs]
            figures = (
                f"{ours:.1f}",
                f"{limit:.1f}",
                *(f"{f(ratios):.3f}" for f in (median, min, max)),
            )
            table.add_row(row, *figures)
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
