"""Find out from a file's structure whether it is cut off, or several recordings were joined."""

import re
import struct
from collections.abc import Callable
from typing import BinaryIO

from asr.audio.flac import find_second
from asr.audio.sniff import HEAD_SIZE, sniff
from asr.audio.wav_header import parse_wav

_ASF_FILE_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_AMR_SIZES = {  # bytes of a frame by mode
    False: (13, 14, 16, 18, 20, 21, 27, 32, 6, 1, 1, 1, 1, 1, 1, 1),
    True: (18, 24, 33, 37, 41, 47, 51, 59, 61, 6, 1, 1, 1, 1, 1, 1),  # wideband
}
TS_PACKET = 188  # bytes
_OGG_FIRST_PAGE = 2  # flag


def declared_end(kind: str, head: bytes, size: int) -> int:
    """Return the byte at which a file should end according to its header, 0 if unknown.

    libsndfile and FFmpeg take a file that is cut off for a shorter recording.

    Args:
        kind: Format as `sniff` returns it.
        head: First bytes of the file.
        size: Length of the file in bytes.
    """
    read = _READERS.get(kind)
    try:
        return read(head, size) if read else 0
    except (struct.error, IndexError, ValueError):
        return 0  # the header itself is cut off, so no decoder opens the file


def inspect(kind: str, head: bytes, file: BinaryIO, size: int) -> tuple[str, int]:
    """Return why a file is cut off, or "", and the byte at which a second recording begins, or 0.

    The arguments are those of `declared_end`, and the file.
    """
    if kind == "flac":
        return "", find_second(file)
    end = declared_end(kind, head, size)
    if end > size:
        return f"cut off: {size:,} of {end:,} bytes", 0
    if end:
        file.seek(end)
        following = file.read(HEAD_SIZE)
        padding = len(following) - len(following.lstrip(b"\0"))
        same = following[padding : padding + 4] == head[:4]
        joint = end + padding if same and sniff(following[padding:]) == kind else 0
        return "", joint
    check = _CHECKS.get(kind)
    if not check:
        return "", 0
    joint, end = check(file, size)
    if kind == "mov" and end <= 0:
        return "cut off: the mp4 file has no index", 0
    return (f"cut off: {size:,} of {end:,} bytes" if end > size else ""), joint


def _check_ogg(file: BinaryIO, size: int) -> tuple[int, int]:
    """Return where a second recording begins, or 0, and where an Ogg file should end."""
    position = 0
    has_audio = False
    while position < size:
        file.seek(position)
        page = file.read(27 + 255)
        if len(page) < 27 and b"OggS".startswith(page[:4]):
            return 0, size + 27
        if page[:4] != b"OggS" or len(page) < 27:
            break  # other bytes after the last page
        begins = bool(page[5] & _OGG_FIRST_PAGE)
        if begins and has_audio:
            return position, position
        has_audio |= not begins
        segments = page[26]
        position += 27 + segments + sum(page[27 : 27 + segments])
    return 0, position


def _check_mp4(file: BinaryIO, size: int) -> tuple[int, int]:
    """Return where a second mp4 file begins, or 0, and where the last box should end.

    The end is 0 if there is no index.
    """
    position = movies = begin = 0
    while position + 8 <= size:
        file.seek(position)
        head = file.read(16)
        length, name = struct.unpack_from(">I4s", head)
        if not name.strip().isalnum():
            break  # other bytes after the last box
        if length == 1 and len(head) == 16:
            (length,) = struct.unpack_from(">Q", head, 8)
        elif length == 0:
            length = size - position
        if name == b"ftyp":
            begin = position
        if name == b"moov" and movies and begin:
            return begin, begin
        movies += name == b"moov"
        position += max(8, length)
    return 0, position if movies else 0


def _check_amr(file: BinaryIO, size: int) -> tuple[int, int]:
    """Return where a second AMR file begins, or 0, and where the last frame should end."""
    file.seek(0)
    data = file.read()
    sizes = _AMR_SIZES[data.startswith(b"#!AMR-WB")]
    position = data.find(b"\n") + 1
    while position < size:
        if data.startswith(b"#!AMR", position):
            return position, position
        position += sizes[data[position] >> 3 & 15]
    return 0, position


def _check_adts(file: BinaryIO, size: int) -> tuple[int, int]:
    """Return 0 and where the last frame of AAC without a container should end."""
    file.seek(0)
    data = file.read()
    position = 0
    while position < size and data[position] == 0xFF:
        length = int.from_bytes(data[position + 3 : position + 6], "big") >> 5 & 0x1FFF
        position += max(7, length)
    return 0, position


def _check_flv(file: BinaryIO, size: int) -> tuple[int, int]:
    """Return where a second Flash video begins, or 0, and where the last tag should end."""
    position = 9 + 4  # the header and a number
    while position < size:
        file.seek(position)
        head = file.read(11)
        if head.startswith(b"FLV\x01"):
            return position, position
        position += 11 + int.from_bytes(head[1:4], "big") + 4
    return 0, position


def _wav_end(head: bytes, size: int) -> int:
    return parse_wav(head, size).end


def _riff_end(head: bytes, _: int) -> int:
    return 8 + int(struct.unpack_from("<I", head, 4)[0])


def _aiff_end(head: bytes, _: int) -> int:
    (size,) = struct.unpack_from(">I", head, 4)
    return 0 if size >= 0x7FFF0000 else 8 + int(size)


def _au_end(head: bytes, _: int) -> int:
    start, size = struct.unpack_from(">II", head, 4)
    return 0 if size >= 0x7FFF0000 else int(start + size)


def _w64_end(head: bytes, _: int) -> int:
    (size,) = struct.unpack_from("<Q", head, 16)
    return 0 if size >= 1 << 62 else int(size)


def _caf_end(head: bytes, _: int) -> int:
    position = 8
    while position + 12 <= len(head):
        name, size = struct.unpack_from(">4sq", head, position)
        position += 12
        if size < 0:
            return 0
        if name == b"data":
            return position + int(size)
        position += size
    return 0


def _nist_end(head: bytes, _: int) -> int:
    text = head[: int(head[8:16])].decode("latin-1")
    if re.search(r"^sample_coding .*(shorten|embedded)", text, re.MULTILINE):
        return 0
    end = int(head[8:16])
    product = 1
    for name in ("sample_count", "channel_count", "sample_n_bytes"):
        match = re.search(rf"^{name} -i (\d+)", text, re.MULTILINE)
        product *= int(match[1]) if match else 0
    return end + product


def _asf_end(head: bytes, _: int) -> int:
    start = head.index(_ASF_FILE_PROPERTIES)
    size, flags = struct.unpack_from("<Q40xI", head, start + 40)
    return 0 if flags & 1 else int(size)  # flag: live stream


def _matroska_end(head: bytes, _: int) -> int:
    size, position = _ebml_size(head, 4)
    position += size
    if head[position : position + 4] != bytes.fromhex("18538067"):  # Segment
        return 0
    size, position = _ebml_size(head, position + 4)
    return position + size if size >= 0 else 0


def _ebml_size(head: bytes, position: int) -> tuple[int, int]:
    """Return a size, -1 if unknown, and the position after it."""
    length = 9 - head[position].bit_length()
    value = int.from_bytes(head[position : position + length], "big")
    value &= (1 << 7 * length) - 1
    return -1 if value == (1 << 7 * length) - 1 else value, position + length


def _mpegts_end(_: bytes, size: int) -> int:
    return -(-size // TS_PACKET) * TS_PACKET


_READERS: dict[str, Callable[[bytes, int], int]] = {
    "wav": _wav_end,
    "avi": _riff_end,
    "aiff": _aiff_end,
    "au": _au_end,
    "w64": _w64_end,
    "caf": _caf_end,
    "nist": _nist_end,
    "asf": _asf_end,
    "matroska": _matroska_end,
    "mpegts": _mpegts_end,
}
_CHECKS: dict[str, Callable[[BinaryIO, int], tuple[int, int]]] = {
    "ogg": _check_ogg,
    "mov": _check_mp4,
    "amr": _check_amr,
    "aac": _check_adts,
    "flv": _check_flv,
}
