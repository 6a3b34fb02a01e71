"""Worker processes that read batches ahead, and what is said when one of them is gone."""

import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, TypeVar

from torch.utils.data import DataLoader

from asr.data.dataset import Batch, SpeechDataset
from asr.data.sampler import BucketSampler
from asr.errors import WorkerError
from asr.validation import check_integer

Result = TypeVar("Result")


class Loader(DataLoader):
    """Batches of a dataset, read, decoded and padded whole in worker processes, which stay from epoch to epoch.

    Raises ConfigError for less than none of them; WorkerError where one is gone, and only where a batch is waited for.
    """

    def __init__(
        self,
        dataset: SpeechDataset,
        sampler: BucketSampler,
        *,
        workers: int = 0,
        pin_memory: bool = False,
    ) -> None:
        super().__init__(
            dataset,
            batch_size=None,
            sampler=sampler,
            num_workers=check_integer("workers", workers, ge=0),
            persistent_workers=workers > 0,
            pin_memory=pin_memory,
            worker_init_fn=_leave_interrupts,
        )

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        if not self.num_workers:
            return super().__iter__()
        batches = _awaited(
            super().__iter__
        )  # now: the workers begin before the first batch is asked for
        handler = signal.getsignal(signal.SIGCHLD)
        in_main = (
            threading.current_thread() is threading.main_thread()
        )  # nowhere else can handlers be set
        if in_main and callable(handler) and not isinstance(handler, _WhileAwaited):
            signal.signal(signal.SIGCHLD, _WhileAwaited(handler))
        return iter(lambda: _awaited(lambda: next(batches, None)), None)


class _WhileAwaited:
    """torch's handler for a worker's end, at work only while a batch is waited for, and until it has told of one.

    By itself it raises wherever Python is, even in what cannot raise, and again until the workers' DataLoader is gone.
    Without it a wait for the rest of what a killed worker had begun to send would last for ever.
    """

    thread: int | None = None  # that waits

    def __init__(self, handler: Callable[[int, FrameType | None], Any]) -> None:
        self.handler = handler

    def __call__(self, number: int, frame: FrameType | None) -> None:
        here = threading.get_ident()
        if _WhileAwaited.thread == here:
            _WhileAwaited.thread = None
            self.handler(number, frame)
            _WhileAwaited.thread = here


def _awaited(ask: Callable[[], Result]) -> Result:
    """What a function returns that waits for workers; the end of one of them, also an earlier one, is a WorkerError."""
    _WhileAwaited.thread = threading.get_ident()
    try:
        signal.raise_signal(signal.SIGCHLD)  # for one that ended since the last wait
        return ask()
    except (RuntimeError, ConnectionError, EOFError) as error:
        _WhileAwaited.thread = None
        said = str(error)
        lost = not isinstance(error, RuntimeError) or said.startswith("DataLoader worker (pid")
        if not lost or said.startswith("Caught "):  # by a worker, which lives
            raise
        raise WorkerError(
            "a data worker was killed, perhaps for want of memory or of room in /dev/shm; lower data.workers or "
            "data.batch_seconds"
        ) from error
    finally:
        _WhileAwaited.thread = None


def _leave_interrupts(_: int) -> None:
    """Ctrl-C reaches every process of a terminal; the one that trains says when to stop, and needs data until then."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
