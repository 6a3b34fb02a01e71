"""A pool of processes for functions that hold Python's lock, such as flashlight's decoders."""

import multiprocessing
import os
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import repeat
from typing import Any

from asr.errors import DecodingError
from asr.processes import MAX_WORKERS, START_METHOD, can_start_workers, ignore_interrupts

CHUNKS = 16  # chunks of rows for each process, to balance rows of unequal cost
_function: Callable[..., Any]  # set once per worker, because it may hold a language model


class Parallel:
    """Parallel calls of `function(row, *context)` in up to `workers` processes.

    The workers start at the first call. On systems without a safe fork, each one receives a copy of
    the function, which must be picklable there.
    """

    def __init__(self, function: Callable[..., Any], workers: int) -> None:
        """Start no process yet."""
        self.function = function
        self.workers = workers
        self._pool: ProcessPoolExecutor | None = None

    def __call__(self, rows: list[Any], *context: Any) -> list[Any]:
        """Return the results of rows, in order.

        Errors of the function are raised here.

        Raises:
            DecodingError: If a worker was killed. The next call starts new workers.
        """
        if min(self.workers, len(rows)) < 2 or not can_start_workers():
            return [self.function(row, *context) for row in rows]
        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                min(self.workers, MAX_WORKERS or self.workers),
                multiprocessing.get_context(START_METHOD),
                initializer=_start_worker,
                initargs=(self.function,),
            )
        chunk_size = max(1, len(rows) // (CHUNKS * self.workers))
        try:
            results = self._pool.map(_call, rows, repeat(context), chunksize=chunk_size)
            return list(results)
        except BrokenProcessPool as error:
            self._pool = None
            # its traceback is a reference cycle that would keep the next pool alive
            raise DecodingError(
                "a decoding process was killed, perhaps for lack of memory. Use fewer workers"
            ) from error.with_traceback(None)


def _start_worker(function: Callable[..., Any]) -> None:
    global _function
    _function = function
    ignore_interrupts()
    threading.Thread(target=_exit_with_parent, daemon=True).start()


def _exit_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _call(row: Any, context: tuple[Any, ...]) -> Any:
    return _function(row, *context)
