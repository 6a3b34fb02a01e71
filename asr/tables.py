"""Print tables on standard output."""

import sys
from typing import TextIO

from rich.console import Console, RenderableType


class _Console(Console):
    """A console that leaves a closed pipe to its caller. Rich would end the process with code 1."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def print_tables(
    *tables: RenderableType, width: int = 110, file: TextIO | None = None
) -> None:
    """Print tables in the width of the terminal, or in `width` columns if there is no terminal.

    Args:
        tables: Tables of rich. Their cells are text, in which brackets mean nothing.
        width: Columns.
        file: File to use instead of standard output. Nothing is printed if both are closed.

    Raises:
        BrokenPipeError: If the reader of the output has closed it.
    """
    file = file or sys.stdout
    if file is None:
        return
    console = _Console(
        file=file, width=None if file.isatty() else width, markup=False, highlight=False
    )
    for table in tables:
        console.print(table)
