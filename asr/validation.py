"""Settings that are numbers, and the bounds that they must keep; settings that are text."""

import math
from collections.abc import Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import Any, TypeVar

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
    wanted = (
        " and ".join(f"{word} {bound:g}" for word, bound in told if math.isfinite(bound))
        or "a number"
    )
    is_number = isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    if not is_number or not (least <= value <= most and above < value < below):
        raise ConfigError(f"{name} is {value!r}; it must be {wanted}")
    return value


def count(name: str, value: int, *, least: int, most: float = math.inf) -> int:
    """The value of a setting that is a whole number. Raises ConfigError as `checked`, and for a fraction."""
    if not isinstance(checked(name, value, least=least, most=most), Integral):
        raise ConfigError(f"{name} is {value!r}; it must be a whole number")
    return value


def numbers(
    name: str,
    values: Sequence[float],
    *,
    size: int | None = None,
    wanted: str = "a list of numbers",
    **bounds: float,
) -> tuple[float, ...]:
    """The values of a setting that lists numbers, `size` of them if that is given, each within bounds.

    Raises ConfigError, which says what is `wanted`, for what is no such list, and as `checked` for one of its values.
    """
    if (
        not isinstance(values, Sequence)
        or isinstance(values, str)
        or size not in (None, len(values))
    ):
        shown = list(values) if isinstance(values, tuple) else values
        raise ConfigError(f"{name} is {shown!r}; it must be {wanted}")
    return tuple(checked(name, value, **bounds) for value in values)


def interval(name: str, bounds: Sequence[float]) -> tuple[float, float]:
    """Two numbers. Raises ConfigError, naming the setting, for others, and where the second is the lower one."""
    wanted = "two numbers, the lower one first"
    low, high = numbers(name, bounds, size=2, wanted=wanted)
    if low > high:
        raise ConfigError(f"{name} is {[low, high]}; it must be {wanted}")
    return low, high


def as_text(name: str, value: Any) -> str:
    """A setting that is text. Raises ConfigError for what is read as something else, as 2026_11_26, a number."""
    if isinstance(value, str | Path):
        return str(value)
    hint = (
        f"; what looks like a number takes quotes in quotes: \"{name}='...'\""
        if isinstance(value, Real)
        else ""
    )
    raise ConfigError(f"{name} is {value!r}; it must be text{hint}")


def as_texts(name: str, value: Any) -> list[str]:
    """A setting that is a text or a list of them. Raises ConfigError as `as_text`."""
    several = isinstance(value, Sequence) and not isinstance(value, str)
    return [as_text(name, one) for one in value] if several else [as_text(name, value)]
