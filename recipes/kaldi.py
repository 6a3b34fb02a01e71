"""Kaldi data directories: wav.scp, text, and optionally segments and utt2spk."""

import re
import sys
from pathlib import Path

from asr.config.app import run_recipe
from asr.validation import check_integer, check_number
from recipes.errors import RecipeError, convert_errors
from recipes.prepare import Recording, prepare
from recipes.splits import fill_splits

SPLITS = ("train", "validation", "test")


def kaldi(
    *,
    train: Path | None = None,
    validation: Path | None = None,
    test: Path | None = None,
    root: Path = Path("data"),
    name: str = "kaldi",
    channel: int | None = None,
    validation_share: float = 0.05,
) -> Path:
    """Write manifests for Kaldi data directories to ROOT/manifests/NAME.

    Paths in wav.scp are relative to the current folder, as in Kaldi, or to the data directory.
    Commands that end with a pipe are refused: run them once and write their output to files.
    Each run writes the manifests again.

    Args:
        train: Data directory of the training set. The others belong to their splits.
        validation: Data directory of the validation set.
        test: Data directory of the test set.
        root: Folder of all corpora.
        name: Name of the corpus.
        channel: Channel of all recordings, from 1. It defaults to the mean of all channels. A fifth
            column of segments, which counts from 0 as in Kaldi, takes precedence.
        validation_share: Share of the training set for validation if there is no directory for
            it, by speaker if there are enough.

    Raises:
        RecipeError: If no directory is given, or a file is missing or invalid.
    """
    with convert_errors(ValueError):
        check_number("validation_share", validation_share, ge=0, lt=1)
        check_integer("channel", 1 if channel is None else channel, ge=1)
    folders = dict(zip(SPLITS, (train, validation, test), strict=True))
    splits = {
        split: read_data_directory(folder, channel)
        for split, folder in folders.items()
        if folder is not None
    }
    if not splits:
        raise RecipeError("Pass train=FOLDER, validation=FOLDER, or test=FOLDER.")
    splits = fill_splits(splits, validation_share=validation_share)
    return prepare(name, lambda: splits, root=root, again=True)


def read_data_directory(folder: Path, channel: int | None = None) -> list[Recording]:
    """Return the utterances of a Kaldi data directory.

    Args:
        folder: Data directory.
        channel: Channel of recordings for which segments names none, from 1.

    Raises:
        RecipeError: If a file is missing or invalid.
    """
    paths = {
        key: _find_audio(folder, key, value)
        for key, value in read_table(folder / "wav.scp").items()
    }
    texts = read_table(folder / "text")
    speakers = read_table(folder / "utt2spk", optional=True)
    segments = read_table(folder / "segments", optional=True)
    recordings = []
    for key in segments or paths:
        recording, offset, duration, number = key, 0.0, None, None
        if segments:
            recording, offset, duration, number = _parse_segment(folder, key, segments[key])
        if recording not in paths:
            raise RecipeError(f"{folder / 'segments'}: {recording} is not in wav.scp.")
        recordings.append(
            Recording(
                paths[recording],
                texts.get(key, ""),
                speakers.get(key, ""),
                offset,
                duration,
                skip_reason="" if key in texts else "no transcript",
                channel=number or channel or "mix",
            )
        )
    return recordings


def read_table(path: Path, *, optional: bool = False) -> dict[str, str]:
    """Return the lines of a Kaldi table by their first word.

    Args:
        path: File with a key, white space, and a value in each line.
        optional: Whether a missing file is an empty table.

    Raises:
        RecipeError: If the file cannot be read or has a key twice.
    """
    if optional and not path.exists():
        return {}
    with convert_errors(OSError, UnicodeDecodeError, problem=f"{path} cannot be read"):
        text = path.read_text(encoding="utf-8")
    table: dict[str, str] = {}
    for number, line in enumerate(text.split("\n"), 1):
        key, *rest = line.split(maxsplit=1) or [""]
        if key in table:
            raise RecipeError(
                f"{path}, line {number}: {key} occurs twice. Remove one line."
            )
        if key:
            table[key] = rest[0].rstrip() if rest else ""
    return table


def _find_audio(folder: Path, key: str, value: str) -> Path:
    place = f"{folder / 'wav.scp'}: {key}"
    if value.endswith("|"):
        fix = "Run the command once, save its output, and name the file instead"
        raise RecipeError(f"{place} is a command, which is not run. {fix}.")
    if re.search(r"\.ark:\d+$", value):
        fix = "Copy the recordings to files with wav-copy"
        raise RecipeError(f"{place} is inside a Kaldi archive, which is not read. {fix}.")
    path = Path(value)
    return path if path.is_file() or path.is_absolute() else folder / path


def _parse_segment(
    folder: Path, key: str, value: str
) -> tuple[str, float, float | None, int | None]:
    """Return the recording, offset, duration, and channel of a line of segments.

    The duration is None if the end is -1. The channel counts from 1 and is None if it is missing.
    """
    problem = f"{folder / 'segments'}: {key}"
    fix = "A line has an utterance, a recording, start and end in seconds, and may have a channel."
    with convert_errors(ValueError, problem=problem, fix=fix):
        recording, start, end, *channels = value.split()
        if len(channels) > 1:
            raise ValueError(f"{len(channels) + 4} fields")
        offset, duration, channel = check_number("start", float(start), ge=0), None, None
        if float(end) != -1:
            duration = check_number("end", float(end), gt=offset) - offset
        if channels:
            channel = check_integer("channel", int(channels[0]), ge=0) + 1
        return recording, offset, duration, channel


if __name__ == "__main__":
    sys.exit(run_recipe(kaldi))
