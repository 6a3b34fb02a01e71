"""Messages and progress of the recipes on standard error."""

from collections.abc import Iterable
from typing import TypeVar

from rich import progress
from rich.console import Console

T = TypeVar("T")

console = Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)


def track(items: Iterable[T], description: str, total: int | None) -> Iterable[T]:
    """Yield the items and show a progress bar on a terminal."""
    return progress.track(
        items,
        description,
        total,
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
