"""What augmentation may do to an utterance and what it may not."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from asr import lengths as ln
from asr.augment import SpecAugment, Speed


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


@pytest.mark.parametrize("factors", [(), (0.0, 1.0), (-1.0,)])
def test_speed_refuses_factors_that_make_no_sense(factors):
    with pytest.raises(ValueError, match="must be above 0"):
        Speed(factors=factors)


@given(st.lists(st.integers(0, 120), min_size=1, max_size=5), st.integers(0, 2**32 - 1))
def test_masks_keep_to_their_number_their_width_and_the_share_of_the_utterance(lengths, seed):
    torch.manual_seed(seed)
    augment = SpecAugment(frequency_masks=2, frequency_width=10, time_masks=2, time_width=15, time_share=0.2)
    size, lengths = max(1, *lengths, 1), torch.tensor(lengths)
    x = ln.zero_padding(torch.ones(len(lengths), size, 40), lengths)
    y = augment(x, lengths)
    assert y.shape == x.shape
    assert not y[~ln.mask(lengths, size)].any()
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


def test_without_masks_nothing_changes():
    x = torch.randn(2, 50, 80)
    assert torch.equal(SpecAugment(frequency_masks=0, time_masks=0)(x, torch.tensor([50, 20])), x)


def test_about_half_of_the_widths_are_masked_on_average():
    torch.manual_seed(0)
    augment = SpecAugment(frequency_masks=0, time_masks=1, time_width=40, time_share=1.0)
    y = augment(torch.ones(2_000, 200, 4), torch.full((2_000,), 200))
    assert (y == 0).float().mean() * 200 == pytest.approx(20, abs=1)
