"""Augmentations of training waveforms. Validation does not use them."""

import io
import math
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.random import Generator
from scipy import fft

from asr import audio
from asr.audio import SAMPLE_RATE
from asr.validation import check_interval, check_number, check_numbers

Waveform = np.ndarray  # (S,) at 16 kHz
Augment = Callable[[Waveform, Generator], Waveform]  # the generator is the only randomness

CACHED_SECONDS = 10.0  # length up to which decoded recordings of a folder stay in memory
CACHED_RECORDINGS = 100  # number of recordings that stay in memory, 64 MB at most

_fft_size = partial(fft.next_fast_len, real=True)  # a prime size takes ten times as long


class Chain:
    """A sequence of augmentations. None is skipped."""

    def __init__(self, *steps: Augment | None) -> None:
        self.steps = tuple(filter(None, steps))

    @property
    def max_speed(self) -> float:
        """Largest factor by which the chain can shorten a recording."""
        speeds = (step for step in self.steps if isinstance(step, Speed))
        return math.prod(max(speed.factors) for speed in speeds)

    def __call__(self, waveform: Waveform, rng: Generator) -> Waveform:
        """Return a waveform (S,) after all augmentations."""
        for step in self.steps:
            waveform = step(waveform, rng)
        return waveform


class Speed:
    """Speed perturbation (Ko et al. 2015): a random factor changes tempo, pitch, and formants."""

    def __init__(self, *, factors: Sequence[float] = (0.9, 1.0, 1.1)) -> None:
        self.factors = check_numbers("factors", factors, gt=0)
        if not self.factors:
            raise ValueError("factors must not be empty. Use [1.0] to keep the speed.")

    def __call__(self, waveform: Waveform, rng: Generator) -> Waveform:
        """Return a waveform (S / factor,) at another speed."""
        rate = SAMPLE_RATE * float(rng.choice(self.factors))
        return audio.resample(waveform, rate, SAMPLE_RATE)


class RandomAugment:
    """Base class of augmentations that change a waveform with some probability."""

    apply: Augment  # a method of each class

    def __init__(self, *, probability: float) -> None:
        self.probability = check_number("probability", probability, ge=0, le=1)

    def __call__(self, waveform: Waveform, rng: Generator) -> Waveform:
        """Return a waveform (S,), augmented with the probability of the augmentation."""
        if rng.random() >= self.probability:
            return waveform
        return self.apply(waveform, rng).astype(np.float32)


class FolderAugment(RandomAugment):
    """Base class of augmentations that use recordings of a folder, or synthetic ones without it.

    The constructor opens all recordings, so that a broken one raises before training.
    """

    def __init__(self, *, probability: float, folder: str | Path | None = None) -> None:
        super().__init__(probability=probability)
        self.files: list[tuple[Path, float]] = []  # paths and durations
        if folder is not None and self.probability:
            paths = audio.find_recordings(Path(folder))
            self.files = [(path, audio.info(path).duration) for path in paths]
            if not paths:
                message = f"folder must contain recordings, got {folder}. Check the path."
                raise ValueError(message)

    def draw_part(self, seconds: float, rng: Generator) -> Waveform:
        """Return a random part (S,) of a random recording, at most `seconds` long."""
        path, duration = self.files[rng.integers(len(self.files))]
        seconds = min(duration, seconds)
        offset = rng.uniform(0.0, duration - seconds)
        if duration > CACHED_SECONDS:
            return audio.load(path, offset=offset, duration=seconds)
        first = round(offset * SAMPLE_RATE)
        return _load_cached(path)[first : first + round(seconds * SAMPLE_RATE)]


@lru_cache(maxsize=CACHED_RECORDINGS)
def _load_cached(path: Path) -> Waveform:
    """Return a short recording (S,), which is decoded only once."""
    return audio.load(path)


class Reverb(FolderAugment):
    """Room acoustics: convolve with an impulse response. Loudness and timing stay the same.

    `folder` contains impulse responses (such as OpenSLR 28). Without a folder, each room is
    synthetic: noise that decays by 60 dB in 0.1 to 0.7 s, 0 to 15 dB below the direct sound
    (Polack 1988). The output has the length of the input, so the last echo is cut off.
    """

    def apply(self, waveform: Waveform, rng: Generator) -> Waveform:
        """Return the waveform (S,) in a random room."""
        response = (
            self.draw_part(math.inf, rng) if self.files else _synthesize_response(rng)
        )
        direct = np.abs(response).argmax()  # starting at the direct sound avoids a delay
        response = response[direct:][: len(waveform)]
        size = _fft_size(len(waveform) + len(response) - 1)
        spectrum = fft.rfft(waveform, size) * fft.rfft(response, size)
        reverberant = fft.irfft(spectrum, size)[: len(waveform)]
        return scale_to_power(reverberant, mean_power(waveform))


class Noise(FolderAugment):
    """Additive noise at a signal-to-noise ratio drawn from `snr_db`, in dB of mean power.

    `folder` contains recordings of noise (such as MUSAN). A random part of one is used, and
    repeated if it is too short. Without a folder, the noise is Gaussian, and its power falls by
    0 to 6 dB per octave.
    """

    def __init__(
        self,
        *,
        probability: float,
        folder: str | Path | None = None,
        snr_db: tuple[float, float] = (0.0, 30.0),
    ) -> None:
        super().__init__(probability=probability, folder=folder)
        self.snr_db = check_interval("snr_db", snr_db)

    def apply(self, waveform: Waveform, rng: Generator) -> Waveform:
        """Return the waveform (S,) with noise."""
        size = len(waveform)
        if self.files:
            noise = np.resize(self.draw_part(size / SAMPLE_RATE, rng), size)
        else:
            noise = synthesize_noise(size, rng)
        ratio = 10 ** (rng.uniform(*self.snr_db) / 10)
        return waveform + scale_to_power(noise, mean_power(waveform) / ratio)


class Equalizer(RandomAugment):
    """Another microphone: a smooth random frequency response that keeps the loudness.

    The gain at each knot is drawn from -`db` to `db`. Between knots it is interpolated in decibels
    over the logarithm of the frequency.
    """

    KNOTS = (62.5, 125.0, 250.0, 500.0, 1000.0, 2000.0, 4000.0, 8000.0)  # Hz

    def __init__(self, *, probability: float, db: float = 10.0) -> None:
        super().__init__(probability=probability)
        self.db = check_number("db", db, ge=0)

    def apply(self, waveform: Waveform, rng: Generator) -> Waveform:
        """Return the waveform (S,) with another frequency response."""
        size = _fft_size(len(waveform))
        octaves = np.log2(np.maximum(fft.rfftfreq(size, 1 / SAMPLE_RATE), self.KNOTS[0]))
        knot_gains = rng.uniform(-self.db, self.db, len(self.KNOTS))
        response = np.interp(octaves, np.log2(self.KNOTS), knot_gains)
        gains = (10 ** (response / 20)).astype(np.float32)  # keeps the spectrum in float32
        equalized = fft.irfft(fft.rfft(waveform, size) * gains, size)[: len(waveform)]
        return scale_to_power(equalized, mean_power(waveform))


class Gain(RandomAugment):
    """Another distance from the microphone: change the level by a gain drawn from `db`."""

    def __init__(
        self, *, probability: float, db: tuple[float, float] = (-12.0, 6.0)
    ) -> None:
        super().__init__(probability=probability)
        self.db = check_interval("db", db)

    def apply(self, waveform: Waveform, rng: Generator) -> Waveform:
        """Return the waveform (S,) at another level."""
        return waveform * np.float32(10 ** (rng.uniform(*self.db) / 20))


class NarrowBand(RandomAugment):
    """Telephone speech: resample to 8 kHz and back, which removes everything above 4 kHz."""

    RATE = 8_000  # Hz

    def apply(self, waveform: Waveform, rng: Generator) -> Waveform:
        """Return the waveform (S,) without frequencies above 4 kHz."""
        narrow = audio.resample(waveform, SAMPLE_RATE, self.RATE)
        return _restore(narrow, self.RATE, len(waveform))


class Codec(RandomAugment):
    """Lossy coding: encode and decode as MP3 of 40 kbit/s, mu-law, or GSM 6.10 (telephone)."""

    # Rate in Hz and options of soundfile. At lower rates, MP3 files do not note their delay.
    CODECS: tuple[tuple[int, dict[str, Any]], ...] = (
        (16_000, {"format": "MP3", "bitrate_mode": "CONSTANT", "compression_level": 0.8}),
        (8_000, {"format": "WAV", "subtype": "ULAW"}),
        (8_000, {"format": "WAV", "subtype": "GSM610"}),
    )

    def apply(self, waveform: Waveform, rng: Generator) -> Waveform:
        """Return the waveform (S,) after a random codec."""
        rate, options = self.CODECS[rng.integers(len(self.CODECS))]
        # resampling overshoots, and codecs wrap what is above 1 instead of clipping it
        samples = audio.resample(waveform, SAMPLE_RATE, rate).clip(-1, 1)
        file = io.BytesIO()
        soundfile.write(file, samples, rate, **options)
        file.seek(0)
        decoded, _ = soundfile.read(file, dtype="float32")
        return _restore(decoded, rate, len(waveform))


def _restore(samples: Waveform, rate: int, size: int) -> Waveform:
    """Return samples of another rate at 16 kHz, cut or padded with zeros to `size`."""
    restored = audio.resample(samples, rate, SAMPLE_RATE)
    return np.pad(restored, (0, max(0, size - len(restored))))[:size]


def _synthesize_response(rng: Generator) -> Waveform:
    """Return the impulse response (S,) of a random room: direct sound, then decaying noise."""
    decay = rng.uniform(0.1, 0.7)  # seconds
    time = np.arange(round(decay * SAMPLE_RATE)) / SAMPLE_RATE
    tail = rng.standard_normal(len(time)) * np.exp(-np.log(1000) * time / decay)
    tail = scale_to_power(tail, 10 ** (-rng.uniform(0.0, 15.0) / 10) / len(tail))
    tail[0] = 1.0
    return tail


def synthesize_noise(size: int, rng: Generator) -> Waveform:
    """Return Gaussian noise (S,) between white (flat power) and brown (power / frequency ** 2)."""
    padded = _fft_size(size)
    spectrum = fft.rfft(rng.standard_normal(padded))
    frequency = np.maximum(1, np.arange(len(spectrum)))
    return fft.irfft(spectrum / frequency ** (rng.uniform(0.0, 2.0) / 2), padded)[:size]


def mean_power(waveform: Waveform) -> float:
    """Return the mean of the squared samples, 0 without samples."""
    return float(np.square(waveform, dtype=np.float64).sum()) / max(1, len(waveform))


def scale_to_power(waveform: Waveform, power: float) -> Waveform:
    """Return the waveform scaled to a mean power. Silence stays silence."""
    return waveform * np.sqrt(power / max(mean_power(waveform), 1e-20))
