"""Output of the recipes: messages and progress on standard error, tables on standard output."""

import sys
from collections.abc import Iterable
from typing import TypeVar

from rich import progress
from rich.console import Console
from rich.table import Table

WIDTH = 110  # columns of a table that is not printed on a terminal

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


def print_table(table: Table) -> None:
    """Print a table on standard output."""
    Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH).print(table)
