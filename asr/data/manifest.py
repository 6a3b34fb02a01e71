"""Manifests: one utterance a line as JSON, in the form that NeMo and others read."""

import json
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asr.audio.remote import ByteRange, is_url, read_ranges
from asr.errors import ManifestError
from asr.files import atomic_write
from asr.validation import check_integer


@dataclass(frozen=True, slots=True)
class Utterance:
    """A stretch of speech and what was said: where the audio is, start and length in seconds, transcript, speaker."""

    audio: Path | ByteRange
    duration: float
    text: str
    offset: float = 0.0
    speaker: str = ""

    @property
    def name(self) -> str:
        """How messages and reports call it: the file, with the piece of it where it is not the whole."""
        return f"{self.audio}@{self.offset:g}+{self.duration:g}" if self.offset else str(self.audio)


def read_manifest(path: str | Path) -> list[Utterance]:
    """The utterances of a JSON-lines manifest; `audio_filepath` is taken relative to the manifest's folder.

    Keys: `audio_filepath`, `duration` (seconds), `text`; optional `offset` (seconds), `speaker` and, where the audio
    lies in a shard, `member`, `first_byte` and `bytes`; others are passed over. Manifest and shards may lie behind an
    address. Raises ManifestError that names the file and the line.
    """
    lines = _read(path).split("\n")  # splitlines would part texts at U+2028 and its like
    base = str(path).rpartition("/")[0] if is_url(path) else Path(path).parent
    utterances = [
        _utterance(line, base, f"{path}, line {number}")
        for number, line in enumerate(lines, 1)
        if line.strip()
    ]
    if not utterances:
        raise ManifestError(f"{path}: the manifest is empty; prepare the corpus again")
    return utterances


def read_manifests(
    paths: str | Path | Iterable[str | Path] | None, *, limit: int | None = None
) -> list[Utterance]:
    """The utterances of one manifest or of several, one after the other, the first `limit` of them.

    Raises ManifestError as `read_manifest` and where no manifest is named, ConfigError for a limit below 1.
    """
    if limit is not None:
        check_integer("limit", limit, ge=1)
    several = [paths] if isinstance(paths, str | Path) else list(paths or ())
    if not several:
        raise ManifestError("no manifest is named; give one, as data.train=path/to/train.jsonl")
    return [utterance for path in several for utterance in read_manifest(path)][:limit]


def write_manifest(path: str | Path, utterances: Iterable[Utterance]) -> None:
    """Write a manifest, whole or not at all, with paths relative to its folder."""
    path = Path(path)
    with atomic_write(path) as partial, partial.open("w", encoding="utf-8") as out:
        for utterance in utterances:
            audio = utterance.audio
            place = audio.place if isinstance(audio, ByteRange) else audio
            entry: dict[str, object] = {
                "audio_filepath": place
                if is_url(place)
                else Path(os.path.relpath(place, path.parent)).as_posix(),
                "duration": round(utterance.duration, 4),
                "text": utterance.text,
            }
            if isinstance(audio, ByteRange) and audio.size is not None:
                entry |= {"member": audio.member, "first_byte": audio.first, "bytes": audio.size}
            if utterance.offset:
                entry["offset"] = round(utterance.offset, 4)
            if utterance.speaker:
                entry["speaker"] = utterance.speaker
            out.write(json.dumps(entry, ensure_ascii=False) + "\n")


def parse_json(line: str) -> Any:
    """What a line of JSON says. Raises ValueError, whose text tells where, for one that is none."""
    try:
        return json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON ({error.msg} at column {error.colno})") from None
    except (
        ValueError,
        RecursionError,
    ) as error:  # a number of thousands of digits, brackets without end
        raise ValueError(f"not JSON that can be read ({error})") from None


def _read(path: str | Path) -> str:
    try:
        if is_url(path):
            (body,) = read_ranges([ByteRange(str(path))])
            if not isinstance(body, bytes):
                raise FileNotFoundError
            return body.decode("utf-8-sig")
        return Path(path).read_text(encoding="utf-8-sig")  # some editors put a mark in front
    except FileNotFoundError:
        raise ManifestError(
            f"{path}: no such manifest; prepare the corpus first (python -m recipes.NAME)"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(f"{path}: cannot be read as a manifest ({error})") from None


def _utterance(line: str, base: str | Path, where: str) -> Utterance:
    try:
        entry = parse_json(line)
    except ValueError as error:
        raise ManifestError(f"{where}: {error}") from None
    if not isinstance(entry, dict):
        raise ManifestError(
            f'{where}: a line must be an object such as {{"audio_filepath": ..., "text": ...}}'
        )
    missing = [key for key in ("audio_filepath", "duration", "text") if key not in entry]
    if missing:
        raise ManifestError(f"{where}: lacks {', '.join(missing)}")
    try:
        duration, offset = _seconds(entry["duration"]), _seconds(entry.get("offset") or 0.0)
    except (TypeError, ValueError, OverflowError):
        raise ManifestError(f"{where}: duration and offset must be numbers of seconds") from None
    if not (math.isfinite(duration) and duration > 0 and math.isfinite(offset) and offset >= 0):
        raise ManifestError(f"{where}: duration must be above 0 and offset at least 0, in seconds")
    if not isinstance(entry["text"], str) or not isinstance(entry["audio_filepath"], str):
        raise ManifestError(f"{where}: audio_filepath and text must be strings")
    return Utterance(
        audio=_audio(entry, base, where),
        duration=duration,
        text=entry["text"],
        offset=offset,
        speaker="" if entry.get("speaker") is None else str(entry["speaker"]),
    )


def _seconds(value: Any) -> float:
    if isinstance(value, bool):
        raise TypeError
    return float(value)


def _audio(entry: Mapping[str, Any], base: str | Path, where: str) -> Path | ByteRange:
    place = entry["audio_filepath"]
    if not is_url(place):
        place = f"{base}/{place}" if is_url(base) else base / place
    if "member" not in entry:
        return ByteRange(place) if is_url(place) else place
    first, size = entry.get("first_byte"), entry.get("bytes")
    if not (isinstance(first, int) and isinstance(size, int) and first >= 0 and size > 0):
        raise ManifestError(
            f"{where}: a member of a shard needs first_byte and bytes, whole numbers"
        )
    return ByteRange(str(place), str(entry["member"]), first, size)
