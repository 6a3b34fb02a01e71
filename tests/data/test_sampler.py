"""Batches: every utterance once, within the budget, little padding, an order that the seed fixes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.data.sampler import BucketSampler
from asr.errors import ConfigError

DURATIONS = st.lists(st.floats(0.05, 40.0), min_size=1, max_size=60)
BUDGET = st.floats(1.0, 100.0)


def librispeech(count):
    """Durations as in LibriSpeech's 960 hours: 1.3 to 24.5 s, 12.3 s on average, most between 12 and 16 s."""
    rng = np.random.default_rng(0)
    most = rng.triangular(11.5, 15.3, 16.4, round(0.62 * count))
    shorter = rng.uniform(1.3, 15.0, round(0.37 * count))
    longest = rng.uniform(16.0, 24.5, count - len(most) - len(shorter))
    return rng.permutation(np.concatenate((most, shorter, longest)))


@given(DURATIONS, BUDGET, st.booleans(), st.integers(0, 5))
def test_every_utterance_comes_exactly_once_in_every_epoch(durations, budget, shuffle, epoch):
    sampler = BucketSampler(durations, batch_seconds=budget, shuffle=shuffle)
    sampler.set_epoch(epoch)
    items = [item for batch in sampler for item in batch]
    assert sorted(index for index, _ in items) == list(range(len(durations)))
    assert {of for _, of in items} == {epoch}


@given(DURATIONS, BUDGET, st.integers(0, 5))
def test_a_batch_holds_its_budget_with_padding_and_what_is_longer_goes_alone(
    durations, budget, epoch
):
    sampler = BucketSampler(durations, batch_seconds=budget)
    for batch in sampler.batches(epoch):
        padded = sampler.durations[batch].max() * len(batch)
        assert padded <= budget * (1 + 1e-9) or len(batch) == 1


@given(DURATIONS, BUDGET, st.integers(0, 5))
def test_the_number_of_batches_is_the_same_in_every_epoch(durations, budget, epoch):
    sampler = BucketSampler(durations, batch_seconds=budget)
    assert len(sampler) == len(sampler.batches(epoch)) == len(sampler.batches(epoch + 1))
    assert all(len(batch) for batch in sampler.batches(epoch))


def order(sampler, epoch):
    return [batch.tolist() for batch in sampler.batches(epoch)]


def test_the_same_seed_gives_the_same_order_and_another_one_another():
    durations = librispeech(300)
    samplers = [BucketSampler(durations, batch_seconds=60, seed=seed) for seed in (3, 3, 4)]
    assert order(samplers[0], 2) == order(samplers[1], 2)
    assert order(samplers[0], 2) != order(samplers[2], 2)


def test_epochs_differ_in_the_order_of_batches_and_in_who_is_with_whom():
    sampler = BucketSampler(librispeech(300), batch_seconds=60)
    first, second = order(sampler, 0), order(sampler, 1)
    assert first != second
    assert len({frozenset(b) for b in first} & {frozenset(b) for b in second}) < 0.2 * len(first)


def test_an_epoch_does_not_depend_on_those_before_it():
    sampler = BucketSampler(librispeech(300), batch_seconds=60)
    passes = [list(sampler), list(sampler)]
    sampler.set_epoch(7)
    later = list(sampler)
    fresh = BucketSampler(librispeech(300), batch_seconds=60)
    fresh.set_epoch(7)
    assert passes[0] == passes[1] != later == list(fresh)


def test_without_shuffling_the_longest_come_first():
    sampler = BucketSampler([1.0, 3.0, 2.0, 3.0, 0.5], batch_seconds=6, shuffle=False)
    assert order(sampler, 0) == order(sampler, 9) == [[1, 3], [2, 0, 4]]


@pytest.mark.parametrize("world", [1, 3])
def test_the_largest_batch_of_all_is_in_the_first_step(world):
    samplers = [BucketSampler(librispeech(300), batch_seconds=60, seed=1) for _ in range(world)]
    for rank, sampler in enumerate(samplers):
        sampler.shard(rank, world)
    steps = zip(*(sampler.batches(0) for sampler in samplers), strict=True)
    costs = [[samplers[0].durations[batch].max() * len(batch) for batch in step] for step in steps]
    assert max(costs[0]) == max(map(max, costs))


def test_an_interrupted_epoch_goes_on_behind_what_was_seen_and_the_next_is_whole():
    sampler, other = (BucketSampler(librispeech(300), batch_seconds=60) for _ in range(2))
    sampler.set_epoch(4)
    seen = list(sampler)
    other.resume(4, 10)
    assert list(other) == seen[10:]
    for one in (sampler, other):
        one.set_epoch(5)
    assert list(other) == list(sampler)


def test_padding_is_below_5_percent_on_lengths_like_librispeechs():
    durations = librispeech(28_124)
    assert durations.mean() == pytest.approx(12.3, abs=0.3)
    sampler = BucketSampler(durations, batch_seconds=120)
    assert sampler.padding(0) < 0.05
    assert sampler.padding(1) < 0.05
    used = np.mean([sampler.durations[batch].max() * len(batch) for batch in sampler.batches(0)])
    assert used > 0.8 * 120


def test_all_of_librispeech_is_put_in_batches():
    sampler = BucketSampler(librispeech(281_241), batch_seconds=120)
    indices = np.concatenate(sampler.batches(0))
    assert len(indices) == 281_241
    assert len(np.unique(indices)) == 281_241


@pytest.mark.parametrize("budget", [0, -5.0])
def test_a_budget_that_makes_no_sense_is_refused(budget):
    with pytest.raises(ConfigError, match=r"^data\.batch_seconds is"):
        BucketSampler([1.0], batch_seconds=budget)
