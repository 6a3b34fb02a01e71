"""Errors of users in one line, with exit codes."""

import io
import os
import sys
import traceback
from collections.abc import Callable
from errno import EACCES, EDQUOT, EFBIG, ENOSPC, ENOTDIR, EROFS
from pathlib import Path

from asr.config.environment import set_library_defaults
from asr.errors import AsrError, ConfigError, PeerError

BAD_INPUT, INTERRUPTED = 2, 130  # exit codes
_FULL = (ENOSPC, EDQUOT, EFBIG)
_DISK_ERRORS = (*_FULL, EACCES, EROFS, ENOTDIR)


def report_user_errors(
    name: str, function: Callable[[], object], verbose: bool = False
) -> int:
    """Call a function and return the exit code of its command.

    An error that the user can fix becomes one line on standard error; other errors propagate.

    Args:
        name: Name of the command, which starts the line.
        function: Function to call.
        verbose: Print the traceback before the line.
    """
    set_library_defaults()
    if sys.stderr is None:  # closed; messages must not end up in the results
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    print_utf8()
    try:
        function()
    except BrokenPipeError:  # the reader of the output has closed it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (Exception, KeyboardInterrupt) as error:
        cause = print_user_error(name, error, verbose)
        if isinstance(cause, PeerError):  # threads of gloo would abort a regular exit
            sys.stdout.flush()
            os._exit(BAD_INPUT)
        return INTERRUPTED if isinstance(cause, KeyboardInterrupt) else BAD_INPUT
    return 0


def print_utf8() -> None:
    """Make standard output and standard error UTF-8, whatever the console or the locale uses.

    File names that are not UTF-8 are printed with escapes.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # not in a notebook
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")


def print_user_error(name: str, error: BaseException, verbose: bool) -> BaseException:
    """Print the cause of an error in one line that starts with a name, and return the cause.

    The error is raised again if it is a fault of the program.
    """
    cause = error if isinstance(error, KeyboardInterrupt) else find_user_error(error)
    if cause is None:
        raise error
    if verbose:
        traceback.print_exception(error)
    print(f"{name}: {one_line(cause)}", file=sys.stderr)
    return cause


def find_user_error(error: BaseException) -> BaseException | None:
    """Return the error or its cause that the user can fix, or None for a fault of the program."""
    from hydra.errors import HydraException
    from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

    causes = [error]
    while following := causes[-1].__cause__ or causes[-1].__context__:
        causes.append(following)
    for cause in causes:
        if isinstance(cause, AsrError):
            return cause
        if isinstance(cause, MissingMandatoryValue):
            key = cause.full_key or str(cause).split()[-1]  # a reference has no full_key
            return ConfigError(f"{key} has no value; pass {key}=...")
        if isinstance(cause, OSError) and (cause is error or cause.errno in _DISK_ERRORS):
            reason = f"{cause.filename}: {cause.strerror}" if cause.filename else str(cause)
            if cause.errno in _DISK_ERRORS:
                remedy = "free space there or use" if cause.errno in _FULL else "use"
                reason += f"; {remedy} another folder"
            return ConfigError(reason)
    composition = (HydraException, OmegaConfBaseException)
    return next((cause for cause in causes if isinstance(cause, composition)), None)


def one_line(error: BaseException) -> str:
    """Return the message of an error in one line, without the traceback of a data worker."""
    kind = f"{type(error).__module__}.{type(error).__qualname__}: "
    message = " ".join(str(error).rpartition(kind)[2].split())
    if isinstance(error, KeyboardInterrupt):
        return message or "interrupted"
    return message or type(error).__name__
