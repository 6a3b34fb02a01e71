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

LIMIT = 600  # seconds


def row(number, frames=2):
    return np.full((frames, 3), number, dtype=np.float32)


def halve(row):
    if row.size and row[0, 0] % 2:
        raise ValueError(f"{row[0, 0]:.0f} is odd")
    return (row / 2).copy(), os.getpid()


def wait_for(condition):
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < LIMIT
        time.sleep(0.01)


def meet(row, folder):
    """Wait until as many rows have started as the number in the row says. Return the process."""
    (folder / f"{os.getpid()}-{time.monotonic_ns()}").touch()
    wait_for(lambda: len(list(folder.iterdir())) >= row[0, 0])
    return os.getpid()


def meet_all(parallel, count, folder):
    """Return the processes of rows that run at the same time."""
    folder.mkdir()
    return set(parallel([row(count)] * count, folder))


@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize("count", [0, 1, 2, 7, 3 * 3 * CHUNKS])
def test_results_are_in_the_order_of_the_rows(workers, count):
    rows = [row(2 * i, frames=i % 4) for i in range(count)]
    results = Parallel(halve, workers)(rows)
    assert len(results) == count
    assert all(
        np.array_equal(half, row / 2) for row, (half, _) in zip(rows, results, strict=True)
    )
    assert len({process for _, process in results}) <= workers


def test_every_worker_takes_rows_in_each_call(tmp_path):
    parallel = Parallel(meet, 3)
    first, second = (meet_all(parallel, 3, tmp_path / name) for name in ("a", "b"))
    assert first == second
    assert len(first) == 3


@pytest.mark.parametrize(("workers", "count"), [(1, 3), (2, 1)])
def test_one_worker_or_one_row_needs_no_other_process(workers, count):
    results = Parallel(halve, workers)([row(2)] * count)
    assert {process for _, process in results} == {os.getpid()}


def test_a_system_without_fork_spawns_processes(monkeypatch):
    monkeypatch.setattr("asr.decode.parallel.START_METHOD", "spawn")
    parallel = Parallel(halve, 2)
    results = parallel([row(2), row(4)] * 2)
    assert [half[0, 0] for half, _ in results] == [1, 2] * 2
    assert os.getpid() not in {process for _, process in results}
    with pytest.raises(ValueError, match="3 is odd"):
        parallel([row(3), row(4)])


def test_a_system_without_semaphores_decodes_in_one_process(without_semaphores):
    results = Parallel(halve, 2)([row(2)] * 3)
    assert {process for _, process in results} == {os.getpid()}


@pytest.mark.skipif(
    processes.START_METHOD != "fork", reason="spawned workers need pickling"
)
def test_the_function_need_not_be_picklable_after_a_fork():
    assert Parallel(lambda row: row.sum(), 2)([row(2), row(4)]) == [12, 24]


def take(row, folder):
    """Return the process, for row 0 after all others have finished."""
    if row[0, 0]:
        (folder / str(row[0, 0])).touch()
    else:
        wait_for(lambda: len(list(folder.iterdir())) == 8)
    return os.getpid()


def test_a_free_worker_takes_the_next_rows(tmp_path):
    longest, *others = Parallel(take, 2)([row(i) for i in range(9)], tmp_path)
    assert longest not in others


def test_rows_may_be_larger_than_those_of_the_call_before():
    parallel = Parallel(halve, 2)
    for frames in (1, 200_000, 10):
        half, _ = parallel([row(2), row(4, frames)])[1]
        assert half.shape == (frames, 3)
        assert (half == 2).all()


@pytest.mark.parametrize("numbers", [[3, 4], [4, 3]])
def test_an_error_is_raised_in_the_caller_and_the_next_call_gets_its_own_results(numbers):
    parallel = Parallel(halve, 2)
    with pytest.raises(ValueError, match="3 is odd"):
        parallel([row(number) for number in numbers])
    assert [half[0, 0] for half, _ in parallel([row(20), row(40)])] == [10, 20]


def test_a_killed_worker_is_reported_and_replaced(tmp_path):
    parallel = Parallel(meet, 2)
    worker, _ = meet_all(parallel, 2, tmp_path / "a")
    psutil.Process(worker).kill()
    with pytest.raises(DecodingError, match="a decoding process was killed"):
        while True:  # until the pool has noticed
            parallel([row(0)] * 2, tmp_path)
    assert len(meet_all(parallel, 2, tmp_path / "b")) == 2


def test_workers_end_with_the_pool():
    parallel = Parallel(halve, 3)
    parallel([row(2)] * 3)
    workers = multiprocessing.active_children()
    del parallel
    wait_for(lambda: not any(worker.is_alive() for worker in workers))


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("how", ["SIGINT", "SIGKILL"])
def test_workers_end_when_the_main_process_is_interrupted_or_killed(how):
    number = signal.Signals[how]
    code = (
        "import os, time, numpy as np\n"
        "from asr.decode.parallel import Parallel\n"
        "def tell(row):\n"
        "    os.write(1, f'{os.getpid()}\\n'.encode())\n"
        "    time.sleep(3)\n"
        "Parallel(tell, 2)(np.zeros((4, 1, 1), np.float32))\n"
    )
    main = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # a shell makes background processes, such as these tests, ignore SIGINT
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    workers = {int(main.stdout.readline()) for _ in range(2)}
    main.send_signal(number)
    main.communicate(timeout=LIMIT)
    assert main.returncode == -number
    wait_for(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers))
