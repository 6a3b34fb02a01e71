"""Measure the overhead of training: python benchmarks/training.py [rows=files] [model=tiny] ...

Each row of the table compares `asr.train` (reading, augmentation, collation, logging, Lightning)
with a bare loop over the same model, loss, and optimizer on batches in memory. Both take turns,
epoch by epoch. Columns: seconds of audio per second of both, and their ratio.

The rows read audio from FLAC files, from shards, and from a cache of decoded audio, and from files
with every augmentation. `rows=TEXT` selects the rows whose name contains the text. The other
arguments are settings of `asr.train`; the default model is `small`.

A worker that decodes audio competes with the network for the cores. OMP_NUM_THREADS=1 leaves it one
of two cores. On a GPU the batches of the bare loop are in GPU memory, and both use the precision of
the trainer: trainer=gpu model=base data.workers=12.
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
from asr.audio import SAMPLE_RATE
from asr.config import app as cli
from asr.config import build
from asr.data.dataset import Batch
from asr.data.manifest import Utterance, read_manifests, write_manifest
from asr.data.shards import write_shards
from asr.nn.losses import ctc_loss
from asr.train import train

EPOCHS = 4  # of each loop; the first is not counted
EVERY_AUGMENTATION = [
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
    ("decoded once", "files", ["augment=none", "data.cache=pcm"]),
    ("files, every augmentation", "files", EVERY_AUGMENTATION),
    ("files, every augmentation", "files", [*EVERY_AUGMENTATION, "data.workers=2"]),
]


class Timer(Callback):
    """Callback that times each epoch, then a bare epoch over the batches of the first one."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.rates: list[
            tuple[float, float]
        ] = []  # audio seconds per second: asr.train, bare
        MEASURED.append(self)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: torch.nn.Module) -> None:
        """Start the clock."""
        self.start, self.audio = time.perf_counter(), 0.0

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: torch.nn.Module,
        outputs: object,
        batch: Batch,
        batch_idx: int,
    ) -> None:
        """Count the audio, stop the clock, and keep the batches of the first epoch."""
        self.audio += seconds(batch)
        if batch_idx + 1 == trainer.num_training_batches:
            synchronize()
        self.end = time.perf_counter()
        if trainer.current_epoch == 0:
            self.batches.append(batch)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: torch.nn.Module) -> None:
        """Run the bare loop."""
        full = self.audio / (self.end - self.start)
        optimizer, precision = trainer.optimizers[0], trainer.precision_plugin
        self.rates.append(
            (full, run_bare_epoch(pl_module.model, self.batches, optimizer, precision))
        )


MEASURED: list[Timer] = []  # by run


def seconds(batch: Batch) -> float:
    """Return the seconds of audio in a batch, without padding."""
    return float(batch.lengths.sum()) / SAMPLE_RATE


def synchronize() -> None:
    """Wait until the GPU is idle."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def run_bare_epoch(
    model: torch.nn.Module,
    batches: list[Batch],
    optimizer: torch.optim.Optimizer,
    precision: Precision,
) -> float:
    """Train on batches in the smallest loop and return the seconds of audio per second."""
    start = time.perf_counter()
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
    synchronize()
    return sum(map(seconds, batches)) / (time.perf_counter() - start)


def write_manifests(utterances: list[Utterance], folder: Path) -> dict[str, Path]:
    """Write manifests of the utterances in FLAC files, in shards, and of a few for validation."""
    files = []
    for number, utterance in enumerate(utterances):
        path = folder / f"{number}.flac"
        source, offset, duration = utterance.audio, utterance.offset, utterance.duration
        soundfile.write(
            path, audio.load(source, offset=offset, duration=duration), SAMPLE_RATE
        )
        files.append(Utterance(path, utterance.duration, utterance.text))
    corpora = {
        "files": files,
        "validation": files[:8],
        "shards": write_shards(files, folder / "shards", "train", hours=0.1)[0],
    }
    for name, listed in corpora.items():
        write_manifest(folder / f"{name}.jsonl", listed)
    return {name: folder / f"{name}.jsonl" for name in corpora}


def measure(
    overrides: list[str], manifest: Path, folder: Path
) -> list[tuple[float, float]]:
    """Return the seconds of audio per second of asr.train and of the bare loop, per epoch."""
    cfg = cli.compose(
        "train",
        [
            *overrides,
            "logger=csv",
            f"dir={folder}/run",
            f"data.cache_folder={folder}/cache",
        ],
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
    settings = [argument for argument in sys.argv[1:] if not argument.startswith("rows=")]
    overrides = ["model=small", "data.limit=300", *settings]
    selected = "".join(
        a.removeprefix("rows=") for a in sys.argv[1:] if a.startswith("rows=")
    )
    threads = f"{torch.get_num_threads()} threads, torch {torch.__version__}"
    table = Table(title=f"seconds of audio per second, {threads}")
    for heading in ("", "asr.train", "bare loop", "ratio (median)", "from", "to"):
        table.add_column(heading, justify="right" if heading else "left")
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root)
        cfg = cli.compose("train", overrides)
        build.ensure_corpus(cfg.data)
        utterances = read_manifests(cfg.data.train, limit=cfg.data.limit)
        manifests = write_manifests(utterances, folder)
        for name, store, row_settings in ROWS:
            row_overrides = [*row_settings, *overrides]
            row = f"{name}, workers: {cli.compose('train', row_overrides).data.workers}"
            if selected not in row:
                continue
            rates = measure(row_overrides, manifests[store], folder)
            full, bare = (median(values) for values in zip(*rates, strict=True))
            ratios = [full / bare for full, bare in rates]
            summary = (f"{statistic(ratios):.3f}" for statistic in (median, min, max))
            table.add_row(row, f"{full:.1f}", f"{bare:.1f}", *summary)
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
