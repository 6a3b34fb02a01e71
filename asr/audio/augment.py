"""What training does to speech so that a model does not learn a corpus by heart; validation sees none of it."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from scipy import fft

from asr import audio
from asr.audio import SAMPLE_RATE
from asr.errors import ConfigError
from asr.validation import check_interval, check_number, check_numbers

Augment = Callable[
    [np.ndarray, np.random.Generator], np.ndarray
]  # a waveform (S,) to another, by the generator alone


class Chain:
    """Augmentations one after the other; those that are None are left out."""

    def __init__(self, *steps: Augment | None) -> None:
        self.steps = tuple(step for step in steps if step is not None)

    @property
    def fastest(self) -> float:
        """The factor by which a recording can become shorter."""
        return math.prod(step.fastest for step in self.steps if isinstance(step, Speed))

    def __call__(self, waveform: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """A waveform (S,) after every step."""
        for step in self.steps:
            waveform = step(waveform, rng)
        return waveform


class Speed:
    """Speed perturbation: play a waveform faster or slower, pitch and formants with it (Ko et al. 2015)."""

    def __init__(self, *, factors: Sequence[float] = (0.9, 1.0, 1.1)) -> None:
        self.factors = check_numbers("factors", factors, gt=0)
        if not self.factors:
            raise ConfigError(
                "augment.speed.factors is empty; augment.speed=null leaves speeds as they are"
            )

    @property
    def fastest(self) -> float:
        """The factor by which a recording can become shorter."""
        return max(self.factors)

    def __call__(self, waveform: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """A waveform (S,) at a factor drawn at random, (S / factor,)."""
        return audio.resample(waveform, SAMPLE_RATE * float(rng.choice(self.factors)), SAMPLE_RATE)


class Reverb:
    """A room around the speaker: convolution with an impulse response, at the loudness and the timing that were there.

    `folder` holds impulse responses (such as OpenSLR 28's). Without one each room is made up: noise that decays by
    60 dB in 0.1 to 0.7 s, 0 to 15 dB below the direct sound (Polack's model, 1988). The echo of the last word is cut
    off where the recording ends, so a response may be longer than the clip.
    """

    def __init__(self, *, probability: float, folder: str | Path | None = None) -> None:
        self.probability = _probability("reverb", probability)
        self.files = _recordings("reverb", folder) if folder is not None and probability else ()

    def __call__(self, waveform: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """A waveform (S,) to one in a room, (S,)."""
        if rng.random() >= self.probability:
            return waveform
        response = (
            audio.load(self.files[rng.integers(len(self.files))][0]) if self.files else _room(rng)
        )
        response = response[np.abs(response).argmax() :][
            : len(waveform)
        ]  # from the direct sound on: nothing is late
        size = _fast(len(waveform) + len(response) - 1)
        spectrum = fft.rfft(waveform, size) * fft.rfft(response, size)
        echoed = fft.irfft(spectrum, size)[: len(waveform)]
        return _with_power(echoed, _power(waveform)).astype(np.float32)


class Noise:
    """Something else that sounds: noise added at a ratio of signal to noise drawn from `snr_db`, in dB of mean power.

    `folder` holds recordings of noise (such as MUSAN's); a piece of one is drawn, repeated where it is too short.
    Without a folder the noise is made up: Gaussian, its power falling by 0 to 6 dB an octave.
    """

    def __init__(
        self,
        *,
        probability: float,
        folder: str | Path | None = None,
        snr_db: tuple[float, float] = (0.0, 30.0),
    ) -> None:
        self.probability = _probability("noise", probability)
        self.snr_db = check_interval("snr_db", snr_db)
        self.files = _recordings("noise", folder) if folder is not None and probability else ()

    def __call__(self, waveform: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """A waveform (S,) to one with noise over it, (S,)."""
        if rng.random() >= self.probability:
            return waveform
        noise = self._piece(len(waveform), rng) if self.files else _coloured(len(waveform), rng)
        ratio = 10 ** (rng.uniform(*self.snr_db) / 10)
        return (waveform + _with_power(noise, _power(waveform) / ratio)).astype(np.float32)

    def _piece(self, size: int, rng: np.random.Generator) -> np.ndarray:
        path, duration = self.files[rng.integers(len(self.files))]
        offset = rng.uniform(0.0, max(0.0, duration - size / SAMPLE_RATE))
        return np.resize(
            audio.load(path, offset=offset, duration=min(duration, size / SAMPLE_RATE)), size
        )


class Equalizer:
    """Another microphone: a smooth frequency response, drawn at knots an octave apart and interpolated in decibels.

    Each knot is raised or lowered by up to `db`. The loudness stays.
    """

    KNOTS = (62.5, 125.0, 250.0, 500.0, 1000.0, 2000.0, 4000.0, 8000.0)  # Hz

    def __init__(self, *, probability: float, db: float = 10.0) -> None:
        self.probability = _probability("equalizer", probability)
        self.db = db

    def __call__(self, waveform: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """A waveform (S,) as another microphone would have it, (S,)."""
        if rng.random() >= self.probability:
            return waveform
        size = _fast(len(waveform))
        octaves = np.log2(np.maximum(fft.rfftfreq(size, 1 / SAMPLE_RATE), self.KNOTS[0]))
        response = np.interp(
            octaves, np.log2(self.KNOTS), rng.uniform(-self.db, self.db, len(self.KNOTS))
        )
        gains = (10 ** (response / 20)).astype(
            np.float32
        )  # the transforms then stay in single precision
        changed = fft.irfft(fft.rfft(waveform, size) * gains, size)[: len(waveform)]
        return _with_power(changed, _power(waveform)).astype(np.float32)


class Gain:
    """Another distance from the microphone: louder or softer by an amount drawn from `db`."""

    def __init__(self, *, probability: float, db: tuple[float, float] = (-12.0, 6.0)) -> None:
        self.probability = _probability("gain", probability)
        self.db = check_interval("db", db)

    def __call__(self, waveform: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """A waveform (S,) at another level, (S,)."""
        if rng.random() >= self.probability:
            return waveform
        return waveform * np.float32(10 ** (rng.uniform(*self.db) / 20))


class NarrowBand:
    """A line that carries nothing above 4 kHz: down to 8 kHz and back, as telephones and old recordings sound."""

    RATE = 8_000  # Hz

    def __init__(self, *, probability: float) -> None:
        self.probability = _probability("narrow_band", probability)

    def __call__(self, waveform: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """A waveform (S,) as it comes out of the line, (S,)."""
        if rng.random() >= self.probability:
            return waveform
        narrow = audio.resample(
            audio.resample(waveform, SAMPLE_RATE, self.RATE), self.RATE, SAMPLE_RATE
        )
        return np.pad(narrow, (0, max(0, len(waveform) - len(narrow))))[: len(waveform)]


def _probability(name: str, value: float) -> float:
    return check_number("probability", value, ge=0, le=1)


def _recordings(name: str, folder: str | Path) -> tuple[tuple[Path, float], ...]:
    """Every recording of a folder with its duration, probed now: a broken one must not come up in mid-training."""
    found = tuple((path, audio.info(path).duration) for path in audio.find_recordings(Path(folder)))
    if not found:
        raise ConfigError(
            f"augment.{name}.folder is {folder}, in which there is no recording; check the path"
        )
    return found


def _room(rng: np.random.Generator) -> np.ndarray:
    """An impulse response (S,): the direct sound, then noise that dies away."""
    decay = rng.uniform(0.1, 0.7)
    time = np.arange(round(decay * SAMPLE_RATE)) / SAMPLE_RATE
    tail = rng.standard_normal(len(time)) * np.exp(-np.log(1000) * time / decay)
    tail = _with_power(tail, 10 ** (-rng.uniform(0.0, 15.0) / 10) / len(tail))
    tail[0] = 1.0
    return tail


def _coloured(size: int, rng: np.random.Generator) -> np.ndarray:
    """Gaussian noise (S,) whose power falls with frequency to a power between 0 (white) and 2 (brown)."""
    whole = _fast(size)
    spectrum = fft.rfft(rng.standard_normal(whole))
    return fft.irfft(
        spectrum / np.maximum(1, np.arange(len(spectrum))) ** (rng.uniform(0.0, 2.0) / 2), whole
    )[:size]


def _fast(size: int) -> int:
    """The next size whose Fourier transform is quick: a recording's own may be a prime, and takes ten times as long."""
    return int(fft.next_fast_len(size, real=True))


def _power(waveform: np.ndarray) -> float:
    return float(np.mean(np.square(waveform, dtype=np.float64)))


def _with_power(waveform: np.ndarray, power: float) -> np.ndarray:
    """The waveform at a mean power; silence stays silence."""
    return waveform * np.sqrt(power / max(_power(waveform), 1e-20))
