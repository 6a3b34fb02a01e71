"""Batches: every utterance once, limited size, little padding, and an order set by the seed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.data.sampler import BucketSampler

DURATIONS = st.lists(st.floats(0.05, 40.0), min_size=1, max_size=60)
BATCH_SECONDS = st.floats(1.0, 100.0)


def librispeech(count):
    """Return durations distributed as in LibriSpeech's 960 hours.

    They range from 1.3 to 24.5 s with a mean of 12.3 s. Most are between 12 and 16 s.
    """
    rng = np.random.default_rng(0)
    most = rng.triangular(11.5, 15.3, 16.4, round(0.62 * count))
    shorter = rng.uniform(1.3, 15.0, round(0.37 * count))
    longest = rng.uniform(16.0, 24.5, count - len(most) - len(shorter))
    return rng.permutation(np.concatenate((most, shorter, longest)))


@given(DURATIONS, BATCH_SECONDS, st.booleans(), st.integers(0, 5))
def test_each_epoch_has_every_utterance_once(durations, batch_seconds, shuffle, epoch):
    sampler = BucketSampler(durations, batch_seconds=batch_seconds, shuffle=shuffle)
    sampler.set_epoch(epoch)
    items = [item for batch in sampler for item in batch]
    assert sorted(index for index, _ in items) == list(range(len(durations)))
    assert {item_epoch for _, item_epoch in items} == {epoch}


@given(DURATIONS, BATCH_SECONDS, st.integers(0, 5))
def test_a_batch_with_padding_fits_batch_seconds_or_has_one_utterance(
    durations, batch_seconds, epoch
):
    sampler = BucketSampler(durations, batch_seconds=batch_seconds)
    for batch in sampler.batches(epoch):
        seconds = sampler.durations[batch].max() * len(batch)
        assert seconds <= batch_seconds * (1 + 1e-9) or len(batch) == 1


@given(DURATIONS, BATCH_SECONDS, st.integers(0, 5))
def test_the_number_of_batches_is_the_same_in_every_epoch(durations, batch_seconds, epoch):
    sampler = BucketSampler(durations, batch_seconds=batch_seconds)
    assert len(sampler) == len(sampler.batches(epoch)) == len(sampler.batches(epoch + 1))
    assert all(len(batch) for batch in sampler.batches(epoch))


def order(sampler, epoch):
    return [batch.tolist() for batch in sampler.batches(epoch)]


def test_the_seed_determines_the_order():
    durations = librispeech(300)
    samplers = [BucketSampler(durations, batch_seconds=60, seed=seed) for seed in (3, 3, 4)]
    assert order(samplers[0], 2) == order(samplers[1], 2)
    assert order(samplers[0], 2) != order(samplers[2], 2)


def test_epochs_differ_in_batches_and_in_their_order():
    sampler = BucketSampler(librispeech(300), batch_seconds=60)
    first, second = order(sampler, 0), order(sampler, 1)
    assert first != second
    common = set(map(frozenset, first)) & set(map(frozenset, second))
    assert len(common) < 0.2 * len(first)


def test_an_epoch_does_not_depend_on_earlier_epochs():
    sampler = BucketSampler(librispeech(300), batch_seconds=60)
    passes = [list(sampler), list(sampler)]
    sampler.set_epoch(7)
    later = list(sampler)
    fresh = BucketSampler(librispeech(300), batch_seconds=60)
    fresh.set_epoch(7)
    assert passes[0] == passes[1] != later == list(fresh)


def test_without_shuffle_the_longest_utterances_come_first():
    sampler = BucketSampler([1.0, 3.0, 2.0, 3.0, 0.5], batch_seconds=6, shuffle=False)
    assert order(sampler, 0) == order(sampler, 9) == [[1, 3], [2, 0, 4]]


def test_batches_of_one_utterance_may_be_fewer_than_the_processes_need():
    samplers = [BucketSampler([20.0] * 3, batch_seconds=30) for _ in range(2)]
    for rank, sampler in enumerate(samplers):
        sampler.shard(rank, 2)
    batches = [sampler.batches(0) for sampler in samplers]
    assert [len(each) for each in batches] == [2, 2]
    assert sorted(i for each in batches for batch in each for i in batch) == [0, 1, 2]


@pytest.mark.parametrize("world", [1, 3])
def test_the_largest_batch_is_in_the_first_step(world):
    samplers = [
        BucketSampler(librispeech(300), batch_seconds=60, seed=1) for _ in range(world)
    ]
    for rank, sampler in enumerate(samplers):
        sampler.shard(rank, world)
    steps = zip(*(sampler.batches(0) for sampler in samplers), strict=True)
    sizes = [
        [samplers[0].durations[batch].max() * len(batch) for batch in step]
        for step in steps
    ]
    assert max(sizes[0]) == max(map(max, sizes))


def test_resume_continues_after_the_batches_done_and_the_next_epoch_is_complete():
    sampler, resumed = (BucketSampler(librispeech(300), batch_seconds=60) for _ in range(2))
    sampler.set_epoch(4)
    batches = list(sampler)
    resumed.resume(4, 10)
    assert list(resumed) == batches[10:]
    sampler.set_epoch(5)
    resumed.set_epoch(5)
    assert list(resumed) == list(sampler)


def padding(sampler, epoch):
    """Return the share of an epoch's audio that is padding."""
    batches = sampler.batches(epoch)
    padded = sum(sampler.durations[batch].max() * len(batch) for batch in batches)
    return 1 - sum(sampler.durations[batch].sum() for batch in batches) / padded


def test_padding_is_below_5_percent_with_durations_as_in_librispeech():
    durations = librispeech(28_124)
    assert durations.mean() == pytest.approx(12.3, abs=0.3)
    sampler = BucketSampler(durations, batch_seconds=120)
    assert padding(sampler, 0) < 0.05
    assert padding(sampler, 1) < 0.05
    used = np.mean(
        [sampler.durations[batch].max() * len(batch) for batch in sampler.batches(0)]
    )
    assert used > 0.8 * 120


def test_batches_cover_all_of_librispeech():
    sampler = BucketSampler(librispeech(281_241), batch_seconds=120)
    indices = np.concatenate(sampler.batches(0))
    assert len(indices) == 281_241
    assert len(np.unique(indices)) == 281_241


@pytest.mark.parametrize("batch_seconds", [0, -5.0])
def test_batch_seconds_must_be_positive(batch_seconds):
    with pytest.raises(ValueError, match=r"^batch_seconds must be > 0, got"):
        BucketSampler([1.0], batch_seconds=batch_seconds)
