"""Find the frames of MPEG audio (MP3, MP2) without decoding them.

A file can consist of several recordings that were joined. Each may start with a tag, and with a
frame without audio that holds the number of frames and the silence that the encoder added.
"""

import struct
from dataclasses import dataclass, field

ID3_HEADER_SIZE = 10  # bytes
DECODER_DELAY = 529  # samples by which every decoder is late
TAGS = (b"ID3", b"TAG", b"APETAGEX", b"LYRICSBEGIN")
CHAIN = 3  # frames in a row that distinguish a stream from other bytes

# kbit/s for MPEG 1, layers 1 to 3, and MPEG 2, layer 1 and layers 2 and 3
_V1L1 = (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448)
_V1L2 = (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384)
_V1L3 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_V2L1 = (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256)
_V2L2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_BIT_RATES = {(1, 1): _V1L1, (1, 2): _V1L2, (1, 3): _V1L3, (2, 1): _V2L1}
_SAMPLE_RATES = (44_100, 48_000, 32_000)


@dataclass(frozen=True, slots=True)
class FrameHeader:
    """Properties of a frame: its length in bytes, its samples, and how to decode them."""

    size: int
    samples: int
    sample_rate: int
    channels: int
    layer: int
    mpeg: int  # 1, or 2 for MPEG 2 and 2.5


@dataclass(slots=True)
class Part:
    """One of the joined recordings.

    Attributes:
        header: Header of its first frame.
        offsets: First byte of each frame of audio.
        sizes: Length of each frame in bytes.
        declared: Number of frames according to the file, 0 if unknown.
        skip: Samples to drop at the start.
        padding: Samples to drop at the end.
    """

    header: FrameHeader
    offsets: list[int] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    declared: int = 0
    skip: int = 0
    padding: int = 0

    @property
    def frames(self) -> int:
        """Number of samples of each channel."""
        total = len(self.offsets) * self.header.samples
        return max(0, total - self.skip - self.padding)


def parse_header(word: int) -> FrameHeader | None:
    """Return the frame header in the first 32 bits of a frame, or None for other bytes."""
    if word >> 21 != 0x7FF:
        return None
    version, layer = word >> 19 & 3, 4 - (word >> 17 & 3)
    bit_rate, rate, padding = word >> 12 & 15, word >> 10 & 3, word >> 9 & 1
    if version == 1 or layer == 4 or bit_rate in (0, 15) or rate == 3 or word & 3 == 2:
        return None
    mpeg = 1 if version == 3 else 2
    sample_rate = _SAMPLE_RATES[rate] >> {3: 0, 2: 1, 0: 2}[version]
    bits = _BIT_RATES.get((mpeg, layer), _V2L2)[bit_rate] * 1000
    if layer == 1:
        samples, size = 384, (12 * bits // sample_rate + padding) * 4
    else:
        samples = 576 if layer == 3 and mpeg == 2 else 1152
        size = samples // 8 * bits // sample_rate + padding
    channels = 1 if word >> 6 & 3 == 3 else 2
    return FrameHeader(size, samples, sample_rate, channels, layer, mpeg)


def find_frame(data: bytes, start: int) -> int | None:
    """Return the offset of the first of a few frames in a row, or None."""
    position = data.find(b"\xff", start)
    while position >= 0:
        if _is_chain(data, position):
            return position
        position = data.find(b"\xff", position + 1)
    return None


def id3_size(data: bytes, start: int) -> int:
    """Return the length in bytes of the ID3v2 tag at `start`."""
    a, b, c, d = data[start + 6 : start + 10]
    footer = ID3_HEADER_SIZE if data[start + 5] & 0x10 else 0
    return ID3_HEADER_SIZE + footer + (a << 21 | b << 14 | c << 7 | d)


def scan(data: bytes) -> tuple[list[Part], str]:
    """Return the parts of a file, and the reason if it is damaged or cut off."""
    parts: list[Part] = []
    header: FrameHeader | None = None
    known: dict[int, FrameHeader | None] = {}  # most headers occur many times
    position, size = 0, len(data)
    damage = ""
    while position + 4 <= size:
        word = int.from_bytes(data[position : position + 4], "big")
        if word not in known:
            known[word] = parse_header(word)
        header = known[word]
        if header is None or (parts and not _continues(parts[-1].header, header)):
            start = position
            position, header = _resync(data, position)
            if header is None:
                break
            if parts and not _is_tag(data[start:position]):
                damage = damage or f"damaged: no MP3 frame at byte {start:,}"
            if not parts or not _continues(parts[-1].header, header):
                parts.append(Part(header))
        if position + header.size > size:
            break
        _add_frame(parts, header, data, position)
        position += header.size
        header = None
    if header is not None or (0 < size - position < 4 and data[position] == 0xFF):
        damage = damage or "cut off"
    return [part for part in parts if part.offsets], damage


def _add_frame(parts: list[Part], header: FrameHeader, data: bytes, position: int) -> None:
    """Add a frame to the last part, or start a part with it if it holds a header."""
    info = _parse_info(header, data, position)
    if info:
        parts.append(info)
        return
    if not parts:
        parts.append(Part(header))
    parts[-1].offsets.append(position)
    parts[-1].sizes.append(header.size)


def _continues(first: FrameHeader, header: FrameHeader) -> bool:
    """Return whether a frame belongs to the same stream as the first frame."""
    return (first.sample_rate, first.layer, first.mpeg) == (
        header.sample_rate,
        header.layer,
        header.mpeg,
    )


def _resync(data: bytes, position: int) -> tuple[int, FrameHeader | None]:
    """Return offset and header of the next frame after a tag or damage, or None at the end."""
    if data.startswith(b"ID3", position) and position + ID3_HEADER_SIZE <= len(data):
        position += id3_size(data, position)
    found = find_frame(data, position)
    if found is None:
        return len(data), None
    return found, parse_header(int.from_bytes(data[found : found + 4], "big"))


def _is_tag(skipped: bytes) -> bool:
    """Return whether bytes between two frames are no lost frames."""
    return skipped.startswith(TAGS) or not skipped.strip(b"\0")


def _is_chain(data: bytes, position: int) -> bool:
    """Return whether frames of one stream follow each other, up to the end of the data."""
    first = None
    for _ in range(CHAIN):
        if position + 4 > len(data):
            return first is not None and position == len(data)
        header = parse_header(int.from_bytes(data[position : position + 4], "big"))
        if header is None or (first and not _continues(first, header)):
            return first is not None and data.startswith(TAGS, position)
        first = first or header
        position += header.size
    return True


def _parse_info(header: FrameHeader, data: bytes, position: int) -> Part | None:
    """Return an empty part if a frame is a Xing, Info, or VBRI header, otherwise None."""
    frame = data[position : position + header.size]
    side = {(1, 1): 17, (1, 2): 32, (2, 1): 9, (2, 2): 17}[header.mpeg, header.channels]
    if header.layer != 3 or len(frame) < 60:
        return None
    if frame[36:40] == b"VBRI":
        return Part(header, declared=struct.unpack_from(">I", frame, 50)[0])
    start = 4 + side
    if frame[start : start + 4] not in (b"Xing", b"Info"):
        return None
    flags = struct.unpack_from(">I", frame, start + 4)[0]
    declared = struct.unpack_from(">I", frame, start + 8)[0] if flags & 1 else 0
    part = Part(header, declared=declared)
    lame = (
        start + 8 + sum(n for bit, n in ((1, 4), (2, 4), (4, 100), (8, 4)) if flags & bit)
    )
    if frame[lame : lame + 4] in (b"LAME", b"Lavf", b"Lavc") and len(frame) >= lame + 24:
        packed = int.from_bytes(frame[lame + 21 : lame + 24], "big")
        delay, padding = packed >> 12, packed & 0xFFF
        part.skip = delay + DECODER_DELAY
        part.padding = max(0, padding - DECODER_DELAY)
    return part
