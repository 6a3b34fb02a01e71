"""Manifests: one utterance a line as JSON, in the form that NeMo and others read."""

import json
import math
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from asr.errors import ManifestError


@dataclass(frozen=True, slots=True)
class Utterance:
    """A stretch of speech and what was said: path of the audio, start and length in seconds, transcript, speaker."""

    audio: Path
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

    Keys: `audio_filepath`, `duration` (seconds), `text`; optional `offset` (seconds) and `speaker`; others are passed
    over. Raises ManifestError that names the file and the line.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8").split("\n")  # splitlines would part texts at U+2028 and its like
    except FileNotFoundError:
        raise ManifestError(f"{path}: no such manifest; prepare the corpus first (python -m recipes.NAME)") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(f"{path}: cannot be read as a manifest ({error})") from None
    base = path.parent
    utterances = [
        _utterance(line, base, f"{path}, line {number}") for number, line in enumerate(lines, 1) if line.strip()
    ]
    if not utterances:
        raise ManifestError(f"{path}: the manifest is empty; prepare the corpus again")
    return utterances


def read_manifests(paths: str | Path | Iterable[str | Path] | None, *, limit: int | None = None) -> list[Utterance]:
    """The utterances of one manifest or of several, one after the other, the first `limit` of them.

    Raises ManifestError as `read_manifest`, and where no manifest is named.
    """
    several = [paths] if isinstance(paths, str | Path) else list(paths or ())
    if not several:
        raise ManifestError("no manifest is named; give one, as data.train=path/to/train.jsonl")
    return [utterance for path in several for utterance in read_manifest(path)][:limit]


def write_manifest(path: str | Path, utterances: Iterable[Utterance]) -> None:
    """Write a manifest, whole or not at all, with paths relative to its folder."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    with partial.open("w", encoding="utf-8") as out:
        for utterance in utterances:
            entry: dict[str, object] = {
                "audio_filepath": Path(os.path.relpath(utterance.audio, path.parent)).as_posix(),
                "duration": round(utterance.duration, 4),
                "text": utterance.text,
            }
            if utterance.offset:
                entry["offset"] = round(utterance.offset, 4)
            if utterance.speaker:
                entry["speaker"] = utterance.speaker
            out.write(json.dumps(entry, ensure_ascii=False) + "\n")
    partial.replace(path)


def _utterance(line: str, base: Path, where: str) -> Utterance:
    try:
        entry = json.loads(line)
    except json.JSONDecodeError as error:
        raise ManifestError(f"{where}: not JSON ({error.msg} at column {error.colno})") from None
    if not isinstance(entry, dict):
        raise ManifestError(f'{where}: a line must be an object such as {{"audio_filepath": ..., "text": ...}}')
    missing = [key for key in ("audio_filepath", "duration", "text") if key not in entry]
    if missing:
        raise ManifestError(f"{where}: lacks {', '.join(missing)}")
    try:
        duration, offset = float(entry["duration"]), float(entry.get("offset") or 0.0)
    except (TypeError, ValueError):
        raise ManifestError(f"{where}: duration and offset must be numbers of seconds") from None
    if not (math.isfinite(duration) and duration > 0 and math.isfinite(offset) and offset >= 0):
        raise ManifestError(f"{where}: duration must be above 0 and offset at least 0, in seconds")
    if not isinstance(entry["text"], str) or not isinstance(entry["audio_filepath"], str):
        raise ManifestError(f"{where}: audio_filepath and text must be strings")
    return Utterance(
        audio=base / entry["audio_filepath"],
        duration=duration,
        text=entry["text"],
        offset=offset,
        speaker="" if entry.get("speaker") is None else str(entry["speaker"]),
    )
