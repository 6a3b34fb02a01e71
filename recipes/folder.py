"""Your own recordings, with a text file next to each one or with a table of transcripts."""

import csv
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from asr.audio import EXTENSIONS, find_recordings
from asr.config.app import run_recipe
from asr.data.manifest import parse_json
from asr.validation import check_number
from recipes.console import console
from recipes.errors import RecipeError, convert_errors
from recipes.prepare import Recording, Splits, prepare, sort_by_hash

# Names of columns in the order of preference
COLUMNS = {
    "audio": ("audio_filepath", "audio", "path", "file", "filename", "file_name", "wav"),
    "text": ("text", "sentence", "transcript", "transcription"),
    "speaker": ("speaker", "client_id", "speaker_id"),
    "split": ("split",),
    "offset": ("offset",),
    "duration": ("duration",),
}
SPLIT_NAMES = {"training": "train"} | dict.fromkeys(("dev", "valid", "val"), "validation")
AUDIO_FOLDERS = ("", "wavs", "clips")  # beside a table: general, LJSpeech, Common Voice
NAME = re.compile(r"\w[\w.-]*")

Row = tuple[str, dict[str, str]]  # place in error messages, and fields by column


def folder(
    *,
    audio: Path | None = None,
    table: Path | None = None,
    root: Path = Path("data"),
    name: str = "folder",
    validation: float = 0.1,
    test: float = 0.1,
) -> Path:
    """Write manifests for your own recordings to ROOT/manifests/NAME.

    Pass audio=, table=, or both. Without a split column, all recordings of a speaker go to the
    same split, unless there are too few speakers. Each run writes the manifests again.

    Args:
        audio: Folder of recordings. Each one needs a .txt file of the same name next to it.
            Folders inside it are speakers. With table=, the folder of the table's relative paths.
        table: CSV, TSV, or JSON-lines file with columns for the audio (path, file, audio, ...)
            and the text (text, sentence, transcript, ...). Columns for the speaker (speaker,
            client_id), split, offset, and duration (both in seconds) are optional. LJSpeech's
            id|text|normalized text needs no header. Paths are relative to the table.
        root: Folder of all corpora.
        name: Name of the corpus.
        validation: Share of the recordings for validation, from 0 to 1.
        test: Share of the recordings for test, from 0 to 1.

    Raises:
        RecipeError: If a setting or the table is invalid, or no recording is usable.
    """
    with convert_errors(ValueError):
        check_number("validation", validation, ge=0)
        check_number("test", test, ge=0)
        check_number("validation + test", validation + test, lt=1)
    if not NAME.fullmatch(name):
        raise RecipeError(
            f"name must consist of letters, digits, '.', '-', and '_', got {name!r}."
        )
    recordings = _read_recordings(audio, table)
    if any(recording.split for recording in recordings):
        splits = _group(recordings, lambda recording: recording.split or "train")
    else:
        splits = _random_splits(recordings, validation, test)
    # The recordings may have changed since the last run.
    return prepare(name, lambda: splits, root=root, again=True)


def _read_recordings(audio: Path | None, table: Path | None) -> list[Recording]:
    if audio is not None and not audio.is_dir():
        raise RecipeError(f"audio={audio}: no such folder.")
    if table is not None:
        recordings = list(_recordings_of_table(table, audio))
    elif audio is not None:
        recordings = list(_recordings_of_folder(audio))
    else:
        raise RecipeError("Pass audio=FOLDER, table=FILE, or both.")
    if not recordings:
        raise RecipeError(f"{table or audio}: no recordings.")
    return recordings


def _recordings_of_folder(folder: Path) -> Iterator[Recording]:
    paths = find_recordings(folder)
    for path in paths:
        speaker, *others = path.relative_to(folder).parts
        text, reason = "", ""
        try:
            text = path.with_suffix(".txt").read_text(encoding="utf-8-sig")
        except FileNotFoundError:
            reason = "no transcript"
        except UnicodeDecodeError:
            reason = "transcript not UTF-8"
        yield Recording(path, text, speaker if others else "", skip_reason=reason)
    stems = {path.with_suffix("") for path in paths}
    for path in sorted(folder.rglob("*.txt")):
        if path.with_suffix("") not in stems:
            yield Recording(path, "", skip_reason="no recording")


def _recordings_of_table(table: Path, folder: Path | None) -> Iterator[Recording]:
    rows = list(_read_table(table))
    _check_columns(table, {column for _, row in rows for column in row})
    folders = [folder] if folder else [table.parent / name for name in AUDIO_FOLDERS]
    for place, row in rows:
        fields = {
            name: next((row[column] for column in columns if column in row), "")
            for name, columns in COLUMNS.items()
        }
        split = fields["split"].strip().lower()
        if split and not NAME.fullmatch(split):
            raise RecipeError(f"{place}: split {split!r} must be a name such as train.")
        yield Recording(
            _find_audio(fields["audio"], folders),
            fields["text"],
            speaker=fields["speaker"],
            offset=_seconds(place, fields, "offset") or 0.0,
            duration=_seconds(place, fields, "duration"),
            skip_reason="" if fields["text"] else "no transcript",
            split=SPLIT_NAMES.get(split, split),
        )


def _read_table(table: Path) -> Iterator[Row]:
    """Return the rows of a table. Column names are in lower case."""
    problem = f"table={table} cannot be read"
    with convert_errors(OSError, UnicodeDecodeError, problem=problem):
        text = table.read_text(encoding="utf-8-sig")
    read = _read_json_lines if text.lstrip().startswith("{") else _read_csv
    return read(table, text)


def _read_json_lines(table: Path, text: str) -> Iterator[Row]:
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            place = f"{table}, line {number}"
            with convert_errors(ValueError, problem=place):
                row = parse_json(line)
            if not isinstance(row, dict):
                example = '{"audio": ..., "text": ...}'
                raise RecipeError(f"{place}: not an object such as {example}.")
            texts = {key.lower(): "" if x is None else str(x) for key, x in row.items()}
            yield place, texts


def _read_csv(table: Path, text: str) -> Iterator[Row]:
    lines = text.splitlines(keepends=True)
    header = lines[0] if lines else ""
    delimiter = max("\t|,;", key=header.count)
    # Commas and semicolons occur in transcripts, which are then quoted. In other formats, a quote
    # is an ordinary character. Without `strict`, a quote that is never closed swallows all rows.
    reader = csv.reader(
        lines,
        delimiter=delimiter,
        quoting=csv.QUOTE_MINIMAL if delimiter in ",;" else csv.QUOTE_NONE,
        strict=True,
    )
    columns = _lower(header.split(delimiter))
    if delimiter != "|" or {*columns} & {*COLUMNS["audio"], *COLUMNS["text"]}:
        columns = _lower(_next_row(table, reader) or [])
    else:  # LJSpeech
        columns = ["audio", "original", "text"] if len(columns) > 2 else ["audio", "text"]
    while (fields := _next_row(table, reader)) is not None:
        if any(fields):
            row = dict(zip(columns, fields, strict=False))
            yield f"{table}, line {reader.line_num}", row


def _next_row(table: Path, reader: Any) -> list[str] | None:
    place = f"{table}, line {reader.line_num + 1}"
    fix = "A field that starts with a quote must end with one. Double the quotes inside it."
    with convert_errors(csv.Error, problem=place, fix=fix):
        return next(reader, None)


def _lower(columns: Iterable[str]) -> list[str]:
    return [column.strip().lower() for column in columns]


def _check_columns(table: Path, columns: set[str]) -> None:
    for name in ("audio", "text"):
        if columns.isdisjoint(COLUMNS[name]):
            existing = ", ".join(sorted(filter(None, columns))) or "none"
            names = ", ".join(COLUMNS[name])
            raise RecipeError(f"{table}: no {name} column ({names}). Columns: {existing}.")


def _find_audio(name: str, folders: Sequence[Path]) -> Path:
    """Return the recording in the first folder that has it. The name may lack an extension."""
    names = [name, *(name + extension for extension in sorted(EXTENSIONS))]
    paths = [folder / name for folder in folders for name in names]
    return next((path for path in paths if path.is_file()), paths[0])


def _seconds(place: str, fields: Mapping[str, str], column: str) -> float | None:
    if not fields[column]:
        return None
    with convert_errors(ValueError, problem=f"{place}, column {column}"):
        return check_number("seconds", float(fields[column]), ge=0)


def _random_splits(
    recordings: Sequence[Recording], validation: float, test: float
) -> Splits:
    """Choose the splits by a hash of the speaker, or of the file if there are too few speakers."""
    usable = [recording for recording in recordings if not recording.skip_reason]
    groups = _group(usable, lambda recording: recording.speaker or recording.audio.name)
    if len(groups) <= (test > 0) + (validation > 0):
        console.print(f"speakers: {len(groups)}, so the splits share speakers")
        groups = _group(usable, lambda recording: recording.audio.name)
    remaining = sort_by_hash(groups)
    splits: Splits = {"train": [], "test": [], "validation": []}
    for split, share in (("test", test), ("validation", validation)):
        while len(remaining) > 1 and len(splits[split]) < share * len(usable):
            splits[split] += groups[remaining.pop()]
    for group in remaining:
        splits["train"] += groups[group]
    splits["train"] += [recording for recording in recordings if recording.skip_reason]
    return {split: chosen for split, chosen in splits.items() if chosen}


def _group(recordings: Iterable[Recording], key: Callable[[Recording], str]) -> Splits:
    groups: Splits = defaultdict(list)
    for recording in recordings:
        groups[key(recording)].append(recording)
    return groups


if __name__ == "__main__":
    sys.exit(run_recipe(folder))
