"""What augmentation may do to an utterance and what it may not."""

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given
from hypothesis import strategies as st

from asr import audio
from asr.audio import SAMPLE_RATE
from asr.audio.augment import Chain, Equalizer, Gain, NarrowBand, Noise, Reverb, Speed
from asr.errors import AsrError
from asr.nn import padding as ln
from asr.nn.features import LogMel
from asr.nn.spec_augment import SpecAugment, warp_frequencies


def test_speed_changes_the_length_by_a_factor_drawn_at_random(sound):
    speed, waveform = Speed(factors=(0.9, 1.0, 1.1)), sound(1.0)
    lengths = {len(speed(waveform, np.random.default_rng(seed))) for seed in range(30)}
    assert len(lengths) == 3
    for length, factor in zip(sorted(lengths), (1.1, 1.0, 0.9), strict=True):
        assert abs(length - 16_000 / factor) <= 1
    assert speed.fastest == 1.1


def test_speed_moves_the_pitch():
    tone = np.sin(2 * np.pi * 1000 * np.arange(16_000) / 16_000).astype(np.float32)
    fast = Speed(factors=[1.25])(tone, np.random.default_rng(0))
    peak = np.abs(np.fft.rfft(fast)).argmax() * 16_000 / len(fast)
    assert abs(peak - 1250) < 3
    assert fast.dtype == np.float32


def test_speed_draws_from_the_generator_it_is_given_alone(sound):
    one, two = (Speed()(sound(0.5), np.random.default_rng(5)) for _ in range(2))
    assert np.array_equal(one, two)


def decibels(power: np.ndarray) -> float:
    return 10 * np.log10(np.mean(np.square(power, dtype=np.float64)))


@pytest.mark.parametrize("folder", [False, True])
def test_noise_is_as_far_below_the_speech_as_asked_for(sound, recording, tmp_path, folder):
    recording("noises/hum.wav", 0.4, seed=1)
    recording("noises/deep/hiss.flac", 3.0, seed=2, rate=44_100)
    noise = Noise(
        probability=1.0, folder=tmp_path / "noises" if folder else None, snr_db=(7.0, 7.0)
    )
    waveform = sound(1.5)
    added = [noise(waveform, np.random.default_rng(seed)) - waveform for seed in range(6)]
    for one in added:
        assert decibels(waveform) - decibels(one) == pytest.approx(7.0, abs=0.01)
    assert any(not np.allclose(added[0], one) for one in added[1:])


def test_a_room_keeps_length_loudness_and_timing(sound):
    waveform = np.concatenate([np.zeros(8_000, np.float32), sound(1.0)])
    for seed in range(5):
        echoed = Reverb(probability=1.0)(waveform, np.random.default_rng(seed))
        assert echoed.shape == waveform.shape
        assert echoed.dtype == np.float32
        assert decibels(echoed) == pytest.approx(decibels(waveform), abs=0.01)
        assert np.abs(echoed[:8_000]).max() < 1e-6  # nothing is heard before it is said
        assert not np.allclose(echoed, waveform, atol=1e-3)


def test_an_impulse_response_of_one_sample_changes_nothing_wherever_it_stands(sound, tmp_path):
    soundfile.write(
        tmp_path / "late.wav", np.eye(1, 40_000, 900, dtype=np.float32)[0] * 0.5, 16_000
    )
    waveform = sound(1.0)  # shorter than the response
    echoed = Reverb(probability=1.0, folder=tmp_path)(waveform, np.random.default_rng(0))
    np.testing.assert_allclose(echoed, waveform, atol=1e-5)


def test_an_equaliser_raises_and_lowers_bands_within_its_bounds_and_keeps_the_loudness():
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


def test_a_telephone_carries_what_is_below_4_khz_and_nothing_above():
    noise = np.random.default_rng(0).standard_normal(16_001).astype(np.float32)
    heard = NarrowBand(probability=1.0)(noise, np.random.default_rng(0))
    assert heard.shape == noise.shape
    assert heard.dtype == np.float32
    kept = np.abs(np.fft.rfft(heard)) / np.abs(np.fft.rfft(noise))
    assert np.median(kept[300:3_500]) == pytest.approx(1.0, abs=0.02)
    assert np.median(kept[4_200:]) < 0.01


@pytest.mark.parametrize("kind", [Noise, Reverb, Equalizer, Gain, NarrowBand])
def test_each_kind_comes_as_often_as_its_probability_says(kind, sound):
    waveform, augment = sound(0.1), kind(probability=0.3)
    changed = sum(
        augment(waveform, np.random.default_rng(seed)) is not waveform for seed in range(1_000)
    )
    assert 250 < changed < 350


@pytest.mark.parametrize("kind", [Noise, Reverb, Equalizer, Gain, NarrowBand])
@pytest.mark.parametrize("seconds", [0.0001, 0.5])
def test_silence_and_scraps_survive(kind, seconds):
    silence = np.zeros(round(seconds * 16_000), np.float32)
    assert not kind(probability=1.0)(silence, np.random.default_rng(0)).any()


def test_a_chain_takes_its_steps_in_order_and_leaves_out_what_is_none(sound):
    waveform = sound(0.5)
    steps = Speed(factors=[2.0]), None, Gain(probability=1.0, db=(6, 6))
    louder = Chain(*steps)(waveform, np.random.default_rng(0))
    np.testing.assert_allclose(
        louder, audio.resample(waveform, 32_000, 16_000) * 10**0.3, rtol=1e-5
    )


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda folder: Speed(factors=()), "augment.speed.factors is empty"),
        (
            lambda folder: Speed(factors=(0.0, 1.0)),
            "augment.speed.factors is 0.0; it must be above 0",
        ),
        (
            lambda folder: Noise(probability=1.5),
            "augment.noise.probability is 1.5; it must be at least 0",
        ),
        (
            lambda folder: Noise(probability=1, snr_db=(9, 3)),
            "augment.noise.snr_db is [9, 3]; it must be two numbers",
        ),
        (
            lambda folder: Gain(probability=1, db=(1,)),
            "augment.gain.db is [1]; it must be two numbers",
        ),
        (
            lambda folder: Reverb(probability=1, folder=folder / "none"),
            "none, in which there is no recording",
        ),
        (lambda folder: Noise(probability=1, folder=folder), "bad.wav: empty file"),
    ],
)
def test_what_cannot_be_is_refused_at_once_by_the_name_of_its_key(make, said, tmp_path):
    (tmp_path / "bad.wav").touch()
    with pytest.raises(AsrError) as caught:
        make(tmp_path)
    assert said in str(caught.value)


@given(st.lists(st.integers(0, 120), min_size=1, max_size=5), st.integers(0, 2**32 - 1))
def test_masks_keep_to_their_number_their_width_and_the_share_of_the_utterance(lengths, seed):
    torch.manual_seed(seed)
    augment = SpecAugment(
        frequency_masks=2, frequency_width=10, time_masks=2, time_width=15, time_share=0.2
    )
    size, lengths = max(1, *lengths, 1), torch.tensor(lengths)
    x = ln.mask_padding(torch.ones(len(lengths), size, 40), lengths)
    y = augment(x, lengths)
    assert y.shape == x.shape
    assert not y[~ln.length_to_mask(lengths, size)].any()
    for row, n in zip(y, lengths.tolist(), strict=True):
        kept = row[:n]
        bands = (kept == 0).all(0).sum()
        assert bands == 40 or bands <= 2 * 10
        frames = (kept == 0).all(1)
        widest = min(15, 0.2 * n)
        assert frames.sum() <= 2 * (widest + 1)
        assert set(y.unique().tolist()) <= {0.0, 1.0}


def test_masks_differ_between_utterances_and_between_calls():
    x, lengths = torch.ones(2, 100, 80), torch.tensor([100, 100])
    torch.manual_seed(0)
    augment = SpecAugment()
    first, second = augment(x, lengths), augment(x, lengths)
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(first, second)


@pytest.mark.parametrize("factor", [0.8, 0.93, 1.1, 1.25])
def test_warping_moves_a_tone_by_the_factor_and_leaves_the_highest_where_it_is(factor):
    def features(*frequencies):
        time = torch.arange(8_000) / SAMPLE_RATE
        return LogMel(normalize="none")(
            torch.stack([torch.sin(2 * torch.pi * f * time) for f in frequencies]), lengths
        )

    lengths = torch.tensor([8_000, 8_000, 8_000])
    x, _ = features(500.0, 1_500.0, 7_900.0)
    expected, _ = features(500.0 * factor, 1_500.0 * factor, 7_900.0)
    y = warp_frequencies(x, torch.full((3,), factor))
    assert y.shape == x.shape
    assert (y.argmax(2) - expected.argmax(2)).abs().max() <= 1


def test_each_utterance_is_warped_by_its_own_factor_and_padding_stays_zero():
    torch.manual_seed(0)
    lengths = torch.tensor([30, 12])
    x = ln.mask_padding(torch.rand(1, 30, 40).expand(2, -1, -1).contiguous(), lengths)
    augment = SpecAugment(warp=0.2, frequency_masks=0, time_masks=0)
    y = augment(x, lengths)
    assert not torch.allclose(y[0, :12], y[1, :12])
    assert not y[~ln.length_to_mask(lengths, 30)].any()
    torch.testing.assert_close(warp_frequencies(x, torch.ones(2)), x)
    with pytest.raises(AsrError, match=r"augment.spec.warp is 1"):
        SpecAugment(warp=1.0)


def test_without_masks_nothing_changes():
    x = torch.randn(2, 50, 80)
    assert torch.equal(SpecAugment(frequency_masks=0, time_masks=0)(x, torch.tensor([50, 20])), x)


def test_about_half_of_the_widths_are_masked_on_average():
    torch.manual_seed(0)
    augment = SpecAugment(frequency_masks=0, time_masks=1, time_width=40, time_share=1.0)
    y = augment(torch.ones(2_000, 200, 4), torch.full((2_000,), 200))
    assert (y == 0).float().mean() * 200 == pytest.approx(20, abs=1)
