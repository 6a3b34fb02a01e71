"""Rows at once: what comes back, what goes wrong in another process, and what becomes of the processes."""

import multiprocessing
import os
import signal
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.decode.parallel import BLOCKS, Parallel, _blocks
from asr.errors import DecodingError

SLOW = 0.05  # seconds, in which every process has claimed something


def row(number, frames=2):
    return np.full((frames, 3), number, dtype=np.float32)


def called(parallel, rows, context):
    """The results for rows, which are padded with what no result may hold."""
    lengths = [len(row) for row in rows]
    padded = np.full((len(rows), max(lengths, default=0) + 1, 3), np.nan, dtype=np.float32)
    for there, row in zip(padded, rows, strict=True):
        there[: len(row)] = row
    return parallel(padded, lengths, context)


def halves(row, delay):
    time.sleep(delay)
    if row.size and row[0, 0] % 2:
        raise ValueError(f"{row[0, 0]:.0f} is odd")
    return (row / 2).copy(), os.getpid()


@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize("count", [0, 1, 2, 7, 3 * BLOCKS])
def test_results_come_in_the_order_of_the_rows(workers, count):
    rows = [row(2 * i, frames=i % 4) for i in range(count)]
    found = called(Parallel(halves, workers), rows, 0.0)
    assert len(found) == count
    assert all(np.array_equal(half, row / 2) for row, (half, _) in zip(rows, found, strict=True))
    assert len({process for _, process in found}) <= workers


def test_each_process_takes_a_part_and_is_there_for_the_next_call():
    parallel = Parallel(halves, 3)
    first, second = (
        {process for _, process in called(parallel, [row(2)] * 3, SLOW)} for _ in range(2)
    )
    assert first == second
    assert len(first) == 3
    assert os.getpid() in first


@given(st.lists(st.integers(0, 3000), max_size=3 * BLOCKS), st.integers(2, 64))
def test_blocks_hold_every_row_once_the_longest_first_and_no_more_than_half_of_a_process_s_share(
    lengths, processes
):
    blocks = _blocks(lengths, processes)
    rows = [i for block in blocks for i in block]
    assert sorted(rows) == list(range(len(lengths)))
    assert [lengths[i] for i in rows] == sorted(lengths, reverse=True)
    assert len(blocks) <= BLOCKS
    left = sum(lengths)
    for block in blocks:
        frames = sum(lengths[i] for i in block)
        assert block
        assert len(block) <= 1 + len(lengths) // BLOCKS or frames <= left / (2 * processes)
        left -= frames


def test_whoever_is_free_takes_the_next_rows():
    def sleeps(row, _):
        time.sleep(float(row[0, 0]))
        return os.getpid()

    parallel = Parallel(sleeps, 2)
    called(parallel, [row(SLOW)] * 2, None)
    longest, *others = called(parallel, [row(4 * SLOW, frames=8), *[row(SLOW / 4)] * 8], None)
    assert set(others) - {longest}
    assert longest not in others


def test_rows_that_need_more_memory_than_those_before_get_it():
    parallel = Parallel(halves, 2)
    for frames in (1, 200_000, 10):
        half, _ = called(parallel, [row(2), row(4, frames)], 0.0)[1]
        assert half.shape == (frames, 3)
        assert (half == 2).all()


@pytest.mark.parametrize("numbers", [[3, 4], [4, 3]])
def test_an_error_is_raised_here_and_the_next_call_is_not_mixed_up_with_what_is_left_of_it(numbers):
    parallel = Parallel(halves, 2)
    with pytest.raises(ValueError, match="3 is odd"):
        called(parallel, [row(number) for number in numbers], SLOW)
    assert [half[0, 0] for half, _ in called(parallel, [row(20), row(40)], 0.0)] == [10, 20]


def test_a_killed_process_is_told_and_replaced():
    parallel = Parallel(halves, 2)
    (other,) = {process for _, process in called(parallel, [row(2)] * 2, SLOW)} - {os.getpid()}
    os.kill(other, signal.SIGKILL)
    with pytest.raises(DecodingError, match="a process that decodes was killed"):
        called(parallel, [row(2)] * 2, 0.0)
    assert [half[0, 0] for half, _ in called(parallel, [row(2)] * 2, 0.0)] == [1, 1]


def test_processes_end_when_nobody_calls_any_more():
    parallel = Parallel(halves, 3)
    called(parallel, [row(2)] * 3, 0.0)
    before = multiprocessing.active_children()
    del parallel
    end = time.monotonic() + 10
    while any(process.is_alive() for process in before) and time.monotonic() < end:
        time.sleep(0.01)
    assert not any(process.is_alive() for process in before)
