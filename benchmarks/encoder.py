"""Compare one recurrent layer with torch's own forms: python benchmarks/encoder.py [--device cuda].

Each row of the table is one form, run over a batch of 16 rows whose lengths are 60 to 100 % of the
longest. Columns: milliseconds of forward, and of forward and backward. Then the speed relative to
the packed bidirectional GRU, which is exact. The padded forms are wrong at the padding and only
show the limit.
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

SIZES = {
    "tiny": (192, 96),
    "small": (512, 256),
    "base": (800, 400),
}  # channels D, hidden units H
ROWS, FRAMES = 16, 250  # 250 frames are ten seconds of speech
HEADINGS = (
    "size",
    "form",
    "forward ms",
    "with backward ms",
    "forward x packed",
    "training x packed",
)

Form = tuple[
    nn.Module, Callable[[Tensor], Tensor]
]  # module with the parameters, and its forward


def median_seconds(run: Callable[[], object], budget: float, device: str) -> float:
    """Return the median time of at least three runs after a warm-up, until the budget is spent."""

    def time_once() -> float:
        synchronize(device)
        start = time.perf_counter()
        run()
        synchronize(device)
        return time.perf_counter() - start

    time_once()
    times = [time_once() for _ in range(3)]
    while sum(times) < budget:
        times.append(time_once())
    return sorted(times)[len(times) // 2]


def synchronize(device: str) -> None:
    """Wait until the GPU has finished."""
    if device == "cuda":
        torch.cuda.synchronize()


def build_forms(dim: int, hidden: int, lengths: Tensor, device: str) -> dict[str, Form]:
    """Return the forms of a layer by name."""
    ours = BiRNN(input_size=dim, hidden_size=hidden).to(device)
    gru, lstm = (
        ours.rnn,
        nn.LSTM(dim, hidden, batch_first=True, bidirectional=True).to(device),
    )
    lengths_on_cpu = lengths.cpu()

    def packed(x: Tensor) -> Tensor:
        rows = pack_padded_sequence(
            x, lengths_on_cpu, batch_first=True, enforce_sorted=False
        )
        return pad_packed_sequence(gru(rows)[0], batch_first=True)[0]

    return {
        "BiRNN": (ours, lambda x: ours(x, lengths)),
        "reversed within length": (ours, lambda x: ours.reversed_within_length(x, lengths)),
        "packed nn.GRU": (ours, packed),
        "padded nn.GRU": (ours, lambda x: gru(x)[0]),
        "padded nn.LSTM": (lstm, lambda x: lstm(x)[0]),
    }


def measure(form: Form, x: Tensor, mask: Tensor, budget: float) -> tuple[float, float]:
    """Return seconds of the forward pass, and of forward and backward pass."""
    module, run = form

    def forward() -> None:
        with torch.no_grad():
            run(x)

    def forward_and_backward() -> None:
        module.zero_grad()
        (run(x.detach().requires_grad_()) * mask).square().sum().backward()

    device = x.device.type
    return (
        median_seconds(forward, budget, device),
        median_seconds(forward_and_backward, budget, device),
    )


def add_rows(table: Table, size: str, budget: float, device: str) -> None:
    """Measure all forms of one size and add them to the table."""
    dim, hidden = SIZES[size]
    lengths = torch.randint(FRAMES * 6 // 10, FRAMES + 1, (ROWS,))
    lengths[0] = FRAMES
    lengths = lengths.to(device)
    x = torch.randn(ROWS, FRAMES, dim, device=device)
    mask = length_to_mask(lengths, FRAMES)[..., None]
    forms = build_forms(dim, hidden, lengths, device)
    seconds = {name: measure(form, x, mask, budget) for name, form in forms.items()}
    reference = seconds["packed nn.GRU"]
    for name, figures in seconds.items():
        times = [f"{1000 * figure:.1f}" for figure in figures]
        ratios = [
            f"{slow / fast:.2f}" for slow, fast in zip(reference, figures, strict=True)
        ]
        table.add_row(size, name, *times, *ratios)
    table.add_section()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=1.0, help="time for each figure")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    options = parser.parse_args()
    torch.manual_seed(0)
    if options.device == "cuda":
        machine = torch.cuda.get_device_name()
    else:
        machine = f"{torch.get_num_threads()} CPU threads"
    table = Table(
        title=f"one layer, {ROWS} x {FRAMES} frames, {machine}, torch {torch.__version__}"
    )
    for heading in HEADINGS:
        table.add_column(heading, justify="right" if " " in heading else "left")
    for size in SIZES:
        add_rows(table, size, options.seconds, options.device)
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
