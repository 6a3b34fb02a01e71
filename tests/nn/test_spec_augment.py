"""SpecAugment: bounds of its masks, and warping of frequencies."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from asr.audio import SAMPLE_RATE
from asr.nn.features import LogMel
from asr.nn.padding import length_to_mask, mask_padding
from asr.nn.spec_augment import SpecAugment, warp_frequencies


@given(st.lists(st.integers(0, 120), min_size=1, max_size=5), st.integers(0, 2**32 - 1))
def test_masks_are_limited_in_number_width_and_share_of_the_utterance(lengths, seed):
    torch.manual_seed(seed)
    augment = SpecAugment(
        frequency_masks=2, frequency_width=10, time_masks=2, time_width=15, time_share=0.2
    )
    size, lengths = max(1, *lengths, 1), torch.tensor(lengths)
    x = mask_padding(torch.ones(len(lengths), size, 40), lengths)
    y = augment(x, lengths)
    assert y.shape == x.shape
    assert not y[~length_to_mask(lengths, size)].any()
    for row, n in zip(y, lengths.tolist(), strict=True):
        masked = row[:n] == 0
        bands = masked.all(0).sum()
        assert bands == 40 or bands <= 2 * 10
        frames = masked.all(1)
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
def test_warping_multiplies_frequencies_and_keeps_the_highest(factor):
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


def test_each_utterance_has_its_own_warp_and_padding_stays_zero():
    torch.manual_seed(0)
    lengths = torch.tensor([30, 12])
    x = mask_padding(torch.rand(1, 30, 40).expand(2, -1, -1).contiguous(), lengths)
    augment = SpecAugment(warp=0.2, frequency_masks=0, time_masks=0)
    y = augment(x, lengths)
    assert not torch.allclose(y[0, :12], y[1, :12])
    assert not y[~length_to_mask(lengths, 30)].any()
    torch.testing.assert_close(warp_frequencies(x, torch.ones(2)), x)
    with pytest.raises(ValueError, match=r"^warp must be >= 0 and < 1, got 1\.0$"):
        SpecAugment(warp=1.0)


def test_without_masks_nothing_changes():
    x = torch.randn(2, 50, 80)
    assert torch.equal(
        SpecAugment(frequency_masks=0, time_masks=0)(x, torch.tensor([50, 20])), x
    )


def test_about_half_of_the_widths_are_masked_on_average():
    torch.manual_seed(0)
    augment = SpecAugment(frequency_masks=0, time_masks=1, time_width=40, time_share=1.0)
    y = augment(torch.ones(2_000, 200, 4), torch.full((2_000,), 200))
    assert (y == 0).float().mean() * 200 == pytest.approx(20, abs=1)
