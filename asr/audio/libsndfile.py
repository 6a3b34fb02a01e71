"""Read WAV, FLAC, and other formats that libsndfile reads exactly."""

import io
import os
import sys
from collections.abc import Generator
from contextlib import suppress
from mmap import ACCESS_READ, mmap

import numpy as np
import soundfile

from asr.audio.flac import FLAC_START, count_samples
from asr.audio.readers import Content, ForwardBuffer, open_content
from asr.errors import AudioError

BLOCK = 1 << 22  # samples to read at once; a damaged header can declare any number
SMALL_BLOCK = 1 << 10  # a block in which an error occurs is lost
UNKNOWN = 1 << 40  # libsndfile gives more samples than this if the header has no number
INEXACT_SEEK = {"VORBIS"}  # after a seek, the first samples are wrong
EXACT = ("PCM_", "FLOAT", "DOUBLE", "ULAW", "ALAW", "DPCM", "ALAC", "VORBIS", "OPUS", "G72")


class SoundFileReader:
    """A recording that libsndfile decodes."""

    def __init__(self, source: Content, declared_damage: str = "") -> None:
        self._source = source
        self._sound = _open(source)
        self.sample_rate = self._sound.samplerate
        self.channels = self._sound.channels
        self.frames = self._sound.frames
        self.damage = declared_damage
        self._buffer: ForwardBuffer | None = None
        if not self._sound.seekable() or self._sound.subtype in INEXACT_SEEK:
            self._buffer = ForwardBuffer(self._decode, self.channels, self.sample_rate)

    @property
    def is_exact(self) -> bool:
        """Whether the codec is one of those that libsndfile reads and seeks exactly."""
        return self._sound.subtype.startswith(EXACT) and 0 <= self.frames < UNKNOWN

    def read(self, first: int, count: int) -> np.ndarray:
        """Return samples (S, channels), fewer than `count` at the end or at damage."""
        if self._buffer:
            return self._buffer.read(first, count)
        blocks: list[np.ndarray] = []
        try:
            self._sound.seek(first)
            while count > 0:
                block = self._sound.read(min(count, BLOCK), dtype="float32", always_2d=True)
                blocks.append(block)
                count -= len(block)
                if not len(block):
                    break
        except soundfile.LibsndfileError as error:
            self.damage = (
                self.damage or f"damaged or cut off ({error.error_string.rstrip('. ')})"
            )
        if self._sound.format == "FLAC" and self._sound.tell() >= self.frames:
            self._check_joined()
        if len(blocks) == 1:
            return blocks[0]
        return np.concatenate([np.zeros((0, self.channels), np.float32), *blocks])

    def check_end(self) -> None:
        """Set `damage` if the end is missing, as far as this is known without decoding."""
        if self._sound.format != "FLAC":
            return
        with open_content(self._source) as file:
            declared, actual = count_samples(file)
        if actual and (actual < declared or not len(self.read(declared - 1, 1))):
            self.damage = "cut off"

    def find_end(self) -> None:
        """Set `frames` and `damage` to what can be decoded if the end is missing."""
        if self._buffer or len(self.read(self.frames - 1, 1)):
            return
        self.damage = "cut off"
        self.frames = sum(map(len, self._decode()))
        self._buffer = ForwardBuffer(self._decode, self.channels, self.sample_rate)

    def close(self) -> None:
        """Close the file."""
        self._sound.close()
        if self._buffer:
            self._buffer.close()

    def _check_joined(self) -> None:
        """Raise an AudioError if a second recording follows, which libsndfile ignores."""
        if isinstance(self._source, bytes):
            position = self._source.find(FLAC_START, 4)
        else:
            with (
                self._source.open("rb") as file,
                mmap(file.fileno(), 0, access=ACCESS_READ) as m,
            ):
                position = m.find(FLAC_START, 4)
        if position > 0:
            reason = f"a second recording begins at byte {position:,}. Split the file."
            raise AudioError(reason)

    def _decode(self) -> Generator[np.ndarray]:
        """Yield samples (S, channels) up to the end or to damage."""
        with _open(self._source) as sound, suppress(soundfile.LibsndfileError):
            while len(block := sound.read(SMALL_BLOCK, dtype="float32", always_2d=True)):
                yield block


class _Memory(io.BytesIO):
    """Bytes as a file. Damaged headers make libsndfile seek to before the start."""

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move the position, at least to the start."""
        start = {
            io.SEEK_SET: 0,
            io.SEEK_CUR: self.tell(),
            io.SEEK_END: len(self.getbuffer()),
        }
        return super().seek(max(0, start[whence] + offset))


def _open(source: Content) -> soundfile.SoundFile:
    if isinstance(source, bytes):
        return soundfile.SoundFile(_Memory(source))
    # soundfile encodes names strictly, but they need not be valid UTF-8
    return soundfile.SoundFile(source if sys.platform == "win32" else os.fsencode(source))
