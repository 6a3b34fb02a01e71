"""Settings that are numbers, and the bounds that they must keep."""

import math
from collections.abc import Sequence
from numbers import Integral, Real
from typing import TypeVar

from asr.errors import ConfigError

N = TypeVar("N", int, float)


def checked(
    name: str,
    value: N,
    *,
    least: float = -math.inf,
    above: float = -math.inf,
    most: float = math.inf,
    below: float = math.inf,
) -> N:
    """The value of a setting. Raises ConfigError, naming it, for one out of bounds and for what is no number (NaN)."""
    told = (("at least", least), ("above", above), ("at most", most), ("below", below))
    wanted = " and ".join(f"{word} {bound:g}" for word, bound in told if math.isfinite(bound)) or "a number"
    is_number = isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    if not is_number or not (least <= value <= most and above < value < below):
        raise ConfigError(f"{name} is {value!r}; it must be {wanted}")
    return value


def count(name: str, value: int, *, least: int, most: float = math.inf) -> int:
    """The value of a setting that is a whole number. Raises ConfigError as `checked`, and for a fraction."""
    if not isinstance(checked(name, value, least=least, most=most), Integral):
        raise ConfigError(f"{name} is {value!r}; it must be a whole number")
    return value


def interval(name: str, bounds: Sequence[float]) -> tuple[float, float]:
    """Two numbers. Raises ConfigError, naming the setting, for others, and where the second is the lower one."""
    if len(bounds) != 2 or not checked(name, bounds[0]) <= checked(name, bounds[1]):
        raise ConfigError(f"{name} is {list(bounds)}; it must be two numbers, the lower one first")
    return bounds[0], bounds[1]
