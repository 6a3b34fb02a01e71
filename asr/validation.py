"""Check the arguments of constructors, and whether optional packages are installed.

Each check returns the value or raises ValueError. `check_arguments` applies those of annotations.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial, wraps
from importlib.util import find_spec
from numbers import Integral, Real
from typing import Annotated, Any, ParamSpec, TypeVar, get_type_hints

Number = TypeVar("Number", int, float)
Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def check_number(
    name: str,
    value: Number,
    *,
    ge: float = -math.inf,
    gt: float = -math.inf,
    le: float = math.inf,
    lt: float = math.inf,
) -> Number:
    """Return a finite number within bounds.

    Raises:
        ValueError: If the value is not a finite number or is out of bounds.
    """
    bounds = ((">=", ge), (">", gt), ("<=", le), ("<", lt))
    wanted = " and ".join(
        f"{sign} {bound:g}" for sign, bound in bounds if math.isfinite(bound)
    )
    is_number = (
        isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    )
    if not is_number or not (ge <= value <= le and gt < value < lt):
        raise ValueError(f"{name} must be {wanted or 'a number'}, got {value!r}")
    return value


def check_integer(name: str, value: int, *, ge: float, le: float = math.inf) -> int:
    """Return an integer within bounds.

    Raises:
        ValueError: If the value is not an integer or is out of bounds.
    """
    if not isinstance(check_number(name, value, ge=ge, le=le), Integral):
        raise ValueError(f"{name} must be an integer, got {value!r}")
    return value


def check_numbers(
    name: str,
    values: Sequence[float],
    *,
    size: int | None = None,
    wanted: str = "a list of numbers",
    gt: float = -math.inf,
) -> tuple[float, ...]:
    """Return a tuple of finite numbers above a bound.

    Args:
        name: Name of the argument in error messages.
        values: Numbers to check.
        size: Required length. None allows any length.
        wanted: Description of valid values in error messages.
        gt: Exclusive lower bound of each number.

    Raises:
        ValueError: If the values are not a list of `size` finite numbers above the bound.
    """
    is_list = isinstance(values, Sequence) and not isinstance(values, str)
    if not is_list or size not in (None, len(values)):
        shown = list(values) if isinstance(values, tuple) else values
        raise ValueError(f"{name} must be {wanted}, got {shown!r}")
    return tuple(check_number(name, value, gt=gt) for value in values)


def check_interval(name: str, bounds: Sequence[float]) -> tuple[float, float]:
    """Return two numbers in ascending order.

    Raises:
        ValueError: If there are not two numbers, or the second is smaller.
    """
    wanted = "two numbers in ascending order"
    low, high = check_numbers(name, bounds, size=2, wanted=wanted)
    if low > high:
        raise ValueError(f"{name} must be {wanted}, got {[low, high]}")
    return low, high


Positive = Annotated[float, partial(check_number, gt=0)]
NonNegative = Annotated[float, partial(check_number, ge=0)]
Fraction = Annotated[float, partial(check_number, ge=0, le=1)]
Count = Annotated[int, partial(check_integer, ge=1)]
CountOrZero = Annotated[int, partial(check_integer, ge=0)]
Interval = Annotated[Any, check_interval]


def check_arguments(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Check keyword arguments by their annotations, such as `dropout: Fraction`, in each call.

    Use it as a decorator of a constructor, which then raises ValueError.
    """
    hints = get_type_hints(function, include_extras=True)

    @wraps(function)
    def checked(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        for name, value in kwargs.items():
            for check in getattr(hints.get(name), "__metadata__", ()):
                check(name, value)
        return function(*args, **kwargs)

    return checked


def is_installed(package: str) -> bool:
    """Return whether a package is installed. A folder of this name does not count."""
    spec = find_spec(package)
    return spec is not None and spec.origin is not None
