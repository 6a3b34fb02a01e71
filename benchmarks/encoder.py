"""How fast one recurrent layer is against torch's own forms: python benchmarks/encoder.py [--device cuda].

Each row is a layer over 16 rows of 60 to 100 % of the longest length. Columns: milliseconds of forward, and of forward
and backward; then how many times as fast as the packed bidirectional GRU, the exact reference. The padded forms are
wrong at the padding and stand here as the limit.
"""

import argparse
import time
from collections.abc import Callable

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from asr.nn.encoder import BiRNN
from asr.nn.padding import length_to_mask

SIZES = {"tiny": (192, 96), "small": (512, 256), "base": (800, 400)}  # channels D, hidden units H
ROWS, FRAMES = 16, 250  # ten seconds of speech


def seconds_of(run: Callable[[], object], budget: float, device: str) -> float:
    """Median of repeated runs after a warm-up, as many as fit into the budget, three at least."""

    def once() -> float:
        if device == "cuda":
            torch.cuda.synchronize()
        began = time.perf_counter()
        run()
        if device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - began

    once()
    times = [once() for _ in range(3)]
    while sum(times) < budget:
        times.append(once())
    return sorted(times)[len(times) // 2]


def forms(
    dim: int, hidden: int, lengths: Tensor, device: str
) -> dict[str, tuple[nn.Module, Callable[[Tensor], Tensor]]]:
    ours = BiRNN(input_size=dim, hidden_size=hidden).to(device)
    gru, lstm = ours.rnn, nn.LSTM(dim, hidden, batch_first=True, bidirectional=True).to(device)
    on_cpu = lengths.cpu()

    def packed(x: Tensor) -> Tensor:
        rows = pack_padded_sequence(x, on_cpu, batch_first=True, enforce_sorted=False)
        return pad_packed_sequence(gru(rows)[0], batch_first=True)[0]

    return {
        "BiRNN": (ours, lambda x: ours(x, lengths)),
        "reversed within length": (ours, lambda x: ours.reversed_within_length(x, lengths)),
        "packed nn.GRU": (ours, packed),
        "padded nn.GRU": (ours, lambda x: gru(x)[0]),
        "padded nn.LSTM": (lstm, lambda x: lstm(x)[0]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=1.0, help="time for each figure")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    options = parser.parse_args()
    torch.manual_seed(0)
    machine = (
        torch.cuda.get_device_name()
        if options.device == "cuda"
        else f"{torch.get_num_threads()} CPU threads"
    )
    table = Table(
        title=f"one layer, {ROWS} x {FRAMES} frames, {machine}, torch {torch.__version__}"
    )
    for heading in (
        "size",
        "form",
        "forward ms",
        "with backward ms",
        "forward x packed",
        "training x packed",
    ):
        table.add_column(heading, justify="right" if " " in heading else "left")
    for size, (dim, hidden) in SIZES.items():
        lengths = torch.randint(FRAMES * 6 // 10, FRAMES + 1, (ROWS,))
        lengths[0] = FRAMES
        lengths = lengths.to(options.device)
        x = torch.randn(ROWS, FRAMES, dim, device=options.device)
        keep = length_to_mask(lengths, FRAMES)[..., None]
        measured = {}
        for name, (module, run) in forms(dim, hidden, lengths, options.device).items():

            def forward(run: Callable[[Tensor], Tensor] = run, x: Tensor = x) -> None:
                with torch.no_grad():
                    run(x)

            def both(
                run: Callable[[Tensor], Tensor] = run,
                module: nn.Module = module,
                x: Tensor = x,
                keep: Tensor = keep,
            ) -> None:
                module.zero_grad()
                (run(x.detach().requires_grad_()) * keep).square().sum().backward()

            measured[name] = tuple(
                seconds_of(f, options.seconds, options.device) for f in (forward, both)
            )
        reference = measured["packed nn.GRU"]
        for name, figures in measured.items():
            times = [f"{1000 * figure:.1f}" for figure in figures]
            ratios = [f"{slow / fast:.2f}" for slow, fast in zip(reference, figures, strict=True)]
            table.add_row(size, name, *times, *ratios)
        table.add_section()
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
