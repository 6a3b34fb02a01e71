"""Divide a stream of audio into regions of speech at its pauses.

A pause is at least a second of 20 ms frames that are either close to the noise floor or far below
the loudest speech, in two bands. The rest is speech. Without a clear contrast between noise and
speech, everything counts as speech, because the network emits nothing for noise and a lost word is
worse than lost time.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from asr.audio.io import SAMPLE_RATE

HOP = SAMPLE_RATE // 50  # samples in each measurement of the level
MIN_PAUSE = 1.0  # seconds
PADDING = 0.3  # seconds of a pause that stay with the speech before and after it
HISTORY = 30.0  # seconds in which the noise floor is measured
NOISE_QUANTILE, SPEECH_QUANTILE = 0.1, 0.98  # quantiles of the levels in the history
NOISE_RANGE = 6.0  # dB above the floor that noise reaches
MIN_CONTRAST = 15.0  # dB between the floor and speech
SPEECH_RANGE = 50.0  # dB below the loudest speech at which nothing is intelligible
SILENCE = -100.0  # dB relative to full scale, the lowest level
PRE_EMPHASIS = 0.97  # makes hum and rumble quieter, and consonants louder
LOW_FACTOR = 8  # samples in a mean, which keeps the frequencies of vowels, up to 1 kHz
MAX_SECONDS = 300.0  # of a region
CUT_HOPS = 8  # a long region is divided in the middle of a quiet stretch of this length


class Piece(NamedTuple):
    """Consecutive samples (S,) of a region, from sample `start` of the stream.

    `is_last` ends the region. A piece may be empty.
    """

    start: int
    samples: np.ndarray
    is_last: bool


def split_at_pauses(
    blocks: Iterable[np.ndarray], *, max_seconds: float = MAX_SECONDS
) -> Iterator[Piece]:
    """Yield the regions of speech in blocks (S,) of audio at 16 kHz, in pieces.

    The latency is that of the blocks plus 1 s. A region without pauses is divided at a quiet
    position before it is longer than `max_seconds`.
    """
    splitter = _Splitter(round(max_seconds * SAMPLE_RATE / HOP))
    for block in blocks:
        yield from splitter.push(block)
    yield from splitter.finish()


class _Splitter:
    """State of `split_at_pauses`. Positions are in hops of 20 ms unless they are called samples."""

    def __init__(self, max_hops: int) -> None:
        self._max_hops = max_hops
        self._levels: deque[np.ndarray] = deque(maxlen=round(HISTORY * SAMPLE_RATE / HOP))
        # means over `CUT_HOPS` hops since the start of the open region
        self._region_levels: list[float] = []
        self._quietest: list[float] = []  # the same of its first half, sorted
        self._recent: deque[float] = deque(maxlen=CUT_HOPS)
        self._speech_levels = np.full(2, SILENCE)
        self._samples = np.zeros(0, np.float32)  # that are not yielded or dropped
        self._first = 0  # position of the first of them
        self._position = 0  # end of the measured hops
        self._quiet_since: int | None = None
        self._is_open = False
        self._start = 0  # start of the open region
        self._end = 0  # end of the last region
        self._previous = np.float32(0)  # last sample, for pre-emphasis

    def push(self, block: np.ndarray) -> Iterator[Piece]:
        self._samples = np.concatenate([self._samples, block])
        levels = self._measure()
        self._levels.extend(levels)
        quiet = np.all(levels <= self._thresholds(len(levels)), axis=1)
        for level, is_quiet in zip(
            levels.mean(axis=1).tolist(), quiet.tolist(), strict=True
        ):
            yield from self._advance(level, is_quiet)
        if self._is_open:
            yield from self._take(self._limit(), is_last=False)
        else:  # keep what may belong to the next region
            self._drop(max(self._end, self._position - _hops(MIN_PAUSE)))

    def finish(self) -> Iterator[Piece]:
        """Yield the rest, with the samples after the last complete hop."""
        if not self._is_open and self._position - self._end < _hops(MIN_PAUSE):
            self._open(self._end)
        if self._is_open and (len(self._samples) or self._first > self._start):
            yield Piece(self._first * HOP, self._samples, is_last=True)

    def _measure(self) -> np.ndarray:
        """Return the levels (hops, 2) of the new hops in dB relative to full scale.

        Vowels stand out from noise in the lower band, and consonants in the upper one.
        """
        begin = (self._position - self._first) * HOP
        count = (len(self._samples) - begin) // HOP
        samples = self._samples[begin : begin + count * HOP]
        if not count:
            return np.zeros((0, 2))
        high = samples - np.float32(PRE_EMPHASIS) * np.append(self._previous, samples[:-1])
        self._previous = samples[-1]
        # products of matrices are several times as fast as means of short rows
        average = np.full(LOW_FACTOR, 1 / LOW_FACTOR, np.float32)
        low = samples.reshape(-1, LOW_FACTOR) @ average
        rows = (band.reshape(count, -1) for band in (low, high))
        bands = [np.einsum("ij,ij->i", row, row) / row.shape[1] for row in rows]
        return np.maximum(SILENCE, 10 * np.log10(np.stack(bands, axis=1) + 1e-12))

    def _thresholds(self, hops: int) -> np.ndarray:
        """Return the level of each band (2,) in dB up to which each of some new hops is quiet.

        The level of speech falls by `NOISE_RANGE` in the time of the history.
        """
        if not self._levels:
            return np.full(2, SILENCE)
        quantiles = [NOISE_QUANTILE, SPEECH_QUANTILE]
        floor, speech = np.quantile(np.array(self._levels), quantiles, axis=0)
        if (speech - floor).max() >= MIN_CONTRAST:
            decay = NOISE_RANGE * hops * HOP / SAMPLE_RATE / HISTORY
            self._speech_levels = np.maximum(speech, self._speech_levels - decay)
        if (self._speech_levels - floor).max() < MIN_CONTRAST:
            return np.full(2, SILENCE)
        return np.maximum(floor + NOISE_RANGE, self._speech_levels - SPEECH_RANGE)

    def _advance(self, level: float, is_quiet: bool) -> Iterator[Piece]:
        """Open or close a region after the next hop."""
        if not is_quiet:
            self._quiet_since = None
            if not self._is_open:
                gap = self._position - self._end
                long = gap >= _hops(MIN_PAUSE)
                self._open(self._position - _hops(PADDING) if long else self._end)
        elif self._quiet_since is None:
            self._quiet_since = self._position
        self._position += 1
        if not self._is_open:
            return
        quiet_since = self._position if self._quiet_since is None else self._quiet_since
        if self._position - quiet_since >= _hops(MIN_PAUSE):
            yield from self._close(quiet_since + _hops(PADDING))
        elif self._is_cut(level):
            yield from self._close(self._position - CUT_HOPS // 2)
            self._open(self._end)

    def _open(self, position: int) -> None:
        self._drop(position)
        self._start = position
        self._is_open = True
        self._region_levels.clear()

    def _close(self, position: int) -> Iterator[Piece]:
        position = max(position, self._first)
        if position > self._start:
            yield from self._take(position, is_last=True)
        self._is_open = False
        self._end = position

    def _is_cut(self, level: float) -> bool:
        """Return whether to divide the region before it becomes too long.

        The level up to which a position counts as quiet rises in the second half of the region.
        """
        self._recent.append(level)
        self._region_levels.append(sum(self._recent) / len(self._recent))
        half = self._max_hops // 2
        excess = len(self._region_levels) - half
        if excess < 0:
            return False
        if excess == 0:
            self._quietest = sorted(self._region_levels)
        progress = min(1.0, excess / (half - CUT_HOPS))
        threshold = self._quietest[round(progress**8 * (half - 1))]
        return progress == 1 or self._region_levels[-1] <= threshold

    def _limit(self) -> int:
        """Return the position up to which the samples surely belong to the open region."""
        limit = self._position - CUT_HOPS // 2
        if self._quiet_since is not None:
            limit = min(limit, self._quiet_since + _hops(PADDING))
        return limit

    def _take(self, position: int, *, is_last: bool) -> Iterator[Piece]:
        count = max(0, position - self._first) * HOP
        if count or is_last:
            yield Piece(self._first * HOP, self._samples[:count], is_last)
            self._drop(position)

    def _drop(self, position: int) -> None:
        count = max(0, position - self._first)
        self._samples = self._samples[count * HOP :]
        self._first += count


def _hops(seconds: float) -> int:
    return round(seconds * SAMPLE_RATE / HOP)
