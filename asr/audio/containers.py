"""Recognize a format by its first bytes, and find where a recording ends.

libsndfile and FFmpeg take a file that is cut off for a shorter recording, and read only the first
of joined recordings. `tests/audio/test_audio_formats.py` fails for a format without its entry here.
"""

import io
import re
import struct
import sys
from collections.abc import Callable
from math import prod
from mmap import ACCESS_READ, mmap
from typing import BinaryIO

from asr.audio.mp3 import find_frame, skip_tags

HEAD_SIZE = 1 << 16  # bytes; enough for the header chunks of a WAV file

_SIGNATURES = {  # how files of a format begin; the formats have FFmpeg's names
    "wav": rb"(RIFF|RIFX|RF64|BW64)....WAVE",
    "avi": rb"RIFF....AVI ",
    "aiff": rb"FORM....AIF[FC]",
    "mov": rb"....(ftyp|moov|mdat|free|skip|wide|pnot)",
    "flac": rb"fLaC",
    "ogg": rb"OggS",
    "caf": rb"caff",
    "au": rb"\.snd",
    "nistsphere": rb"NIST",
    "asf": re.escape(bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")),
    "matroska": re.escape(bytes.fromhex("1a45dfa3")),
    "w64": re.escape(bytes.fromhex("726966662e91cf11a5d628db04c10000")),
    "amr": rb"#!AMR",
    "flv": rb"FLV\x01",
    "wv": rb"wvpk",
    "tta": rb"TTA1",
    "ape": rb"MAC ",
    "ac3": rb"\x0b\x77",
    "mpeg": rb"\x00\x00\x01\xba",
    "voc": rb"Creative Voice File",
    "mpegts": rb"G.{187}G.{187}G",
}
_ASF_FILE_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_MATROSKA_SEGMENT = bytes.fromhex("18538067")
_AMR_SIZES = (13, 14, 16, 18, 20, 21, 27, 32, 6)  # bytes of a frame by mode
_AMR_WIDE_SIZES = (18, 24, 33, 37, 41, 47, 51, 59, 61, 6)
_UNIT_HEAD = 27 + 255  # bytes; the longest header of a unit, that of an Ogg page
_FLAC_START = re.compile(rb"fLaC[\0\x80]\0\0\x22")  # with the header of the first block
# codes of block sizes in samples; other sizes follow the number of the frame
FLAC_SIZES = {
    192: 1,
    **{576 << i: 2 + i for i in range(4)},
    **{256 << i: 8 + i for i in range(8)},
}
_FLAC_TAIL = 1 << 16  # bytes; more than most frames have
# Programs that write to a pipe cannot enter the length. They leave 0 or about 2 or 4 GiB.
_PLACEHOLDERS = (range(1), range(0x7FFF0000, 0x80010000), range(0xFFFF0000, 0x100000000))
_SIZES_64_BIT = 0xFFFFFFFF  # in RF64, the chunk ds64 has the length


def sniff(head: bytes) -> str:
    """Return FFmpeg's name of the format of a file that starts with `head`, or "" if unknown.

    FFmpeg's own search is not used, because it also accepts playlists that name other files.
    """
    for name, signature in _SIGNATURES.items():
        if re.match(signature, head, re.DOTALL):
            return name
    return _sniff_stream(head)


def _sniff_stream(head: bytes) -> str:
    """Recognize a stream of frames, which may follow an ID3 tag."""
    start = skip_tags(head, 0)
    if start >= len(head):
        return "mp3" if start else ""  # a large tag with a picture
    if head.startswith(b"fLaC", start):
        return "flac"
    if head[start] == 0xFF and start + 1 < len(head) and head[start + 1] & 0xF6 == 0xF0:
        return "aac"
    return "mp3" if start or find_frame(head, start) >= 0 else ""


def inspect(kind: str, head: bytes, file: BinaryIO, size: int) -> tuple[str, int]:
    """Return why a file is cut off, or "", and the byte at which a second recording begins, or 0.

    Args:
        kind: Format as `sniff` returns it.
        head: First bytes of the file.
        file: The file.
        size: Length of the file in bytes.
    """
    if kind == "flac":
        return "", find_second_flac(file)
    if kind in _UNITS:
        end, joint = _walk(kind, head, file, size)
    else:
        end = _declared_end(kind, head, size)
        joint = _find_second(kind, head, file, end) if 0 < end < size else 0
    return (f"cut off: {size:,} of {end:,} bytes" if end > size else ""), joint


def parse_wav(head: bytes, size: int) -> tuple[int, bool]:
    """Return the byte at which the samples of a WAV file should end, 0 if unknown.

    Also return whether its length is a placeholder that means "until the end".
    """
    order = ">" if head[:4] == b"RIFX" else "<"
    size_64_bit = 0
    position = 12
    while position + 8 <= len(head):
        name, length = struct.unpack_from(f"{order}4sI", head, position)
        position += 8
        if name == b"ds64" and position + 16 <= len(head):
            (size_64_bit,) = struct.unpack_from(f"{order}Q", head, position + 8)
        elif name == b"data":
            if size_64_bit and length == _SIZES_64_BIT:
                return position + size_64_bit, False
            is_stream = any(length in lengths for lengths in _PLACEHOLDERS)
            if length == 0 and _is_chunk_list(head, position, size):
                is_stream = False  # a recording without samples, followed by other chunks
            return (0 if is_stream else position + length), is_stream
        position += length + length % 2
    return 0, False


def _is_chunk_list(head: bytes, position: int, size: int) -> bool:
    """Return whether the rest of a WAV file consists of complete chunks, or is empty."""
    while position + 8 <= len(head):
        name, length = struct.unpack_from("<4sI", head, position)
        if not name.strip().isalnum():
            return False
        position += 8 + length + length % 2
    return position == size


def find_second_flac(file: BinaryIO, *, search_all: bool = False) -> int:
    """Return the byte at which a joined second FLAC recording begins, or 0.

    Unless `search_all`, the whole file is only read if the last frame of the first recording is not
    at the end of the file. So a second recording of the same length is not found.
    """
    file.seek(0)
    first = skip_tags(file.read(HEAD_SIZE), 0)
    file.seek(first)
    head = file.read(42)
    if not _FLAC_START.match(head) or len(head) < 42:
        return 0  # cut within the header
    (block_size,) = struct.unpack_from(">H", head, 8)
    longest_frame = int.from_bytes(head[15:18], "big")
    total = int.from_bytes(head[21:26], "big") & (1 << 36) - 1
    tail_size = max(_FLAC_TAIL, 2 * longest_frame)
    start = max(first + 4, file.seek(0, io.SEEK_END) - tail_size)
    file.seek(start)
    tail = file.read()
    is_complete = re.search(_last_flac_frame(total, max(1, block_size)), tail, re.DOTALL)
    if is_complete and not _FLAC_START.search(tail) and not search_all:
        return 0
    data = (
        file.getvalue()
        if isinstance(file, io.BytesIO)
        else mmap(file.fileno(), 0, access=ACCESS_READ)
    )
    second = _FLAC_START.search(data, first + 4)
    return second.start() if second else 0


def _last_flac_frame(total: int, block_size: int) -> bytes:
    """Return a pattern of the header of the last frame, with its number and its size."""
    number = max(0, total - 1) // block_size
    size = max(1, total - number * block_size)
    code = FLAC_SIZES.get(size, 6 if size <= 1 << 8 else 7)
    # Up to this number, FLAC's variant of UTF-8 is Unicode's.
    coded = chr(min(number, sys.maxunicode)).encode("utf-8", "surrogatepass")
    coded += (size - 1).to_bytes(code - 5, "big") if code in (6, 7) else b""
    codes = b"[\\x%x0-\\x%xf]" % (code, code)
    return rb"\xff\xf8" + codes + b"." + re.escape(coded)


def _find_second(kind: str, head: bytes, file: BinaryIO, end: int) -> int:
    """Return the byte at which a second recording begins after the first, or 0.

    Zeros are skipped, and also the chunks after the samples of a WAV file.
    """
    order = ">" if head[:4] == b"RIFX" else "<"
    while True:
        file.seek(end)
        following = file.read(HEAD_SIZE)
        second = following.lstrip(b"\0")
        end += len(following) - len(second)
        if second[:4] == head[:4] and sniff(second) == kind:
            return end
        if kind != "wav" or not re.match(rb"[ -~]{4}.{4}", second, re.DOTALL):
            return 0
        end += 8 + int(struct.unpack_from(f"{order}4xI", second)[0])


def _walk(kind: str, head: bytes, file: BinaryIO, size: int) -> tuple[int, int]:
    """Go through the units of a file: its pages, boxes, frames, or tags.

    Returns:
        The byte at which the last unit should end, and that of a second recording, or 0.
    """
    beginning, get_length = _UNITS[kind]
    position = 0
    has_content = False
    while position < size:
        file.seek(position)
        unit = file.read(_UNIT_HEAD)
        begins = beginning.match(unit) is not None
        if begins and has_content:
            return position, position
        has_content |= not begins
        try:
            length = get_length(unit, head)
        except (struct.error, IndexError, ValueError):
            return size + 1, 0  # cut off within the header of a unit
        if not length:
            break  # other bytes after the last unit
        position += length
    return position, 0


def _ogg_page(unit: bytes, _: bytes) -> int:
    if not b"OggS".startswith(unit[:4]):
        return 0
    return 27 + unit[26] + sum(unit[27 : 27 + unit[26]])


def _mp4_box(unit: bytes, _: bytes) -> int:
    length, name = struct.unpack_from(">I4s", unit.ljust(8))
    if not name.strip().isalnum() or length == 0:  # 0: the last box, up to the end
        return 0
    if length == 1:
        (length,) = struct.unpack_from(">Q", unit, 8)
    return max(8, int(length))


def _amr_frame(unit: bytes, head: bytes) -> int:
    if unit.startswith(b"#!AMR"):
        return unit.index(b"\n") + 1
    sizes = _AMR_WIDE_SIZES if head.startswith(b"#!AMR-WB") else _AMR_SIZES
    mode = unit[0] >> 3 & 15
    return sizes[mode] if mode < len(sizes) else 1


def _adts_frame(unit: bytes, _: bytes) -> int:
    if unit[0] != 0xFF:
        return 0
    return max(7, int.from_bytes(unit[3:6], "big") >> 5 & 0x1FFF)


def _flv_tag(unit: bytes, _: bytes) -> int:
    if unit.startswith(b"FLV\x01"):
        return 9 + 4  # the header and a number
    return 11 + int.from_bytes(unit[1:4], "big") + 4


# How a recording begins, and the length of a unit by its first bytes and the file's.
_UNITS: dict[str, tuple[re.Pattern[bytes], Callable[[bytes, bytes], int]]] = {
    "ogg": (re.compile(rb"OggS.[\x02\x03\x06\x07]", re.DOTALL), _ogg_page),
    "mov": (re.compile(rb"....ftyp", re.DOTALL), _mp4_box),
    "amr": (re.compile(rb"#!AMR"), _amr_frame),
    "aac": (re.compile(rb"(?!)"), _adts_frame),  # joined streams are one stream
    "flv": (re.compile(rb"FLV\x01"), _flv_tag),
}


def _declared_end(kind: str, head: bytes, size: int) -> int:
    """Return the byte at which a file should end according to its header, 0 if unknown."""
    try:
        if kind in _SIZES:
            form, position, start = _SIZES[kind]
            (length,) = struct.unpack_from(form, head, position)
            is_unknown = length >= (1 << 62 if form == "<Q" else 0x7FFF0000)
            return 0 if is_unknown else start + int(length)
        read = _READERS.get(kind)
        return read(head, size) if read else 0
    except (struct.error, IndexError, ValueError):
        return 0  # the header itself is cut off, so no decoder opens the file


def _au_end(head: bytes, _: int) -> int:
    start, length = struct.unpack_from(">II", head, 4)
    return 0 if length >= 0x7FFF0000 else int(start + length)


def _caf_end(head: bytes, _: int) -> int:
    position = 8
    while position + 12 <= len(head):
        name, length = struct.unpack_from(">4sq", head, position)
        position += 12
        if length < 0:
            return 0
        if name == b"data":
            return position + int(length)
        position += length
    return 0


def _nist_end(head: bytes, _: int) -> int:
    end = int(head[8:16])
    text = head[:end].decode("latin-1")
    if re.search(r"^sample_coding .*(shorten|embedded)", text, re.MULTILINE):
        return 0
    names = ("sample_count", "channel_count", "sample_n_bytes")
    matches = [re.search(rf"^{name} -i (\d+)", text, re.MULTILINE) for name in names]
    return end + prod(int(match[1]) if match else 0 for match in matches)


def _asf_end(head: bytes, _: int) -> int:
    start = head.index(_ASF_FILE_PROPERTIES)
    length, flags = struct.unpack_from("<Q40xI", head, start + 40)
    return 0 if flags & 1 else int(length)  # flag: live stream


def _matroska_end(head: bytes, _: int) -> int:
    length, position = _ebml_size(head, 4)
    position += length
    if head[position : position + 4] != _MATROSKA_SEGMENT:
        return 0
    length, position = _ebml_size(head, position + 4)
    return position + length if length >= 0 else 0


def _ebml_size(head: bytes, position: int) -> tuple[int, int]:
    """Return a size, -1 if unknown, and the position after it."""
    count = 9 - head[position].bit_length()
    unknown = (1 << 7 * count) - 1
    value = int.from_bytes(head[position : position + count], "big") & unknown
    return -1 if value == unknown else value, position + count


# Format and position of the length in a header, and the byte from which it counts.
_SIZES = {"avi": ("<I", 4, 8), "aiff": (">I", 4, 8), "w64": ("<Q", 16, 0)}
_READERS: dict[str, Callable[[bytes, int], int]] = {
    "wav": lambda head, size: parse_wav(head, size)[0],
    "au": _au_end,
    "caf": _caf_end,
    "nistsphere": _nist_end,
    "asf": _asf_end,
    "matroska": _matroska_end,
    "mpegts": lambda _, size: -(-size // 188) * 188,  # bytes of a packet
}
