"""Properties that augmentations of waveforms change and keep."""

import numpy as np
import pytest
import soundfile

from asr import audio
from asr.audio.augment import (
    Chain,
    Codec,
    Equalizer,
    Gain,
    NarrowBand,
    Noise,
    Reverb,
    Speed,
)
from asr.errors import AudioError


def test_speed_changes_the_length_by_a_random_factor(sound):
    speed, waveform = Speed(factors=(0.9, 1.0, 1.1)), sound(1.0)
    lengths = {len(speed(waveform, np.random.default_rng(seed))) for seed in range(30)}
    assert len(lengths) == 3
    for length, factor in zip(sorted(lengths), (1.1, 1.0, 0.9), strict=True):
        assert abs(length - 16_000 / factor) <= 1
    assert Chain(speed, None, Gain(probability=1.0), speed).max_speed == 1.1 * 1.1


def test_speed_changes_the_pitch():
    tone = np.sin(2 * np.pi * 1000 * np.arange(16_000) / 16_000).astype(np.float32)
    fast = Speed(factors=[1.25])(tone, np.random.default_rng(0))
    peak = np.abs(np.fft.rfft(fast)).argmax() * 16_000 / len(fast)
    assert abs(peak - 1250) < 3
    assert fast.dtype == np.float32


def test_speed_depends_only_on_its_generator(sound):
    first, second = (Speed()(sound(0.5), np.random.default_rng(5)) for _ in range(2))
    assert np.array_equal(first, second)


def decibels(waveform: np.ndarray) -> float:
    return 10 * np.log10(np.mean(np.square(waveform, dtype=np.float64)))


@pytest.mark.parametrize("folder", [False, True])
def test_noise_has_the_requested_level_below_the_speech(sound, recording, tmp_path, folder):
    recording("noises/hum.wav", 0.4, seed=1)
    recording("noises/deep/hiss.flac", 3.0, seed=2, rate=44_100)
    noise = Noise(
        probability=1.0, folder=tmp_path / "noises" if folder else None, snr_db=(7.0, 7.0)
    )
    waveform = sound(1.5)
    added = [noise(waveform, np.random.default_rng(seed)) - waveform for seed in range(6)]
    for difference in added:
        assert decibels(waveform) - decibels(difference) == pytest.approx(7.0, abs=0.01)
    assert any(not np.allclose(added[0], difference) for difference in added[1:])


@pytest.mark.parametrize(("seconds", "times"), [(2.0, 1), (12.0, 5)])
def test_short_recordings_of_a_folder_are_decoded_once(
    recording, tmp_path, monkeypatch, seconds, times
):
    whole = audio.load(recording("hum.flac", seconds))
    calls = []
    load = audio.load

    def count(*arguments, **options):
        calls.append(arguments)
        return load(*arguments, **options)

    monkeypatch.setattr(audio, "load", count)
    noise = Noise(probability=1.0, folder=tmp_path)
    for seed in range(5):
        part = noise.draw_part(0.5, np.random.default_rng(seed))
        assert len(part) == 8_000
        found = np.lib.stride_tricks.sliding_window_view(whole, 8_000) == part
        assert found.all(1).any()  # a stretch of the recording
    assert len(calls) == times


def test_reverb_keeps_length_loudness_and_timing(sound):
    waveform = np.concatenate([np.zeros(8_000, np.float32), sound(1.0)])
    for seed in range(5):
        reverberant = Reverb(probability=1.0)(waveform, np.random.default_rng(seed))
        assert reverberant.shape == waveform.shape
        assert reverberant.dtype == np.float32
        assert decibels(reverberant) == pytest.approx(decibels(waveform), abs=0.01)
        assert np.abs(reverberant[:8_000]).max() < 1e-6  # no sound before the speech
        assert not np.allclose(reverberant, waveform, atol=1e-3)


def test_an_impulse_response_of_one_late_sample_changes_nothing(sound, tmp_path):
    soundfile.write(
        tmp_path / "late.wav", np.eye(1, 40_000, 900, dtype=np.float32)[0] * 0.5, 16_000
    )
    waveform = sound(1.0)  # shorter than the response
    reverberant = Reverb(probability=1.0, folder=tmp_path)(
        waveform, np.random.default_rng(0)
    )
    np.testing.assert_allclose(reverberant, waveform, atol=1e-5)


def test_the_equalizer_changes_bands_within_its_bounds_and_keeps_the_loudness():
    noise = np.random.default_rng(0).standard_normal(64_000).astype(np.float32)
    gains = []
    for seed in range(20):
        changed = Equalizer(probability=1.0, db=9.0)(noise, np.random.default_rng(seed))
        assert decibels(changed) == pytest.approx(decibels(noise), abs=0.01)
        response = 20 * np.log10(np.abs(np.fft.rfft(changed)) / np.abs(np.fft.rfft(noise)))
        assert np.ptp(response) <= 18.01
        assert np.abs(np.diff(response[1000:])).max() < 0.1  # smooth
        gains.append(response)
    assert np.ptp(gains, axis=0).min() > 5


def test_gain_stays_within_its_bounds(sound):
    waveform = sound(0.3)
    gains = [
        decibels(Gain(probability=1.0, db=(-9, 3))(waveform, np.random.default_rng(seed)))
        - decibels(waveform)
        for seed in range(200)
    ]
    assert -9 <= min(gains) < -8 < 2 < max(gains) <= 3


def test_narrow_band_keeps_frequencies_below_4_khz_and_removes_the_rest():
    noise = np.random.default_rng(0).standard_normal(16_001).astype(np.float32)
    narrow = NarrowBand(probability=1.0)(noise, np.random.default_rng(0))
    assert narrow.shape == noise.shape
    assert narrow.dtype == np.float32
    response = np.abs(np.fft.rfft(narrow)) / np.abs(np.fft.rfft(noise))
    assert np.median(response[300:3_500]) == pytest.approx(1.0, abs=0.02)
    assert np.median(response[4_200:]) < 0.01


@pytest.mark.parametrize("codec", Codec.CODECS)
def test_codecs_change_the_waveform_slightly_and_keep_its_length_and_timing(
    codec, monkeypatch
):
    time = np.arange(16_001) / 16_000
    speech = (0.3 * np.sin(2 * np.pi * (200 + 400 * time) * time)).astype(np.float32)
    monkeypatch.setattr(Codec, "CODECS", (codec,))
    coded = Codec(probability=1.0)(speech, np.random.default_rng(0))
    assert coded.shape == speech.shape
    assert coded.dtype == np.float32
    correlation = np.correlate(coded, speech[100:-100], "valid")
    assert correlation.argmax() == 100  # no delay
    assert 0.9 < correlation.max() / np.square(speech[100:-100]).sum() < 1.1
    assert not np.array_equal(coded, speech)


@pytest.mark.parametrize("codec", Codec.CODECS)
def test_codecs_clip_loud_clips_instead_of_wrapping_them(codec, monkeypatch):
    time = np.arange(16_000) / 16_000
    square = 1.2 * np.sign(np.sin(2 * np.pi * 100 * time)).astype(np.float32)
    monkeypatch.setattr(Codec, "CODECS", (codec,))
    coded = Codec(probability=1.0)(square, np.random.default_rng(0))
    middle = (np.arange(16_000) % 80 > 20) & (np.arange(16_000) % 80 < 60)  # of half-waves
    wrapped = (coded * square < 0) & middle
    assert wrapped.mean() < 1e-3


@pytest.mark.parametrize("kind", [Noise, Reverb, Equalizer, Gain, NarrowBand, Codec])
def test_each_augmentation_applies_with_its_probability(kind, sound):
    waveform, augment = sound(0.1), kind(probability=0.3)
    changed = sum(
        augment(waveform, np.random.default_rng(seed)) is not waveform
        for seed in range(1_000)
    )
    assert 250 < changed < 350


@pytest.mark.parametrize("kind", [Noise, Reverb, Equalizer, Gain, NarrowBand, Codec])
@pytest.mark.parametrize("seconds", [0.0001, 0.5])
def test_silence_stays_silence_at_any_length(kind, seconds):
    silence = np.zeros(round(seconds * 16_000), np.float32)
    assert not kind(probability=1.0)(silence, np.random.default_rng(0)).any()


def test_a_chain_applies_its_steps_in_order_and_skips_none(sound):
    waveform = sound(0.5)
    steps = Speed(factors=[2.0]), None, Gain(probability=1.0, db=(6, 6))
    louder = Chain(*steps)(waveform, np.random.default_rng(0))
    np.testing.assert_allclose(
        louder, audio.resample(waveform, 32_000, 16_000) * 10**0.3, rtol=1e-5
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: Speed(factors=()), "factors must not be empty"),
        (lambda folder: Speed(factors=(0.0, 1.0)), "factors must be > 0, got 0.0"),
        (
            lambda folder: Noise(probability=1.5),
            "probability must be >= 0 and <= 1, got 1.5",
        ),
        (
            lambda folder: Noise(probability=1, snr_db=(9, 3)),
            "snr_db must be two numbers in ascending order, got [9, 3]",
        ),
        (lambda folder: Gain(probability=1, db=(1,)), "db must be two numbers"),
        (lambda folder: Equalizer(probability=1, db=-5), "db must be >= 0, got -5"),
        (lambda folder: Equalizer(probability=1, db=[3, 6]), "db must be >= 0, got [3, 6]"),
        (
            lambda folder: Reverb(probability=1, folder=folder / "none"),
            "none. Check the path.",
        ),
        (lambda folder: Noise(probability=1, folder=folder), "bad.wav: empty file"),
    ],
)
def test_constructors_reject_invalid_arguments(make, message, tmp_path):
    (tmp_path / "bad.wav").touch()
    with pytest.raises((ValueError, AudioError)) as caught:
        make(tmp_path)
    assert message in str(caught.value)
