"""Decode a corpus once, for devices that train faster than recordings decode."""

import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from asr.audio import SAMPLE_RATE
from asr.audio.remote import ByteRange
from asr.data.manifest import Utterance, read_manifest, write_manifest
from asr.data.shards import write_shards
from asr.errors import ConfigError

BYTES_PER_SAMPLE = 2


def cache_audio(utterances: Sequence[Utterance], folder: Path) -> list[Utterance]:
    """Return the utterances with their audio in shards of 16-bit samples at 16 kHz in `folder`.

    The first call writes the shards. Other utterances, or a recording with another size or date,
    get new shards. An utterance that cannot be read keeps its own recording.

    Raises:
        ConfigError: If the disk has too little free space.
    """
    key = _cache_key(utterances)
    manifest = folder / f"{key}.jsonl"
    if not manifest.exists():
        folder.mkdir(parents=True, exist_ok=True)
        seconds = sum(utterance.duration for utterance in utterances)
        needed = seconds * SAMPLE_RATE * BYTES_PER_SAMPLE / 1e9
        free = shutil.disk_usage(folder).free / 1e9
        if needed > free:
            raise ConfigError(
                f"{folder}: the decoded audio needs {needed:.1f} GB, only {free:.1f} GB are free; "
                "free some space or turn the cache off"
            )
        count = len(utterances)
        print(
            f"decoding {count:,} utterances once ({needed:.1f} GB) into {folder}",
            flush=True,
        )
        write_manifest(manifest, write_shards(utterances, folder, key, form="wav")[0])
    cached = {
        int(utterance.audio.name[:8]): utterance.audio  # names begin with the position
        for utterance in read_manifest(manifest)
        if isinstance(utterance.audio, ByteRange)
    }
    return [
        replace(utterance, audio=cached[i], offset=0.0, channel="mix")
        if i in cached
        else utterance
        for i, utterance in enumerate(utterances)
    ]


def _cache_key(utterances: Sequence[Utterance]) -> str:
    digest = hashlib.sha256()
    for utterance in utterances:
        audio = utterance.audio
        part = utterance.offset, utterance.duration, utterance.channel
        digest.update(f"{audio!r} {part!r}\n".encode())  # repr escapes surrogates
        path = Path(audio.path if isinstance(audio, ByteRange) else audio)
        if path.exists():
            stat = path.stat()
            digest.update(f"{stat.st_size} {stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]
