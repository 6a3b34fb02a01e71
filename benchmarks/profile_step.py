"""Show where the time of a training step goes: python benchmarks/profile_step.py experiment=an4.

The arguments are those of asr.train; the corpus must be prepared. One thread trains on the first
batches of the second epoch. The table groups torch's operations by what they compute. Columns:
milliseconds of a step, share of the step, and calls. "between operations" is time of Python.
"""

import argparse
import time
from collections import Counter
from collections.abc import Sequence
from itertools import islice
from typing import Any

from asr.config.environment import set_library_defaults

BATCHES, WARM_UP = 8, 2
GROUPS = {  # beginnings of names of operations
    "recurrence: products": ("aten::baddbmm_", "aten::addmm_"),
    "recurrence: gates": ("aten::sigmoid_", "aten::tanh_", "aten::addcmul", "aten::lerp"),
    "products of all frames": ("aten::baddbmm", "aten::bmm", "aten::mm", "aten::addmm"),
    "convolutions": ("aten::convolution", "aten::mkldnn_convolution", "aten::threshold"),
    "dropout masks": ("aten::bernoulli_",),
    "CTC": ("aten::_ctc_loss", "aten::_log_softmax"),
    "features": ("aten::_fft", "aten::stft", "aten::log"),
    "optimizer": ("Optimizer", "aten::_fused"),
    "copies": ("aten::copy_", "aten::cat", "aten::index", "aten::fill_", "aten::clone"),
}


def main() -> None:
    """Print the table for the settings on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("overrides", nargs="+", help="settings of asr.train")
    set_library_defaults()
    seconds, operations = profile(parser.parse_args().overrides)
    show(seconds, operations)


def profile(overrides: Sequence[str]) -> tuple[float, list[Any]]:
    """Return the seconds of a step without profiler, and the profiled operations."""
    import torch
    from torch.profiler import ProfilerActivity

    from asr.config import training as build
    from asr.config.app import compose
    from asr.training.lightning_workarounds import silence_lightning

    silence_lightning()
    torch.set_num_threads(1)
    cfg = compose("train", ["data.workers=0", "trainer.accelerator=cpu", *overrides])
    model, data = build.build_model_and_data(cfg, None)
    module = build.build_module(cfg, model.train())
    trainer = build.build_trainer(cfg)
    data.samplers["train"].set_epoch(1)
    batches = list(islice(data.loaders["train"], BATCHES))
    optimizer = module.make_optimizer(model.parameters())

    def step(batch: Any) -> None:
        with trainer.precision_plugin.forward_context():
            loss = training_step(module, batch)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    for batch in batches[:WARM_UP]:
        step(batch)
    start = time.perf_counter()
    for batch in batches:
        step(batch)
    seconds = (time.perf_counter() - start) / BATCHES
    with torch.profiler.profile(activities=[ProfilerActivity.CPU]) as profiler:
        for batch in batches:
            step(batch)
    return seconds, list(profiler.key_averages())


def training_step(module: Any, batch: Any) -> Any:
    """Return the loss of a batch as CTCModule computes it, without a trainer."""
    from asr.training.objective import make_views, training_loss

    fits = module.model.output_lengths(batch.lengths) >= batch.frames_needed
    count = 2 if module.consistency else 1
    views = make_views(module.model, batch, module.spec_augment, count)
    scale = batch.target_lengths.sum()
    return training_loss(batch, views, fits, scale=scale, consistency=module.consistency)


def show(seconds: float, operations: list[Any]) -> None:
    """Print the table."""
    from rich.console import Console
    from rich.table import Table

    times: Counter[str] = Counter()
    calls: Counter[str] = Counter()
    for operation in operations:
        name = group(operation.key)
        times[name] += operation.self_cpu_time_total / 1e6 / BATCHES
        calls[name] += operation.count // BATCHES
    table = Table("part", "ms", "share", "calls", title=f"{1000 * seconds:.0f} ms a step")
    total = times.total()
    for name, part in times.most_common():
        table.add_row(name, f"{1000 * part:.1f}", f"{part / total:.0%}", f"{calls[name]:,}")
    Console(width=80).print(table)


def group(operation: str) -> str:
    """Return the group of an operation."""
    for name, beginnings in GROUPS.items():
        if operation.startswith(beginnings):
            return name
    return "other" if operation.startswith("aten::") else "between operations"


if __name__ == "__main__":
    main()
