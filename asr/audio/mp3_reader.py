"""Read MP3 and MP2 frame by frame, with exact segments of any file."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from asr.audio.ffmpeg import import_av, to_float
from asr.audio.mp3 import Part, scan
from asr.audio.readers import Content
from asr.errors import AudioError

DECODERS = {1: "mp1float", 2: "mp2float", 3: "mp3float"}  # by layer
PREROLL = (
    32  # frames to decode before a segment: the bit reservoir can span 24 of the smallest
)


class Mp3Reader:
    """A file of MPEG audio frames, with or without a header that gives its length.

    Joined recordings are read one after the other, each without its encoder's delay and padding.
    """

    is_exact = True

    def __init__(self, source: Content) -> None:
        """Find all frames.

        Raises:
            AudioError: If there are no frames, or joined recordings have different rates.
        """
        self._data = source if isinstance(source, bytes) else Path(source).read_bytes()
        self._parts, self.damage = scan(self._data)
        if not self._parts:
            raise AudioError("no MPEG frames")
        headers = [part.header for part in self._parts]
        rates = {header.sample_rate for header in headers}
        if len(rates) > 1:
            text = " and ".join(str(rate) for rate in sorted(rates))
            raise AudioError(f"joined recordings of {text} Hz")
        self.sample_rate = headers[0].sample_rate
        self.channels = max(header.channels for header in headers)
        self.frames = sum(part.frames for part in self._parts)
        missing = any(len(part.offsets) < part.declared - 1 for part in self._parts)
        if missing and not self.damage:
            self.damage = "cut off"

    def read(self, first: int, count: int) -> np.ndarray:
        """Return samples (S, channels), fewer than `count` at the end or at damage."""
        pieces = [np.zeros((0, self.channels), np.float32)]
        start = 0
        for part in self._parts:
            begin = max(0, first - start)
            end = min(part.frames, first + count - start)
            if begin < end:
                pieces += self._read_part(part, begin + part.skip, end + part.skip)
            start += part.frames
        return np.concatenate(pieces)

    def check_end(self) -> None:
        """Do nothing, because the frames were counted."""

    def find_end(self) -> None:
        """Do nothing, because the frames were counted."""

    def close(self) -> None:
        """Release the file's content."""
        self._data = b""

    def _read_part(self, part: Part, begin: int, end: int) -> Iterator[np.ndarray]:
        """Yield the samples from `begin` to `end`, counted from the part's first frame."""
        av = import_av()
        size = part.header.samples
        decoder = av.CodecContext.create(DECODERS[part.header.layer], "r")
        last = min(len(part.offsets), -(-end // size))
        for number in range(max(0, begin // size - PREROLL), last):
            offset = part.offsets[number]
            packet = av.Packet(self._data[offset : offset + part.sizes[number]])
            samples = np.zeros((size, self.channels), np.float32)
            try:
                for frame in decoder.decode(packet):
                    if frame.samples == size:
                        samples = to_float(frame, self.channels)
            except (av.FFmpegError, ValueError):
                # Frames at a start may need bytes before it.
                if number >= max(PREROLL, begin // size):
                    self.damage = "damaged"
            start = number * size
            piece = samples[max(0, begin - start) : max(0, end - start)]
            if len(piece):
                yield piece
