"""Read WAV, FLAC, and other formats that libsndfile reads exactly."""

import io
import os
import sys
from collections.abc import Generator
from contextlib import suppress

import numpy as np
import soundfile

from asr.audio.containers import find_second_flac
from asr.audio.flac import FlacReader
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
        self, source: Content, declared_damage: str = "", *, skip_damage: bool = False
    ) -> None:
        """Open a recording.

        Args:
            source: Path or content of the recording.
            declared_damage: Reason if the file is known to be cut off.
            skip_damage: Whether to read damaged parts as zeros, instead of stopping there.
        """
        super().__init__()
        self._source = source
        self._skip_damage = skip_damage
        self._sound = _open(source)
        self.sample_rate = self._sound.samplerate
        self.channels = self._sound.channels
        self.frames = self._sound.frames
        is_known = 0 <= self.frames < UNKNOWN
        self.is_exact = self._sound.subtype.startswith(EXACT) and is_known
        self.damage = declared_damage
        self._buffer: ForwardBuffer | FlacReader | None = None
        if not self._sound.seekable() or self._sound.subtype in INEXACT_SEEK:
            self._buffer = ForwardBuffer(self._decode, self.channels, self.sample_rate)

    def read(self, first: int, count: int) -> np.ndarray:
        """Return samples (S, channels), fewer than `count` at the end or at damage."""
        if self._buffer:
            return self._buffer.read(first, count)
        blocks: list[np.ndarray] = []
        try:
            while count > 0:
                block = self._read_block(first, min(count, BLOCK))
                blocks.append(block)
                first, count = first + len(block), count - len(block)
                if not len(block):
                    break
        except soundfile.LibsndfileError as error:
            self.damage = (
                self.damage or f"damaged or cut off ({error.error_string.rstrip('. ')})"
            )
        is_flac = self._sound.format == "FLAC" and not self._buffer
        if is_flac and self._sound.tell() >= self.frames:
            with open_content(self._source) as file:
                position = find_second_flac(file, search_all=True)
            if position:
                reason = f"a second recording begins at byte {position:,}"
                raise AudioError(f"{reason}. Split the file.")
        if len(blocks) == 1:
            return blocks[0]
        return np.concatenate([np.zeros((0, self.channels), np.float32), *blocks])

    def _read_block(self, first: int, count: int) -> np.ndarray:
        """Return samples (S, channels), with zeros for lost ones in FLAC if damage is skipped."""
        if self._buffer:
            return self._buffer.read(first, count)
        try:
            self._sound.seek(first)
            return self._sound.read(count, dtype="float32", always_2d=True)
        except soundfile.LibsndfileError:
            if not (self._skip_damage and self._sound.format == "FLAC"):
                raise
        # After an error, the decoder fails everywhere, and a new one needs long to seek.
        self._buffer = FlacReader(self._source, self.frames)
        self.damaged = self._buffer.damaged
        return self._buffer.read(first, count)

    def check_end(self) -> None:
        """Set `frames` and `damage` to what can be decoded if the end is missing."""
        if self._sound.format != "FLAC" or self._buffer:
            return  # the header of the others has their size
        with suppress(soundfile.LibsndfileError):
            self._sound.seek(self.frames - 1)
            if len(self._sound.read(1)):
                return
        self.damage = "cut off"
        if self._skip_damage:
            with suppress(AudioError):  # only the header is left
                self.frames = min(self.frames, FlacReader(self._source).frames)
                return
        self.frames = sum(map(len, self._decode()))
        self._buffer = ForwardBuffer(self._decode, self.channels, self.sample_rate)

    def close(self) -> None:
        """Close the file."""
        self._sound.close()
        if self._buffer:
            self._buffer.close()

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
