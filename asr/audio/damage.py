"""Find damage in the middle of a recording, and continue after it at the right time."""

import struct
import zlib
from collections.abc import Generator, Iterable, Iterator
from typing import BinaryIO

import numpy as np

Span = tuple[int, int]  # first sample, and the sample after the last
Timed = tuple[
    int | None, np.ndarray
]  # time in samples if it is known, samples (S, channels)

TOLERANCE = 0.01  # seconds by which the times in a container may be wrong
DELAY = 0.2  # seconds after the start at which a decoder gives its first samples
GUARD = 0.1  # seconds to silence around a gap: decoders need time to notice and to recover
BLOCK = 1 << 16  # zeros to yield at once
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))  # bits of each byte


def merge(spans: Iterable[Span], distance: int = 0) -> list[Span]:
    """Return spans in order, and join those that overlap or are at most `distance` apart."""
    merged: list[Span] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1] + distance:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged


def fill_gaps(
    pieces: Iterable[Timed], start: int, frames: int, sample_rate: int, damaged: list[Span]
) -> Generator[np.ndarray]:
    """Yield samples (S, channels), with zeros for what is missing and for `GUARD` around it.

    Args:
        pieces: Decoded samples with their times.
        start: Time of the first sample.
        frames: Number of samples of the recording.
        sample_rate: Rate in Hz.
        damaged: Receives the spans of zeros.
    """
    guard = round(GUARD * sample_rate)
    held = np.zeros((0, 1), np.float32)  # samples that may still be silenced
    position = muted = 0  # samples so far, and samples to silence after a gap
    for gap, samples in _find_gaps(pieces, start, frames, sample_rate):
        if gap:
            damaged.append((max(0, position - len(held)), position + gap + guard))
            yield from zeros(len(held) + gap, samples.shape[1])
            held, muted = samples[:0], guard
        position += gap + len(samples)
        if muted:
            samples = np.concatenate([np.zeros_like(samples[:muted]), samples[muted:]])
            muted = max(0, muted - len(samples))
        held = np.concatenate([held, samples]) if len(held) else samples
        ready = max(0, len(held) - max(guard, len(samples)))
        yield held[:ready]
        held = held[ready:]
    if position and frames - position > guard:
        start = position - len(held)
        damaged.append((start, frames))
        yield from zeros(frames - start, held.shape[1])
    elif position:
        yield held


def _find_gaps(
    pieces: Iterable[Timed], start: int, frames: int, sample_rate: int
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the number of samples that are missing before each piece, and the piece."""
    tolerance = round(TOLERANCE * sample_rate)
    position, expected = 0, start
    jumped = None  # time after a piece with an implausible time
    for time, samples in pieces:
        gap = 0 if time is None else time - expected
        is_late = gap > tolerance and position + gap >= frames
        if time is not None and (is_late or gap <= -sample_rate):
            # One time is wrong, or the clock has jumped if the time before agrees.
            has_jumped = jumped is not None and abs(time - jumped) <= tolerance
            gap, jumped = 0, time + len(samples)
            time = time if has_jumped else None
        if position and gap < -tolerance:
            # a damaged packet gave more samples than it had
            samples = samples[-gap:]
            time = None
        missing = gap if gap > (tolerance if position else DELAY * sample_rate) else 0
        position += missing + len(samples)
        expected = len(samples) + (expected if time is None else time)
        yield missing, samples


def zeros(count: int, channels: int) -> Iterator[np.ndarray]:
    """Yield zeros (S, channels) in blocks, `count` in all."""
    for start in range(0, count, BLOCK):
        yield np.zeros((min(BLOCK, count - start), channels), np.float32)


def find_damaged_page(file: BinaryIO) -> int:
    """Return the byte in an Ogg file at which an intact page is missing before others, or 0."""
    position = file.seek(0)
    following: dict[bytes, int] = {}  # number of the next page of each stream
    while len(head := file.read(27)) == 27:
        serial, number, checksum = struct.unpack_from("<4sII", head, 14)
        table = file.read(head[26])
        page = head[:22] + bytes(4) + head[26:] + table + file.read(sum(table))
        if number != following.get(serial, number) or checksum != _ogg_checksum(page):
            file.seek(position + 1)
            return position if b"OggS" in file.read() else 0
        following[serial] = number + 1
        position += len(page)
    return 0


def _ogg_checksum(page: bytes) -> int:
    """Return the CRC of a page, which is zlib's with all bits in the other order."""
    value = zlib.crc32(page.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int.from_bytes(value.to_bytes(4, "little").translate(_REVERSED), "big")
