"""Readers: a common interface to the decoders, and a buffer for those that only read forward."""

import io
from collections import deque
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from asr.audio.damage import Span
from asr.errors import AudioError

BACKWARD_SECONDS = 20.0  # decoded audio to keep; windows of long recordings overlap by 10 s

Content = Path | bytes


def open_content(source: Content) -> BinaryIO:
    """Open the bytes of a recording."""
    return io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")


class Reader:
    """An open recording.

    Attributes:
        sample_rate: Rate in Hz.
        channels: Number of channels.
        frames: Number of samples in each channel.
        is_exact: Whether this number is exact, or may be wrong by milliseconds.
        damage: Reason if the recording is cut off or damaged, as far as known, otherwise "".
        damaged: Damaged parts that have been read as zeros.
    """

    sample_rate: int
    channels: int
    frames: int
    is_exact: bool = True
    damage: str = ""

    def __init__(self) -> None:
        self.damaged: list[Span] = []

    def read(self, first: int, count: int) -> np.ndarray:
        """Return samples (S, channels), fewer than `count` at the end or at damage."""
        raise NotImplementedError

    def check_end(self) -> None:
        """Set `frames` and `damage` to what can be decoded if the end is missing."""

    def close(self) -> None:
        """Close the file."""


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
        self._restart()

    def read(self, first: int, count: int) -> np.ndarray:
        """Return samples (S, channels), fewer than `count` at the end."""
        if first < self._start:
            self.close()
            self._restart()
        while self._end < first + count:
            chunk = next(self._source, None)
            if chunk is None:
                break
            self._chunks.append(chunk)
            self._end += len(chunk)
            self._forget(first)
        samples = np.concatenate([np.zeros((0, self._channels), np.float32), *self._chunks])
        begin = first - self._start
        self._forget(first + count)
        return samples[begin : begin + count]

    def close(self) -> None:
        """Stop the decoder and release the decoded samples."""
        self._source.close()
        self._chunks.clear()

    def _restart(self) -> None:
        self._source = self._decode()
        self._chunks: deque[np.ndarray] = deque()
        self._start = self._end = 0  # the samples in the buffer

    def _forget(self, position: int) -> None:
        """Release the samples that are much earlier than a position."""
        while self._chunks and self._start + len(self._chunks[0]) <= position - self._keep:
            self._start += len(self._chunks.popleft())


def join(readers: Sequence[Reader]) -> Reader:
    """Return a reader of recordings that follow each other in one file.

    Raises:
        AudioError: If their sample rates or their numbers of channels differ.
    """
    if len({(reader.sample_rate, reader.channels) for reader in readers}) > 1:
        reason = "joined recordings of different sample rates or numbers of channels"
        raise AudioError(f"{reason}. Split the file.")
    return readers[0] if len(readers) == 1 else JoinedReader(readers)


class JoinedReader(Reader):
    """Recordings that follow each other in one file."""

    def __init__(self, readers: Sequence[Reader]) -> None:
        super().__init__()
        self._readers = readers
        self.sample_rate = readers[0].sample_rate
        self.channels = readers[0].channels
        self.is_exact = all(reader.is_exact for reader in readers)
        self._update()

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
        self._update()
        return np.concatenate(parts)

    def check_end(self) -> None:
        """Check the end of each recording."""
        for reader in self._readers:
            reader.check_end()
        self._update()

    def close(self) -> None:
        """Close all recordings."""
        for reader in self._readers:
            reader.close()

    def _update(self) -> None:
        self.frames, self.damaged = 0, []
        for reader in self._readers:
            self.damaged += [(a + self.frames, b + self.frames) for a, b in reader.damaged]
            self.frames += reader.frames
        self.damage = next((reader.damage for reader in self._readers if reader.damage), "")
