"""Your own recordings: audio with a .txt beside each, or a table, as of LJSpeech and Common Voice."""

import csv
import math
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from asr import audio as recordings
from asr.data.manifest import parse_json
from recipes.cli import command
from recipes.fetch import RecipeError, console
from recipes.prepare import Recording, by_hash, prepare

# Names of columns; where several are there the first one wins.
AUDIO = ("audio_filepath", "audio", "path", "file", "filename", "file_name", "wav")
TEXT = ("text", "sentence", "transcript", "transcription")
SPEAKER = ("speaker", "client_id", "speaker_id")
ALIASES = {"training": "train"} | dict.fromkeys(("dev", "valid", "val"), "validation")  # of splits
NEAR = (
    "",
    "wavs",
    "clips",
)  # folders beside a table where audio lies: anywhere, LJSpeech's, Common Voice's

Row = tuple[Recording, str]  # with the split that the table names, or ""


def folder(
    *,
    audio: Path | None = None,
    table: Path | None = None,
    root: Path = Path("data"),
    name: str = "folder",
    validation: float = 0.1,
    test: float = 0.1,
) -> Path:
    """Write manifests for your own recordings to root/manifests/NAME; that folder. Made anew each time.

    audio=FOLDER
        every recording in it with a .txt of the same name beside it; the folders in it are the speakers
    table=FILE
        CSV, TSV or JSON lines with a column for the audio (path, file, audio_filepath, ...) and one for the
        text (text, sentence, transcript, ...), perhaps speaker or client_id, split, offset and duration in
        seconds; or id|text|normalised text without a header, as LJSpeech's metadata.csv. Paths are relative
        to the table, or to audio= where both are given.

    Without a column `split`, shares of `validation` and `test` are drawn, whole speakers where they are told.
    """
    if validation < 0 or test < 0 or validation + test >= 1:
        raise RecipeError(
            f"validation={validation} test={test}: shares must be 0 or more and leave some to train"
        )
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise RecipeError(
            f"name={name}: letters, digits, '.', '-' and '_' only; it becomes a folder"
        )
    if audio is not None and not audio.is_dir():
        raise RecipeError(f"audio={audio}: no such folder")
    if table is not None:
        rows = list(_from_table(table, audio))
    elif audio is not None:
        rows = [(recording, "") for recording in _from_folder(audio)]
    else:
        raise RecipeError("give audio=FOLDER, table=FILE or both")
    if not rows:
        raise RecipeError(f"{table or audio}: no recordings in it")
    splits = _named(rows) if any(split for _, split in rows) else _drawn(rows, validation, test)
    # What lies in a folder of one's own changes from run to run: there is no point in asking whether it has.
    return prepare(name, lambda: splits, root=root, again=True)


def _from_folder(folder: Path) -> Iterator[Recording]:
    found = recordings.find_recordings(folder)
    for path in found:
        inside = path.relative_to(folder).parts
        speaker = inside[0] if len(inside) > 1 else ""
        try:
            text = path.with_suffix(".txt").read_text(encoding="utf-8-sig")
        except FileNotFoundError:
            yield Recording(path, "", speaker, flaw="no transcript")
        except UnicodeDecodeError:
            yield Recording(path, "", speaker, flaw="transcript not UTF-8")
        else:
            yield Recording(path, text, speaker)
    stems = {path.with_suffix("") for path in found}
    for path in sorted(folder.rglob("*.txt")):
        if path.with_suffix("") not in stems:
            yield Recording(path, "", flaw="no recording")


def _from_table(table: Path, folder: Path | None) -> Iterator[Row]:
    rows = list(_rows(table))
    columns = list(dict.fromkeys(column for _, row in rows for column in row))
    audio, text = (
        _column(table, columns, what, names) for what, names in (("audio", AUDIO), ("text", TEXT))
    )
    speaker = next((column for column in SPEAKER if column in columns), "")
    near = [folder] if folder is not None else [table.parent / inside for inside in NEAR]
    for where, row in rows:
        split = str(row.get("split") or "").strip().lower()
        if not re.fullmatch(r"(\w[\w.-]*)?", split):  # it becomes a file
            raise RecipeError(f"{where}: split {split!r}: letters, digits, '.', '-' and '_' only")
        recording = Recording(
            _find(str(row.get(audio) or ""), near),
            str(row.get(text) or ""),
            speaker=str(row.get(speaker) or ""),
            offset=_seconds(where, row, "offset") or 0.0,
            duration=_seconds(where, row, "duration"),
            flaw="" if row.get(text) else "no transcript",
        )
        yield recording, ALIASES.get(split, split)


def _rows(table: Path) -> Iterator[tuple[str, Mapping[str, object]]]:
    """Where each row stands, and its fields by the names of the columns, in lower case."""
    try:
        text = table.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(
            f"table={table}: cannot be read ({getattr(error, 'strerror', None) or error})"
        ) from None
    lines = text.splitlines()
    head = lines[0] if lines else ""
    if head.lstrip().startswith("{"):
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield f"{table}, line {number}", _object(f"{table}, line {number}", line)
        return
    delimiter = max("\t|,;", key=head.count)
    # Commas and semicolons occur in transcripts, which quotes then protect; elsewhere a quote is a quote.
    quoted = delimiter in ",;"
    reader = csv.reader(
        text.splitlines(keepends=True),
        delimiter=delimiter,
        quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE,
        strict=True,  # else a quote that nothing closes would take in all the rows behind it
    )
    header = [column.strip().lower() for column in head.split(delimiter)]
    first = 1
    try:
        if set(header) & {*AUDIO, *TEXT} or delimiter != "|":
            header = [column.strip().lower() for column in next(reader, [])]
        else:
            header = ["audio", "spelt", "text"] if len(header) > 2 else ["audio", "text"]
        first = reader.line_num + 1
        for fields in reader:
            if any(fields):
                yield f"{table}, line {reader.line_num}", dict(zip(header, fields, strict=False))
            first = reader.line_num + 1
    except csv.Error as error:
        hint = "what begins with a quote must end with one, and quotes inside it be doubled"
        raise RecipeError(f"{table}, line {first}: {error}; {hint}") from None


def _object(where: str, line: str) -> Mapping[str, object]:
    try:
        row = parse_json(line)
    except ValueError as error:
        raise RecipeError(f"{where}: {error}") from None
    if not isinstance(row, dict):
        raise RecipeError(f'{where}: not an object such as {{"audio": ..., "text": ...}}')
    return {key.lower(): value for key, value in row.items()}


def _column(table: Path, columns: Sequence[str], what: str, names: Sequence[str]) -> str:
    for name in names:
        if name in columns:
            return name
    found = ", ".join(filter(None, columns)) or "none"
    raise RecipeError(
        f"{table}: no column for the {what} ({', '.join(names)}); its columns: {found}"
    )


def _find(name: str, folders: Sequence[Path]) -> Path:
    """The file of that name, ending left out or not, in the first folder that has it."""
    endings = ("", *sorted(recordings.EXTENSIONS))
    candidates = [folder / f"{name}{ending}" for folder in folders for ending in endings]
    return next((path for path in candidates if path.is_file()), candidates[0])


def _seconds(where: str, row: Mapping[str, object], column: str) -> float | None:
    value = row.get(column)
    if value is None or value == "":
        return None
    try:
        seconds = float(str(value))
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise RecipeError(f"{where}: {column} {value!r} is not a number of seconds")
    return seconds


def _named(rows: Sequence[Row]) -> dict[str, list[Recording]]:
    """As the table says; what it leaves open is for training."""
    splits: dict[str, list[Recording]] = defaultdict(list)
    for recording, split in rows:
        splits[split or "train"].append(recording)
    return splits


def _drawn(rows: Sequence[Row], validation: float, test: float) -> dict[str, list[Recording]]:
    """Test, validation and training by the hash of the speaker or, where there are too few, of the file."""
    shares = {
        split: share for split, share in (("test", test), ("validation", validation)) if share
    }
    sound = [recording for recording, _ in rows if not recording.flaw]
    groups = _grouped(sound, lambda recording: recording.speaker or recording.audio.name)
    if len(groups) <= len(shares):
        console.print(f"speakers: {len(groups)}, too few to part them; the splits share speakers")
        groups = _grouped(sound, lambda recording: recording.audio.name)
    waiting = by_hash(groups)
    splits: dict[str, list[Recording]] = {}
    for split, share in shares.items():
        splits[split] = []
        while len(waiting) > 1 and len(splits[split]) < share * len(sound):
            splits[split] += groups[waiting.pop()]
    train = [recording for group in waiting for recording in groups[group]]
    flawed = [
        recording for recording, _ in rows if recording.flaw
    ]  # to be named, wherever they would have gone
    return {"train": train + flawed, **{split: found for split, found in splits.items() if found}}


def _grouped(
    sound: Iterable[Recording], key: Callable[[Recording], str]
) -> dict[str, list[Recording]]:
    groups: dict[str, list[Recording]] = defaultdict(list)
    for recording in sound:
        groups[key(recording)].append(recording)
    return groups


if __name__ == "__main__":
    sys.exit(command(folder))
