"""Open what can be transcribed: files, bytes, file objects, arrays, and tensors."""

from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO, Protocol

import numpy as np

from asr.audio import SAMPLE_RATE, Channel, Recording, Source, resample
from asr.audio.channels import select_channel
from asr.audio.io import MAX_SAMPLE
from asr.errors import AudioError
from asr.validation import check_number

Audio = Source | BinaryIO | np.ndarray | Any  # Any: a tensor, whose class is not imported


class AudioSource(Protocol):
    """Audio of some channels that is read in blocks."""

    @property
    def channels(self) -> int: ...  # noqa: D102
    @property
    def damaged(self) -> Sequence[tuple[float, float]]: ...  # noqa: D102

    @property
    def warnings(self) -> Sequence[str]: ...  # noqa: D102

    def blocks(self, seconds: float, *, channel: Channel = "mix") -> Iterator[np.ndarray]:
        """Yield the waveform (S,) at 16 kHz in consecutive blocks."""


def is_waveform(audio: Audio) -> bool:
    """Return whether audio is samples, which have no rate of their own."""
    return isinstance(audio, np.ndarray) or hasattr(audio, "detach")


def open_audio(audio: Audio, sample_rate: int | None = None) -> "Recording | Waveform":
    """Open audio for a `with` statement.

    Args:
        audio: A path, the content of a file, a binary file object, or samples: an array or a tensor
            (S,) or (channels, S) in -1..1, or of integers.
        sample_rate: Rate of samples in Hz, required for them and only for them.

    Raises:
        AudioError: If a recording cannot be opened.
        ValueError: If samples have no rate or an unsupported shape, or if a file is given one.
        TypeError: If this is none of these, or if samples are not numbers.
    """
    is_file = isinstance(audio, Source) or hasattr(audio, "read")
    if is_file and sample_rate is not None:
        raise ValueError("sample_rate is for samples; a recording has its own rate")
    if isinstance(audio, Source):
        return Recording(audio, on_damage="skip")
    if hasattr(audio, "read"):
        content = audio.read()
        if not isinstance(content, bytes):
            raise TypeError('a file object must be binary: open(path, "rb")')
        return Recording(content, name=getattr(audio, "name", None), on_damage="skip")
    if hasattr(audio, "detach"):
        audio = audio.detach().cpu()
        audio = (audio.float() if audio.is_floating_point() else audio).numpy()
    if not isinstance(audio, np.ndarray):
        wanted = "a path, bytes, a binary file, an array, or a tensor"
        raise TypeError(f"audio must be {wanted}, got {type(audio).__name__}")
    if sample_rate is None:
        raise ValueError("pass sample_rate with an array or a tensor")
    return Waveform(audio, sample_rate)


class Waveform:
    """Samples (S,) or (channels, S) as audio."""

    name = "waveform"
    damaged = warnings = ()

    def __init__(self, samples: np.ndarray, sample_rate: int) -> None:
        """Convert samples to float32 in -1..1.

        Raises:
            ValueError: If the shape is not that of channels, or the rate is not a positive number.
            TypeError: If they are not numbers.
        """
        check_number("sample_rate", sample_rate, gt=0)
        is_matrix = samples.ndim == 2 and 0 < len(samples) <= samples.shape[1]
        if samples.ndim != 1 and not is_matrix:
            raise ValueError(f"samples must be (S,) or (channels, S), got {samples.shape}")
        if samples.dtype.kind in "iu":
            scale = np.iinfo(samples.dtype)
            middle = (int(scale.max) + int(scale.min) + 1) // 2  # not 0 if unsigned
            samples = (samples.astype(np.float32) - middle) / (int(scale.max) - middle + 1)
        elif samples.dtype.kind != "f":
            raise TypeError(f"samples must be floats or integers, got {samples.dtype}")
        self._samples = np.atleast_2d(samples).astype(np.float32, copy=False)
        self._sample_rate = sample_rate

    def __enter__(self) -> "Waveform":
        return self

    def __exit__(self, *_: object) -> None: ...

    @property
    def channels(self) -> int:
        """Number of channels."""
        return len(self._samples)

    def blocks(self, seconds: float, *, channel: Channel = "mix") -> Iterator[np.ndarray]:
        """Yield the waveform (S,) at 16 kHz in consecutive blocks.

        Raises:
            AudioError: If there is no such channel, or if a sample is not plausible.
        """
        waveform = select_channel(self._samples.T, channel, lambda _: None)
        if not (np.abs(waveform) < MAX_SAMPLE).all():  # False for NaN
            raise AudioError("waveform: NaN, infinite, or implausible sample")
        waveform = resample(waveform, self._sample_rate, SAMPLE_RATE)
        size = round(seconds * SAMPLE_RATE)
        for begin in range(0, len(waveform), size):
            yield waveform[begin : begin + size]
