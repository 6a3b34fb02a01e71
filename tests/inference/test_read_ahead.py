"""Reading ahead of a consumer."""

import threading
import time

import pytest

from asr.inference.read_ahead import read_ahead


def test_results_are_in_order():
    def read(item):
        time.sleep(0.02 if item % 3 == 0 else 0)
        return item * 10

    results = read_ahead(read, range(20), size=float, max_size=1e9)
    assert list(results) == [10 * item for item in range(20)]


def test_a_result_comes_while_the_iterable_waits_for_its_next_item():
    go = threading.Event()

    def items():
        yield 1
        go.wait(600)
        yield 2

    results = read_ahead(str, items(), size=len, max_size=10)
    assert next(results) == "1"
    go.set()
    assert list(results) == ["2"]


def test_reading_pauses_while_too_much_waits_to_be_taken():
    read = []

    def append(item):
        read.append(item)
        return item

    results = read_ahead(append, range(50), size=lambda _: 1.0, max_size=3.0)
    assert next(results) == 0
    time.sleep(0.3)
    assert len(read) <= 6  # three and one more for each thread
    assert list(results) == list(range(1, 50))


def test_errors_of_the_iterable_and_of_reading_reach_the_consumer():
    def items():
        yield 1
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        list(read_ahead(str, items(), size=len, max_size=10))
    with pytest.raises(ZeroDivisionError):
        list(read_ahead(lambda item: 1 / item, [1, 0], size=abs, max_size=10))


def test_an_early_end_stops_the_threads():
    before = threading.active_count()
    results = read_ahead(str, iter(int, 1), size=len, max_size=5)
    next(results)
    results.close()
    deadline = time.monotonic() + 600
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() <= before
