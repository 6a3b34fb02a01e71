"""Calls at once: what comes back, what goes wrong in another process, and what becomes of the processes."""

import multiprocessing
import os
import signal
import time

import pytest

from asr.decode.parallel import Parallel
from asr.errors import DecodingError


def halves(number):
    if number % 2:
        raise ValueError(f"{number} is odd")
    return number // 2, os.getpid()


def test_results_come_in_the_order_of_the_arguments_the_first_from_this_process():
    shared = Parallel(halves)
    (first, here), (second, there), (third, elsewhere) = shared([2, 40, 6])
    assert (first, second, third) == (1, 20, 3)
    assert here == os.getpid() != there != elsewhere != here
    assert shared([8]) == [(4, here)]
    assert shared([8, 10, 12]) == [(4, here), (5, there), (6, elsewhere)]  # the same processes again


@pytest.mark.parametrize("arguments", [[3, 4], [4, 3]])
def test_an_error_is_raised_here_and_the_next_call_is_not_mixed_up_with_what_is_left_of_it(arguments):
    shared = Parallel(halves)
    with pytest.raises(ValueError, match="3 is odd"):
        shared(arguments)
    assert [half for half, _ in shared([20, 40])] == [10, 20]


def test_a_killed_process_is_told_and_replaced():
    shared = Parallel(halves)
    (_, (_, other)) = shared([2, 2])
    os.kill(other, signal.SIGKILL)
    with pytest.raises(DecodingError, match="a process that decodes was killed"):
        shared([2, 2])
    assert [half for half, _ in shared([2, 2])] == [1, 1]


def test_processes_end_when_nobody_calls_any_more():
    shared = Parallel(halves)
    shared([2, 2, 2])
    before = multiprocessing.active_children()
    del shared
    end = time.monotonic() + 10
    while any(process.is_alive() for process in before) and time.monotonic() < end:
        time.sleep(0.01)
    assert not any(process.is_alive() for process in before)
