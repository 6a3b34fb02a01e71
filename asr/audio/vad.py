"""Where speech begins and ends in a waveform."""

import numpy as np

from asr.audio.io import SAMPLE_RATE

WINDOW, HOP = 400, 80  # samples over which a level is measured, and between two measurements
QUIET = 0.1  # share of an utterance that is taken for silence
CONTRAST = 20.0  # dB between silence and speech, below which nothing is said of where speech begins


def detect_speech(waveform: np.ndarray, *, above: float = 10.0) -> tuple[float, float] | None:
    """Seconds at which speech begins and ends in a waveform (S,) at 16 kHz; None where that cannot be told.

    Speech is what lies `above` dB over the quietest tenth: an utterance's noise sets the bound, not its peak.
    """
    if len(waveform) < WINDOW:
        return None
    energy = np.append(0.0, np.cumsum(np.square(waveform, dtype=np.float64)))
    level = 10 * np.log10((energy[WINDOW:] - energy[:-WINDOW])[::HOP] / WINDOW + 1e-10)
    quiet, loudest = np.quantile(level, [QUIET, 1.0])
    loud = np.flatnonzero(level > quiet + above)
    if loudest - quiet < CONTRAST or not len(loud):
        return None
    middle = WINDOW // 2  # a frame that is just loud enough has speech in its inner half
    return (int(loud[0]) * HOP + middle) / SAMPLE_RATE, (int(loud[-1]) * HOP + middle) / SAMPLE_RATE
