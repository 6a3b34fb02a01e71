"""Joined clips and pauses: what they keep of the clips, and the bounds of what they add."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.data.batch_augment import Join, Pauses, quietest_sample
from asr.data.dataset import SpeechDataset
from asr.data.filter import Example, keep_all
from asr.data.manifest import Utterance
from asr.text import Tokenizer

ENGLISH = Tokenizer.english()
SEPARATOR = ENGLISH.encode(" ")


def clip(text, seconds, seed=0):
    samples = np.random.default_rng(seed).uniform(0.5, 1.0, round(seconds * 16_000))
    example = Example(Utterance(f"{text}.wav", seconds, text), tuple(ENGLISH.encode(text)))
    return example, samples.astype(np.float32)


def rng(seed=0):
    return np.random.default_rng(seed)


def decibels(waveform):
    return 10 * np.log10(np.mean(np.square(waveform, dtype=np.float64)))


def test_joined_clips_have_the_words_of_all_in_the_order_of_their_sounds():
    clips = [clip("one", 0.3, 1), clip("", 0.2, 2), clip("two three", 0.5, 3)]
    by_size = {len(samples): (example, samples) for example, samples in clips}
    join = Join(separator=SEPARATOR, probability=1, clips=(3, 3), gap=(0.1, 0.2))
    orders = set()
    for seed in range(10):
        ((example, waveform),) = join(clips, rng(seed))
        edges = np.flatnonzero(np.diff(np.r_[0, waveform != 0, 0]))
        sounds = [waveform[start:end] for start, end in edges.reshape(-1, 2)]
        texts = []
        for sound in sounds:
            original, samples = by_size[len(sound)]
            assert np.ptp(sound / samples) < 1e-3  # only the level differs
            texts.append(original.utterance.text)
        assert len(sounds) == 3
        assert ENGLISH.decode(example.labels).split() == " ".join(texts).split()
        assert example.utterance.text == " ".join(texts)
        pauses = edges[2::2] - edges[1:-1:2]
        assert pauses.min() >= 1_600
        assert pauses.max() <= 3_200
        orders.add(tuple(texts))
    assert len(orders) > 3


@given(
    seconds=st.lists(st.floats(0.05, 12.0), min_size=1, max_size=9),
    seed=st.integers(0, 99),
    longest=st.floats(1.0, 30.0),
)
def test_joining_keeps_every_clip_and_its_limits(seconds, seed, longest):
    clips = [clip(f"w{'a' * i}", each, i) for i, each in enumerate(seconds)]
    join = Join(separator=SEPARATOR, probability=1, clips=(2, 4), max_seconds=longest)
    joined = join(clips, rng(seed))
    words = [
        word for example, _ in joined for word in ENGLISH.decode(example.labels).split()
    ]
    assert sorted(words) == sorted(example.utterance.text for example, _ in clips)
    for example, waveform in joined:
        count = len(ENGLISH.decode(example.labels).split())
        assert count <= 4
        assert count == 1 or len(waveform) <= longest * 16_000 + count


def test_joined_clips_change_their_levels_by_up_to_the_gain():
    join = Join(
        separator=SEPARATOR, probability=1, clips=(2, 2), gap=(1, 1), gain_db=(-6, 6)
    )
    gains = []
    for seed in range(20):
        ((_, waveform),) = join([clip("a", 1.0, 1), clip("a", 1.0, 1)], rng(seed))
        levels = [decibels(part) for part in (waveform[:16_000], waveform[-16_000:])]
        gains += [level - decibels(clip("a", 1.0, 1)[1]) for level in levels]
    assert -6 < min(gains) < -4
    assert 4 < max(gains) < 6


@pytest.mark.parametrize(
    "change",
    [Join(separator=[], probability=0), Pauses(probability=0)],
    ids=["join", "pauses"],
)
def test_with_probability_0_a_batch_stays_as_it_is(change):
    clips = [clip("one", 0.3), clip("two", 0.2)]
    assert change(clips, rng()) == clips
    assert change([], rng()) == []


@given(
    seconds=st.lists(st.floats(0.0, 3.0), min_size=1, max_size=5),
    extra=st.floats(0.0, 5.0),
    seed=st.integers(0, 99),
)
def test_pauses_keep_the_samples_and_the_limit(seconds, extra, seed):
    clips = [clip("a", each, i) for i, each in enumerate(seconds)]
    padded = Pauses(probability=1, seconds=extra, level_db=(-60, -20))(clips, rng(seed))
    limit = max(len(samples) for _, samples in clips) + extra * 16_000
    for (example, samples), (after, waveform) in zip(clips, padded, strict=True):
        assert after is example
        assert len(samples) <= len(waveform) <= limit
        assert waveform.dtype == np.float32
        speech = waveform[np.abs(waveform) > 0.4] if len(samples) else waveform[:0]
        assert np.array_equal(speech, samples)


def test_pauses_are_before_inside_and_after_clips_silent_or_at_a_level():
    pauses = Pauses(probability=1, seconds=4, level_db=(-30, -20))
    places, levels = set(), []
    for seed in range(60):
        _, samples = clip("a", 1.0)
        ((_, waveform),) = pauses([(clip("a", 1.0)[0], samples)], rng(seed))
        speech = np.flatnonzero(np.abs(waveform) > 0.4)
        if len(waveform) < 18_000:
            continue
        pause = np.delete(waveform, speech)
        levels.append(decibels(pause) - decibels(samples) if pause.any() else None)
        places |= {"before"} if speech[0] else set()
        places |= {"after"} if speech[-1] + 1 < len(waveform) else set()
        places |= {"inside"} if np.diff(speech).max() > 1 else set()
    assert places == {"before", "inside", "after"}
    audible = [level for level in levels if level is not None]
    assert 0.4 < len(audible) / len(levels) < 0.9
    assert -30.1 < min(audible) < max(audible) < -19.9


def test_the_quietest_sample_is_in_the_pause_of_the_middle_half():
    samples = clip("a", 2.0)[1]
    samples[:3_000] = 0  # outside the middle half
    samples[20_000:20_800] *= 0.01
    assert abs(quietest_sample(samples) - 20_400) < 10
    assert quietest_sample(samples[:10]) == 5


def test_a_dataset_changes_batches_in_the_same_way_in_each_pass_but_not_in_each_epoch(
    utterances,
):
    changes = [Join(separator=SEPARATOR, probability=1), Pauses(probability=1)]
    examples = keep_all(utterances, ENGLISH).examples
    dataset = SpeechDataset(examples, batch_augments=changes, seed=3)
    first, again, later = (
        dataset[[(index, epoch) for index in range(6)]] for epoch in (0, 0, 1)
    )
    assert np.array_equal(first.waveforms, again.waveforms)
    assert np.array_equal(first.targets, again.targets)
    assert len(first) < 6
    same_shape = first.waveforms.shape == later.waveforms.shape
    assert not same_shape or not np.array_equal(first.waveforms, later.waveforms)
    assert SpeechDataset([], batch_augments=changes)[[]].waveforms.shape == (0, 0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"gap": (-0.5, 0.8)}, "gap must be >= 0, got -0.5"),
        ({"clips": (2.7, 3.9)}, "clips must be an integer, got 2.7"),
        ({"clips": (0, 3)}, "clips must be >= 1, got 0"),
        ({"clips": (3, 2)}, "clips must be two numbers in ascending order"),
    ],
)
def test_impossible_settings_of_joining_are_refused(settings, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        Join(separator=[], **settings)
