"""Manifests of lhotse: a CutSet, or a SupervisionSet beside its RecordingSet."""

import gzip
import sys
import zlib
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from asr.audio import ROUNDING, Channel
from asr.config.app import run_recipe
from asr.data.manifest import parse_json
from asr.validation import check_integer
from recipes.errors import RecipeError, convert_errors
from recipes.prepare import Recording, prepare
from recipes.splits import check_shares, fill_splits

Entry = Mapping[str, Any]


def lhotse(
    *,
    cuts: Path | None = None,
    train: Path | None = None,
    validation: Path | None = None,
    test: Path | None = None,
    root: Path = Path("data"),
    name: str = "lhotse",
    channel: int | None = None,
    validation_share: float = 0.05,
    test_share: float = 0.05,
) -> Path:
    """Write manifests for manifests of lhotse to ROOT/manifests/NAME.

    Each supervision of a cut becomes an utterance. Files are in JSON lines (.jsonl or .jsonl.gz):
    a CutSet, or a SupervisionSet if the same name with "recordings" in place of "supervisions" is
    its RecordingSet. Paths of recordings are relative to the current folder, as in lhotse, or to
    the manifest. The package lhotse is not needed. Each run writes the manifests again.

    left_out.txt lists cuts that change their recording (mixed, padded, at another speed or
    volume), cuts without a recording file, and supervisions that extend beyond their cut.

    Args:
        cuts: Manifest of a corpus without splits, which are chosen by speaker if there are enough.
        train: Manifest of the training set. validation and test belong to their splits.
        root: Folder of all corpora.
        name: Name of the corpus.
        channel: Channel, from 1, of supervisions that cover several. They are left out without it.
        validation_share: Share of the training set for validation if there is no manifest for it.
        test_share: Share of `cuts` for test.

    Raises:
        RecipeError: If no manifest is given, or one of them cannot be read.
    """
    check_shares(validation_share, test_share)
    with convert_errors(ValueError):
        check_integer("channel", 1 if channel is None else channel, ge=1)
    named = {"train": train or cuts, "validation": validation, "test": test}
    files = {split: path for split, path in named.items() if path is not None}
    if not files or (cuts and len(files) + (train is not None) > 1):
        raise RecipeError("Pass cuts=FILE, or train=, validation=, and test=FILE.")
    splits = {split: list(_recordings(path, channel)) for split, path in files.items()}
    share = test_share if cuts else 0.0
    splits = fill_splits(splits, validation_share=validation_share, test_share=share)
    return prepare(name, lambda: splits, root=root, again=True)


def _recordings(path: Path, channel: int | None) -> Iterator[Recording]:
    """Yield the supervisions of a manifest, and its cuts without one."""
    entries = _read_entries(path)
    first = next(entries, None)
    entries = chain([first] if first else [], entries)
    if first and "recording_id" in first:
        entries = _join_supervisions(path, entries)
    for number, cut in enumerate(entries, 1):
        fix = "Pass a CutSet or a SupervisionSet that lhotse wrote."
        problem = f"{path}, entry {number}: missing or invalid value"
        with convert_errors(KeyError, TypeError, ValueError, problem=problem, fix=fix):
            yield from _cut_recordings(path, cut, channel)


def _read_entries(path: Path) -> Iterator[Entry]:
    """Yield the objects of a file in JSON lines.

    Raises:
        RecipeError: If the file cannot be read.
    """
    if not path.name.endswith((".jsonl", ".jsonl.gz")):
        fix = "Convert it with lhotse copy"
        raise RecipeError(f"{path} must end with .jsonl or .jsonl.gz. {fix}.")
    problem = f"{path} cannot be read"
    with convert_errors(OSError, EOFError, UnicodeDecodeError, zlib.error, problem=problem):
        mode: dict[str, Any] = {"mode": "rt", "encoding": "utf-8", "newline": "\n"}
        with gzip.open(path, **mode) if path.suffix == ".gz" else path.open(**mode) as file:
            for number, line in enumerate(file, 1):
                with convert_errors(ValueError, problem=f"{path}, line {number}"):
                    entry = parse_json(line) if line.strip() else {}
                    if not isinstance(entry, dict):
                        raise ValueError("not an object")
                if entry:
                    yield entry


def _join_supervisions(path: Path, supervisions: Iterable[Entry]) -> Iterator[Entry]:
    """Yield a cut for each supervision of a SupervisionSet.

    Raises:
        RecipeError: If there is no RecordingSet, or a recording is missing in it.
    """
    other = path.with_name(path.name.replace("supervisions", "recordings"))
    if other == path or not other.is_file():
        fix = "Name them X_supervisions_Y and X_recordings_Y, or pass a CutSet"
        raise RecipeError(f"{path}: no RecordingSet beside this SupervisionSet. {fix}.")
    with convert_errors(KeyError, TypeError, problem=f"{path}: missing or invalid value"):
        recordings = {recording["id"]: recording for recording in _read_entries(other)}
        for supervision in supervisions:
            recording = recordings.get(supervision["recording_id"])
            if recording is None:
                raise RecipeError(f"{other}: no recording {supervision['recording_id']}.")
            yield {
                "id": supervision["id"],
                "type": "MultiCut",
                "start": 0.0,
                "duration": recording["duration"],
                "recording": recording,
                "supervisions": [supervision],
            }


def _cut_recordings(path: Path, cut: Entry, channel: int | None) -> Iterator[Recording]:
    """Yield the utterances of a cut, or the cut with the reason to leave it out."""
    reason = _skip_reason(cut)
    if reason:
        yield Recording(path, "", skip_reason=f"{reason}: {cut['id']}")
        return
    for supervision in cut["supervisions"]:
        start, duration = float(supervision["start"]), float(supervision["duration"])
        is_inside = start >= -ROUNDING and start + duration <= cut["duration"] + ROUNDING
        channels = (
            cut["channel"] if cut["type"] == "MonoCut" else supervision.get("channel", 0)
        )
        file, number = _find_channel(cut["recording"], channels, channel)
        text, reason = supervision.get("text") or "", ""
        if not is_inside:
            reason = f"extends beyond its cut: {supervision['id']}"
        elif number is None:
            fix = "none is the chosen one" if channel else "pass channel="
            reason = f"several channels, {fix}: {supervision['id']}"
        elif not text:
            reason = f"no transcript: {supervision['id']}"
        yield Recording(
            _locate(path, file),
            text,
            str(supervision.get("speaker") or ""),
            max(0.0, cut["start"] + start),
            duration,
            skip_reason=reason,
            channel=number or "mix",
        )


def _skip_reason(cut: Entry) -> str:
    """Return the reason why no stretch of a recording file is the audio of a cut, or ""."""
    kind = cut["type"]
    if kind not in ("MonoCut", "MultiCut"):
        return f"{kind} instead of a stretch of one recording"
    recording = cut.get("recording")
    if not recording:
        return "no recording, only features"
    kinds = {source["type"] for source in recording["sources"]} - {"file"}
    if kinds:
        return f"source {', '.join(sorted(kinds))} instead of a file"
    # every recording is resampled anyway
    changes = {change["name"] for change in recording.get("transforms") or ()} - {
        "Resample"
    }
    if changes:
        return f"recording changed by {', '.join(sorted(changes))}"
    return "" if cut.get("supervisions") else "no supervision"


def _find_channel(
    recording: Entry, channels: int | list[int], chosen: int | None
) -> tuple[str, Channel | None]:
    """Return the file and the channel in it of some channels of a recording, which count from 0.

    The channel is "mix" if the file has no other, and None if `chosen` must choose one.
    """
    numbers = [channels] if isinstance(channels, int) else channels
    if len(numbers) > 1 and chosen is not None:
        numbers = [number for number in numbers if number == chosen - 1]
    for source in recording["sources"]:
        if len(numbers) == 1 and numbers[0] in source["channels"]:
            position = source["channels"].index(numbers[0]) + 1
            return source["source"], position if len(source["channels"]) > 1 else "mix"
    return recording["sources"][0]["source"], None


def _locate(manifest: Path, name: str) -> Path:
    path = Path(name)
    return path if path.is_file() or path.is_absolute() else manifest.parent / path


if __name__ == "__main__":
    sys.exit(run_recipe(lhotse))
