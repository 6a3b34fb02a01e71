"""Output of `asr.transcribe` and `asr.align`: standard output, or a folder of files."""

import os
import tempfile
from collections.abc import Iterable, Sequence
from errno import EACCES, EDQUOT, ENOSPC, EROFS
from pathlib import Path
from typing import Literal, Protocol

from asr.audio import Channel, Source
from asr.config.inputs import InputFile
from asr.errors import AsrError, AudioError, ConfigError
from asr.files import atomic_write
from asr.inference.formats import FORMATS, Ctm, Format, Result, Text, one_line, one_word

_FULL_OR_READ_ONLY = (ENOSPC, EDQUOT, EROFS, EACCES)  # no other file can be written either


class Output(Protocol):
    """A place for the results of recordings.

    Attributes:
        pending: The recordings to transcribe.
        done: Number of recordings whose results are there already.
        errors: Errors of the files that cannot be written.
    """

    pending: list[InputFile]
    done: int
    errors: list[AsrError]

    def write(self, item: InputFile, results: Sequence[Result]) -> None:
        """Write the results of a recording, one for each channel.

        Raises:
            ConfigError: If they cannot be written, but those of other recordings may be.
            OSError: If nothing can be written.
        """

    def fail(self, item: InputFile, error: AudioError) -> None:
        """Record that a recording cannot be transcribed."""


class StandardOutput:
    """Standard output in one format.

    If there are several recordings, each line of text starts with the name of its recording and a
    tab. A recording that fails has an empty text and a third column with the error.
    """

    def __init__(self, formats: Sequence[str], inputs: Sequence[InputFile]) -> None:
        """Check the formats.

        Raises:
            ConfigError: If there are several formats, several recordings for a format that holds
                one, or two recordings with one name in CTM.
        """
        self.pending, self.done, self.errors = list(inputs), 0, list[AsrError]()
        is_joined = len(inputs) > 1
        self._format, *others = make_formats(formats, to_files=False, joined=is_joined)
        if others:
            raise ConfigError(f"format=[{','.join(formats)}] needs output=FOLDER")
        if isinstance(self._format, Text):
            self._format.named = is_joined
        if isinstance(self._format, Ctm):
            self.pending = list(dict.fromkeys(inputs))
            check_ctm_names((item.name, item.label) for item in self.pending)

    def write(self, item: InputFile, results: Sequence[Result]) -> None:
        """Print the results of a recording."""
        print(_render(self._format, item, results), end="", flush=True)

    def fail(self, item: InputFile, error: AudioError) -> None:
        """Print the line of a recording that cannot be transcribed."""
        if isinstance(self._format, Text) and self._format.named:
            reason = str(error).removeprefix(f"{item.name}: ")
            print(f"{one_line(item.name)}\t\terror: {one_line(reason)}", flush=True)


class OutputFolder:
    """A folder with one file for each recording and format.

    A recording is done if its files exist and none is older than the recording. No file is replaced
    without `overwrite`.
    """

    def __init__(
        self,
        folder: Path,
        formats: Sequence[str],
        inputs: Sequence[InputFile],
        *,
        channel: Channel | Literal["each"] = "mix",
        overwrite: bool = False,
    ) -> None:
        """Create the folder and find the recordings that are not done.

        Raises:
            ConfigError: If two recordings have the same output.
            OSError: If the folder cannot be written.
        """
        self.done = 0
        self._missing: dict[InputFile, list[tuple[Format, Path]]] = {}
        outdated: list[Path] = []
        made = make_formats(formats, to_files=True)
        inputs = list(dict.fromkeys(inputs))
        labels = [(item.name, item.label + channel_suffix(channel)) for item in inputs]
        plan = plan_files(folder, labels, [format_.suffix for format_ in made])
        check_writable(folder)
        for item, paths in zip(inputs, plan, strict=True):
            existing = [path for path in paths if is_file(path) and not overwrite]
            if old := [path for path in existing if is_older(path, item.source)]:
                outdated += old
            elif len(existing) == len(paths):
                self.done += 1
            else:
                files = zip(made, paths, strict=True)
                self._missing[item] = [file for file in files if file[1] not in existing]
        self.pending = list(self._missing)
        self.errors = explain_outdated(outdated)

    def write(self, item: InputFile, results: Sequence[Result]) -> None:
        """Write the files of a recording.

        Raises:
            ConfigError: If a file cannot be written.
            OSError: If no file can be written.
        """
        for format_, path in self._missing[item]:
            write_file(path, _render(format_, item, results))

    def fail(self, item: InputFile, error: AudioError) -> None:
        """Write nothing."""


def check_overwrite(output: str | None, overwrite: bool) -> None:
    """Check that there can be files to replace.

    Raises:
        ConfigError: If `overwrite` is set for standard output.
    """
    if overwrite and output is None:
        raise ConfigError("overwrite=true is for files; pass output=FOLDER too")


def make_formats(
    names: Sequence[str], *, to_files: bool, joined: bool = False
) -> list[Format]:
    """Return the formats with these names. On standard output, JSON is one line per recording.

    Args:
        names: Keys of `FORMATS`.
        to_files: Whether each recording has its own file.
        joined: Whether there are several recordings.

    Raises:
        ConfigError: If there is no format, or if one holds one recording and there are several.
    """
    if not names:
        raise ConfigError("format has no value; pass format=...")
    formats = {}
    for name in names:
        format_ = FORMATS["jsonl" if name == "json" and not to_files else name]()
        if joined and not to_files and not format_.joinable:
            raise ConfigError(f"format={name} holds one recording; pass output=FOLDER")
        formats[format_.suffix] = format_
    return list(formats.values())


def plan_files(
    folder: Path, recordings: Iterable[tuple[str, str]], suffixes: Sequence[str]
) -> list[list[Path]]:
    """Return the files of each recording, one with each suffix.

    Args:
        folder: Folder of all files.
        recordings: Name and label of each recording. The label becomes the path in the folder.
        suffixes: Extensions with their dot.

    Raises:
        ConfigError: If two recordings have the same label.
    """
    plan: dict[str, str] = {}
    for name, label in recordings:
        if other := plan.get(label):
            path = folder / f"{label}{suffixes[0]}"
            both = f"{path} is the output of both {other} and {name}"
            raise ConfigError(f"{both}; rename one or use two folders")
        plan[label] = name
    return [[folder / f"{label}{suffix}" for suffix in suffixes] for label in plan]


def check_ctm_names(recordings: Iterable[tuple[str, str]]) -> None:
    """Check that joined CTM has a name of its own for each recording.

    Args:
        recordings: Path and label of each recording. One path may come several times.

    Raises:
        ConfigError: If two recordings have the same name, perhaps only without their spaces.
    """
    paths: dict[str, str] = {}
    for path, label in recordings:
        name = one_word(label)
        if paths.setdefault(name, path) != path:
            both = f"{name} is the name of both {paths[name]} and {path} in CTM"
            raise ConfigError(f"{both}; rename one or use two commands")


def channel_suffix(channel: Channel | Literal["each"]) -> str:
    """Return ".2" for the file of channel 2, and nothing for all channels."""
    return f".{channel}" if isinstance(channel, int) else ""


def write_file(path: Path, text: str) -> None:
    """Write a text file atomically, with all missing folders.

    File names that are not UTF-8 are written with escapes.

    Raises:
        ConfigError: If the file cannot be written, for example because its name is too long.
        OSError: If no file can be written because the disk is full or read-only.
    """
    try:
        with atomic_write(path) as temporary:
            escapes = "backslashreplace"
            temporary.write_text(text, encoding="utf-8", errors=escapes, newline="\n")
    except OSError as error:
        if error.errno in _FULL_OR_READ_ONLY:
            raise
        raise ConfigError(f"{path}: cannot be written: {error.strerror or error}") from None


def _render(format_: Format, item: InputFile, results: Sequence[Result]) -> str:
    return format_.render(item.label if isinstance(format_, Ctm) else item.name, results)


def is_file(path: Path) -> bool:
    """Return whether a path is an existing file."""
    return os.path.isfile(path)  # noqa: PTH113  # pathlib raises for a long name


def is_older(path: Path, source: Source) -> bool:
    """Return whether a file is older than a recording. Standard input is newer than any file.

    A text beside its recording never is: people write what they record afterwards.
    """
    if isinstance(source, bytes):
        return True
    if not isinstance(source, str | Path):  # in a shard
        return False
    source = Path(source)
    if path.suffix == ".txt" and path.resolve() == source.with_suffix(".txt").resolve():
        return False
    return source.exists() and path.stat().st_mtime < source.stat().st_mtime


def explain_outdated(paths: Sequence[Path]) -> list[AsrError]:
    """Return an error for all files that are older than their recordings, if there are any."""
    if not paths:
        return []
    others = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
    reason = "older than the recording and was kept; pass overwrite=true to replace it"
    return [ConfigError(f"{paths[0]}{others}: {reason}")]


def open_results(folder: str) -> Path:
    """Create a folder for the results of an evaluation, and check that they can be written.

    Raises:
        ConfigError: If it is the folder of a training, whose summary would be replaced.
        OSError: If it cannot be written.
    """
    path = Path(folder)
    if (path / "config.yaml").is_file():
        raise ConfigError(f"dir={folder} is the folder of a training; pass another dir=DIR")
    check_writable(path)
    return path


def check_writable(folder: Path) -> None:
    """Create a folder and try to create a file in it."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        error.filename = str(folder)
        raise
