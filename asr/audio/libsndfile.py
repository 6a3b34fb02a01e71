"""Read WAV, FLAC, and other formats that libsndfile reads exactly."""

import io
import os
import sys
from collections.abc import Callable, Generator
from contextlib import suppress

import numpy as np
import soundfile

from asr.audio.containers import find_second_flac
from asr.audio.readers import Content, ForwardBuffer, Reader, open_content
from asr.errors import AudioError

BLOCK = 1 << 22  # samples to read at once; a damaged header can declare any number
SMALL_BLOCK = 1 << 10  # a block in which an error occurs is lost
UNKNOWN = 1 << 40  # libsndfile gives more samples than this if the header has no number
INEXACT_SEEK = {"VORBIS"}  # after a seek, the first samples are wrong
# codecs that libsndfile reads and seeks exactly
EXACT = ("PCM_", "FLOAT", "DOUBLE", "ULAW", "ALAW", "DPCM", "ALAC", "VORBIS", "OPUS", "G72")


class SoundFileReader(Reader):
    """A recording that libsndfile decodes."""

    def __init__(
        self,
        source: Content,
        declared_damage: str = "",
        read_around_damage: Callable[[], Reader] | None = None,
    ) -> None:
        """Open a recording.

        Args:
            source: Path or content of the recording.
            declared_damage: Reason if the file is known to be cut off.
            read_around_damage: Opens the reader that replaces this one when it finds damage.
        """
        super().__init__()
        self._source = source
        self._read_around_damage = read_around_damage
        self._other: Reader | None = None
        self._sound = _open(source)
        self.sample_rate = self._sound.samplerate
        self.channels = self._sound.channels
        self.frames = self._sound.frames
        is_known = 0 <= self.frames < UNKNOWN
        self.is_exact = self._sound.subtype.startswith(EXACT) and is_known
        self.damage = declared_damage
        self._buffer: ForwardBuffer | None = None
        if not self._sound.seekable() or self._sound.subtype in INEXACT_SEEK:
            self._buffer = ForwardBuffer(self._decode, self.channels, self.sample_rate)

    def read(self, first: int, count: int) -> np.ndarray:
        """Return samples (S, channels), fewer than `count` at the end or at damage."""
        if self._other:
            return self._other.read(first, count)
        if self._buffer:
            return self._buffer.read(first, count)
        wanted = count
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
            if self._replace():
                return self.read(first, wanted)
            self.damage = (
                self.damage or f"damaged or cut off ({error.error_string.rstrip('. ')})"
            )
        if self._sound.format == "FLAC" and self._sound.tell() >= self.frames:
            with open_content(self._source) as file:
                position = find_second_flac(file, search_all=True)
            if position:
                reason = f"a second recording begins at byte {position:,}"
                raise AudioError(f"{reason}. Split the file.")
        if len(blocks) == 1:
            return blocks[0]
        return np.concatenate([np.zeros((0, self.channels), np.float32), *blocks])

    def check_end(self) -> None:
        """Set `frames` and `damage` to what can be decoded if the end is missing."""
        if self._sound.format != "FLAC" or self._buffer:
            return  # the header of the others has their size
        with suppress(soundfile.LibsndfileError):
            self._sound.seek(self.frames - 1)
            if len(self._sound.read(1)):
                return
        self.damage = "cut off"
        if self._other or self._replace():
            assert self._other
            self.frames = min(self.frames, self._other.frames)
            return
        self.frames = sum(map(len, self._decode()))
        self._buffer = ForwardBuffer(self._decode, self.channels, self.sample_rate)

    def close(self) -> None:
        """Close the file."""
        self._sound.close()
        if self._other:
            self._other.close()
        if self._buffer:
            self._buffer.close()

    def _replace(self) -> bool:
        """Open the reader that continues after damage, and return whether there is one."""
        if self._read_around_damage:
            with suppress(AudioError):  # only the header is left
                self._other = self._read_around_damage()
                self.damaged = self._other.damaged
        return self._other is not None

    def _decode(self) -> Generator[np.ndarray]:
        """Yield samples (S, channels) up to the end or to damage."""
        with _open(self._source) as sound, suppress(soundfile.LibsndfileError):
            while len(block := sound.read(SMALL_BLOCK, dtype="float32", always_2d=True)):
                yield block


class _Memory(io.BytesIO):
    """Bytes as a file. Damaged headers make libsndfile seek to before the start."""

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move the position, at least to the start."""
        start = (0, self.tell(), len(self.getbuffer()))[whence]
        return super().seek(max(0, start + offset))


def _open(source: Content) -> soundfile.SoundFile:
    if isinstance(source, bytes):
        return soundfile.SoundFile(_Memory(source))
    # soundfile encodes names strictly, but they need not be valid UTF-8
    return soundfile.SoundFile(source if sys.platform == "win32" else os.fsencode(source))
