"""Manifests: one utterance per line as a JSON object, in the format of NeMo."""

import json
import os
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asr.audio import Channel
from asr.audio.remote import ByteRange, is_url, read_ranges
from asr.errors import ManifestError
from asr.files import atomic_write
from asr.validation import check_integer, check_number

REQUIRED_KEYS = ("audio_filepath", "duration", "text")
SHARD_KEYS = ("first_byte", "bytes")
WINDOWS_PATH = re.compile(r"[A-Za-z]:[\\/]|\\\\")  # a drive letter or a network share


@dataclass(frozen=True, slots=True)
class Utterance:
    """A stretch of speech and its transcript.

    Attributes:
        audio: Recording that contains the speech, or the bytes of a shard that hold it.
        duration: Length in seconds.
        text: Transcript.
        offset: Start within the recording in seconds.
        speaker: Name of the speaker, empty if unknown.
        channel: Number of the recording's channel from 1, or "mix" for the mean of all.
    """

    audio: Path | ByteRange
    duration: float
    text: str
    offset: float = 0.0
    speaker: str = ""
    channel: Channel = "mix"

    @property
    def name(self) -> str:
        """Name in messages and reports: the recording, its channel, and the segment."""
        channel = "" if self.channel == "mix" else f":{self.channel}"
        segment = f"@{self.offset:g}+{self.duration:g}" if self.offset else ""
        return f"{self.audio}{channel}{segment}"


def read_manifest(path: str | Path) -> list[Utterance]:
    """Return the utterances of a manifest, a file or a URL.

    Each line has the keys `audio_filepath` (relative to the manifest's folder), `duration`
    (seconds), and `text`, and optionally `offset` (seconds), `speaker`, and `channel` (from 1). A
    clip inside a shard also has `member`, `first_byte`, and `bytes`. Other keys are ignored.

    Raises:
        ManifestError: If the manifest cannot be read, is empty, or has an invalid line.
    """
    lines = _read(path).split("\n")  # splitlines would also split texts at U+2028
    folder = str(path).rpartition("/")[0] if is_url(path) else Path(path).parent
    utterances = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                utterances.append(_utterance(parse_json(line), folder))
            except (ValueError, OverflowError) as error:
                raise ManifestError(f"{path}, line {number}: {error}") from None
    if not utterances:
        raise ManifestError(f"{path}: the manifest is empty; prepare the corpus again")
    return utterances


def read_manifests(
    paths: str | Path | Iterable[str | Path] | None, *, limit: int | None = None
) -> list[Utterance]:
    """Return the utterances of one or more manifests in order, at most `limit` of them.

    Raises:
        ManifestError: If there is no manifest, or one of them is invalid.
    """
    manifests = [paths] if isinstance(paths, str | Path) else list(paths or ())
    if not manifests:
        raise ManifestError("no manifest given; pass the path of at least one manifest")
    return [utterance for path in manifests for utterance in read_manifest(path)][:limit]


def write_manifest(path: str | Path, utterances: Iterable[Utterance]) -> None:
    """Write a manifest with paths relative to its folder, replacing the old one on success."""
    path = Path(path)
    with (
        atomic_write(path) as partial,
        # names that are not UTF-8 contain surrogates, which JSON can escape
        partial.open("w", encoding="utf-8", errors="backslashreplace") as file,
    ):
        for utterance in utterances:
            entry = _entry(utterance, path.parent)
            file.write(json.dumps(entry, ensure_ascii=False) + "\n")


def _entry(utterance: Utterance, folder: Path) -> dict[str, object]:
    audio = utterance.audio
    path = audio.path if isinstance(audio, ByteRange) else audio
    entry: dict[str, object] = {
        "audio_filepath": path if is_url(path) else _relative_path(Path(path), folder),
        "duration": round(utterance.duration, 4),
        "text": utterance.text,
    }
    if isinstance(audio, ByteRange) and audio.size is not None:
        entry |= {"member": audio.member, "first_byte": audio.offset, "bytes": audio.size}
    if utterance.offset:
        entry["offset"] = round(utterance.offset, 4)
    if utterance.speaker:
        entry["speaker"] = utterance.speaker
    if utterance.channel != "mix":
        entry["channel"] = utterance.channel
    return entry


def _relative_path(path: Path, folder: Path) -> str:
    try:
        relative = os.path.relpath(path, folder)
    except ValueError:  # on another drive of Windows
        return path.absolute().as_posix()
    if os.path.realpath(folder / relative) != os.path.realpath(path):
        # a symbolic link precedes "..", which is the parent of the link's target
        target = path.parent.resolve() / path.name
        relative = os.path.relpath(target, folder.resolve())
    return Path(relative).as_posix()


def local_path(folder: Path, name: str) -> Path:
    """Return the path of a file that a table or a manifest names relative to a folder.

    A relative path of Windows is converted on other systems if that file exists.

    Raises:
        ValueError: If the name is an absolute path of Windows and this is another system.
    """
    path = folder / name
    if os.name == "nt" or not {"\\", ":"} & {*name}:
        return path
    if WINDOWS_PATH.match(name):
        fix = "Use a path relative to the folder of this file"
        raise ValueError(
            f"{name!r} is a path of Windows, which this system does not have. {fix}"
        )
    converted = folder / name.replace("\\", "/")
    return converted if is_file(converted) and not is_file(path) else path


def is_file(path: Path) -> bool:
    """Return whether a path is an existing file. Impossible names are not."""
    try:
        return path.is_file()
    except (OSError, ValueError):  # too long, or with a null character
        return False


def parse_json(line: str | bytes) -> Any:
    """Return the value of one line of JSON.

    Raises:
        ValueError: If the line is not valid JSON. The message gives the column.
    """
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:  # RecursionError: deeply nested brackets
        reason = str(error).replace("line 1 column", "column")
        raise ValueError(f"not JSON that can be read ({reason})") from None


def _read(path: str | Path) -> str:
    problem = "no such manifest; prepare the corpus first (python -m recipes.NAME)"
    try:
        if not is_url(path):
            return Path(path).read_text(encoding="utf-8-sig")  # drops a byte order mark
        (body,) = read_ranges([ByteRange(str(path))])
        if isinstance(body, bytes):
            return body.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        if not isinstance(error, FileNotFoundError):
            problem = f"cannot be read as a manifest ({error})"
    raise ManifestError(f"{path}: {problem}")


def _utterance(entry: Any, folder: str | Path) -> Utterance:
    """Return the utterance of an entry.

    Raises:
        ValueError: If a key is missing or has an invalid value.
    """
    if not isinstance(entry, dict):
        raise ValueError('a line must be an object such as {"audio_filepath": ...}')
    required = REQUIRED_KEYS + (SHARD_KEYS if "member" in entry else ())
    if missing := [key for key in required if key not in entry]:
        raise ValueError(f"lacks {', '.join(missing)}")
    for key in ("audio_filepath", "text"):
        if not isinstance(entry[key], str):
            raise ValueError(f"{key} must be a string, got {entry[key]!r}")
    speaker, channel = entry.get("speaker"), entry.get("channel")
    return Utterance(
        audio=_audio(entry, folder),
        duration=_seconds("duration", entry["duration"], gt=0),
        text=entry["text"],
        offset=_seconds("offset", entry.get("offset") or 0, ge=0),
        speaker="" if speaker is None else str(speaker),
        channel="mix" if channel is None else check_integer("channel", channel, ge=1),
    )


def _seconds(key: str, value: Any, **bound: float) -> float:
    """Return a number, which may be in a string."""
    with suppress(ValueError):
        value = float(str(value))  # not of True, None, or a list
    return float(check_number(key, value, **bound))


def _audio(entry: Mapping[str, Any], folder: str | Path) -> Path | ByteRange:
    path = entry["audio_filepath"]
    if not is_url(path):
        path = f"{folder}/{path}" if isinstance(folder, str) else local_path(folder, path)
    if "member" in entry:
        first = check_integer("first_byte", entry["first_byte"], ge=0)
        size = check_integer("bytes", entry["bytes"], ge=1)
        return ByteRange(str(path), str(entry["member"]), first, size)
    return ByteRange(path) if is_url(path) else path
