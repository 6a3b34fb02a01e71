"""Read MPEG audio (MP3, MP2) frame by frame, with exact segments of any file.

A file can consist of several recordings that were joined. Each may start with a tag, and with a
frame without audio that holds the number of frames and the silence that the encoder added.

FFmpeg's own reader is not used. It decodes that frame in the middle of joined recordings, skips
lost frames silently, and needs five times as long to find the frames of a file.
"""

import struct
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from asr.audio.ffmpeg import import_av, to_float
from asr.audio.readers import Content, Reader
from asr.errors import AudioError

ID3_HEADER_SIZE = 10  # bytes
DECODER_DELAY = 529  # samples by which every decoder is late
TAGS = (b"ID3", b"TAG", b"APETAGEX", b"LYRICSBEGIN")
CHAIN = 3  # frames in a row that distinguish a stream from other bytes
DECODERS = {2: "mp2float", 3: "mp3float"}  # by layer
PREROLL = 32  # frames to decode before a segment: the reservoir can span 24 of the smallest
RESERVOIR = 511  # bytes before a frame that it may need

# kbit/s for MPEG 1, layers 2 and 3, and MPEG 2
_V1L2 = (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384)
_V1L3 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_V2L2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_BIT_RATES = {(1, 2): _V1L2, (1, 3): _V1L3}
_SAMPLE_RATES = (44_100, 48_000, 32_000)


class FrameHeader(NamedTuple):
    """Properties of a frame. `stream` is (MPEG version 1 or 2, layer, sample rate)."""

    stream: tuple[int, int, int]
    size: int  # bytes
    samples: int
    channels: int


@lru_cache(maxsize=4096)  # most headers occur many times
def parse_header(data: bytes) -> FrameHeader | None:
    """Return the frame header in the first 4 bytes of a frame, or None for other bytes."""
    word = int.from_bytes(data, "big")
    if word >> 21 != 0x7FF:
        return None
    version, layer = word >> 19 & 3, 4 - (word >> 17 & 3)
    bit_rate, rate, padding = word >> 12 & 15, word >> 10 & 3, word >> 9 & 1
    if version == 1 or layer not in DECODERS or rate == 3:
        return None
    if bit_rate in (0, 15) or word & 3 == 2:
        return None
    mpeg = 1 if version == 3 else 2
    sample_rate = _SAMPLE_RATES[rate] >> {3: 0, 2: 1, 0: 2}[version]
    bits = _BIT_RATES.get((mpeg, layer), _V2L2)[bit_rate] * 1000
    samples = 576 if layer == 3 and mpeg == 2 else 1152
    size = samples // 8 * bits // sample_rate + padding
    channels = 1 if word >> 6 & 3 == 3 else 2
    return FrameHeader((mpeg, layer, sample_rate), size, samples, channels)


def find_frame(data: bytes, start: int) -> int:
    """Return the offset of the first of a few frames in a row, or -1."""
    while (start := data.find(b"\xff", start)) >= 0 and not _is_chain(data, start):
        start += 1
    return start


def skip_tags(data: bytes, position: int) -> int:
    """Return the first byte after the ID3v2 tags at `position`."""
    while data.startswith(b"ID3", position) and len(data) >= position + ID3_HEADER_SIZE:
        a, b, c, d = data[position + 6 : position + ID3_HEADER_SIZE]
        footer = ID3_HEADER_SIZE if data[position + 5] & 0x10 else 0
        position += ID3_HEADER_SIZE + footer + (a << 21 | b << 14 | c << 7 | d)
    return position


def _is_chain(data: bytes, position: int) -> bool:
    """Return whether frames of one stream follow each other, up to the end of the data."""
    first = None
    for _ in range(CHAIN):
        if position + 4 > len(data):
            return first is not None and position == len(data)
        header = parse_header(data[position : position + 4])
        if header is None or (first and header.stream != first.stream):
            return first is not None and data.startswith(TAGS, position)
        first = first or header
        position += header.size
    return True


class Mp3Reader(Reader):
    """A recording of MPEG audio frames, with or without a header that gives its length.

    Attributes:
        spans: First byte of each frame of audio, and the byte after it. Both are the same for a
            frame that is lost.
        gaps: Number of the frame after each damaged part, and the first and last byte of the part.
        declared: Number of frames according to the file, 0 if unknown.
        skip: Samples to drop at the start.
        padding: Samples to drop at the end.
    """

    def __init__(self, data: bytes, header: FrameHeader) -> None:
        super().__init__()
        self._data = data
        self.header = header
        self.sample_rate = header.stream[2]
        self.channels = header.channels
        self.spans: list[tuple[int, int]] = []
        self.gaps: list[tuple[int, int, int]] = []
        self._skips_damage = False
        self._silent: set[int] = set()  # numbers of frames
        self.declared = self.skip = self.padding = 0

    def read(self, first: int, count: int) -> np.ndarray:
        """Return samples (S, channels), fewer than `count` at the end or at damage."""
        begin, end = first + self.skip, min(first + count, self.frames) + self.skip
        pieces = [np.zeros((0, self.channels), np.float32), *self._decode(begin, end)]
        return np.concatenate(pieces)

    def _decode(self, begin: int, end: int) -> Iterator[np.ndarray]:
        """Yield the samples from `begin` to `end`, counted from the first frame."""
        av = import_av()
        size = self.header.samples
        decoder = av.CodecContext.create(DECODERS[self.header.stream[1]], "r")
        last = min(len(self.spans), -(-end // size))
        for number in range(max(0, begin // size - PREROLL), last):
            start, stop = self.spans[number]
            samples = np.zeros((size, self.channels), np.float32)
            position = number * size
            try:
                for frame in (
                    decoder.decode(av.Packet(self._data[start:stop])) if stop else ()
                ):
                    if frame.samples == size and number not in self._silent:
                        samples = to_float(frame, self.channels)
            except (av.FFmpegError, ValueError):
                # Frames at a start may need bytes before it.
                if number >= max(PREROLL, begin // size):
                    self._report(position)
            yield samples[max(0, begin - position) : max(0, end - position)]

    def fill_gaps(self, *, is_cut: bool = False) -> None:
        """Read damaged parts as zeros from now on, and count the frames that they had.

        Their number follows from the number of all frames if the file declares a plausible one,
        otherwise from the mean size of a frame. If bytes are missing, there are fewer than these
        frames need. Then the declared number is used if only one gap can lack the frames. The
        frames around a gap are damaged too: the one before it is incomplete, and those after it
        may need bytes of the gap.

        Args:
            is_cut: Whether frames can also be missing at the end.
        """
        self._skips_damage = True
        whole, size = self.spans, self.header.samples
        lost = sum(stop - start for _, start, stop in self.gaps)
        expected = lost * len(whole) / max(1, sum(stop - start for start, stop in whole))
        missing = self.declared - len(whole)
        is_only_gap = (
            len(self.gaps) == 1 and not is_cut and expected < missing <= len(whole)
        )
        if abs(missing - expected) > 0.5 * expected + 2 and not is_only_gap:
            missing = round(expected)
        self.spans, done, previous = [], 0, 0
        for number, start, stop in self.gaps:
            self.spans += whole[previous:number]
            first, previous, done = len(self.spans), number, done + stop - start
            frames = round(missing * done / lost) - (first - number)
            self.spans += [(0, 0)] * frames
            needed = [
                stop - whole[number][0] for _, stop in whole[number : number + PREROLL]
            ]
            after = 1 + int(np.searchsorted(needed, RESERVOIR))
            silent = range(max(0, first - 1), first + frames + after)
            self._silent.update(silent)
            end = silent.stop * size - self.skip
            self.damaged.append((max(0, silent.start * size - self.skip), end))
        self.spans += whole[previous:]

    def _report(self, position: int) -> None:
        """Add a frame that cannot be decoded to the damaged ones."""
        if self._skips_damage:
            start = max(0, position - self.skip)
            self.damaged.append((start, start + self.header.samples))
        else:
            self.damage = "damaged"


def open_mp3(source: Content, *, skip_damage: bool = False) -> list[Mp3Reader]:
    """Return a reader of each recording in a file.

    Raises:
        AudioError: If there are no frames.
    """
    data = source if isinstance(source, bytes) else source.read_bytes()
    readers, damage = _scan(data)
    readers = [reader for reader in readers if reader.spans]
    if not readers:
        raise AudioError("no MPEG frames")
    end = readers[-1].spans[-1][1]
    is_cut = end < len(data) and not data.startswith(TAGS, end)
    for reader in readers:
        if skip_damage:
            reader.fill_gaps(is_cut=is_cut and reader is readers[-1])
        samples = len(reader.spans) * reader.header.samples
        reader.frames = max(0, samples - reader.skip - reader.padding)
        reader.channels = max(reader.channels for reader in readers)
        if len(reader.spans) < reader.declared - 1:
            reader.damage = "cut off"
    if not skip_damage:
        gaps = [
            start
            for r in readers
            for _, start, stop in r.gaps
            if data[start:stop].strip(b"\0")
        ]
        damage = f"damaged: no MP3 frame at byte {gaps[0]:,}" if gaps else damage
    readers[0].damage = damage or readers[0].damage
    return readers


def _scan(data: bytes) -> tuple[list[Mp3Reader], str]:
    """Return a reader of each recording, and the reason if the file is cut off."""
    readers: list[Mp3Reader] = []
    position = 0
    while position + 4 <= len(data):
        header = parse_header(data[position : position + 4])
        if header is None or (readers and header.stream != readers[-1].header.stream):
            skipped = position
            position = find_frame(data, skip_tags(data, position))
            header = parse_header(data[position : position + 4]) if position >= 0 else None
            if header is None:
                return readers, ""  # only other bytes follow
            if position > skipped and readers and not data.startswith(TAGS, skipped):
                readers[-1].gaps.append((len(readers[-1].spans), skipped, position))
            if not readers or header.stream != readers[-1].header.stream:
                readers.append(Mp3Reader(data, header))
        end = position + header.size
        if end > len(data):
            break
        if info := _read_info(header, data[position:end]):
            reader = Mp3Reader(data, header)
            reader.declared, reader.skip, reader.padding = info
            readers.append(reader)
        else:
            readers = readers or [Mp3Reader(data, header)]
            readers[-1].spans.append((position, end))
        position = end
    return readers, "cut off" if data[position : position + 1] == b"\xff" else ""


def _read_info(header: FrameHeader, frame: bytes) -> tuple[int, int, int] | None:
    """Return the number of frames, delay, and padding in a Xing, Info, or VBRI header, or None."""
    mpeg, layer, _ = header.stream
    if layer != 3 or len(frame) < 60:
        return None
    if frame[36:40] == b"VBRI":
        return struct.unpack_from(">I", frame, 50)[0], 0, 0
    start = 4 + {(1, 1): 17, (1, 2): 32, (2, 1): 9, (2, 2): 17}[mpeg, header.channels]
    if frame[start : start + 4] not in (b"Xing", b"Info"):
        return None
    flags, declared = struct.unpack_from(">II", frame, start + 4)
    sizes = (
        (1, 4),
        (2, 4),
        (4, 100),
        (8, 4),
    )  # flag and bytes of each field before the encoder's
    lame = start + 8 + sum(size for bit, size in sizes if flags & bit)
    declared = declared if flags & 1 else 0
    if frame[lame : lame + 4] not in (b"LAME", b"Lavf", b"Lavc") or len(frame) < lame + 24:
        return declared, 0, 0
    packed = int.from_bytes(frame[lame + 21 : lame + 24], "big")
    delay, padding = packed >> 12, packed & 0xFFF
    return declared, delay + DECODER_DELAY, max(0, padding - DECODER_DELAY)
