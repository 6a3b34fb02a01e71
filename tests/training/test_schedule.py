"""Learning rates over a run."""

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
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = make(optimizer, steps=total)
    seen = []
    for _ in range(steps):
        seen.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    return seen


@pytest.mark.parametrize("make", SCHEDULES)
def test_the_rate_rises_to_the_optimizers_own_and_falls_to_its_end(make):
    seen = rates(make, 101, 100)
    top = seen.index(max(seen))
    assert max(seen) == pytest.approx(1.0)
    assert 15 <= top <= 25
    assert seen[: top + 1] == sorted(seen[: top + 1])
    assert seen[top:] == sorted(seen[top:], reverse=True)
    assert seen[-1] == pytest.approx(0.01)


@pytest.mark.parametrize("make", SCHEDULES)
def test_past_the_last_step_the_rate_stays(make):
    assert rates(make, 60, 40)[45:] == pytest.approx([0.01] * 15)


def test_noams_rate_falls_with_the_root_of_the_step():
    seen = rates(partial(noam, warmup_steps=20), 100, 60)
    assert seen.index(max(seen)) == 19
    assert seen[:20] == pytest.approx([step / 20 for step in range(1, 21)])
    assert seen[20:] == pytest.approx([(20 / step) ** 0.5 for step in range(21, 101)])


@given(st.integers(1, 30))
def test_runs_of_any_length_have_positive_rates(total):
    for make in (*SCHEDULES, noam):
        assert all(0 < rate <= 1 for rate in rates(make, total, total))
