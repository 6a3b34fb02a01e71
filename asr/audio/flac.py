"""Read a FLAC file around damage, frame by frame. Each frame has its position and a checksum."""

import re
from collections.abc import Generator, Iterator
from functools import cache
from typing import Any

import numpy as np

from asr.audio.containers import FLAC_SIZES
from asr.audio.damage import zeros
from asr.audio.ffmpeg import FFmpegReader, import_av
from asr.audio.readers import Content

MAX_FRAME = 1 << 17  # bytes; the limit if the header of the file has none
_POLYNOMIAL = 0x18005  # of the checksum
_SIZES = {code: size for size, code in FLAC_SIZES.items()}
_START = re.compile(rb"\xff[\xf8\xf9]")  # of a frame


class FlacReader(FFmpegReader):
    """A FLAC file with damage. Its lost frames are zeros."""

    is_exact = True

    def __init__(self, source: Content, frames: int = 0) -> None:
        """Open a file.

        Args:
            source: Path or content of the file.
            frames: Number of samples if it is known. Otherwise, the last intact frame is searched.

        Raises:
            AudioError: If FFmpeg cannot read the file.
        """
        self._known_frames = frames
        super().__init__(source, "flac", skip_damage=True)

    def _decode_around_damage(self) -> Generator[np.ndarray]:
        """Yield samples (S, channels), with zeros for those that are lost."""
        position = 0
        with self._open() as (container, stream):
            for time, piece in self._pieces(container, stream):
                if time is None or not position <= time < self.frames:
                    continue  # a second recording begins
                yield from self._fill(position, time)
                yield piece
                position = time + len(piece)
        yield from self._fill(position, self.frames)

    def _fill(self, start: int, end: int) -> Iterator[np.ndarray]:
        """Yield zeros for lost samples."""
        if start < end:
            self.damaged.append((start, end))
            yield from zeros(end - start, self.channels)

    def _count_frames(self, container: Any, stream: Any) -> int:
        return self._known_frames or super()._count_frames(container, stream)

    def _packets(self, container: Any, stream: Any) -> Iterator[Any]:
        """Yield the intact frames. FFmpeg ignores their checksums and joins those around damage."""
        info = stream.codec_context.extradata or bytes(34)
        block_size, longest = (
            int.from_bytes(info[:2], "big"),
            int.from_bytes(info[7:10], "big"),
        )
        for packet in super()._packets(container, stream):
            for data in find_frames(bytes(packet), longest or MAX_FRAME):
                frame = import_av().Packet(data)
                frame.stream, frame.time_base = stream, stream.time_base
                number, frame.duration = _read_header(data)
                frame.pts = number if data[1] & 1 else number * block_size
                yield frame


def find_frames(data: bytes, longest: int) -> Iterator[bytes]:
    """Yield the intact frames in data that starts with a frame, at most `longest` bytes each."""
    starts = [match.start() for match in _START.finditer(data)]
    while starts:
        start = starts.pop(0)
        for end in (*starts, len(data)):
            if end - start > longest:
                break
            if _has_right_checksum(data[start:end]):
                yield data[start:end]
                starts = [other for other in starts if other >= end]
                break


def _read_header(frame: bytes) -> tuple[int, int]:
    """Return the number of a frame, which is coded like a character of UTF-8, and its samples."""
    first = frame[4]
    following = max(0, 7 - (first ^ 0xFF).bit_length())
    number = first & 0x7F >> following
    for byte in frame[5 : 5 + following]:
        number = number << 6 | byte & 0x3F
    code, position = frame[2] >> 4, 5 + following
    size = int.from_bytes(frame[position : position + max(0, code - 5)], "big") + 1
    return number, size if code in (6, 7) else _SIZES.get(code, 0)


def _has_right_checksum(frame: bytes) -> bool:
    """Return whether the last bytes of a frame are the CRC of the others."""
    bits = np.unpackbits(np.frombuffer(frame, np.uint8)).view(bool)
    if not 8 < len(frame) <= MAX_FRAME:
        return False
    return not np.bitwise_xor.reduce(_remainders()[-len(bits) :][bits])


@cache
def _remainders() -> np.ndarray:
    """Return the remainders of the powers of x, the highest first, divided by the polynomial."""
    remainders = [1]
    while len(remainders) == 1 or remainders[-1] != 1:  # until they repeat
        value = remainders[-1] << 1
        remainders.append(value ^ _POLYNOMIAL if value >> 16 else value)
    return np.resize(np.array(remainders[:-1], np.uint16), 8 * MAX_FRAME)[::-1]
