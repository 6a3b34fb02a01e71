"""Audio that is decoded once and kept: for corpora that fit, where decoding would hold up a fast device."""

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

BYTES = 2  # of a sample


def cache_audio(utterances: Sequence[Utterance], folder: Path) -> list[Utterance]:
    """The same utterances, their audio decoded to 16 bits at 16 kHz in shards in `folder`, made where they are not yet.

    Recordings that change, by size or date, and another list of utterances, make other shards. What cannot be read
    stays as it is. Raises ConfigError where the disk has no room.
    """
    key = _key(utterances)
    listed = folder / f"{key}.jsonl"
    if not listed.exists():
        folder.mkdir(parents=True, exist_ok=True)
        needed = sum(utterance.duration for utterance in utterances) * SAMPLE_RATE * BYTES / 1e9
        free = shutil.disk_usage(folder).free / 1e9
        if needed > free:
            raise ConfigError(
                f"{folder}: data.cache=pcm needs {needed:.1f} GB there, {free:.1f} are free"
            )
        print(
            f"decoding {len(utterances):,} utterances once, {needed:.1f} GB, into {folder}",
            flush=True,
        )
        write_manifest(listed, write_shards(utterances, folder, key, form="wav")[0])
    kept = {
        int(u.audio.name[:8]): u for u in read_manifest(listed) if isinstance(u.audio, ByteRange)
    }
    return [
        replace(utterance, audio=kept[at].audio, offset=0.0) if at in kept else utterance
        for at, utterance in enumerate(utterances)
    ]


def _key(utterances: Sequence[Utterance]) -> str:
    digest = hashlib.sha256()
    for utterance in utterances:
        digest.update(f"{utterance.name} {utterance.duration}\n".encode())
        if isinstance(utterance.audio, Path) and utterance.audio.exists():
            stat = utterance.audio.stat()
            digest.update(f"{stat.st_size} {stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]
