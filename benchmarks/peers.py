"""Compare training steps and log-mel features with other speech packages.

    pip install speechbrain
    python benchmarks/peers.py --isa avx2 --json peers.json

SpeechBrain is installed separately. A package that is missing gives a row without figures. The
batches are random and equal in every run.

The first table shows training steps (forward and backward) of a stack of bidirectional layers.
A shape is rows x frames, width H of each direction, and layers. Every row gets the same input
(B, U, 2 H) in float32, with lengths of 60 to 100 % of the longest:

    ours                  `asr.nn.encoder.Encoder` without convolutions: residual layers, LayerNorm
    ours, layers alone    the same layers in the arrangement of nn.GRU, without residuals and norms
    torch, packed         nn.GRU or nn.LSTM with pack_padded_sequence
    torch, padded         nn.GRU or nn.LSTM alone: wrong at the padding, only shows the limit
    deepspeech.pytorch    packed layers whose directions are summed, with BatchNorm1d in between.
                          Later layers read H channels instead of 2 H, so it has fewer parameters
    SpeechBrain           speechbrain.nnet.RNN.GRU with lengths

The second table shows the features of a batch of clips (80 bands, 25 ms windows, every 10 ms):

    ours                  `asr.nn.features.LogMel` without normalization, as in the other rows
    ours, normalized      the same with the mean and standard deviation of each utterance
    torchaudio            transforms.MelSpectrogram and a logarithm
    librosa               feature.melspectrogram and a logarithm, one clip after another

librosa reads each clip without padding, the others read the padded batch. Only audio without
padding counts.

All rows of a table take turns. A time is the median of the rounds, and a ratio is the median of
the ratios within a round. A ratio above 1 is slower than ours. The script stops if our layers
differ from a packed nn.GRU with the same weights, or our mel energies from those of a peer.
"""

import argparse
import importlib
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from cells import AVX2
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from asr.audio import SAMPLE_RATE
from asr.nn.encoder import BiRNN, Encoder
from asr.nn.features import LogMel
from asr.nn.mel import LOG_FLOOR
from asr.nn.padding import PackedIndex, length_to_mask

SHAPES = ("16x250x160x4", "24x80x160x4", "8x300x256x3")
CLIPS, CLIP_SECONDS = 16, 10
MEL = {
    "n_fft": 512,
    "win_length": 400,
    "hop_length": 160,
    "n_mels": 80,
    "power": 2.0,
    "norm": "slaney",
    "center": False,
}
TOLERANCE = 1e-4  # largest difference relative to the largest value
OURS = "ours"
PACKAGES = ("torch", "torchaudio", "librosa", "speechbrain")

Figure = dict[str, Any]  # a row of a table; without a time if the package is not installed
Stack = tuple[nn.Module, Callable[[Tensor], Tensor]]  # parameters, (B, U, 2 H) to (B, U, *)


class NoSubsampling(nn.Module):
    """Replace the convolutions of the encoder by nothing."""

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return the arguments."""
        return x, lengths


class DeepSpeech(nn.Module):
    """The recurrent stack of deepspeech.pytorch."""

    def __init__(self, cell: type[nn.GRU | nn.LSTM], width: int, layers: int) -> None:
        super().__init__()
        inputs = [2 * width] + [width] * (layers - 1)
        self.layers = nn.ModuleList(cell(n, width, bidirectional=True) for n in inputs)
        self.norms = nn.ModuleList(nn.BatchNorm1d(width) for _ in inputs[1:])

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Map (B, U, 2 H) with lengths (B,), longest first, to (B, U, H)."""
        x = x.transpose(0, 1)  # (U, B, 2 H)
        for number, layer in enumerate(self.layers):
            if number:
                x = self.norms[number - 1](x.flatten(0, 1)).view_as(x)
            states, _ = layer(pack_padded_sequence(x, lengths))
            y, _ = pad_packed_sequence(states)  # (U, B, 2 H)
            x = y.unflatten(-1, (2, -1)).sum(2)  # (U, B, H)
        return x.transpose(0, 1)


def build_stacks(width: int, layers: int, lengths: Tensor) -> dict[str, Stack | None]:
    """Return the stacks by name, None if the package is not installed."""
    options = {"batch_first": True, "bidirectional": True}
    gru = nn.GRU(2 * width, width, layers, **options)
    lstm = nn.LSTM(2 * width, width, layers, **options)
    encoder: Any = Encoder(hidden_size=width, num_layers=layers, dropout=0.0)
    encoder.subsampling = NoSubsampling()
    deep_gru, deep_lstm = (DeepSpeech(cell, width, layers) for cell in (nn.GRU, nn.LSTM))
    return {
        OURS: (encoder, lambda x: encoder(x, lengths)[0]),
        "ours, layers alone": copy_layers(gru, lengths),
        "torch nn.GRU, packed": (gru, lambda x: run_packed(gru, x, lengths)),
        "torch nn.GRU, padded": (gru, lambda x: gru(x)[0]),
        "torch nn.LSTM, packed": (lstm, lambda x: run_packed(lstm, x, lengths)),
        "torch nn.LSTM, padded": (lstm, lambda x: lstm(x)[0]),
        "deepspeech.pytorch, GRU": (deep_gru, lambda x: deep_gru(x, lengths)),
        "deepspeech.pytorch, LSTM": (deep_lstm, lambda x: deep_lstm(x, lengths)),
        "SpeechBrain GRU": build_speechbrain(width, layers, lengths),
    }


def run_packed(rnn: nn.Module, x: Tensor, lengths: Tensor) -> Tensor:
    """Run a layer of torch over rows (B, U, D) with lengths (B,), longest first."""
    rows = pack_padded_sequence(x, lengths, batch_first=True)
    return pad_packed_sequence(rnn(rows)[0], batch_first=True)[0]


def copy_layers(gru: nn.GRU, lengths: Tensor) -> Stack:
    """Return our layers in the arrangement of a stacked nn.GRU, with a copy of its weights."""
    layer = partial(BiRNN, input_size=gru.input_size, hidden_size=gru.hidden_size)
    layers = nn.ModuleList(layer() for _ in range(gru.num_layers))
    with torch.no_grad():
        for ours, theirs in zip(layers.parameters(), gru.parameters(), strict=True):
            ours.copy_(theirs)

    def run(x: Tensor) -> Tensor:
        index = PackedIndex(lengths, x.shape[1])
        for layer in layers:
            x = layer(x, lengths, index)
        return x

    return layers, run


def build_speechbrain(width: int, layers: int, lengths: Tensor) -> Stack | None:
    """Return SpeechBrain's GRU, or None if it is not installed."""
    module = import_peer("speechbrain.nnet.RNN")
    if module is None:
        return None
    gru = module.GRU(width, input_size=2 * width, num_layers=layers, bidirectional=True)
    # SpeechBrain truncates relative length * frames. Half a frame absorbs rounding errors.
    relative = (lengths + 0.5) / lengths.max()
    return gru, lambda x: gru(x, lengths=relative)[0]


def import_peer(name: str) -> Any:
    """Return a module, or None if it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def draw_lengths(rows: int, longest: int) -> Tensor:
    """Return lengths (B,) of 60 to 100 % of the longest, longest first."""
    lengths = torch.randint(longest * 6 // 10, longest + 1, (rows,))
    lengths[0] = longest
    return lengths.sort(descending=True).values


def compare_stacks(shape: str, budget: float) -> list[Figure]:
    """Measure training steps and return the rows of a shape."""
    torch.manual_seed(0)
    rows, frames, width, layers = map(int, shape.split("x"))
    lengths = draw_lengths(rows, frames)
    x = torch.randn(rows, frames, 2 * width)
    mask = length_to_mask(lengths, frames)[..., None]
    stacks = build_stacks(width, layers, lengths)

    def step(stack: Stack) -> list[Any]:
        """Return the output, and the gradients of the input and the parameters."""
        module, run = stack
        module.zero_grad()
        leaf = x.detach().requires_grad_()
        y = run(leaf) * mask
        y.square().sum().backward()
        return [y.detach(), leaf.grad, *(p.grad for p in module.parameters())]

    steps = {name: partial(step, stack) for name, stack in stacks.items() if stack}
    ours, theirs = (
        steps[name]() for name in ("ours, layers alone", "torch nn.GRU, packed")
    )
    check_difference(f"{shape}, our layers and a packed nn.GRU", ours, theirs)
    figures = time_rounds(steps, list(stacks), budget)
    for figure in figures:
        figure["shape"] = shape
        if stack := stacks[figure["name"]]:
            figure["parameters"] = sum(p.numel() for p in stack[0].parameters())
    return figures


def build_mels() -> dict[str, Callable[[Any], Any] | None]:
    """Return the peers' maps of samples (..., S) to energies (..., F, T), None if not installed."""
    torchaudio, librosa = import_peer("torchaudio"), import_peer("librosa")
    mels: dict[str, Callable[[Any], Any] | None] = {"torchaudio": None, "librosa": None}
    if torchaudio:
        transform = torchaudio.transforms.MelSpectrogram
        mels["torchaudio"] = transform(SAMPLE_RATE, mel_scale="slaney", **MEL)
    if librosa:
        mel = librosa.feature.melspectrogram
        mels["librosa"] = lambda samples: mel(y=np.asarray(samples), sr=SAMPLE_RATE, **MEL)
    return mels


def compare_features(budget: float) -> list[Figure]:
    """Measure features of white noise and return the rows."""
    torch.manual_seed(0)
    lengths = draw_lengths(CLIPS, CLIP_SECONDS * SAMPLE_RATE)
    waveforms = 0.1 * torch.randn(CLIPS, CLIP_SECONDS * SAMPLE_RATE)
    waveforms *= length_to_mask(lengths, waveforms.shape[1])
    clips = [row[:n].numpy() for row, n in zip(waveforms, lengths.tolist(), strict=True)]
    ours, normalized, mels = LogMel(normalize="none"), LogMel(), build_mels()
    batched, single = mels.values()
    steps: dict[str, Callable[[], object]] = {
        OURS: lambda: ours(waveforms, lengths),
        "ours, normalized": lambda: normalized(waveforms, lengths),
    }
    if batched:
        steps["torchaudio"] = lambda: (batched(waveforms) + LOG_FLOOR).log()
    if single:
        steps["librosa"] = lambda: [np.log(single(clip) + LOG_FLOOR) for clip in clips]
    energies = ours.mel_energies(waveforms[:1], lengths[:1])[0][0].mT  # (F, T)
    for name, mel in mels.items():
        if mel:
            theirs = torch.as_tensor(mel(waveforms[0]))
            check_difference(f"mel energies, ours and {name}", [energies], [theirs])
    figures = time_rounds(steps, list({**steps, **mels}), budget)
    seconds = float(lengths.sum()) / SAMPLE_RATE
    for figure in figures:
        if "milliseconds" in figure:
            figure["audio seconds / second"] = 1000 * seconds / figure["milliseconds"]
    return figures


def check_difference(subject: str, ours: list[Tensor], theirs: list[Tensor]) -> None:
    """Print the largest difference relative to the largest value. Stop if it is too large."""
    pairs = zip(ours, theirs, strict=True)
    difference = max(float((a - b).abs().max() / b.abs().max()) for a, b in pairs)
    print(f"{subject}: largest difference {difference:.1e} of the largest value")
    if difference > TOLERANCE:
        sys.exit(
            f"The difference must be at most {TOLERANCE}, so the rows are not comparable."
        )


def time_rounds(
    steps: Mapping[str, Callable[[], object]], names: list[str], budget: float
) -> list[Figure]:
    """Return a row for each name, after two rounds of warm-up. Each round takes every step."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    deadline = time.perf_counter() + budget * len(steps)
    while len(times[OURS]) < 5 or time.perf_counter() < deadline:
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            times[name].append(1000 * (time.perf_counter() - start))
    figures: list[Figure] = [{"name": name} for name in names]
    for figure in figures:
        if measured := times.get(figure["name"], [])[2:]:
            ratios = [t / ours for t, ours in zip(measured, times[OURS][2:], strict=True)]
            figure |= {"milliseconds": median(measured), "ratio to ours": median(ratios)}
    return figures


def show(figures: list[Figure], title: str, columns: dict[str, str]) -> None:
    """Print rows with columns of the given formats."""
    table = Table(title=title)
    for heading, form in columns.items():
        table.add_column(heading, justify="right" if form else "left")
    for figure in figures:
        if figure["name"] == OURS:
            table.add_section()
        cells = [format(figure.get(k, ""), columns[k] * (k in figure)) for k in columns]
        if "milliseconds" not in figure:
            package = figure["name"].split()[0].lower()
            cells.append(f"not installed: pip install {package}")
        table.add_row(*cells)
    Console(width=120).print(table)


def installed_versions() -> dict[str, str]:
    """Return the versions of the packages that are installed."""
    installed = {
        package: list(metadata.distributions(name=package)) for package in PACKAGES
    }
    return {package: found[0].version for package, found in installed.items() if found}


def restart(threads: int, isa: str) -> None:
    """Restart this script unless its environment already has the threads and instruction set."""
    settings = {"OMP_NUM_THREADS": str(threads), **(AVX2 if isa == "avx2" else {})}
    if not settings.items() <= os.environ.items():
        os.execve(sys.executable, sys.orig_argv, {**os.environ, **settings})


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--shapes", nargs="+", default=SHAPES, help="rows x frames x H x layers"
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=5.0, help="time for each figure")
    parser.add_argument("--isa", default="native", choices=["native", "avx2"])
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()
    restart(options.threads, options.isa)
    versions = installed_versions()
    print(", ".join(f"{package} {number}" for package, number in versions.items()))
    settings = f"threads: {options.threads}, instructions: {options.isa}"
    stacks = [
        row for shape in options.shapes for row in compare_stacks(shape, options.seconds)
    ]
    times = {"milliseconds": ".1f", "ratio to ours": ".2f"}
    columns = {"shape": "", "name": "", "parameters": ",", **times}
    show(stacks, f"training step, {settings}", columns)
    features = compare_features(options.seconds)
    columns = {"name": "", "audio seconds / second": ",.0f", **times}
    show(features, f"features of {CLIPS} clips, {settings}", columns)
    if options.json:
        result = {"versions": versions, "layers": stacks, "features": features}
        options.json.write_text(json.dumps(result, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
