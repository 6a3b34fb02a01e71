"""Kaldi data directories: wav.scp, text, and optionally segments and utt2spk."""

import re
import sys
from pathlib import Path

from asr.config.app import run_recipe
from asr.validation import check_number
from recipes.errors import RecipeError, convert_errors
from recipes.prepare import Recording, prepare
from recipes.splits import split_randomly

SPLITS = ("train", "validation", "test")


def kaldi(
    *,
    train: Path | None = None,
    validation: Path | None = None,
    test: Path | None = None,
    root: Path = Path("data"),
    name: str = "kaldi",
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
        validation_share: Share of the training set for validation if there is no directory for
            it, by speaker if there are enough.

    Raises:
        RecipeError: If no directory is given, or a file is missing or invalid.
    """
    with convert_errors(ValueError):
        check_number("validation_share", validation_share, ge=0, lt=1)
    folders = dict(zip(SPLITS, (train, validation, test), strict=True))
    splits = {
        split: read_data_directory(folder)
        for split, folder in folders.items()
        if folder is not None
    }
    if not splits:
        raise RecipeError("Pass train=FOLDER, validation=FOLDER, or test=FOLDER.")
    if "train" in splits and "validation" not in splits and validation_share:
        splits |= split_randomly(splits["train"], validation_share, 0.0)
    return prepare(name, lambda: splits, root=root, again=True)


def read_data_directory(folder: Path) -> list[Recording]:
    """Return the utterances of a Kaldi data directory.

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
        recording, offset, duration = key, 0.0, None
        if segments:
            recording, offset, duration = _parse_segment(folder, key, segments[key])
        if recording not in paths:
            raise RecipeError(f"{folder / 'segments'}: {recording} is not in wav.scp.")
        reason = "" if key in texts else "no transcript"
        speaker = speakers.get(key, "")
        recordings.append(
            Recording(
                paths[recording],
                texts.get(key, ""),
                speaker,
                offset,
                duration,
                False,
                reason,
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


def _parse_segment(folder: Path, key: str, value: str) -> tuple[str, float, float | None]:
    """Return the recording, offset, and duration of a line of segments; an end of -1 is open."""
    problem = f"{folder / 'segments'}: {key}"
    fix = "A line has an utterance, a recording, and start and end in seconds."
    with convert_errors(ValueError, problem=problem, fix=fix):
        recording, start, end = value.split()
        offset = check_number("start", float(start), ge=0)
        if float(end) == -1:
            return recording, offset, None
        return recording, offset, check_number("end", float(end), gt=offset) - offset


if __name__ == "__main__":
    sys.exit(run_recipe(kaldi))
