"""What all entry points share: where the configuration lies, and how errors are told."""

import errno
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from asr.errors import AsrError, ConfigError

_PACKAGE = Path(__file__).resolve().parent
CONF = _PACKAGE / "conf" if (_PACKAGE / "conf").is_dir() else _PACKAGE.parent / "conf"  # installed, or in a clone

BAD_INPUT, INTERRUPTED = 2, 130  # exit codes


def run(config_name: str, function: Callable[[DictConfig], Any]) -> None:
    """Call a function with the configuration that Hydra composes from the command line; errors as in `guarded`."""
    import hydra

    os.environ["HYDRA_FULL_ERROR"] = "1"  # else Hydra prints tracebacks and exits by itself
    start = hydra.main(version_base="1.3", config_path=str(CONF), config_name=config_name)(function)
    guarded(start, f"asr.{config_name}")


def compose(config_name: str, overrides: list[str]) -> DictConfig:
    """The configuration without Hydra's own command line. Raises ConfigError for one that cannot be composed."""
    import hydra

    try:
        with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
            return hydra.compose(config_name, overrides)
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(_one_line(error)) from error


def guarded(function: Callable[[], Any], name: str) -> None:
    """Call a function; a user's error becomes one line and exit code 2, Ctrl-C one line and 130. `-v`: the traceback."""
    verbose = "-v" in sys.argv
    sys.argv = [argument for argument in sys.argv if argument != "-v"]
    try:
        function()
    except KeyboardInterrupt as interrupt:
        _leave(f"{name}: {interrupt or 'interrupted'}", INTERRUPTED, verbose)
    except BrokenPipeError:  # whoever read the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception as error:
        cause = _user_error(error)
        if cause is None:
            raise
        _leave(f"{name}: {_one_line(cause)}", BAD_INPUT, verbose)


def _user_error(error: BaseException | None) -> BaseException | None:
    """The error, or the one that it was raised from, that a user can mend; None for faults of the program."""
    shown: BaseException | None = None
    while error is not None:
        if isinstance(error, AsrError):
            return error
        full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS)
        if full or isinstance(error, HydraException | OmegaConfBaseException):
            shown = shown or error
        error = error.__cause__ or error.__context__
    return shown


def _one_line(error: BaseException) -> str:
    text = " ".join(line.strip() for line in str(error).splitlines() if line.strip())
    return text or type(error).__name__


def _leave(message: str, code: int, verbose: bool) -> None:
    if verbose:
        traceback.print_exc()
    print(message, file=sys.stderr)
    raise SystemExit(code)
