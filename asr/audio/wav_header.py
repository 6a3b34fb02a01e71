"""Read the header of a WAV file: its codec, and where its samples end."""

import struct
from dataclasses import dataclass

PCM, FLOAT, ALAW, ULAW, EXTENSIBLE = 1, 3, 6, 7, 0xFFFE
# Programs that write to a pipe cannot enter the length. They leave 0 or about 2 or 4 GiB.
_PLACEHOLDERS = (range(1), range(0x7FFF0000, 0x80010000), range(0xFFFF0000, 0x100000000))
_SIZES_64_BIT = 0xFFFFFFFF  # in RF64, the chunk ds64 has the length


@dataclass(frozen=True)
class WavHeader:
    """The header of a WAV file.

    Attributes:
        codec: Format tag, such as PCM.
        start: First byte of the samples, 0 if the header has no data chunk.
        size: Declared length of the samples in bytes.
        is_stream: Whether the length is a placeholder that means "until the end".
    """

    codec: int = 0
    start: int = 0
    size: int = 0
    is_stream: bool = False

    @property
    def end(self) -> int:
        """Byte at which the samples should end, 0 if unknown."""
        return 0 if self.is_stream else self.start + self.size


def parse_wav(head: bytes, file_size: int) -> WavHeader:
    """Return the header of a file that starts with `head` and has `file_size` bytes."""
    order = ">" if head[:4] == b"RIFX" else "<"
    codec, size_64_bit = 0, 0
    position = 12
    while position + 8 <= len(head):
        name, size = struct.unpack_from(f"{order}4sI", head, position)
        position += 8
        if name == b"ds64" and position + 16 <= len(head):
            size_64_bit = struct.unpack_from(f"{order}Q", head, position + 8)[0]
        elif name == b"fmt " and position + 26 <= len(head):
            (codec,) = struct.unpack_from(f"{order}H", head, position)
            if codec == EXTENSIBLE:
                (codec,) = struct.unpack_from(f"{order}H", head, position + 24)
        elif name == b"data":
            if size_64_bit and size == _SIZES_64_BIT:
                return WavHeader(codec, position, size_64_bit)
            is_stream = any(size in sizes for sizes in _PLACEHOLDERS)
            if size == 0 and _is_chunk_list(head, position, file_size):
                is_stream = False  # a recording without samples, followed by other chunks
            return WavHeader(codec, position, size, is_stream)
        position += size + size % 2
    return WavHeader(codec)


def _is_chunk_list(head: bytes, position: int, file_size: int) -> bool:
    """Return whether the rest of a file consists of complete chunks, or is empty."""
    while position + 8 <= len(head):
        name, size = struct.unpack_from("<4sI", head, position)
        if not name.strip().isalnum():
            return False
        position += 8 + size + size % 2
    return position == file_size
