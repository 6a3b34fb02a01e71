"""Learning rates over a run, as factors of the optimizer's rate."""

import math

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from asr.validation import check_number


def one_cycle(
    optimizer: Optimizer,
    *,
    steps: int,
    warmup: float = 0.15,
    start: float = 0.04,
    end: float = 0.001,
) -> LambdaLR:
    """Half a cosine up from `start` over the share `warmup` of the run, half a cosine down to `end`, where it stays.

    Smith and Topin 2017, arXiv 1708.07120.
    """
    top = max(1, round(check_number("warmup", warmup, ge=0, le=1) * steps))
    for name, share in (("start", start), ("end", end)):
        check_number(name, share, ge=0)

    def factor(step: int) -> float:
        if step < top:
            return _cosine(start, 1.0, step / top)
        return _cosine(1.0, end, (step - top) / max(1, steps - top))

    return LambdaLR(optimizer, factor)


def warmup_cosine(
    optimizer: Optimizer, *, steps: int, warmup_steps: int = 1000, end: float = 0.01
) -> LambdaLR:
    """A straight line up over `warmup_steps`, then half a cosine down to `end`, where it stays.

    Loshchilov and Hutter 2017, arXiv 1608.03983.
    """
    top = min(check_number("warmup_steps", warmup_steps, ge=0), steps)
    check_number("end", end, ge=0)

    def factor(step: int) -> float:
        if step < top:
            return (step + 1) / top
        return _cosine(1.0, end, (step - top) / max(1, steps - top))

    return LambdaLR(optimizer, factor)


def noam(optimizer: Optimizer, *, steps: int, warmup_steps: int = 1000) -> LambdaLR:
    """A straight line up over `warmup_steps`, then down with the inverse root of the step, however many `steps` follow.

    Vaswani et al. 2017, arXiv 1706.03762, with the optimizer's rate as the highest.
    """
    top = min(check_number("warmup_steps", warmup_steps, ge=1), steps)
    return LambdaLR(optimizer, lambda step: min((step + 1) / top, (top / (step + 1)) ** 0.5))


def _cosine(first: float, last: float, share: float) -> float:
    return last + (first - last) * (1 + math.cos(math.pi * min(1.0, share))) / 2
