"""Load recordings of any common format, sample rate, and number of channels as waveforms."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import soxr

from asr.audio.channels import Channel, select_channel
from asr.audio.decoders import open_reader
from asr.audio.remote import ByteRange, read_ranges
from asr.errors import AudioError

SAMPLE_RATE = 16_000  # Hz; the rate of loaded waveforms
ROUNDING = 0.05  # seconds by which a manifest may overstate a duration
MAX_SAMPLE = 1e10  # far above 2**31, which some programs take for full scale
CLOCK_ERROR = 0.1  # seconds by which the end in a container may be wrong

Source = str | Path | bytes | ByteRange
OnTruncated = Literal["error", "warn"]

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class AudioInfo:
    """Duration in seconds, sample rate in Hz, and number of channels of a recording."""

    duration: float
    sample_rate: int
    channels: int


def info(
    source: Source, *, name: str | None = None, on_truncated: OnTruncated = "error"
) -> AudioInfo:
    """Return duration, sample rate, and channels of a recording, without decoding samples.

    The duration comes from the header, or from reading all packets if the header may lack it.

    Args:
        source: Path, byte range of a shard, or content of a file.
        name: Name of the recording in messages.
        on_truncated: Whether a recording that is cut off is an error, or only logs a warning.

    Raises:
        AudioError: If the recording cannot be opened or its header is invalid.
    """
    with Recording(source, name=name, on_truncated=on_truncated) as recording:
        recording.check_end()
        return recording.info


def load(
    source: Source,
    *,
    offset: float = 0.0,
    duration: float | None = None,
    sample_rate: int = SAMPLE_RATE,
    channel: Channel = "mix",
    name: str | None = None,
    on_truncated: OnTruncated = "error",
) -> np.ndarray:
    """Return a recording or a part of it as a mono float32 waveform (S,) in -1..1.

    Formats without exact positions are decoded from the start. To read many parts of one
    recording in order, use `Recording`.

    Args:
        source: Path, byte range of a shard, or content of a file.
        offset: Start in seconds.
        duration: Length in seconds. None loads up to the end.
        sample_rate: Rate of the returned waveform in Hz.
        channel: "mix" for the mean of all channels, or the number of a channel from 1.
        name: Name of the recording in messages.
        on_truncated: Whether a recording that is cut off is an error, or only logs a warning.

    Raises:
        AudioError: If the recording is missing, empty, cut off, shorter than requested, or in an
            unknown format, or if it contains NaN or infinite samples.
    """
    with Recording(source, name=name, on_truncated=on_truncated) as recording:
        return recording.load(
            offset=offset, duration=duration, sample_rate=sample_rate, channel=channel
        )


class Recording:
    """An open recording. Use it in a `with` statement."""

    def __init__(
        self,
        source: Source,
        *,
        name: str | None = None,
        on_truncated: OnTruncated = "error",
    ) -> None:
        """Open a recording. The arguments are those of `load`.

        Raises:
            AudioError: If the recording cannot be opened or its header is invalid.
        """
        self.name = name or ("standard input" if isinstance(source, bytes) else str(source))
        self._on_truncated = on_truncated
        self._warnings: set[str] = set()
        if isinstance(source, ByteRange):
            (content,) = read_ranges([source])
            if isinstance(content, AudioError):
                raise content
            source = content
        with self._named():
            self._reader = open_reader(Path(source) if isinstance(source, str) else source)
        try:
            if on_truncated == "warn" or self._reader.damage:
                self.check_end()
        except AudioError:
            self._reader.close()
            raise

    def __enter__(self) -> "Recording":
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.close()

    @property
    def info(self) -> AudioInfo:
        """Duration, sample rate, and channels."""
        rate = self._reader.sample_rate
        return AudioInfo(self._reader.frames / rate, rate, self._reader.channels)

    @property
    def channels(self) -> int:
        """Number of channels."""
        return self._reader.channels

    def load(
        self,
        *,
        offset: float = 0.0,
        duration: float | None = None,
        sample_rate: int = SAMPLE_RATE,
        channel: Channel = "mix",
    ) -> np.ndarray:
        """Return the recording or a part of it as a mono float32 waveform (S,) in -1..1.

        The arguments are those of the function `load`.

        Raises:
            AudioError: If the part is not available or contains NaN or infinite samples.
        """
        first, count = self._find_range(offset, duration)
        waveform = self._load(first, count, channel, to_end=duration is None)
        return resample(waveform, self._reader.sample_rate, sample_rate)

    def blocks(
        self,
        seconds: float,
        *,
        offset: float = 0.0,
        duration: float | None = None,
        channel: Channel = "mix",
    ) -> Iterator[np.ndarray]:
        """Yield the waveform (S,) of `load` at 16 kHz in consecutive blocks of some seconds.

        Raises:
            AudioError: If the part is not available or contains NaN or infinite samples.
        """
        rate = self._reader.sample_rate
        first, count = self._find_range(offset, duration)
        size = max(1, round(seconds * rate))
        stream = soxr.ResampleStream(rate, SAMPLE_RATE, 1)
        for begin in range(first, first + count, size):
            remaining = first + count - begin
            is_last = remaining <= size
            to_end = is_last and duration is None
            waveform = self._load(begin, min(size, remaining), channel, to_end=to_end)
            if rate != SAMPLE_RATE:
                waveform = stream.resample_chunk(waveform, last=is_last)
            yield waveform

    def _find_range(self, offset: float, duration: float | None) -> tuple[int, int]:
        """Return the first sample and the number of samples of a part."""
        reader = self._reader
        rate = reader.sample_rate
        first = round(max(0.0, offset) * rate)
        available = reader.frames - first
        wanted = available if duration is None else round(duration * rate)
        if available <= 0 or wanted - available > ROUNDING * rate:
            part = f"{first / rate:.2f} s to {(first + wanted) / rate:.2f} s"
            end = f"it ends at {reader.frames / rate:.2f} s"
            raise AudioError(f"{self.name}: cannot load {part}, because {end}")
        return first, min(wanted, available)

    def _load(
        self, first: int, count: int, channel: Channel, *, to_end: bool
    ) -> np.ndarray:
        """Return samples of a channel (S,) at the rate of the file."""
        samples = self._read(first, count, to_end)  # (S, channels)
        with self._named():
            waveform = select_channel(samples, channel, self._warn)
        valid = np.abs(waveform) < MAX_SAMPLE  # False for NaN
        if not valid.all():
            position = valid.argmin()
            kind = "implausible" if np.isfinite(waveform[position]) else "NaN or infinite"
            second = (first + position) / self._reader.sample_rate
            reason = f"{kind} sample at {second:.2f} s. Export it again."
            raise AudioError(f"{self.name}: {reason}")
        return waveform

    def _read(self, first: int, wanted: int, to_end: bool) -> np.ndarray:
        """Return samples (S, channels) at the rate of the file."""
        reader = self._reader
        rate = reader.sample_rate
        tolerance = 0 if reader.is_exact else round(CLOCK_ERROR * rate)
        with self._named():
            samples = reader.read(first, wanted + (tolerance if to_end else 0))
        is_short = len(samples) < wanted - tolerance
        if is_short or reader.damage:
            seconds = (first + len(samples)) / rate
            self._report(reader.damage or f"cut off at {seconds:.2f} s")
            if first == len(samples) == 0:
                raise AudioError(f"{self.name}: no part can be decoded. Get another copy.")
        if is_short and (not to_end or not len(samples)):
            # The other windows of a long recording keep their times.
            samples = np.pad(samples, ((0, wanted - len(samples)), (0, 0)))
        return samples

    def check_end(self) -> None:
        """Report a recording whose end is missing.

        Raises:
            AudioError: If the recording is cut off, unless this is only a warning.
        """
        self._reader.check_end()
        if self._reader.damage:
            self._report(self._reader.damage)

    def _report(self, damage: str) -> None:
        """Raise an error for a recording that is cut off, or log it once."""
        if self._on_truncated == "error":
            raise AudioError(f"{self.name}: {damage}. Get a complete copy.")
        self._warn(f"{damage}. Only the part before it is used.")

    def _warn(self, message: str) -> None:
        if message not in self._warnings:
            self._warnings.add(message)
            _logger.warning("%s: %s", self.name, message)

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Convert errors to AudioError with the name of the recording."""
        try:
            yield
        except AudioError as error:
            raise AudioError(f"{self.name}: {error}") from None
        except (OSError, ValueError) as error:  # ValueError: the name has a null character
            reason = (getattr(error, "strerror", None) or str(error)).rstrip(". ").lower()
            fix = "Check the path and its permissions."
            raise AudioError(f"{self.name}: {reason}. {fix}") from None


def resample(waveform: np.ndarray, source_rate: float, target_rate: float) -> np.ndarray:
    """Resample a waveform (S,) with soxr at high quality. Rates are in Hz."""
    if source_rate == target_rate:
        return np.ascontiguousarray(waveform)
    return soxr.resample(waveform, source_rate, target_rate)
