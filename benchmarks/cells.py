"""Compare GRU, LSTM, and plain RNN as one bidirectional layer.

    python benchmarks/cells.py --isa avx2

Each row is a shape (rows x frames, width H, input size 2 H). Every cell is measured in its own
process: at the width of the GRU, and at the width that gives it as many parameters as the GRU.
Columns: parameters, milliseconds of a training step (forward and backward) and of inference, and
the growth of peak memory in a training step; then training and inference relative to the LSTM of
the same width. --isa avx2 makes a newer processor work like one with AVX2 only.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path

SHAPES = ((24, 80, 160), (8, 300, 256), (16, 250, 128), (16, 250, 256), (16, 250, 400))
CELLS = ("gru", "lstm", "rnn")
GATES = {"gru": 3, "lstm": 4, "rnn": 1}  # matrices of each cell
AVX2 = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    "OPENBLAS_CORETYPE": "Haswell",
}


def main() -> None:
    """Print the table, or measure one cell in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--seconds", type=float, default=2.0, help="time for each figure")
    parser.add_argument("--rounds", type=int, default=3, help="processes for each cell")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--isa", default="native", choices=["native", "avx2"])
    parser.add_argument("--json", help="also write the figures to this file")
    parser.add_argument("--plot", help="also plot the times of equal widths to this file")
    # cell, B, U, width, and input size of a measurement
    parser.add_argument("--cell", nargs=5, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.cell:
        print(json.dumps(measure(options)))
        return
    figures = []
    for threads, shape in product(options.threads, SHAPES):
        figures += compare(shape, threads, options)
    show(figures, options)
    if options.json:
        Path(options.json).write_text(json.dumps(figures, indent=1), encoding="utf-8")
    if options.plot:
        plot(figures, options.plot)


def compare(
    shape: tuple[int, int, int], threads: int, options: argparse.Namespace
) -> list[dict]:
    """Measure every cell at equal width and at equal parameter count, in interleaved rounds."""
    rows, frames, width = shape
    widths = [(cell, width) for cell in CELLS]
    widths += [(cell, equal_width(cell, width)) for cell in CELLS if cell != "gru"]
    rounds = [
        [
            run(cell, rows, frames, size, 2 * width, threads, options)
            for cell, size in widths
        ]
        for _ in range(options.rounds)
    ]
    figures = []
    for column, (cell, size) in enumerate(widths):
        measured = [measurements[column] for measurements in rounds]
        medians = {key: statistics.median(m[key] for m in measured) for key in measured[0]}
        same = "width" if size == width else "parameters"
        entry = {"shape": f"{rows} x {frames}, {width}", "threads": threads, "equal": same}
        figures.append({**entry, "cell": cell, "width": size, **medians})
    reference = next(f for f in figures if f["cell"] == "lstm")
    for figure in figures:
        figure["training / lstm"] = figure["training"] / reference["training"]
        figure["inference / lstm"] = figure["inference"] / reference["inference"]
    return figures


def equal_width(cell: str, gru_width: int) -> int:
    """Return the width at which a cell has as many parameters as a GRU, for inputs of 2 H."""
    inputs, goal = 2 * gru_width, parameters("gru", 2 * gru_width, gru_width)
    return min(
        range(8, 8 * gru_width, 4), key=lambda w: abs(parameters(cell, inputs, w) - goal)
    )


def parameters(cell: str, inputs: int, width: int) -> int:
    """Return the number of parameters of a bidirectional layer."""
    return 2 * GATES[cell] * width * (inputs + width + 2)


def run(
    cell: str,
    rows: int,
    frames: int,
    width: int,
    inputs: int,
    threads: int,
    options: argparse.Namespace,
) -> dict[str, float]:
    """Measure one cell in a new process."""
    command = [sys.executable, __file__, "--seconds", str(options.seconds)]
    command += ["--device", options.device]
    command += ["--cell", cell, *map(str, (rows, frames, width, inputs))]
    isa = AVX2 if options.isa == "avx2" else {}
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), **isa}
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env=environment
    )
    return json.loads(done.stdout)


def measure(options: argparse.Namespace) -> dict[str, float]:
    """Return parameters, milliseconds, and megabytes of one cell."""
    import torch

    from asr.nn.encoder import BiRNN
    from asr.nn.padding import length_to_mask

    torch.manual_seed(0)
    cell, (rows, frames, width, inputs) = options.cell[0], map(int, options.cell[1:])
    layer = BiRNN(input_size=inputs, hidden_size=width, cell=cell).to(options.device)
    lengths = (
        torch.randint(frames * 6 // 10, frames + 1, (rows,)).sort(descending=True).values
    )
    lengths[0] = frames
    lengths = lengths.to(options.device)
    x = torch.randn(rows, frames, inputs, device=options.device)
    valid = length_to_mask(lengths, frames)[..., None]

    def step() -> None:
        layer.zero_grad()
        (layer(x.requires_grad_(), lengths) * valid).square().sum().backward()

    def infer() -> None:
        with torch.inference_mode():
            layer(x, lengths)

    before = peak_megabytes(options.device)
    training = milliseconds(step, options.seconds, options.device)
    memory = peak_megabytes(options.device) - before
    inference = milliseconds(infer, options.seconds, options.device)
    count = sum(p.numel() for p in layer.parameters())
    return {
        "parameters": count,
        "training": training,
        "inference": inference,
        "memory": memory,
    }


def milliseconds(work: Callable[[], None], budget: float, device: str) -> float:
    """Return the median time of repeated calls after a warm-up."""
    import torch

    times: list[float] = []
    for i in range(1_000_000):
        began = time.perf_counter()
        work()
        if device == "cuda":
            torch.cuda.synchronize()
        if i >= 2:
            times.append(time.perf_counter() - began)
        if len(times) >= 5 and sum(times) > budget:
            break
    return 1000 * statistics.median(times)


def peak_megabytes(device: str) -> float:
    """Return the peak memory of the process, or of the GPU."""
    import resource

    import torch

    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def show(figures: list[dict], options: argparse.Namespace) -> None:
    """Print the table."""
    import torch
    from rich.console import Console
    from rich.table import Table

    headings = (
        "B x U, H",
        "threads",
        "equal",
        "cell",
        "width",
        "parameters",
        "training ms",
    )
    headings += ("inference ms", "memory MB", "training / LSTM", "inference / LSTM")
    table = Table(
        *headings, title=f"{options.device}, {options.isa}, torch {torch.__version__}"
    )
    for i, f in enumerate(figures):
        numbers = [f"{f['training']:.1f}", f"{f['inference']:.1f}", f"{f['memory']:.0f}"]
        numbers += [f"{f['training / lstm']:.2f}", f"{f['inference / lstm']:.2f}"]
        names = (f["shape"], str(f["threads"]), f["equal"], f["cell"], str(f["width"]))
        end = i + 1 == len(figures) or figures[i + 1]["shape"] != f["shape"]
        table.add_row(*names, f"{f['parameters']:,.0f}", *numbers, end_section=end)
    Console(width=140).print(table)


def plot(figures: list[dict], path: str) -> None:
    """Plot training and inference relative to the LSTM of the same width, a panel per figure."""
    import matplotlib.pyplot as plt

    equal = [f for f in figures if f["equal"] == "width" and f["threads"] == 1]
    shapes = list(dict.fromkeys(f["shape"] for f in equal))
    fig, panels = plt.subplots(1, 2, figsize=(9, 3.2), sharey=True, layout="constrained")
    for axes, kind in zip(panels, ("training", "inference"), strict=True):
        for offset, cell in enumerate(CELLS):
            heights = [f[f"{kind} / lstm"] for f in equal if f["cell"] == cell]
            positions = [i + (offset - 1) * 0.27 for i in range(len(shapes))]
            axes.bar(positions, heights, width=0.25, label=cell.upper())
        axes.axhline(1, color="gray", linewidth=0.8)
        axes.set_xticks(range(len(shapes)), shapes, fontsize=8)
        axes.set(title=kind, xlabel="rows × frames, width")
    panels[0].set(ylabel="time / LSTM", ylim=(0, 1.25))
    panels[0].legend(ncols=3, loc="upper right")
    fig.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
