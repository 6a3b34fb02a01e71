"""Training on a GPU: python benchmarks/gpu.py [models=base,large] [batch_seconds=480,960,1920] [key=value ...].

Hours of audio in a second of whole steps of training in bf16-mixed (features, encoder, CTC, gradients, clipping, AdamW)
over waveforms that lie on the GPU already, of 2 to 17 s, most near 16, in batches as `asr.train` makes them: with the
recurrent layers as the model takes them on CUDA, as torch packs and pads them, and reversed within length. "cuDNN" is
the share of a step of the first that the recurrent layers alone take, over rows packed beforehand.
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
LABELS = 14  # for each second of read English

Drawn = tuple[Tensor, Tensor, Tensor, Tensor]  # waveforms (B, S), lengths, labels (B, L), lengths


def batches(batch_seconds: float, tokens: int, device: str) -> list[Drawn]:
    """Batches of an epoch over noise, in its random order."""
    rng = np.random.default_rng(0)
    durations = rng.triangular(2, 16, 17, round(1.5 * BATCHES * batch_seconds / 11.7))
    drawn = []
    for indices in BucketSampler(durations, batch_seconds=batch_seconds).batches(1)[:BATCHES]:
        seconds = torch.from_numpy(durations[indices])
        lengths, labels = (seconds * SAMPLE_RATE).long(), (seconds * LABELS).long()
        waveforms = 0.1 * torch.randn(len(lengths), int(lengths.max()), device=device)
        targets = torch.randint(1, tokens, (len(labels), int(labels.max())))
        drawn.append((waveforms, *(tensor.to(device) for tensor in (lengths, targets, labels))))
    return drawn


def rate(step: Callable[[Drawn], None], drawn: list[Drawn]) -> float:
    """Hours of audio a second, once every batch has been seen: cuDNN looks for products of a new shape."""
    for _ in range(2):
        synchronised()
        began = time.perf_counter()
        for batch in drawn:
            step(batch)
        synchronised()
        passed = time.perf_counter() - began
    return sum(int(lengths.sum()) for _, lengths, _, _ in drawn) / SAMPLE_RATE / 3600 / passed


def synchronised() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def training(model: CTCModel, optimizer: torch.optim.Optimizer) -> Callable[[Drawn], None]:
    def step(batch: Drawn) -> None:
        waveforms, lengths, targets, target_lengths = batch
        with torch.autocast(waveforms.device.type, torch.bfloat16):
            emissions = model(waveforms, lengths)
            losses = ctc_loss(emissions.log_probs, emissions.lengths, targets, target_lengths)
        optimizer.zero_grad()
        (losses.sum() / target_lengths.sum()).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    return step


def recurrent(model: CTCModel) -> Callable[[Drawn], None]:
    """The recurrent layers alone, one behind the other."""

    def step(batch: Drawn) -> None:
        waveforms, lengths, *_ = batch
        frames = model.output_lengths(lengths).cpu()
        x = torch.randn(
            len(frames), int(frames.max()), model.encoder.output_dim, device=waveforms.device
        )
        rows = pack_padded_sequence(x, frames, batch_first=True, enforce_sorted=False)
        x = rows.data.requires_grad_()
        with torch.autocast(waveforms.device.type, torch.bfloat16):
            for layer in model.encoder.layers:
                x = layer.rnn(rows._replace(data=x))[0].data
        x.backward(torch.ones_like(x))

    return step


@contextmanager
def form(model: CTCModel, run: Callable[..., Tensor]) -> Iterator[None]:
    """With every recurrent layer in another form."""
    for layer in model.encoder.layers:
        layer.forward = MethodType(run, layer)
    yield
    for layer in model.encoder.layers:
        del layer.forward


def torch_s_packing(layer: BiRNN, x: Tensor, lengths: Tensor, _: object) -> Tensor:
    rows = pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
    return pad_packed_sequence(layer.rnn(rows)[0], batch_first=True, total_length=x.shape[1])[0]


def reversed_within_length(layer: BiRNN, x: Tensor, lengths: Tensor, _: object) -> Tensor:
    return layer.reversed_within_length(x, lengths)


def measured(name: str, size: float, keys: list[str], device: str) -> list[str]:
    """A row of the table."""
    cfg = cli.compose("train", [f"model={name}", *keys])
    torch.manual_seed(0)
    features, encoder = (
        OmegaConf.to_container(part, resolve=True) for part in (cfg.features, cfg.model)
    )
    tokenizer = instantiate(cfg.tokenizer)
    model = CTCModel(features=features, encoder=encoder, tokenizer=tokenizer).to(device)
    step = training(model, instantiate(cfg.optimizer)(model.parameters()))
    drawn = batches(size, len(tokenizer), device)
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    rates = [rate(step, drawn)]
    peak = torch.cuda.max_memory_allocated() / 1e9 if device == "cuda" else float("nan")
    for run in (torch_s_packing, reversed_within_length):
        with form(model, run):
            rates.append(rate(step, drawn))
    share = rates[0] / rate(recurrent(model), drawn)
    return [name, f"{size:g}", *(f"{each:.2f}" for each in rates), f"{share:.0%}", f"{peak:.1f}"]


def main() -> None:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    asked = dict(argument.split("=", 1) for argument in sys.argv[1:])
    sizes = [float(size) for size in asked.pop("batch_seconds", "480,960,1920").split(",")]
    models = asked.pop("models", "base,large").split(",")
    card = torch.cuda.get_device_name() if device == "cuda" else "CPU"
    table = Table(title=f"hours of audio a second, {card}, torch {torch.__version__}")
    for heading in (
        "model",
        "batch, s",
        "as it is",
        "torch's packing",
        "reversed",
        "cuDNN",
        "peak, GB",
    ):
        table.add_column(heading, justify="right" if heading != "model" else "left")
    for name, size in product(models, sizes):
        table.add_row(
            *measured(name, size, [f"{key}={value}" for key, value in asked.items()], device)
        )
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
