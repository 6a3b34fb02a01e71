"""Find out from the last frame of a FLAC file whether it is cut off, without decoding it."""

import io
import struct
from typing import BinaryIO

TAIL_SIZE = 1 << 16  # bytes; more than most frames have
FLAC_START = b"fLaC\0\0\0\x22"  # with the header of the first metadata block
STREAM_INFO = slice(8, 42)  # bytes of the first metadata block
_CRC8 = []
for _byte in range(256):
    for _ in range(8):
        _byte = (_byte << 1 ^ (0x07 if _byte & 0x80 else 0)) & 0xFF
    _CRC8.append(_byte)


def count_samples(file: BinaryIO) -> tuple[int, int]:
    """Return the number of samples according to the header and to the last frame, 0 if unknown."""
    info, _, tail = _read_ends(file)
    return _count(info, tail)


def find_second(file: BinaryIO) -> int:
    """Return the byte at which a joined second recording begins, or 0.

    The whole file is read only if its last frame shows that there is one.
    """
    info, start, tail = _read_ends(file)
    declared, actual = _count(info, tail)
    if tail.find(FLAC_START, 0 if start else 1) < 0 and actual in (0, declared):
        return 0
    file.seek(0)
    return max(0, file.read().find(FLAC_START, 1))


def _count(info: bytes, tail: bytes) -> tuple[int, int]:
    if not tail:
        return 0, 0
    total = int.from_bytes(info[13:18], "big") & (1 << 36) - 1
    (block_size,) = struct.unpack_from(">H", info)
    last = 0
    position = tail.rfind(b"\xff")
    while position >= 0:
        end = _frame_end(tail[position : position + 16], block_size)
        if end == total:
            return total, total
        last = last or end  # other bytes can look like a frame
        position = tail.rfind(b"\xff", 0, position)
    return total, last


def _read_ends(file: BinaryIO) -> tuple[bytes, int, bytes]:
    """Return the stream info, and position and bytes of the end of a file with its last frame.

    The bytes are empty if the file has no FLAC header.
    """
    file.seek(0)
    head = file.read(STREAM_INFO.stop)
    info = head[STREAM_INFO]
    if head[:4] != b"fLaC" or len(head) < STREAM_INFO.stop:
        return info, 0, b""  # an ID3 tag, or cut within the header
    longest_frame = int.from_bytes(info[7:10], "big")
    size = file.seek(0, io.SEEK_END)
    start = file.seek(max(0, size - max(TAIL_SIZE, 2 * longest_frame)))
    return info, start, file.read()


def _frame_end(data: bytes, block_size: int) -> int:
    """Return the sample at which a frame ends, 0 if its header is invalid."""
    if len(data) < 6:
        return 0
    if data[1] & 0xFE != 0xF8 or data[3] & 1 or data[2] >> 4 == 0 or data[2] & 15 == 15:
        return 0
    number, position = _read_number(data, 4)
    code = data[2] >> 4
    if number < 0:
        return 0
    size = _block_size(data, position, code)
    position += {6: 1, 7: 2}.get(code, 0) + {12: 1, 13: 2, 14: 2}.get(data[2] & 15, 0)
    crc = 0
    for byte in data[:position]:
        crc = _CRC8[crc ^ byte]
    if position >= len(data) or crc != data[position]:
        return 0
    is_variable = data[1] & 1
    return (number if is_variable else number * block_size) + size


def _block_size(data: bytes, position: int, code: int) -> int:
    """Return the number of samples of a frame by its code."""
    if code == 6:
        return data[position] + 1 if position < len(data) else 0
    if code == 7:
        return int.from_bytes(data[position : position + 2], "big") + 1
    if code == 1:
        return 192
    return 576 << code - 2 if code < 6 else 256 << code - 8


def _read_number(data: bytes, position: int) -> tuple[int, int]:
    """Return a number in FLAC's variant of UTF-8, -1 if invalid, and the position after it."""
    first = data[position]
    if first < 0x80:
        return first, position + 1
    count = 7 - (first ^ 0xFF).bit_length()  # bytes that follow, plus one
    number = first & (1 << 6 - count) - 1 if count < 7 else 0
    for byte in data[position + 1 : position + count + 1]:
        if byte & 0xC0 != 0x80:
            return -1, position
        number = number << 6 | byte & 0x3F
    return (number if count else -1), position + 1 + count
