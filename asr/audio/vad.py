"""Find the start and the end of speech in a waveform."""

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
    energy = np.append(0.0, np.cumsum(np.square(waveform, dtype=np.float64)))
    level = 10 * np.log10((energy[WINDOW:] - energy[:-WINDOW])[::HOP] / WINDOW + 1e-10)
    noise, loudest = np.quantile(level, [NOISE_QUANTILE, 1.0])
    loud = np.flatnonzero(level > noise + threshold_db)
    if loudest - noise < MIN_CONTRAST or not len(loud):
        return None
    # a window just above the threshold has speech in its inner half
    start, end = (loud[[0, -1]] * HOP + WINDOW // 2) / SAMPLE_RATE
    return float(start), float(end)
