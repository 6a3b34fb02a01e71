"""Shards: tar files with many clips each, in the format of WebDataset.

`KEY.flac` is followed by `KEY.json` with text, duration, and speaker. The manifest beside the
shards gives the first byte of each clip. A clip can therefore be read alone, from a disk or with a
range request, and training uses the same order, batches, and resume points as with plain files.
"""

import io
import json
import re
import tarfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import count, repeat, takewhile
from pathlib import Path
from typing import Any, Literal

import numpy as np
import soundfile

from asr import audio
from asr.audio import EXTENSIONS, ROUNDING, SAMPLE_RATE, VIDEO_EXTENSIONS
from asr.audio.remote import ByteRange
from asr.data.manifest import Utterance, parse_json
from asr.errors import AudioError, StorageError
from asr.files import atomic_write

THREADS = 4  # reading and decoding release Python's lock
UNSAFE = re.compile(r"[^\w-]+")  # characters that a key does not contain

Failure = tuple[str, str]  # name of an utterance or a clip, reason
Form = Literal["flac", "wav"]


def write_shards(
    utterances: Sequence[Utterance],
    folder: Path,
    name: str,
    *,
    hours: float = 1.0,
    form: Form = "flac",
) -> tuple[list[Utterance], list[Failure]]:
    """Write `folder/NAME-00000.tar` and so on with `hours` of audio each.

    Each shard replaces an older file only when it is complete. Further shards of the same name
    from an earlier, longer call are deleted. The key of a clip is its index in `utterances` with
    eight digits and the name of its recording.

    Args:
        form: "flac" copies the file of an utterance that fills its recording and encodes other
            utterances as 16-bit FLAC at 16 kHz. "wav" decodes all of them to 16 bits at 16 kHz.

    Returns:
        The utterances with their audio in the shards, and the recordings that cannot be read.
    """
    stored: list[Utterance] = []
    failures: list[Failure] = []
    paths = (folder / f"{name}-{number:05d}.tar" for number in count())
    with ThreadPoolExecutor(THREADS) as pool:
        for shard in _split(utterances, hours * 3600):
            path = next(paths)
            with atomic_write(path) as partial, tarfile.open(partial, "w") as tar:
                clips = pool.map(_encode, shard, repeat(form))
                for utterance, clip in zip(shard, clips, strict=True):
                    if isinstance(clip, AudioError):
                        failures.append((utterance.name, str(clip)))
                        continue
                    index = len(stored) + len(failures)
                    key = f"{index:08d}-{UNSAFE.sub('_', utterance.audio.stem)[:60]}"
                    source = ByteRange(str(path), *_add_clip(tar, key, utterance, *clip))
                    clip_alone = replace(utterance, offset=0.0, channel="mix")
                    stored.append(replace(clip_alone, audio=source))
    for path in takewhile(Path.exists, paths):  # from an earlier call
        path.unlink()
    return stored, failures


def index_shard(path: str | Path) -> tuple[list[Utterance], list[Failure]]:
    """Read a shard in WebDataset's format, a file or a URL, and return its utterances.

    The text of a clip is in a .json file with the same key (`text`, optionally `speaker`) or in a
    .txt file. If the shard is damaged, the clips after the damage count as one failure.

    Raises:
        StorageError: If the shard cannot be opened.
    """
    utterances, failures = [], []
    clips: dict[str, tuple[ByteRange, float]] = {}  # source and duration by key
    metadata: dict[str, Any] = {}
    try:
        for member, offset, body in _members(path):
            suffix = member.rpartition("/")[2].partition(".")[2]
            key = member.removesuffix(f".{suffix}")
            source = ByteRange(str(path), member, offset, len(body))
            try:
                if f".{suffix.lower()}" in EXTENSIONS:
                    clips[key] = source, audio.info(body).duration
                elif suffix == "json":
                    metadata[key] = parse_json(body)
                elif suffix == "txt":
                    metadata.setdefault(key, {"text": body.decode("utf-8-sig")})
            except (AudioError, ValueError) as error:
                reason = str(error).removeprefix("recording: ")
                failures.append((str(source), reason))
    except (tarfile.ReadError, EOFError) as error:
        reason = f"damaged or cut off ({error}); the rest of it is lost"
        failures.append((str(path), reason))
    for key, (source, duration) in clips.items():
        entry = metadata.get(key)
        if isinstance(entry, dict) and isinstance(entry.get("text"), str):
            speaker = str(entry.get("speaker") or "")
            utterances.append(Utterance(source, duration, entry["text"], speaker=speaker))
        else:
            failures.append((str(source), "no text beside it"))
    return utterances, failures


def _split(utterances: Sequence[Utterance], seconds: float) -> Iterator[list[Utterance]]:
    """Yield lists with at most that many seconds of audio, or one longer utterance."""
    shard: list[Utterance] = []
    total = 0.0
    for utterance in utterances:
        if shard and total + utterance.duration > seconds:
            yield shard
            shard, total = [], 0.0
        shard.append(utterance)
        total += utterance.duration
    if shard:
        yield shard


def _encode(utterance: Utterance, form: Form) -> tuple[bytes, str] | AudioError:
    """Return the bytes of a clip and the suffix of its name."""
    source = utterance.audio
    is_whole = not utterance.offset and utterance.channel == "mix"
    try:
        if form == "flac" and isinstance(source, Path) and is_whole:
            suffix = source.suffix.lower()
            longest = utterance.duration + ROUNDING
            is_audio = suffix in EXTENSIONS - VIDEO_EXTENSIONS
            if is_audio and audio.info(source).duration <= longest:
                return source.read_bytes(), suffix
        waveform = audio.load(
            source,
            offset=utterance.offset,
            duration=utterance.duration,
            channel=utterance.channel,
        )
    except AudioError as error:
        return error
    samples = np.round(waveform * 32768.0).clip(-32768, 32767)  # libsndfile's full scale
    body = io.BytesIO()
    soundfile.write(
        body, samples.astype(np.int16), SAMPLE_RATE, format=form.upper(), subtype="PCM_16"
    )
    return body.getvalue(), f".{form}"


def _add_clip(
    tar: tarfile.TarFile, key: str, utterance: Utterance, body: bytes, suffix: str
) -> tuple[str, int, int]:
    """Add a clip and its metadata, and return the clip's name, first byte, and size."""
    offset = _add(tar, key + suffix, body)
    metadata = {name: getattr(utterance, name) for name in ("text", "duration", "speaker")}
    _add(tar, f"{key}.json", json.dumps(metadata, ensure_ascii=False).encode())
    return key + suffix, offset, len(body)


def _add(tar: tarfile.TarFile, name: str, body: bytes) -> int:
    """Add a file to a tar and return the position of its first byte."""
    info = tarfile.TarInfo(name)
    info.size = len(body)
    tar.addfile(info, io.BytesIO(body))
    padding = -len(body) % tarfile.BLOCKSIZE
    return tar.offset - padding - len(body)


def _members(path: str | Path) -> Iterator[tuple[str, int, bytes]]:
    """Yield name, first byte, and content of every file in a tar, in one pass."""
    import fsspec

    try:
        with (
            fsspec.open(str(path), "rb") as file,
            tarfile.open(fileobj=file, mode="r|") as tar,
        ):
            for member in tar:
                if member.isfile():
                    body = tar.extractfile(member).read()  # type: ignore[union-attr]
                    yield member.name, member.offset_data, body
    except (tarfile.ReadError, EOFError):
        raise
    except Exception as error:  # each protocol of fsspec has its own errors
        reason = str(error) or type(error).__name__
        raise StorageError(f"{path}: cannot be read as a shard ({reason})") from None
