"""From a corpus on disk to manifests: durations, normalised texts, a list of what was left out, a table."""

import hashlib
import json
import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from itertools import chain, zip_longest
from pathlib import Path
from typing import TypeVar

from rich import box
from rich.console import Console
from rich.progress import track
from rich.table import Table

from asr.audio import ROUNDING, AudioInfo, info
from asr.data.manifest import Utterance, write_manifest
from asr.errors import AudioError
from asr.text import normalize
from recipes.fetch import RecipeError, console

RECORD = "prepared.json"  # beside the manifests: from which options they came and what they hold
LEFT_OUT = "left_out.txt"
THREADS = 8  # reading headers is waiting, for the disk

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Recording:
    """What a corpus says of one utterance, its audio not yet looked at; `offset` and `duration` in seconds.

    Without a duration it goes on to the end of the file. `silent`: nothing is said, and that is no mistake.
    `flaw`: why it is to be left out, in a word or two.
    """

    audio: Path
    text: str
    speaker: str = ""
    offset: float = 0.0
    duration: float | None = None
    silent: bool = False
    flaw: str = ""


Splits = Mapping[str, Sequence[Recording]]


@dataclass
class Summary:
    """What one split holds: the row of the table; `left_out` counts by reason."""

    utterances: int = 0
    hours: float = 0.0
    speakers: int = 0
    words: int = 0
    distinct_words: int = 0
    left_out: dict[str, int] = field(default_factory=dict)


def prepare(
    name: str, splits: Callable[[], Splits], *, root: Path, again: bool, **options: object
) -> Path:
    """Write `root/manifests/name/SPLIT.jsonl`, print the table, return that folder.

    `splits` is called only where the manifests are not there yet, came from other options, or are wanted
    `again`.
    The folder holds the manifests of one run only, so that its splits never share a speaker by accident.
    Raises RecipeError where nothing of a split can be used.
    """
    folder = root / "manifests" / name
    wanted: dict[str, object] = json.loads(json.dumps(options, default=str))
    known, summaries = _read_record(folder)
    if (
        known == wanted
        and not again
        and all((folder / f"{split}.jsonl").exists() for split in summaries)
    ):
        console.print(
            f"{folder}: prepared already with these options; again=true writes the manifests anew"
        )
    else:
        recordings = splits()
        folder.mkdir(parents=True, exist_ok=True)
        (folder / RECORD).unlink(
            missing_ok=True
        )  # an interrupted run is not to be taken for a whole one
        for split in summaries.keys() - recordings.keys():
            (folder / f"{split}.jsonl").unlink(missing_ok=True)
            console.print(f"{folder}: {split}.jsonl of an earlier run with other options removed")
        summaries = _write(folder, recordings)
        rows = {split: asdict(summary) for split, summary in summaries.items()}
        record = {"options": wanted, "splits": rows}
        (folder / RECORD).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    _print_table(folder, summaries)
    return folder


def by_hash(items: Iterable[T], key: Callable[[T], str] = str) -> list[T]:
    """The items in an order that looks random and is the same everywhere: by SHA-256 of `key(item)`."""
    return sorted(items, key=lambda item: hashlib.sha256(key(item).encode()).digest())


def set_aside(
    recordings: Iterable[Recording], count: int, *, group: Callable[[str], str] = lambda speaker: ""
) -> set[str]:
    """`count` speakers to validate with, drawn by hash, in turn from each `group(speaker)` that there is.

    Raises RecipeError where no speaker would be left to train on.
    """
    speakers = sorted({recording.speaker for recording in recordings})
    if not 0 <= count < len(speakers):
        raise RecipeError(
            f"validation_speakers={count}: of {len(speakers)} training speakers at least one must stay"
        )
    drawn = (
        by_hash(s for s in speakers if group(s) == g) for g in sorted({group(s) for s in speakers})
    )
    in_turn = [
        speaker for speaker in chain.from_iterable(zip_longest(*drawn)) if speaker is not None
    ]
    return set(in_turn[:count])


def part_by_speaker(
    recordings: Sequence[Recording], speakers: Collection[str]
) -> tuple[list[Recording], list[Recording]]:
    """The recordings of everybody else, and those of `speakers`."""
    others = [recording for recording in recordings if recording.speaker not in speakers]
    return others, [recording for recording in recordings if recording.speaker in speakers]


def held_out(train: Sequence[Recording], speakers: Collection[str]) -> dict[str, list[Recording]]:
    """`train` without some speakers and, where there are any, `validation` with them."""
    rest, aside = part_by_speaker(train, speakers)
    return {"train": rest, "validation": aside} if aside else {"train": rest}


def _write(folder: Path, splits: Splits) -> dict[str, Summary]:
    probes = _probe_all(
        {r.audio for recordings in splits.values() for r in recordings if not r.flaw}
    )
    used: dict[str, list[Utterance]] = {}
    summaries, lines = {}, []
    for split, recordings in splits.items():
        used[split], flaws = [], Counter[str]()
        for recording in recordings:
            outcome = _utterance(recording, probes)
            if isinstance(outcome, Utterance):
                used[split].append(outcome)
            else:
                flaws[outcome[0]] += 1
                why = ": ".join(filter(None, outcome))
                lines.append(f"{split}\t{recording.audio}\t{why}\n")
        summaries[split] = _summary(used[split], flaws)
    (folder / LEFT_OUT).unlink(missing_ok=True)
    if lines:
        (folder / LEFT_OUT).write_text("".join(lines), encoding="utf-8")
    for split, utterances in used.items():
        if not utterances:
            found = len(splits[split])
            why = (
                f"all {found} were left out, see {folder / LEFT_OUT}"
                if found
                else "none found; is the corpus whole?"
            )
            raise RecipeError(f"{split}: no utterances: {why}")
    for split, utterances in used.items():
        write_manifest(folder / f"{split}.jsonl", utterances)
    return summaries


def _utterance(
    recording: Recording, probes: Mapping[Path, AudioInfo | str]
) -> Utterance | tuple[str, str]:
    """The manifest's entry, or why there is none: in a word for the table, and in full."""
    if recording.flaw:
        return recording.flaw, ""
    found = probes[recording.audio]
    if isinstance(found, str):
        return "unreadable", found
    text = normalize(recording.text)
    if not (text or recording.silent):
        return "empty transcript", repr(recording.text) if recording.text else ""
    rest = found.duration - recording.offset
    duration = rest if recording.duration is None else recording.duration
    if not 0 < duration <= rest + ROUNDING:
        end = recording.offset + duration
        return "no such piece", f"{recording.offset:.2f} s to {end:.2f} s of {found.duration:.2f} s"
    return Utterance(
        recording.audio, min(duration, rest), text, recording.offset, recording.speaker
    )


def _probe_all(paths: Collection[Path]) -> dict[Path, AudioInfo | str]:
    def look(path: Path) -> AudioInfo | str:
        try:
            return info(path)
        except AudioError as error:
            return str(error).removeprefix(f"{path}: ")

    ordered = sorted(paths)
    with ThreadPoolExecutor(THREADS) as pool:
        looked = track(
            pool.map(look, ordered),
            "reading headers",
            total=len(ordered),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        return dict(zip(ordered, looked, strict=True))


def _summary(utterances: Sequence[Utterance], left_out: Mapping[str, int]) -> Summary:
    words = [word for utterance in utterances for word in utterance.text.split()]
    return Summary(
        utterances=len(utterances),
        hours=sum(utterance.duration for utterance in utterances) / 3600,
        speakers=len({utterance.speaker for utterance in utterances if utterance.speaker}),
        words=len(words),
        distinct_words=len(set(words)),
        left_out=dict(left_out),
    )


def _read_record(folder: Path) -> tuple[dict[str, object] | None, dict[str, Summary]]:
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        return record["options"], {split: Summary(**row) for split, row in record["splits"].items()}
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        return None, {}  # never prepared, or by another version: to be done anew


def _print_table(folder: Path, summaries: Mapping[str, Summary]) -> None:
    table = Table(title=str(folder), title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("split", no_wrap=True)
    for heading in ("utterances", "hours", "speakers", "words", "distinct"):
        table.add_column(heading, justify="right")
    table.add_column("left out")
    for split, summary in summaries.items():
        figures = (
            summary.utterances,
            summary.speakers or "-",
            summary.words,
            summary.distinct_words,
        )
        utterances, speakers, words, distinct = (
            f"{x:,}" if isinstance(x, int) else x for x in figures
        )
        why = ", ".join(f"{count:,} {reason}" for reason, count in summary.left_out.items())
        table.add_row(
            split, utterances, f"{summary.hours:.2f}", speakers, words, distinct, why or "-"
        )
    width = None if sys.stdout.isatty() else 110  # a file has none of its own
    Console(highlight=False, width=width).print(table)
