"""Worker processes that read batches ahead, and the error when a worker is killed."""

import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from torch.utils.data import DataLoader, get_worker_info

from asr.data.dataset import Batch, SpeechDataset
from asr.data.sampler import BucketSampler
from asr.errors import WorkerError
from asr.processes import can_start_workers, has_sigchld, ignore_interrupts


class Loader(DataLoader):
    """Batches of a dataset, read by worker processes that persist from epoch to epoch.

    Iterating raises WorkerError if shared memory is full or a worker was killed, but only when the
    caller waits for a batch.

    Args:
        workers: Number of processes; 0 reads in the calling process, as do systems that cannot
            start workers.

    Raises:
        ValueError: If `workers` is negative.
    """

    def __init__(
        self,
        dataset: SpeechDataset,
        sampler: BucketSampler,
        *,
        workers: int = 0,
        pin_memory: bool = False,
    ) -> None:
        if workers > 0 and not can_start_workers():
            workers = 0
        super().__init__(
            dataset,
            batch_size=None,  # the sampler already yields batches
            sampler=sampler,
            num_workers=workers,
            persistent_workers=workers > 0,
            pin_memory=pin_memory,
            collate_fn=_share_memory,  # type: ignore[arg-type]  # of one batch
            worker_init_fn=_start_worker,
        )

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        if not self.num_workers:
            return super().__iter__()
        batches = _wait(super().__iter__)  # starts the workers before a batch is requested
        _HandlerWhileWaiting.install()
        return iter(lambda: _wait(lambda: next(batches, None)), None)


class _HandlerWhileWaiting:
    """Signal handler that calls torch's SIGCHLD handler only while a thread waits for a batch.

    When a worker is killed, torch's handler raises RuntimeError in whatever code Python runs at
    that moment, even in code that must not raise. It raises again at every SIGCHLD until the
    DataLoader is deleted. Therefore torch's handler is ignored outside a wait, and after it has
    raised once in a wait.

    Removing torch's handler is no solution. If a worker is killed while it sends a batch, the
    receiver waits for the rest of the message forever. Windows has no such signal; there, torch
    looks for dead workers every five seconds.

    `test_a_killed_worker_raises_only_while_a_batch_is_awaited` fails without this class.
    """

    waiting_thread: int | None = None  # shared by all handlers

    @classmethod
    def install(cls) -> None:
        """Replace torch's handler if there is one."""
        # Python can set signal handlers only in the main thread.
        if threading.current_thread() is threading.main_thread() and has_sigchld():
            handler = signal.getsignal(signal.SIGCHLD)
            if callable(handler) and not isinstance(handler, cls):
                signal.signal(signal.SIGCHLD, cls(handler))

    def __init__(self, handler: Callable[[int, FrameType | None], Any]) -> None:
        self.handler = handler

    def __call__(self, number: int, frame: FrameType | None) -> None:
        current = threading.get_ident()
        if _HandlerWhileWaiting.waiting_thread == current:
            _HandlerWhileWaiting.waiting_thread = None
            self.handler(number, frame)
            _HandlerWhileWaiting.waiting_thread = current  # skipped if the handler raised


def _wait(receive: Callable[[], Any]) -> Any:
    """Return the result of a function that waits for workers.

    Raises:
        WorkerError: If a worker was killed during the wait or earlier.
    """
    _HandlerWhileWaiting.waiting_thread = threading.get_ident()
    try:
        if has_sigchld():  # detect a worker killed since the last wait
            signal.raise_signal(signal.SIGCHLD)
        return receive()
    except (RuntimeError, ConnectionError, EOFError) as error:
        _HandlerWhileWaiting.waiting_thread = None
        # "Caught ..." is an error that a living worker raised while it read a batch.
        expected = "DataLoader worker (pid" if isinstance(error, RuntimeError) else ""
        if str(error).startswith("Caught ") or not str(error).startswith(expected):
            raise
        raise WorkerError(
            "a data worker was killed, perhaps because memory or /dev/shm is full; "
            "use fewer workers or a smaller batch_seconds"
        ) from error
    finally:
        _HandlerWhileWaiting.waiting_thread = None


def _share_memory(batch: Batch) -> Batch:
    """Move the waveforms of a batch to shared memory if this process is a worker.

    torch would do so in a thread whose errors do not reach the training process, which would then
    wait forever. Test: test_a_full_shared_memory_is_one_line.

    Raises:
        WorkerError: If shared memory is full.
    """
    if get_worker_info() is not None and batch.waveforms.numel():
        try:
            batch.waveforms.share_memory_()
        except RuntimeError as error:
            raise WorkerError(
                f"shared memory (/dev/shm) is full: {error}. Use workers=0 or a smaller "
                "batch_seconds, or enlarge it, for example with docker run --shm-size=2g"
            ) from None
    return batch


def _start_worker(_: int) -> None:
    ignore_interrupts()
