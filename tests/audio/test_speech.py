"""Regions of speech between pauses."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.audio.speech import HOP, MIN_PAUSE, PADDING, split_at_pauses

RATE = 16_000


def blocks_of(waveform, seconds):
    size = max(1, round(seconds * RATE))
    return [waveform[i : i + size] for i in range(0, len(waveform), size)]


def regions_of(waveform, seconds=30.0, **options):
    """Return the bounds of regions in samples. Their pieces follow each other."""
    regions, start, end = [], None, 0
    for piece in split_at_pauses(blocks_of(waveform, seconds), **options):
        assert len(piece.samples) == 0 or np.shares_memory(piece.samples, piece.samples)
        expected = waveform[piece.start : piece.start + len(piece.samples)]
        assert np.array_equal(piece.samples, expected)
        start = piece.start if start is None else start
        assert start == piece.start or piece.start == end
        end = piece.start + len(piece.samples)
        if piece.is_last:
            regions.append((start, end))
            start = None
    assert start is None
    assert all(end > start for start, end in regions)
    return regions


def speech(seconds, level=0.1, seed=0):
    """Return noise whose level changes like that of syllables."""
    rng = np.random.default_rng(seed)
    samples = round(seconds * RATE)
    envelope = 0.02 + np.sin(np.pi * 4 * np.arange(samples) / RATE) ** 2
    return (level * envelope * rng.standard_normal(samples)).astype(np.float32)


def noise(seconds, db):
    if db is None:
        return np.zeros(round(seconds * RATE), np.float32)
    samples = np.random.default_rng(1).standard_normal(round(seconds * RATE))
    return (10 ** (db / 20) * samples).astype(np.float32)


@pytest.mark.parametrize("block", [30.0, 0.1])
@pytest.mark.parametrize("db", [None, -70, -50])
def test_a_pause_divides_speech_and_its_inside_is_skipped(db, block):
    first, second, pause = speech(3.0), speech(2.0, seed=1), noise(4.0, db)
    background = noise(14.0, db)
    waveform = np.concatenate([pause[:RATE], first, pause, second, pause]) + background
    regions = regions_of(waveform, block)
    assert len(regions) == 2
    bounds = [(1.0, 4.0), (8.0, 10.0)]
    for (start, end), (begin, stop) in zip(regions, bounds, strict=True):
        assert begin - 1.1 <= start / RATE <= begin - PADDING + 0.1
        assert stop + PADDING - 0.1 <= end / RATE <= stop + 1.1


def test_short_pauses_and_short_clips_are_kept_whole():
    waveform = np.concatenate(
        [noise(0.5, None), speech(1.0), noise(0.8, None), speech(1.0)]
    )
    assert regions_of(waveform) == [(0, len(waveform))]
    assert regions_of(np.zeros(3, np.float32)) == [(0, 3)]


def test_silence_alone_has_no_regions():
    assert regions_of(noise(5.0, None)) == []


def test_steady_noise_without_contrast_counts_as_speech():
    waveform = noise(5.0, -40)
    assert regions_of(waveform) == [(0, len(waveform))]


def test_no_audio_has_no_regions():
    assert list(split_at_pauses([])) == []
    assert list(split_at_pauses([np.zeros(0, np.float32)])) == []


@pytest.mark.parametrize("block", [30.0, 0.1])
def test_speech_without_pauses_is_divided_at_its_quietest_positions(block):
    waveform = speech(40.0)
    gaps = (np.arange(len(waveform)) % (4 * RATE)) < 0.25 * RATE  # every 4 s
    waveform[gaps] *= 0.001
    regions = regions_of(waveform, block, max_seconds=15.0)
    assert regions[0][0] == 0
    assert regions[-1][1] == len(waveform)
    for (_, end), (start, _) in pairwise(regions):
        assert end == start
        assert gaps[end]
    assert max(end - start for start, end in regions) <= 15 * RATE


@given(
    st.lists(st.tuples(st.booleans(), st.floats(0.0, 3.0)), min_size=1, max_size=8),
    st.floats(0.05, 4.0),
)
def test_regions_are_in_order_and_only_silence_is_skipped(parts, block):
    waveform = np.concatenate(
        [
            speech(seconds, seed=i) if loud else noise(seconds, None)
            for i, (loud, seconds) in enumerate(parts)
        ]
    )
    is_loud = np.concatenate(
        [np.full(round(seconds * RATE), loud) for loud, seconds in parts]
    )
    regions = regions_of(waveform, block)
    kept = np.zeros(len(waveform), bool)
    for start, end in regions:
        assert not kept[start:end].any()
        kept[start:end] = True
    assert not (is_loud & ~kept).any()
    assert all(b[0] >= a[1] for a, b in pairwise(regions))
    skipped = np.diff(np.flatnonzero(np.diff(np.concatenate([[1], kept, [1]]))))
    assert all(
        length >= (MIN_PAUSE - 2 * PADDING) * RATE - 2 * HOP for length in skipped[::2]
    )
