"""Learning rate schedules."""

from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from asr.training.schedule import noam, one_cycle, warmup_cosine

SCHEDULES = [
    partial(one_cycle, warmup=0.2, start=0.1, end=0.01),
    partial(warmup_cosine, warmup_steps=20, end=0.01),
]


def rates(make, steps, total):
    """Return the learning rates of the first `steps` steps of a run of `total` steps."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = make(optimizer, steps=total)
    values = []
    for _ in range(steps):
        values.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    return values


@pytest.mark.parametrize("make", SCHEDULES)
def test_the_rate_rises_to_that_of_the_optimizer_and_falls_to_its_end(make):
    values = rates(make, 101, 100)
    peak = values.index(max(values))
    assert max(values) == pytest.approx(1.0)
    assert 15 <= peak <= 25
    assert values[: peak + 1] == sorted(values[: peak + 1])
    assert values[peak:] == sorted(values[peak:], reverse=True)
    assert values[-1] == pytest.approx(0.01)


@pytest.mark.parametrize("make", SCHEDULES)
def test_the_rate_stays_constant_after_the_last_step(make):
    assert rates(make, 60, 40)[45:] == pytest.approx([0.01] * 15)


def test_the_noam_rate_falls_with_the_square_root_of_the_step():
    values = rates(partial(noam, warmup_steps=20), 100, 60)
    assert values.index(max(values)) == 19
    assert values[:20] == pytest.approx([step / 20 for step in range(1, 21)])
    assert values[20:] == pytest.approx([(20 / step) ** 0.5 for step in range(21, 101)])


@given(st.integers(1, 30))
def test_runs_of_any_length_have_positive_rates(total):
    for make in (*SCHEDULES, noam):
        assert all(0 < rate <= 1 for rate in rates(make, total, total))
