"""Read items in threads ahead of a consumer, in order and with a limit."""

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

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
    changed = threading.Condition()
    free = threading.Semaphore(MAX_ITEMS)
    futures: queue.SimpleQueue[Future[Result] | None] = queue.SimpleQueue()
    executor = ThreadPoolExecutor(THREADS, thread_name_prefix="reader")
    waiting, taken, is_closed = 0.0, 0, False

    def work(index: int, item: Item) -> Result:
        nonlocal waiting
        with changed:  # the consumer waits for the item after those it has taken
            changed.wait_for(lambda: waiting < max_size or index == taken or is_closed)
        result = read(item)
        with changed:
            waiting += size(result)
        return result

    def feed() -> None:
        try:
            for index, item in enumerate(items):
                free.acquire()
                futures.put(executor.submit(work, index, item))
        except BaseException as error:  # of the iterable; the consumer raises it
            failed: Future[Result] = Future()
            failed.set_exception(error)
            futures.put(failed)
        futures.put(None)

    # a daemon, because the iterable may wait forever
    threading.Thread(target=feed, name="feeder", daemon=True).start()
    try:
        while (future := futures.get()) is not None:
            result = future.result()
            yield result
            free.release()
            with changed:
                waiting -= size(result)
                taken += 1
                changed.notify_all()
    finally:
        executor.shutdown(wait=False, cancel_futures=True)
        with changed:
            is_closed = True
            changed.notify_all()
        free.release()
