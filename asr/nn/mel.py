"""Mel filters and the constants of the log-mel features, without torch."""

import numpy as np

from asr.audio import SAMPLE_RATE

LOG_FLOOR = 1e-8  # added to mel energies; silence becomes -18.4, below any microphone noise
NORMALIZATIONS = ("speech", "corpus", "utterance", "none")
MIN_STD = 0.5  # keeps bands without speech (above 4 kHz on telephones) from being amplified
SPEECH_DB = (
    30.0,
    50.0,
)  # dB below the loudest frame: full weight up to the first, none from the second
PRIOR_FRAMES = 30  # frames of speech that weigh as much as the statistics of the corpus


def mel_edges(n_mels: int) -> np.ndarray:
    """Return the edges and centers (F + 2,) of overlapping mel filters in Hz.

    They are equally far apart on Slaney's mel scale, which is linear below 1 kHz and logarithmic
    above (Slaney, Auditory Toolbox, 1998).
    """
    corner = 1000.0
    mels_at_corner = 15.0
    step = np.log(6.4) / 27  # 27 mels from 1 to 6.4 kHz
    highest = mels_at_corner + np.log(SAMPLE_RATE / 2 / corner) / step
    mels = np.linspace(0.0, highest, n_mels + 2)
    linear = mels * corner / mels_at_corner
    logarithmic = corner * np.exp((mels - mels_at_corner) * step)
    return np.where(mels < mels_at_corner, linear, logarithmic)


def mel_filterbank(n_mels: int, n_fft: int) -> np.ndarray:
    """Return triangular mel filters (n_fft // 2 + 1, F) of area 1 as float32.

    They are computed in float64, because float32 has errors of 2e-4 at the edges of a filter.
    """
    edges = mel_edges(n_mels)
    low = edges[:-2]
    center = edges[1:-1]
    high = edges[2:]
    frequencies = np.linspace(0.0, SAMPLE_RATE / 2, n_fft // 2 + 1)[:, None]
    rising = (frequencies - low) / (center - low)
    falling = (high - frequencies) / (high - center)
    triangles = np.maximum(0.0, np.minimum(rising, falling))
    return (triangles * 2 / (high - low)).astype(np.float32)
