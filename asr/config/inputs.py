"""Command lines of recordings and key=value overrides: FILE | FOLDER | - ... [key=value ...]."""

import gc
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from asr.config.app import command_parser
from asr.config.reporting import BAD_INPUT, one_line, report_user_errors
from asr.errors import AsrError, AudioError, ConfigError

STDIN = "-"
RECORD = "--record"  # the microphone
URL = re.compile(r"\w[\w+.-]*://")


class StandardInput(bytes):
    """Content of standard input, with its name for messages."""

    label = "standard input"


@dataclass(frozen=True)
class InputFile:
    """A recording of the command line.

    Attributes:
        name: Path as given, for messages and results.
        label: Path without extension, below the folder of the command line that contains it.
        source: Path, or content of standard input.
    """

    name: str
    label: str
    source: Path | bytes


def run_with_files(
    command: str,
    description: str,
    function: Callable[[Sequence[str], Sequence[str]], Iterable[AsrError]],
    arguments: str = "FILE|FOLDER|- ... [key=value ...]",
) -> None:
    """Call a function with the files and the overrides of the command line, and print its errors.

    --help imports neither torch nor Hydra.

    Args:
        command: Name of the module.
        description: Text of --help.
        function: Generator that yields the errors of single recordings. The exit code is
            BAD_INPUT if there are any.
        arguments: Arguments in the usage line.

    Raises:
        SystemExit: Always, with the exit code of `report_user_errors`.
    """
    parser = command_parser(command, arguments, description)
    if len(sys.argv) == 1:
        parser.print_help()
        raise SystemExit(BAD_INPUT)
    options, rest = parser.parse_known_args()

    def call() -> None:
        code = 0
        if sys.stdout is None:
            raise ConfigError("standard output is closed; redirect it to a file or a pipe")
        for error in function(*split_arguments(rest)):
            print(f"{command}: {one_line(error)}", file=sys.stderr)
            code = BAD_INPUT
        sys.exit(code)

    sys.exit(report_user_errors(command, call, options.verbose))


def split_arguments(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split arguments into files and key=value overrides; an existing file may contain "=".

    Raises:
        ConfigError: If an argument is an unknown option.
    """
    files: list[str] = []
    overrides: list[str] = []
    for argument in arguments:
        exists = os.path.exists(argument)  # noqa: PTH110  # pathlib raises for a long sentence
        if argument.startswith("-") and argument not in (STDIN, RECORD) and not exists:
            raise ConfigError(f"{argument}: no such option; see --help")
        is_setting = "=" in argument and not exists and not URL.match(argument)
        (overrides if is_setting else files).append(argument)
    return files, overrides


def find_inputs(
    files: Sequence[str], stdin: bytes | None = None
) -> tuple[list[InputFile], list[AudioError]]:
    """Return the recordings, and an error for each URL and each folder that gives none.

    A folder stands for all recordings in it and "-" for standard input.

    Args:
        files: Files of the command line.
        stdin: Content of standard input if it has been read.

    Raises:
        ConfigError: If standard input is needed and closed.
    """
    inputs: list[InputFile] = []
    errors: list[AudioError] = []
    for file in files:
        path = Path(file)
        if file == STDIN:
            content = open_stdin().read() if stdin is None else stdin
            inputs.append(InputFile(STDIN, "stdin", StandardInput(content)))
        elif URL.match(file):
            errors.append(AudioError(f"{file}: not a file; download the recording first"))
        elif path.is_dir():
            recordings, problems = _find_recordings(path)
            inputs += [_input_file(recording, path) for recording in recordings]
            errors += problems
        else:
            inputs.append(_input_file(path, path.parent))
    return inputs, errors


def _find_recordings(folder: Path) -> tuple[list[Path], list[AudioError]]:
    """Return the recordings below a folder, and an error for each folder that is unreadable."""
    from asr.audio import UNREADABLE, is_recording, list_files

    files, skipped = list_files(folder)
    recordings = list(filter(is_recording, files))
    errors = [
        AudioError(f"{path}: {reason}")
        for path, reason in skipped
        if reason.startswith(UNREADABLE)
    ]
    if not (recordings or errors):
        errors.append(AudioError(f"{folder}: the folder has no recordings"))
    return recordings, errors


def _input_file(recording: Path, folder: Path) -> InputFile:
    """Return a recording whose label is its path below a folder."""
    label = recording.relative_to(folder).with_suffix("").as_posix()
    return InputFile(str(recording), label, recording)


def open_stdin() -> BinaryIO:
    """Return standard input in binary mode.

    Raises:
        ConfigError: If it is closed.
    """
    if sys.stdin is None:
        raise ConfigError("standard input is closed; pipe a recording to -")
    return sys.stdin.buffer


@contextmanager
def paused_gc() -> Iterator[None]:
    """Pause garbage collection, which takes half a second while torch and a model load."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()  # modules and weights live until the end
        gc.enable()
