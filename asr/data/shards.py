"""Shards: tar files of many clips each, in WebDataset's form, written from utterances and read into utterances.

Behind `KEY.flac` stands `KEY.json` with text, duration and speaker. The manifest beside them says at which byte each
clip lies, so that any one can be read alone, from a disk or by a range request: the order of training, its batches and
its resuming are those of plain files.
"""

import io
import json
import re
import tarfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import count, repeat
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np
import soundfile

from asr import audio
from asr.audio import EXTENSIONS, ROUNDING, SAMPLE_RATE
from asr.audio.remote import ByteRange
from asr.data.manifest import Utterance
from asr.errors import AudioError, StorageError
from asr.files import atomic_write

THREADS = 4  # that read and decode; both release Python's lock
KEY = re.compile(r"[^\w-]+")  # what is not left in the key of a clip

Failure = tuple[str, str]  # name of an utterance, reason
Form = Literal["flac", "wav"]


def write_shards(
    utterances: Sequence[Utterance],
    folder: Path,
    name: str,
    *,
    hours: float = 1.0,
    form: Form = "flac",
) -> tuple[list[Utterance], list[Failure]]:
    """Write `folder/NAME-00000.tar` and so on, `hours` of audio each; the utterances there, and what cannot be read.

    With `form` "flac" a recording that an utterance has to itself goes in byte for byte, a piece of one as FLAC of 16
    bits at 16 kHz; with "wav" all are decoded, to 16 bits at 16 kHz. Every shard is written whole or not at all; those
    of the same name that an earlier and longer call left are deleted. Clips are called by their place in `utterances`,
    eight digits, and the name of the recording.
    """
    stored: list[Utterance] = []
    failures: list[Failure] = []
    shards = list(_parted(utterances, hours * 3600))
    with ThreadPoolExecutor(THREADS) as pool:
        for number, shard in enumerate(shards):
            path = folder / f"{name}-{number:05d}.tar"
            with atomic_write(path) as partial, tarfile.open(partial, "w") as tar:
                clips = pool.map(_clip, (utterance for _, utterance in shard), repeat(form))
                for (at, utterance), clip in zip(shard, clips, strict=True):
                    if isinstance(clip, AudioError):
                        failures.append((utterance.name, str(clip)))
                        continue
                    body, ending = clip
                    key = f"{at:08d}-{KEY.sub('_', utterance.audio.stem)[:60]}"
                    first = _add(tar, key + ending, body)
                    said = {
                        "text": utterance.text,
                        "duration": utterance.duration,
                        "speaker": utterance.speaker,
                    }
                    _add(tar, f"{key}.json", json.dumps(said, ensure_ascii=False).encode())
                    there = ByteRange(str(path), key + ending, first, len(body))
                    stored.append(replace(utterance, audio=there, offset=0.0))
    for number in count(len(shards)):
        if not (left := folder / f"{name}-{number:05d}.tar").exists():
            break
        left.unlink()
    return stored, failures


def index_shard(place: str | Path) -> tuple[list[Utterance], list[Failure]]:
    """The utterances of a shard that WebDataset or its like has written, on a disk or behind an address, read once.

    A clip has its text in a .json of the same key (`text`, perhaps `speaker`) or in a .txt. What comes behind damage is
    named as one failure. Raises StorageError for a shard that cannot be opened.
    """
    utterances: list[Utterance] = []
    failures: list[Failure] = []
    sound: dict[str, ByteRange] = {}
    lengths: dict[str, float] = {}
    texts: dict[str, dict[str, Any]] = {}
    try:
        for member, first, body in _members(place):
            path = PurePosixPath(member)
            key, _, ending = path.name.partition(".")
            key = str(path.with_name(key))
            there = ByteRange(str(place), member, first, len(body))
            try:
                if f".{ending.lower()}" in EXTENSIONS:
                    lengths[key] = audio.info(body).duration
                    sound[key] = there
                elif ending == "json":
                    texts[key] = json.loads(body)
                elif ending == "txt":
                    texts.setdefault(key, {"text": body.decode("utf-8-sig")})
            except AudioError as error:
                failures.append((str(there), str(error).partition(": ")[2]))
            except ValueError as error:
                failures.append((str(there), f"cannot be understood ({error})"))
    except (tarfile.ReadError, EOFError) as error:
        failures.append((str(place), f"damaged or cut off ({error}); what comes behind is lost"))
    for key, there in sound.items():
        said = texts.get(key)
        if not isinstance(said, dict) or not isinstance(said.get("text"), str):
            failures.append((str(there), "no text beside it"))
            continue
        utterances.append(
            Utterance(there, lengths[key], said["text"], speaker=str(said.get("speaker") or ""))
        )
    return utterances, failures


def _parted(
    utterances: Sequence[Utterance], seconds: float
) -> Iterator[list[tuple[int, Utterance]]]:
    shard: list[tuple[int, Utterance]] = []
    held = 0.0
    for item in enumerate(utterances):
        if shard and held + item[1].duration > seconds:
            yield shard
            shard, held = [], 0.0
        shard.append(item)
        held += item[1].duration
    if shard:
        yield shard


def _clip(utterance: Utterance, form: Form) -> tuple[bytes, str] | AudioError:
    """The bytes of a clip and the ending of its name."""
    source = utterance.audio
    try:
        if form == "flac" and isinstance(source, Path) and not utterance.offset:
            ending = source.suffix.lower()
            if (
                ending in EXTENSIONS
                and audio.info(source).duration <= utterance.duration + ROUNDING
            ):
                return source.read_bytes(), ending
        waveform = audio.load(source, offset=utterance.offset, duration=utterance.duration)
    except AudioError as error:
        return error
    samples = (
        np.round(waveform * 32768.0).clip(-32768, 32767).astype(np.int16)
    )  # full scale as libsndfile reads it
    body = io.BytesIO()
    soundfile.write(body, samples, SAMPLE_RATE, format=form.upper(), subtype="PCM_16")
    return body.getvalue(), f".{form}"


def _add(tar: tarfile.TarFile, name: str, body: bytes) -> int:
    """Put a member into a tar; the byte at which it begins."""
    info = tarfile.TarInfo(name)
    info.size = len(body)
    tar.addfile(info, io.BytesIO(body))
    return tar.offset - -(-len(body) // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE


def _members(place: str | Path) -> Iterator[tuple[str, int, bytes]]:
    """Name, first byte and bytes of every file in a tar, read from front to back."""
    import fsspec

    try:
        with fsspec.open(str(place), "rb") as file, tarfile.open(fileobj=file, mode="r|") as tar:
            for member in tar:
                held = tar.extractfile(member) if member.isfile() else None
                if held is not None:
                    yield member.name, member.offset_data, held.read()
    except (tarfile.ReadError, EOFError):
        raise
    except Exception as error:  # every protocol has its own
        raise StorageError(
            f"{place}: cannot be read as a shard ({error or type(error).__name__})"
        ) from None
