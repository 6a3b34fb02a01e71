"""Find the start and the end of speech in a waveform, and estimate its signal-to-noise ratio."""

import numpy as np

from asr.audio.io import SAMPLE_RATE

WINDOW, HOP = 400, 80  # samples per measurement of the level, and between two measurements
NOISE_QUANTILE = 0.1  # the quietest tenth of an utterance is noise
MIN_CONTRAST = 20.0  # dB between noise and the loudest window, so that bounds are reliable


def detect_speech(
    waveform: np.ndarray, *, threshold_db: float = 10.0
) -> tuple[float, float] | None:
    """Return the seconds at which speech starts and ends in a waveform (S,) at 16 kHz.

    Speech is `threshold_db` louder than the quietest tenth of the utterance. The threshold follows
    the noise, not the peak. None if the waveform is too short or too noisy.
    """
    if len(waveform) < WINDOW:
        return None
    level = 10 * np.log10(_window_power(waveform))
    noise, loudest = np.quantile(level, [NOISE_QUANTILE, 1.0])
    loud = np.flatnonzero(level > noise + threshold_db)
    if loudest - noise < MIN_CONTRAST or not len(loud):
        return None
    # a window just above the threshold has speech in its inner half
    start, end = (loud[[0, -1]] * HOP + WINDOW // 2) / SAMPLE_RATE
    return float(start), float(end)


def estimate_snr(waveform: np.ndarray) -> float | None:
    """Return the signal-to-noise ratio of a waveform (S,) at 16 kHz in dB, at least -10.

    The noise is the level of the quietest tenth, the signal the mean power of the louder half above
    it. Speech with added white noise gets the true ratio within 3 dB. Speech without pauses gets a
    lower one. None if the waveform is too short.
    """
    if len(waveform) < WINDOW:
        return None
    power = _window_power(waveform)
    noise, median = np.quantile(power, [NOISE_QUANTILE, 0.5])
    signal = power[power >= median].mean() - noise
    return float(10 * np.log10(max(signal / noise, 0.1)))


def _window_power(waveform: np.ndarray) -> np.ndarray:
    """Return the mean power of each window, which is above 0."""
    energy = np.append(0.0, np.cumsum(np.square(waveform, dtype=np.float64)))
    return np.maximum(0, energy[WINDOW:] - energy[:-WINDOW])[::HOP] / WINDOW + 1e-10
