"""Estimated signal-to-noise ratios of waveforms with known ones. tests/decode tests the bounds."""

import numpy as np
import pytest

from asr.audio.vad import estimate_snr

RATE = 16_000


@pytest.fixture
def speech() -> np.ndarray:
    """Return three seconds of syllables with pauses, a quarter of the time silent."""
    time = np.arange(3 * RATE) / RATE
    envelope = np.clip(np.sin(2 * np.pi * 2 * time) + 0.7, 0, None)
    return (0.2 * envelope * np.sin(2 * np.pi * 300 * time)).astype(np.float32)


def with_noise(speech: np.ndarray, snr: float) -> np.ndarray:
    """Add white noise; the ratio is that of the parts with speech."""
    power = np.square(speech[speech != 0]).mean()
    noise = np.random.default_rng(0).standard_normal(len(speech))
    return (speech + noise * np.sqrt(power / 10 ** (snr / 10))).astype(np.float32)


@pytest.mark.parametrize("snr", [0, 5, 10, 20, 30])
def test_the_ratio_is_right_within_3_db_and_does_not_depend_on_the_level(speech, snr):
    waveform = with_noise(speech, snr)
    assert estimate_snr(waveform) == pytest.approx(snr, abs=3)
    assert estimate_snr(waveform / 10) == pytest.approx(estimate_snr(waveform), abs=0.1)


def test_noise_and_constant_waveforms_have_low_ratios(speech):
    noise = np.random.default_rng(0).standard_normal(RATE).astype(np.float32)
    assert estimate_snr(noise) < 0
    assert estimate_snr(np.zeros(RATE, np.float32)) == pytest.approx(-10)
    assert estimate_snr(speech) > 60


def test_a_waveform_shorter_than_a_window_has_none():
    assert estimate_snr(np.zeros(399, np.float32)) is None
