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
from asr.audio.damage import Span, merge
from asr.audio.decoders import open_reader
from asr.audio.remote import ByteRange, read_ranges
from asr.errors import AudioError

SAMPLE_RATE = 16_000  # Hz; the rate of loaded waveforms
ROUNDING = 0.05  # seconds by which a manifest may overstate a duration
MAX_SAMPLE = 1e10  # far above 2**31, which some programs take for full scale
NEIGHBORHOOD = 0.1  # seconds; invalid samples that are closer belong to one damaged part
CLOCK_ERROR = 0.1  # seconds by which the end in a container may be wrong

Source = str | Path | bytes | ByteRange
OnDamage = Literal["error", "skip"]

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class AudioInfo:
    """Duration in seconds, sample rate in Hz, and number of channels of a recording."""

    duration: float
    sample_rate: int
    channels: int


def info(
    source: Source, *, name: str | None = None, on_damage: OnDamage = "error"
) -> AudioInfo:
    """Return duration, sample rate, and channels of a recording, without decoding samples.

    The duration comes from the header, or from reading all packets if the header may lack it.

    Args:
        source: Path, byte range of a shard, or content of a file.
        name: Name of the recording in messages.
        on_damage: Whether damage is an error, or logs a warning and is left out ("skip").

    Raises:
        AudioError: If the recording cannot be opened or its header is invalid.
    """
    with Recording(source, name=name, on_damage=on_damage) as recording:
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
    on_damage: OnDamage = "error",
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
        on_damage: Whether damage is an error, or is skipped: samples that are lost in the middle of
            a recording are zeros, and one that is cut off ends there. A warning is logged.

    Raises:
        AudioError: If the recording is missing, empty, cut off, shorter than requested, or in an
            unknown format, or if it contains NaN or infinite samples.
    """
    with Recording(source, name=name, on_damage=on_damage) as recording:
        return recording.load(
            offset=offset, duration=duration, sample_rate=sample_rate, channel=channel
        )


class Recording:
    """An open recording. Use it in a `with` statement.

    Attributes:
        name: Name for messages.
        warnings: Faults so far that do not stop reading, such as a missing end.
    """

    def __init__(
        self,
        source: Source,
        *,
        name: str | None = None,
        on_damage: OnDamage = "error",
    ) -> None:
        """Open a recording. The arguments are those of `load`.

        Raises:
            AudioError: If the recording cannot be opened or its header is invalid.
        """
        default = "recording" if isinstance(source, bytes) else str(source)
        self.name = name or getattr(source, "label", default)
        self._on_damage = on_damage
        self.warnings: list[str] = []
        self._zeroed: list[Span] = []  # invalid and missing samples that are now zeros
        self._others: list[Span] = []  # those of the channels that were read before
        if isinstance(source, ByteRange):
            (content,) = read_ranges([source])
            if isinstance(content, AudioError):
                raise content
            source = content
        with self._named():
            source = Path(source) if isinstance(source, str) else source
            self._reader = open_reader(source, skip_damage=on_damage == "skip")
        try:
            if on_damage == "skip" or self._reader.damage:
                self.check_end()
        except AudioError:
            self._reader.close()
            raise

    def __enter__(self) -> "Recording":
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.close()
        self._zeroed += self._others
        if damaged := self.damaged:
            seconds = sum(end - start for start, end in damaged)
            self._warn(
                f"damaged: {seconds:.2f} s are left out, from {damaged[0][0]:.2f} s on"
            )

    @property
    def info(self) -> AudioInfo:
        """Duration, sample rate, and channels."""
        rate = self._reader.sample_rate
        return AudioInfo(self._reader.frames / rate, rate, self._reader.channels)

    @property
    def channels(self) -> int:
        """Number of channels."""
        return self._reader.channels

    @property
    def damaged(self) -> list[tuple[float, float]]:
        """Start and end in seconds of the damaged parts that have been loaded as zeros.

        Samples of `blocks` that are NaN or infinite are those of the last channel.
        """
        rate, end = self._reader.sample_rate, self._reader.frames
        spans = merge([*self._reader.damaged, *self._zeroed], round(NEIGHBORHOOD * rate))
        return [
            (first / rate, min(last, end) / rate) for first, last in spans if first < end
        ]

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
        self._others += self._zeroed
        self._zeroed = []
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
            return self._silence(waveform, valid, first)
        return waveform

    def _silence(self, waveform: np.ndarray, valid: np.ndarray, first: int) -> np.ndarray:
        """Return a waveform (S,) from sample `first` on with zeros for samples that are not valid.

        Raises:
            AudioError: If damage is an error, or the recording has no valid sample.
        """
        rate, invalid = self._reader.sample_rate, np.flatnonzero(~valid)
        is_all = len(invalid) >= self._reader.frames
        if self._on_damage == "error" or is_all:
            kind = "implausible" if np.isfinite(waveform[invalid[0]]) else "NaN or infinite"
            reason = (
                f"{kind} sample at {(first + invalid[0]) / rate:.2f} s. Export it again."
            )
            raise AudioError(f"{self.name}: {reason}")
        waveform = waveform.copy()
        breaks = np.flatnonzero(np.diff(invalid) > NEIGHBORHOOD * rate) + 1
        for part in np.split(invalid, breaks):
            start, end = int(part[0]), int(part[-1]) + 1
            waveform[start:end] = 0
            self._zeroed.append((first + start, first + end))
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
            self._zeroed.append((first + len(samples), first + wanted))
            samples = np.pad(samples, ((0, wanted - len(samples)), (0, 0)))
        return samples

    def check_end(self) -> None:
        """Report a recording whose end is missing.

        Raises:
            AudioError: If the recording is cut off, unless this is only a warning.
        """
        with self._named():
            self._reader.check_end()
        if self._reader.damage:
            self._report(self._reader.damage)

    def _report(self, damage: str) -> None:
        """Raise an error for a recording that is cut off, or log it once."""
        if self._on_damage == "error":
            raise AudioError(f"{self.name}: {damage}. Get a complete copy.")
        self._warn(f"{damage}. Only the part before it is used.")

    def _warn(self, message: str) -> None:
        if message not in self.warnings:
            self.warnings.append(message)
            _logger.warning("%s: %s", self.name, message)

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Convert errors to AudioError with the name of the recording."""
        try:
            yield
        except AudioError as error:
            raise AudioError(f"{self.name}: {error}") from None
        except OSError as error:
            reason = (error.strerror or str(error)).rstrip(". ").lower()
            fix = "Check the path and its permissions."
            raise AudioError(f"{self.name}: {reason}. {fix}") from None
        except Exception as error:  # one damaged file does not stop a run of many
            _logger.debug("%s", self.name, exc_info=True)
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise AudioError(f"{self.name}: cannot be decoded ({reason})") from None


def resample(waveform: np.ndarray, source_rate: float, target_rate: float) -> np.ndarray:
    """Resample a waveform (S,) with soxr at high quality. Rates are in Hz."""
    if source_rate == target_rate:
        return np.ascontiguousarray(waveform)
    return soxr.resample(waveform, source_rate, target_rate)
