"""Manifests from the recordings of a corpus, with a list of skipped recordings and a table."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from itertools import chain
from pathlib import Path
from textwrap import shorten
from typing import TypeVar

from rich import box
from rich.table import Column, Table

from asr.audio import ROUNDING, AudioInfo, Channel, info
from asr.data.manifest import Utterance, write_manifest
from asr.errors import AudioError
from asr.tables import print_tables
from asr.text import normalize
from recipes.console import console, track
from recipes.errors import RecipeError, check_name
from recipes.left_out import printable, report_tags, write_lines

RECORD = "prepared.json"  # options and summary of the last complete run
LEFT_OUT = "left_out.txt"
TAGS = "tags.txt"
THREADS = 8  # for reading headers, which is bound by the disk

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Recording:
    """An utterance as its corpus describes it. The audio has not been read.

    Attributes:
        audio: Path of the recording.
        text: Transcript as published.
        speaker: Name of the speaker, or "".
        offset: Start in seconds.
        duration: Length in seconds. None extends to the end of the file.
        silent: Whether an empty transcript is correct.
        skip_reason: Reason to leave the recording out, or "". Details may follow a colon.
        split: Split that the corpus assigns it to, or "" if it has none.
        channel: Number of the recording's channel from 1, or "mix" for the mean of all.
    """

    audio: Path
    text: str
    speaker: str = ""
    offset: float = 0.0
    duration: float | None = None
    silent: bool = False
    skip_reason: str = ""
    split: str = ""
    channel: Channel = "mix"


Splits = dict[str, list[Recording]]  # recordings by split
Headers = Mapping[Path, AudioInfo | str]  # headers by path, or why they cannot be read


@dataclass(frozen=True)
class Summary:
    """A row of the table. `left_out` counts the skipped recordings by reason."""

    utterances: int
    hours: float
    speakers: int
    words: int
    distinct_words: int
    left_out: dict[str, int]


def prepare(
    name: str,
    splits: Callable[[], Splits],
    headers: Headers | None = None,
    /,
    *,
    root: Path,
    again: bool,
    **options: object,
) -> Path:
    """Write ROOT/manifests/NAME/SPLIT.jsonl, print a table, and return that folder.

    The folder holds the manifests of one run only, so that splits of different runs never share
    speakers. If the last run had the same options, only the table is printed.

    Args:
        name: Name of the corpus.
        splits: Function that returns the recordings of each split. It is called only if needed.
        headers: Headers of recordings that have been read, see `read_headers`.
        root: Folder of all corpora.
        again: Whether to write the manifests even if the options have not changed.
        options: Options that determine the manifests.

    Raises:
        RecipeError: If the name is a path or a split has no usable recordings.
    """
    folder = root / "manifests" / check_name(name)
    options = json.loads(json.dumps(options, default=str))
    last_options, summaries = _read_record(folder)
    complete = all((folder / f"{split}.jsonl").exists() for split in summaries)
    if last_options == options and complete and not again:
        console.print(
            f"{folder} is up to date. Pass again=true to write the manifests again."
        )
    else:
        summaries = _write_all(folder, splits(), headers or {}, summaries, options)
    _print_summaries(folder, summaries)
    return folder


def sort_by_hash(items: Iterable[T], key: Callable[[T], str] = str) -> list[T]:
    """Sort items by the SHA-256 of `key(item)`: an order that looks random but never changes."""

    def digest(item: T) -> bytes:
        # names that are not UTF-8 contain surrogates
        return hashlib.sha256(key(item).encode(errors="surrogatepass")).digest()

    return sorted(items, key=digest)


def choose_speakers(
    recordings: Iterable[Recording],
    count: int,
    *,
    group: Callable[[str], str] = lambda speaker: "",
    setting: str = "validation_speakers",
) -> set[str]:
    """Choose `count` speakers by hash, from each `group(speaker)` in turn.

    `setting` names the count in error messages.

    Raises:
        RecipeError: If no speaker would be left for training.
    """
    speakers = sorted({recording.speaker for recording in recordings})
    if not 0 <= count < len(speakers):
        limit = f"at least 0 and below {len(speakers)}, the number of training speakers"
        raise RecipeError(f"{setting} must be {limit}, got {count}.")
    sizes, ranked = Counter[str](), []
    for speaker in sort_by_hash(speakers):
        name = group(speaker)
        ranked.append((sizes[name], name, speaker))
        sizes[name] += 1
    return {speaker for _, _, speaker in sorted(ranked)[:count]}


def split_by_speaker(
    recordings: Sequence[Recording], speakers: Collection[str]
) -> tuple[list[Recording], list[Recording]]:
    """Return the recordings of all other speakers, and those of `speakers`."""
    others = [recording for recording in recordings if recording.speaker not in speakers]
    return others, [recording for recording in recordings if recording.speaker in speakers]


def hold_out(train: Sequence[Recording], speakers: Collection[str]) -> Splits:
    """Return train and, if it is not empty, validation with the recordings of `speakers`."""
    others, validation = split_by_speaker(train, speakers)
    return {"train": others, "validation": validation} if validation else {"train": others}


def check_speakers(
    setting: str, speakers: Collection[str], recordings: Sequence[Recording]
) -> None:
    """Check that each of the speakers that a setting names has recordings.

    Raises:
        RecipeError: If a speaker has none.
    """
    known = {recording.speaker for recording in recordings}
    missing = sorted(set(speakers) - known)
    if missing:
        choices = shorten(", ".join(sorted(known)), 80)
        raise RecipeError(
            f"{setting}: no speaker {', '.join(missing)}. Choose from {choices}."
        )


def read_headers(recordings: Iterable[Recording], known: Collection[Path] = ()) -> Headers:
    """Return the headers of recordings, except those that are left out or `known`."""
    paths = {recording.audio for recording in recordings if not recording.skip_reason}
    new = sorted(paths.difference(known))
    with ThreadPoolExecutor(THREADS) as pool:
        headers = track(pool.map(_read_header, new), "reading headers", len(new))
        return dict(zip(new, headers, strict=True))


def skip_unusable(recordings: Iterable[Recording], headers: Headers) -> list[Recording]:
    """Return the recordings, with a reason for each one that cannot be used."""
    outcomes = [(recording, _utterance(recording, headers)) for recording in recordings]
    return [
        replace(recording, skip_reason=outcome) if isinstance(outcome, str) else recording
        for recording, outcome in outcomes
    ]


def total_hours(utterances: Iterable[Utterance]) -> float:
    """Return the total duration of utterances in hours."""
    return sum(utterance.duration for utterance in utterances) / 3600


def _write_all(
    folder: Path,
    splits: Splits,
    headers: Headers,
    last: Mapping[str, Summary],
    options: dict[str, object],
) -> dict[str, Summary]:
    """Write the manifests and the record, and remove manifests of the last run."""
    unfinished = dict.fromkeys(splits, Summary(0, 0.0, 0, 0, 0, {}))
    # an interrupted run is not complete, but the next one must know its manifests
    _write_record(folder, None, unfinished | dict(last))
    summaries = _write(folder, splits, headers)
    for split in last.keys() - splits.keys():
        if (folder / f"{split}.jsonl").exists():
            (folder / f"{split}.jsonl").unlink()
            console.print(f"{folder}: removed {split}.jsonl, which had other options")
    _write_record(folder, options, summaries)
    return summaries


def _write_record(
    folder: Path, options: dict[str, object] | None, summaries: Mapping[str, Summary]
) -> None:
    rows = {split: asdict(summary) for split, summary in summaries.items()}
    text = json.dumps({"options": options, "splits": rows}, indent=1) + "\n"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / RECORD).write_text(text, encoding="utf-8")


def _write(folder: Path, splits: Splits, headers: Headers) -> dict[str, Summary]:
    """Write the manifests and the list of skipped recordings."""
    headers = {**headers, **read_headers(chain(*splits.values()), known=headers)}
    utterances: dict[str, list[Utterance]] = {}
    summaries, lines = {}, []
    for split, recordings in splits.items():
        utterances[split], reasons = [], Counter[str]()
        for recording in recordings:
            outcome = _utterance(recording, headers)
            if isinstance(outcome, Utterance):
                utterances[split].append(outcome)
            else:
                reasons[outcome.partition(":")[0]] += 1
                lines.append((split, str(recording.audio), outcome))
        summaries[split] = _summarize(utterances[split], reasons)
    write_lines(folder / LEFT_OUT, lines)
    used = [
        (split, r) for split, group in splits.items() for r in group if not r.skip_reason
    ]
    report_tags(folder / TAGS, [(split, str(r.audio), r.text) for split, r in used])
    for split, recordings in splits.items():
        if not utterances[split]:
            problem = f"{split}: no usable recordings among {len(recordings)}"
            fix = f"See {folder / LEFT_OUT}." if recordings else "Is the corpus complete?"
            raise RecipeError(f"{problem}. {fix}")
    for split in splits:
        write_manifest(folder / f"{split}.jsonl", utterances[split])
    return summaries


def _utterance(recording: Recording, headers: Headers) -> Utterance | str:
    """Return the manifest entry of a recording, or "REASON: details" if it is left out."""
    if recording.skip_reason:
        return recording.skip_reason
    header = headers[recording.audio]
    if isinstance(header, str):
        return header
    channel = recording.channel
    if channel != "mix" and channel > header.channels:
        return f"no such channel: {channel} of {header.channels}"
    text = normalize(recording.text)
    if not (text or recording.silent):
        return "empty transcript" + (f": {recording.text!r}" if recording.text else "")
    offset = recording.offset
    available = header.duration - offset
    duration = available if recording.duration is None else recording.duration
    if not 0 < duration <= available + ROUNDING:
        span = f"{offset:.2f} s to {offset + duration:.2f} s of {header.duration:.2f} s"
        return f"outside of the recording: {span}"
    duration = min(duration, available)
    return Utterance(recording.audio, duration, text, offset, recording.speaker, channel)


def _read_header(path: Path) -> AudioInfo | str:
    try:
        return info(path)
    except AudioError as error:
        return "unreadable: " + str(error).removeprefix(f"{path}: ")


def _summarize(utterances: Sequence[Utterance], left_out: Mapping[str, int]) -> Summary:
    words = [word for utterance in utterances for word in utterance.text.split()]
    return Summary(
        utterances=len(utterances),
        hours=total_hours(utterances),
        speakers=len({utterance.speaker for utterance in utterances if utterance.speaker}),
        words=len(words),
        distinct_words=len(set(words)),
        left_out=dict(left_out),
    )


def _read_record(folder: Path) -> tuple[dict[str, object] | None, dict[str, Summary]]:
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        rows = record["splits"].items()
        return record["options"], {split: Summary(**row) for split, row in rows}
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        return None, {}  # never prepared, or by another version


def _print_summaries(folder: Path, summaries: Mapping[str, Summary]) -> None:
    split_column = Column("split", no_wrap=True)
    table = Table(
        split_column,
        title=printable(str(folder)),
        title_justify="left",
        box=box.SIMPLE_HEAD,
    )
    for heading in ("utterances", "hours", "speakers", "words", "distinct"):
        table.add_column(heading, justify="right")
    table.add_column("left out")
    for split, summary in summaries.items():
        left_out = [f"{count:,} {reason}" for reason, count in summary.left_out.items()]
        table.add_row(
            split,
            f"{summary.utterances:,}",
            f"{summary.hours:.2f}",
            f"{summary.speakers:,}" if summary.speakers else "-",
            f"{summary.words:,}",
            f"{summary.distinct_words:,}",
            ", ".join(left_out) or "-",
        )
    print_tables(table)
