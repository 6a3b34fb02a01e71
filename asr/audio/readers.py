"""Readers: a common interface to the decoders, and a buffer for those that only read forward."""

import io
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np

from asr.errors import AudioError

BACKWARD_SECONDS = 20.0  # decoded audio to keep; windows of long recordings overlap by 10 s

Content = Path | bytes


def open_content(source: Content) -> BinaryIO:
    """Open the bytes of a recording."""
    return io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")


class Reader(Protocol):
    """An open recording.

    Attributes:
        sample_rate: Rate in Hz.
        channels: Number of channels.
        frames: Number of samples in each channel.
        is_exact: Whether this number is exact, or may be wrong by milliseconds.
        damage: Reason if the recording is cut off or damaged, as far as known, otherwise "".
    """

    sample_rate: int
    channels: int

    @property
    def frames(self) -> int: ...  # noqa: D102

    @property
    def damage(self) -> str: ...  # noqa: D102

    @property
    def is_exact(self) -> bool: ...  # noqa: D102

    def read(self, first: int, count: int) -> np.ndarray:
        """Return samples (S, channels), fewer than `count` at the end or at damage."""
        ...

    def check_end(self) -> None:
        """Set `damage` if the end is missing, as far as this is known without decoding."""
        ...

    def find_end(self) -> None:
        """Set `frames` and `damage` to what can be decoded if the end is missing."""
        ...

    def close(self) -> None:
        """Close the file."""
        ...


class ForwardBuffer:
    """Random access to a decoder that only reads from the start.

    Reading backwards decodes again from the start, except for the last few seconds. So a segment
    always has the samples of the whole recording, even if the decoder's state depends on all
    samples before it, as with AAC's noise substitution.
    """

    def __init__(
        self, decode: Callable[[], Generator[np.ndarray]], channels: int, sample_rate: int
    ) -> None:
        self._decode = decode
        self._channels = channels
        self._keep = round(BACKWARD_SECONDS * sample_rate)
        self._source = decode()
        self._restart()

    def read(self, first: int, count: int) -> np.ndarray:
        """Return samples (S, channels), fewer than `count` at the end."""
        if first < self._start:
            self._restart()
        parts = [np.zeros((0, self._channels), np.float32)]
        position = self._start
        for chunk in self._read_chunks(first + count):
            begin, end = max(0, first - position), max(0, first + count - position)
            if begin < min(len(chunk), end):
                parts.append(chunk[begin:end])
            position += len(chunk)
        return np.concatenate(parts)

    def _read_chunks(self, end: int) -> Iterator[np.ndarray]:
        """Yield the chunks of the buffer, and new ones up to the sample `end`."""
        yield from self._chunks
        while self._start + self._stored < end:
            try:
                chunk = next(self._source)
            except StopIteration:
                return
            yield chunk
            self._remember(chunk)

    def close(self) -> None:
        """Stop the decoder and release the decoded samples."""
        self._source.close()
        self._chunks.clear()

    def _restart(self) -> None:
        self._source.close()
        self._source = self._decode()
        self._chunks: deque[np.ndarray] = deque()
        self._start = self._stored = 0  # first sample and number of samples in the buffer

    def _remember(self, chunk: np.ndarray) -> None:
        self._chunks.append(chunk)
        self._stored += len(chunk)
        while self._stored - len(self._chunks[0]) >= self._keep:
            size = len(self._chunks.popleft())
            self._start += size
            self._stored -= size


class JoinedReader:
    """Recordings that follow each other in one file."""

    def __init__(self, readers: Sequence[Reader]) -> None:
        """Join recordings.

        Raises:
            AudioError: If their sample rates or their numbers of channels differ.
        """
        self._readers = readers
        self.sample_rate = readers[0].sample_rate
        self.channels = readers[0].channels
        self.is_exact = all(reader.is_exact for reader in readers)
        for reader in readers:
            if (reader.sample_rate, reader.channels) != (self.sample_rate, self.channels):
                reason = (
                    "joined recordings of different sample rates or numbers of channels"
                )
                raise AudioError(f"{reason}. Split the file.")

    @property
    def frames(self) -> int:
        """Number of samples in each channel."""
        return sum(reader.frames for reader in self._readers)

    @property
    def damage(self) -> str:
        """Reason if one of the recordings is cut off or damaged."""
        return next((reader.damage for reader in self._readers if reader.damage), "")

    def read(self, first: int, count: int) -> np.ndarray:
        """Return samples (S, channels), fewer than `count` at the end or at damage."""
        parts = [np.zeros((0, self.channels), np.float32)]
        start = 0
        for reader in self._readers:
            begin, end = max(0, first - start), min(reader.frames, first + count - start)
            start += reader.frames
            if begin < end:
                parts.append(reader.read(begin, end - begin))
                if len(parts[-1]) < end - begin and reader.is_exact:
                    break
        return np.concatenate(parts)

    def check_end(self) -> None:
        """Check the end of each recording."""
        for reader in self._readers:
            reader.check_end()

    def find_end(self) -> None:
        """Find where each recording ends if its end is missing."""
        for reader in self._readers:
            reader.find_end()

    def close(self) -> None:
        """Close all recordings."""
        for reader in self._readers:
            reader.close()
