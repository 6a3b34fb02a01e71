"""The start of entry points that must be quick: nothing heavy is imported before the arguments are known to be good."""

import gc
import sys
from collections.abc import Callable

from asr.config.environment import set_library_defaults

USAGE = 2  # exit code


def run(usage: str, function: Callable[[list[str]], None], name: str) -> None:
    """Call a function with the command line's arguments, errors told as in `cli.guarded`; print `usage` without any."""
    arguments = sys.argv[1:]
    if not arguments or {"-h", "--help"} & set(arguments):
        print(usage)
        raise SystemExit(0 if arguments else USAGE)
    set_library_defaults()
    gc.disable()  # what the imports make stays until the end: looking for garbage among it costs half a second
    try:
        from asr.config import app as cli

        cli.report_user_errors(lambda: function(sys.argv[1:]), name)
    finally:
        gc.enable()
