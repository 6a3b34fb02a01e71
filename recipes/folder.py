"""Your own recordings, with a text file next to each one or with a table of transcripts."""

import os
import sys
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from asr.audio import ROUNDING, Channel, list_files
from asr.config.app import run_recipe
from asr.data.manifest import is_file
from asr.text import normalize
from asr.validation import check_integer, check_number
from recipes.errors import NAME, RecipeError, check_name, convert_errors
from recipes.prepare import Recording, prepare, read_headers, skip_unusable
from recipes.scan import MEDIA, FileFinder, normalize_name, skip_reason
from recipes.splits import group_by, split_randomly, use_split_column
from recipes.tables import Row, decode_text, read_table

SPLIT_NAMES = {"training": "train"} | dict.fromkeys(("dev", "valid", "val"), "validation")
AUDIO_FOLDERS = ("", "wavs", "clips")  # beside a table: general, LJSpeech, Common Voice


def folder(
    *,
    audio: Path | None = None,
    table: Path | None = None,
    root: Path = Path("data"),
    name: str = "folder",
    channel: int | None = None,
    validation: float = 0.1,
    test: float = 0.1,
    min_speakers: int = 0,
    encoding: str | None = None,
) -> Path:
    """Write manifests for your own recordings to ROOT/manifests/NAME.

    Pass audio=, table=, or both. Without a split column, all recordings of a speaker go to the
    same split, unless there are too few speakers. Segments of a single recording are split by
    time. Each run writes the manifests again. left_out.txt lists all files that are not used.

    Args:
        audio: Folder of recordings. Each one needs a .txt file of the same name next to it.
            Folders inside it are speakers. With table=, the folder of the table's relative paths.
        table: CSV, TSV, or JSON-lines file with columns for the audio (path, file, audio, ...)
            and the text (text, sentence, transcript, ...). Columns for the speaker (speaker,
            client_id), split, start or offset, end or duration (in seconds or h:mm:ss), and channel
            (from 1) are optional. LJSpeech's id|text|normalized text needs no header. Paths are
            relative to the table.
        root: Folder of all corpora.
        name: Name of the corpus.
        channel: Channel from 1 unless the table names one. It defaults to the mean of all.
        validation: Share of the recordings for validation, from 0 to 1.
        test: Share of the recordings for test, from 0 to 1.
        min_speakers: Fewer speakers are in all splits, instead of each one in a single split.
        encoding: Encoding of table or texts, such as cp1252. UTF-8 and UTF-16 are detected.

    Raises:
        RecipeError: If a setting or the table is invalid, or no recording is usable.
    """
    _check_settings(name, validation, test, min_speakers, encoding or "", channel)
    recordings = _read_recordings(audio, table, encoding or "", channel or "mix")
    headers = read_headers(recordings)
    recordings = skip_unusable(recordings, headers)  # before the choice of splits
    splits = use_split_column(recordings)
    splits = splits or split_randomly(recordings, validation, test, min_speakers)
    # The recordings may have changed since the last run.
    return prepare(name, lambda: splits, headers, root=Path(root), again=True)


def _check_settings(
    name: str,
    validation: float,
    test: float,
    min_speakers: int,
    encoding: str,
    channel: int | None,
) -> None:
    with convert_errors(ValueError):
        check_integer("min_speakers", min_speakers, ge=0)
        check_number("validation", validation, ge=0)
        check_number("test", test, ge=0)
        check_number("validation + test", validation + test, lt=1)
        check_integer("channel", 1 if channel is None else channel, ge=1)
    check_name(name)
    try:
        b"text".decode(encoding or "utf-8", "ignore")
    except (LookupError, ValueError):
        raise RecipeError(
            f"encoding must be the name of an encoding such as cp1252, got {encoding!r}."
        ) from None


def _read_recordings(
    audio: Path | None, table: Path | None, encoding: str, channel: Channel
) -> list[Recording]:
    audio, table = (path and Path(path) for path in (audio, table))  # may be text
    if audio is not None and not audio.is_dir():
        raise RecipeError(f"audio={audio}: no such folder.")
    if table is not None:
        recordings = list(recordings_of_table(table, audio, encoding))
        recordings = _skip_conflicts(recordings)
        recordings += _other_recordings(recordings, audio, table)
    elif audio is not None:
        recordings = list(_recordings_of_folder(audio, encoding))
    else:
        raise RecipeError("Pass audio=FOLDER, table=FILE, or both.")
    if not recordings:
        raise RecipeError(f"{table or audio}: no recordings.")
    return [
        replace(recording, channel=channel) if recording.channel == "mix" else recording
        for recording in recordings
    ]


def _recordings_of_folder(folder: Path, encoding: str) -> Iterator[Recording]:
    """Yield the recordings with their transcripts, and all other files with a reason."""
    files, skipped = list_files(folder)
    transcripts: dict[tuple[Path, str], Path] = {}
    paths = []
    for path in files:
        reason = skip_reason(path)
        if path.suffix.lower() == ".txt" and reason == "not a recording":
            key = path.parent, normalize_name(path.stem)
            reason = "second transcript" if key in transcripts else ""
            transcripts.setdefault(key, path)
        elif not reason:
            paths.append(path)
        if reason:
            skipped.append((path, reason))
    used = set()
    for path in paths:
        speaker, *others = path.relative_to(folder).parts
        names = (normalize_name(path.stem), normalize_name(path.name))  # a.txt or a.wav.txt
        keys = [key for name in names if (key := (path.parent, name)) in transcripts]
        text, reason = "", "no transcript"
        if keys and keys[0] in used:  # talk.wav and talk.m4a must not be in two splits
            reason = f"second recording of {transcripts[keys[0]].name}"
        elif keys:
            text, reason = _read_transcript(transcripts[keys[0]], encoding)
            used.add(keys[0])
        yield Recording(
            path, text, normalize_name(speaker) if others else "", skip_reason=reason
        )
    skipped += [
        (path, "no recording") for key, path in transcripts.items() if key not in used
    ]
    for path, reason in sorted(skipped):
        yield Recording(path, "", skip_reason=reason)


def _read_transcript(path: Path, encoding: str) -> tuple[str, str]:
    """Return the text of a file and the reason if it cannot be used, or ""."""
    try:
        return decode_text(path.read_bytes(), encoding), ""
    except OSError as error:
        return "", f"unreadable transcript: {error.strerror}"
    except ValueError as error:
        return "", f"transcript not {encoding or 'UTF-8'}: {error}"


def recordings_of_table(
    table: Path, folder: Path | None, encoding: str
) -> Iterator[Recording]:
    """Yield the recordings of a table, whose relative paths start from `folder`."""
    folders = [folder] if folder else [table.parent / name for name in AUDIO_FOLDERS]
    find = FileFinder(folders)
    for row in read_table(table, encoding):
        name, text = row.fields["audio"].strip(), row.fields["text"].strip()
        offset, duration = row.span()
        reason = "" if text else "no transcript"
        path = table
        if name:
            with convert_errors(ValueError, problem=row.place):
                path = find(name)
        else:
            reason = f"no file name: {row.place}"
        yield Recording(
            path,
            text,
            speaker=row.fields["speaker"].strip(),
            offset=offset,
            duration=duration,
            skip_reason=reason,
            split=_split_name(row),
            channel=row.channel() or "mix",
        )


def _split_name(row: Row) -> str:
    split = row.fields["split"].strip().lower()
    if split and not NAME.fullmatch(split):
        raise RecipeError(f"{row.place}: split {split!r} must be a name such as train.")
    return SPLIT_NAMES.get(split, split)


def _skip_conflicts(recordings: Sequence[Recording]) -> list[Recording]:
    """Leave out rows that repeat another one, and rows that share audio but have other texts."""
    usable = [recording for recording in recordings if not recording.skip_reason]
    reasons: dict[int, str] = {}
    groups = group_by(usable, lambda recording: f"{recording.audio}:{recording.channel}")
    for group in (group for group in groups.values() if len(group) > 1):
        distinct: dict[tuple[float, float | None, str], Recording] = {}
        for recording in group:
            key = recording.offset, recording.duration, normalize(recording.text)
            if distinct.setdefault(key, recording) is not recording:
                reasons[id(recording)] = "duplicate row"
        for recording in _find_rivals(distinct.values()):
            reasons[id(recording)] = "several transcripts"
    return [
        replace(recording, skip_reason=reasons.get(id(recording), recording.skip_reason))
        for recording in recordings
    ]


def _find_rivals(rows: Collection[Recording]) -> Iterator[Recording]:
    """Yield the rows of one file whose text belongs to a stretch that has another text, too."""
    spans = Counter((row.offset, row.duration) for row in rows)
    open_ended = [row for row in rows if row.duration is None]
    for row in rows:
        if spans[row.offset, row.duration] > 1:
            yield row
        elif row.duration is None:
            ends = [other.offset + (other.duration or 0.0) for other in rows]
            if len(open_ended) > 1 or max(ends) > row.offset + ROUNDING:
                yield row


def _other_recordings(
    recordings: Sequence[Recording], folder: Path | None, table: Path
) -> list[Recording]:
    """Return the files beside those of a table, with the reason that they are not used."""
    existing = [recording.audio for recording in recordings if is_file(recording.audio)]
    used = {os.path.realpath(path) for path in [table, *existing]}
    skipped: list[tuple[Path, str]] = []
    if folder:
        files, skipped = list_files(folder)
    else:
        parents = {path.parent for path in existing if path != table}
        files = [path for parent in sorted(parents) for path in sorted(parent.iterdir())]
        files = [path for path in files if path.suffix.lower() in MEDIA and is_file(path)]
    for path in files:
        if os.path.realpath(path) not in used:
            skipped.append((path, skip_reason(path) or "not in the table"))
    return [Recording(path, "", skip_reason=reason) for path, reason in skipped]


if __name__ == "__main__":
    sys.exit(run_recipe(folder))
