"""Read items in threads ahead of a consumer, in order and with a limit."""

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

THREADS = 2
MAX_ITEMS = 128  # that are read before the first of them is taken

Item = TypeVar("Item")
Result = TypeVar("Result")


def read_ahead(
    read: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    size: Callable[[Result], float],
    max_size: float,
) -> Iterator[Result]:
    """Yield `read(item)` of each item in order, while threads read the next ones.

    A result is yielded as soon as it is there, even if the iterable waits for its next item.
    Reading pauses while the results that have not been taken exceed `max_size` in total.

    Args:
        read: Function that reads an item.
        items: Items, which are taken in another thread.
        size: Function that returns the size of a result.
        max_size: Largest size of waiting results.
    """
    reader = _Reader(read, size, max_size)
    # a daemon, because the iterable may wait forever
    threading.Thread(target=reader.feed, args=(items,), name="feeder", daemon=True).start()
    try:
        yield from reader.take()
    finally:
        reader.close()


class _Reader(Generic[Item, Result]):
    def __init__(
        self,
        read: Callable[[Item], Result],
        size: Callable[[Result], float],
        max_size: float,
    ) -> None:
        self._read, self._size, self._max_size = read, size, max_size
        self._executor = ThreadPoolExecutor(THREADS, thread_name_prefix="reader")
        self._futures: queue.SimpleQueue[Future[Result] | None] = queue.SimpleQueue()
        self._free = threading.Semaphore(MAX_ITEMS)
        self._changed = threading.Condition()
        self._waiting = 0.0  # size of the results that have not been taken
        self._taken = 0
        self._is_closed = False

    def feed(self, items: Iterable[Item]) -> None:
        """Submit all items."""
        try:
            for index, item in enumerate(items):
                self._free.acquire()
                self._futures.put(self._executor.submit(self._work, index, item))
        except BaseException as error:  # of the iterable; the consumer raises it
            failed: Future[Result] = Future()
            failed.set_exception(error)
            self._futures.put(failed)
        self._futures.put(None)

    def take(self) -> Iterator[Result]:
        """Yield the results in order."""
        while (future := self._futures.get()) is not None:
            result = future.result()
            yield result
            self._free.release()
            with self._changed:
                self._waiting -= self._size(result)
                self._taken += 1
                self._changed.notify_all()

    def close(self) -> None:
        """Let all threads end."""
        self._executor.shutdown(wait=False, cancel_futures=True)
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        self._free.release()

    def _work(self, index: int, item: Item) -> Result:
        with self._changed:
            self._changed.wait_for(lambda: self._may_read(index))
        result = self._read(item)
        with self._changed:
            self._waiting += self._size(result)
        return result

    def _may_read(self, index: int) -> bool:
        """Return whether there is room, or the consumer waits for this item."""
        return self._waiting < self._max_size or index == self._taken or self._is_closed
