"""Rows in several processes: results, errors, and the end of the processes."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from asr import processes
from asr.decode.parallel import CHUNKS, Parallel
from asr.errors import DecodingError

SLOW = 0.05  # seconds, long enough for every process to take a row
LIMIT = 600  # seconds


def row(number, frames=2):
    return np.full((frames, 3), number, dtype=np.float32)


def halve(row, delay):
    time.sleep(delay)
    if row.size and row[0, 0] % 2:
        raise ValueError(f"{row[0, 0]:.0f} is odd")
    return (row / 2).copy(), os.getpid()


@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize("count", [0, 1, 2, 7, 3 * 3 * CHUNKS])
def test_results_are_in_the_order_of_the_rows(workers, count):
    rows = [row(2 * i, frames=i % 4) for i in range(count)]
    results = Parallel(halve, workers)(rows, 0.0)
    assert len(results) == count
    assert all(
        np.array_equal(half, row / 2) for row, (half, _) in zip(rows, results, strict=True)
    )
    assert len({process for _, process in results}) <= workers


def test_every_worker_takes_rows_in_each_call():
    parallel = Parallel(halve, 3)
    first, second = (
        {process for _, process in parallel([row(2)] * 3, SLOW)} for _ in range(2)
    )
    assert first == second
    assert len(first) == 3


@pytest.mark.parametrize(("workers", "count"), [(1, 3), (2, 1)])
def test_one_worker_or_one_row_needs_no_other_process(workers, count):
    results = Parallel(halve, workers)([row(2)] * count, 0.0)
    assert {process for _, process in results} == {os.getpid()}


def test_a_system_without_fork_spawns_processes(monkeypatch):
    monkeypatch.setattr("asr.decode.parallel.START_METHOD", "spawn")
    parallel = Parallel(halve, 2)
    results = parallel([row(2), row(4)] * 2, SLOW)
    assert [half[0, 0] for half, _ in results] == [1, 2] * 2
    assert os.getpid() not in {process for _, process in results}
    with pytest.raises(ValueError, match="3 is odd"):
        parallel([row(3), row(4)], 0.0)


def test_a_system_without_semaphores_decodes_in_one_process(without_semaphores):
    results = Parallel(halve, 2)([row(2)] * 3, 0.0)
    assert {process for _, process in results} == {os.getpid()}


@pytest.mark.skipif(
    processes.START_METHOD != "fork", reason="spawned workers need pickling"
)
def test_the_function_need_not_be_picklable_after_a_fork():
    assert Parallel(lambda row: row.sum(), 2)([row(2), row(4)]) == [12, 24]


def nap(row):
    time.sleep(float(row[0, 0]))
    return os.getpid()


def test_a_free_worker_takes_the_next_rows():
    parallel = Parallel(nap, 2)
    parallel([row(SLOW)] * 2)
    longest, *others = parallel([row(4 * SLOW, frames=8), *[row(SLOW / 4)] * 8])
    assert set(others) - {longest}
    assert longest not in others


def test_rows_may_be_larger_than_those_of_the_call_before():
    parallel = Parallel(halve, 2)
    for frames in (1, 200_000, 10):
        half, _ = parallel([row(2), row(4, frames)], 0.0)[1]
        assert half.shape == (frames, 3)
        assert (half == 2).all()


@pytest.mark.parametrize("numbers", [[3, 4], [4, 3]])
def test_an_error_is_raised_in_the_caller_and_the_next_call_gets_its_own_results(numbers):
    parallel = Parallel(halve, 2)
    with pytest.raises(ValueError, match="3 is odd"):
        parallel([row(number) for number in numbers], SLOW)
    assert [half[0, 0] for half, _ in parallel([row(20), row(40)], 0.0)] == [10, 20]


def test_a_killed_worker_is_reported_and_replaced():
    parallel = Parallel(halve, 2)
    worker, _ = {process for _, process in parallel([row(2)] * 2, SLOW)}
    psutil.Process(worker).kill()
    with pytest.raises(DecodingError, match="a decoding process was killed"):
        while True:  # until the pool has noticed
            parallel([row(2)] * 2, 0.0)
    assert [half[0, 0] for half, _ in parallel([row(2)] * 2, 0.0)] == [1, 1]


def test_workers_end_with_the_pool():
    parallel = Parallel(halve, 3)
    parallel([row(2)] * 3, 0.0)
    workers = multiprocessing.active_children()
    del parallel
    wait_until(lambda: not any(worker.is_alive() for worker in workers))


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("how", ["SIGINT", "SIGKILL"])
def test_workers_end_when_the_main_process_is_interrupted_or_killed(how):
    number = signal.Signals[how]
    code = (
        "import os, time, numpy as np\n"
        "from asr.decode.parallel import Parallel\n"
        "def tell(row):\n"
        "    os.write(1, f'{os.getpid()}\\n'.encode())\n"
        "    time.sleep(1)\n"
        "Parallel(tell, 2)(np.zeros((4, 1, 1), np.float32))\n"
    )
    main = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    workers = {int(main.stdout.readline()) for _ in range(2)}
    main.send_signal(number)
    main.communicate(timeout=LIMIT)
    assert main.returncode == -number
    wait_until(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers))


def wait_until(condition):
    end = time.monotonic() + LIMIT
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    assert condition()
