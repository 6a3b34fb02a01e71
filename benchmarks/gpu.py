"""Measure training on a GPU.

    python benchmarks/gpu.py [models=base,large] [batch_seconds=480,960,1920] [key=value ...]

Figures are hours of audio per second of complete bf16-mixed training steps: features, encoder, CTC,
gradients, clipping, and AdamW. The waveforms are on the GPU already. They last 2 to 17 s, most of
them near 16 s, in batches as `asr.train` makes them. The columns are the recurrent layers in the
form that the model uses on CUDA, packed and padded by torch, and reversed within length. "cuDNN" is
the time of the recurrent layers alone, over rows packed beforehand, as a share of the first.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import product
from types import MethodType

import numpy as np
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from asr.audio import SAMPLE_RATE
from asr.config import app as cli
from asr.data.sampler import BucketSampler
from asr.nn.ctc import CTCModel
from asr.nn.encoder import BiRNN
from asr.nn.losses import ctc_loss

BATCHES = 8
LABELS = 14  # per second of read English

Batch = tuple[
    Tensor, Tensor, Tensor, Tensor
]  # waveforms (B, S), lengths, labels (B, L), lengths


def make_batches(batch_seconds: float, tokens: int, device: str) -> list[Batch]:
    """Return the first batches of an epoch, with noise for audio and random labels."""
    rng = np.random.default_rng(0)
    durations = rng.triangular(2, 16, 17, round(1.5 * BATCHES * batch_seconds / 11.7))
    batches = []
    for indices in BucketSampler(durations, batch_seconds=batch_seconds).batches(1)[
        :BATCHES
    ]:
        seconds = torch.from_numpy(durations[indices])
        lengths, labels = (seconds * SAMPLE_RATE).long(), (seconds * LABELS).long()
        waveforms = 0.1 * torch.randn(len(lengths), int(lengths.max()), device=device)
        targets = torch.randint(1, tokens, (len(labels), int(labels.max())))
        batches.append(
            (waveforms, *(tensor.to(device) for tensor in (lengths, targets, labels)))
        )
    return batches


def measure_rate(step: Callable[[Batch], None], batches: list[Batch]) -> float:
    """Return hours of audio per second in the second pass over the batches.

    The first pass is slower, because cuDNN plans its kernels for every new shape.
    """
    for _ in range(2):
        synchronize()
        start = time.perf_counter()
        for batch in batches:
            step(batch)
        synchronize()
        seconds = time.perf_counter() - start
    return (
        sum(int(lengths.sum()) for _, lengths, _, _ in batches)
        / SAMPLE_RATE
        / 3600
        / seconds
    )


def synchronize() -> None:
    """Wait until the GPU has finished."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def training_step(
    model: CTCModel, optimizer: torch.optim.Optimizer
) -> Callable[[Batch], None]:
    """Return a function that trains on a batch."""

    def step(batch: Batch) -> None:
        waveforms, lengths, targets, target_lengths = batch
        with torch.autocast(waveforms.device.type, torch.bfloat16):
            emissions = model(waveforms, lengths)
            losses = ctc_loss(
                emissions.log_probs, emissions.lengths, targets, target_lengths
            )
        optimizer.zero_grad()
        (losses.sum() / target_lengths.sum()).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    return step


def recurrent_step(model: CTCModel) -> Callable[[Batch], None]:
    """Return a function that runs only the recurrent layers, forward and backward."""

    def step(batch: Batch) -> None:
        waveforms, lengths, *_ = batch
        frames = model.output_lengths(lengths).cpu()
        x = torch.randn(
            len(frames),
            int(frames.max()),
            model.encoder.output_dim,
            device=waveforms.device,
        )
        rows = pack_padded_sequence(x, frames, batch_first=True, enforce_sorted=False)
        x = rows.data.requires_grad_()
        with torch.autocast(waveforms.device.type, torch.bfloat16):
            for layer in model.encoder.layers:
                x = layer.rnn(rows._replace(data=x))[0].data
        x.backward(torch.ones_like(x))

    return step


@contextmanager
def replace_forward(model: CTCModel, forward: Callable[..., Tensor]) -> Iterator[None]:
    """Replace the forward function of every recurrent layer."""
    for layer in model.encoder.layers:
        layer.forward = MethodType(forward, layer)
    yield
    for layer in model.encoder.layers:
        del layer.forward


def packed_by_torch(layer: BiRNN, x: Tensor, lengths: Tensor, _: object) -> Tensor:
    rows = pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
    return pad_packed_sequence(
        layer.rnn(rows)[0], batch_first=True, total_length=x.shape[1]
    )[0]


def reversed_within_length(layer: BiRNN, x: Tensor, lengths: Tensor, _: object) -> Tensor:
    return layer.reversed_within_length(x, lengths)


def measure_model(name: str, size: float, settings: list[str], device: str) -> list[str]:
    """Return a row of the table."""
    cfg = cli.compose("train", [f"model={name}", *settings])
    torch.manual_seed(0)
    features, encoder = (
        OmegaConf.to_container(group, resolve=True) for group in (cfg.features, cfg.model)
    )
    tokenizer = instantiate(cfg.tokenizer)
    model = CTCModel(features=features, encoder=encoder, tokenizer=tokenizer).to(device)
    step = training_step(model, instantiate(cfg.optimizer)(model.parameters()))
    batches = make_batches(size, len(tokenizer), device)
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    rates = [measure_rate(step, batches)]
    peak = torch.cuda.max_memory_allocated() / 1e9 if device == "cuda" else float("nan")
    for forward in (packed_by_torch, reversed_within_length):
        with replace_forward(model, forward):
            rates.append(measure_rate(step, batches))
    share = rates[0] / measure_rate(recurrent_step(model), batches)
    return [
        name,
        f"{size:g}",
        *(f"{rate:.2f}" for rate in rates),
        f"{share:.0%}",
        f"{peak:.1f}",
    ]


def main() -> None:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    settings = dict(argument.split("=", 1) for argument in sys.argv[1:])
    sizes = [
        float(size) for size in settings.pop("batch_seconds", "480,960,1920").split(",")
    ]
    models = settings.pop("models", "base,large").split(",")
    card = torch.cuda.get_device_name() if device == "cuda" else "CPU"
    table = Table(title=f"hours of audio per second, {card}, torch {torch.__version__}")
    for heading in (
        "model",
        "batch, s",
        "our packing",
        "torch's packing",
        "reversed",
        "cuDNN",
        "peak, GB",
    ):
        table.add_column(heading, justify="right" if heading != "model" else "left")
    for name, size in product(models, sizes):
        overrides = [f"{key}={value}" for key, value in settings.items()]
        table.add_row(*measure_model(name, size, overrides, device))
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
