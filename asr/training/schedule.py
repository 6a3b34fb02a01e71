"""Learning rate schedules. Each returns factors of the optimizer's learning rate."""

import math
from collections.abc import Callable, Iterable

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from asr.errors import ConfigError
from asr.validation import check_number


def one_cycle(
    optimizer: Optimizer,
    *,
    steps: int,
    warmup: float = 0.15,
    start: float = 0.04,
    end: float = 0.001,
) -> LambdaLR:
    """Build a schedule that rises from `start` to 1 and falls to `end`, each along half a cosine.

    It rises for the share `warmup` of the steps (Smith and Topin 2017, arXiv 1708.07120).

    Raises:
        ValueError: If a number is out of range.
    """
    check_number("start", start, ge=0)
    check_number("end", end, ge=0)
    peak = max(1, round(check_number("warmup", warmup, ge=0, le=1) * steps))

    def factor(step: int) -> float:
        if step < peak:
            return _cosine(start, 1, step / peak)
        return _cosine(1, end, (step - peak) / max(1, steps - peak))

    return LambdaLR(optimizer, factor)


def warmup_cosine(
    optimizer: Optimizer, *, steps: int, warmup_steps: int = 1000, end: float = 0.01
) -> LambdaLR:
    """Build a schedule that rises linearly for `warmup_steps` and falls along half a cosine.

    Loshchilov and Hutter 2017, arXiv 1608.03983.

    Raises:
        ValueError: If a number is out of range.
    """
    check_number("end", end, ge=0)
    peak = min(check_number("warmup_steps", warmup_steps, ge=0), steps)

    def factor(step: int) -> float:
        if step < peak:
            return (step + 1) / peak
        return _cosine(1, end, (step - peak) / max(1, steps - peak))

    return LambdaLR(optimizer, factor)


def noam(optimizer: Optimizer, *, steps: int, warmup_steps: int = 1000) -> LambdaLR:
    """Build a schedule that rises linearly and falls with the inverse square root of the step.

    It peaks after `warmup_steps` at a factor of 1, and the fall does not depend on `steps` (Vaswani
    et al. 2017, arXiv 1706.03762).

    Raises:
        ValueError: If `warmup_steps` is below 1.
    """
    peak = min(check_number("warmup_steps", warmup_steps, ge=1), steps)
    return LambdaLR(
        optimizer, lambda step: min((step + 1) / peak, (peak / (step + 1)) ** 0.5)
    )


def _cosine(first: float, last: float, share: float) -> float:
    """Interpolate between two values along half a cosine; the last value persists beyond 1."""
    return last + (first - last) * (1 + math.cos(math.pi * min(1.0, share))) / 2


def create_optimizer(
    make_optimizer: Callable[..., Optimizer],
    make_scheduler: Callable[..., LRScheduler],
    parameters: Iterable[Tensor],
    *,
    steps: int,
) -> tuple[Optimizer, LRScheduler]:
    """Return an optimizer of parameters and its schedule over `steps`.

    Raises:
        ConfigError: If one of them rejects its settings.
    """
    try:
        group = "optimizer"
        optimizer = make_optimizer(parameters)
        group = "scheduler"
        return optimizer, make_scheduler(optimizer, steps=steps)
    except (TypeError, ValueError) as error:
        hint = (
            f". Remove a setting with ~{group}.KEY" if isinstance(error, TypeError) else ""
        )
        raise ConfigError(f"{group}: {error}{hint}") from error
