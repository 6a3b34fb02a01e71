"""Run a network on batches of the waveforms that several threads submit."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np

from asr.audio import SAMPLE_RATE
from asr.inference.model import AcousticModel
from asr.nn.emissions import Emissions
from asr.processes import usable_cpus

WINDOW_SECONDS = 37.5  # of audio in a batch for each window, padding included
BATCH_WINDOWS = min(16, max(4, usable_cpus()))  # one for each thread of ONNX Runtime
LONG = 20.0  # seconds of a waveform that other windows of its recording follow soon
COLLECT_SECONDS = 0.01  # for which it waits for them, a small part of its own time
MAX_WAITING_SECONDS = 3 * WINDOW_SECONDS * BATCH_WINDOWS  # of audio; submitting more blocks


class _Request(NamedTuple):
    samples: np.ndarray
    future: "Future[Emissions]"


class Batcher:
    """One thread that runs a model on whatever waveforms are waiting.

    While the network runs, requests collect for the next batch. If it does not run, a short
    waveform starts at once, and a long one waits a few milliseconds for others that are being read.
    A batch has the oldest request and those of the most similar lengths.
    """

    def __init__(
        self,
        model: AcousticModel,
        *,
        batch_seconds: float = WINDOW_SECONDS * BATCH_WINDOWS,
        on_batch: Callable[[int, float], None] | None = None,
    ) -> None:
        """Create the batcher.

        Args:
            model: The network.
            batch_seconds: Largest amount of audio in a batch, padding included.
            on_batch: Receives the number of waveforms and the seconds of audio of each batch.
        """
        self._model = model
        self._batch_samples = batch_seconds * SAMPLE_RATE
        self.on_batch = on_batch
        self._changed = threading.Condition()
        self._requests: list[_Request] = []
        self._waiting = 0  # samples
        self._reading = 0  # recordings
        self._closed = False
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="network")

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Announce that waveforms of a recording follow."""
        with self._changed:
            self._reading += 1
        try:
            yield
        finally:
            with self._changed:
                self._reading -= 1
                self._changed.notify_all()

    def submit(self, samples: np.ndarray) -> "Future[Emissions]":
        """Return the future emissions (1, U, V) of a waveform (S,) at 16 kHz.

        This blocks while too much audio is waiting, so that reading does not run far ahead.

        Raises:
            RuntimeError: If the batcher is closed.
        """
        request = _Request(samples, Future())
        with self._changed:
            limit = MAX_WAITING_SECONDS * SAMPLE_RATE
            self._changed.wait_for(lambda: self._waiting < limit or self._closed)
            if self._closed:
                raise RuntimeError("the batcher is closed")
            self._requests.append(request)
            self._waiting += len(samples)
            self._changed.notify_all()
        self._executor.submit(self._run)
        return request.future

    def close(self) -> None:
        """Cancel the waiting requests and refuse others, so that all threads end soon."""
        with self._changed:
            self._closed = True
            for request in self._requests:
                request.future.cancel()
            self._requests = []
            self._changed.notify_all()

    def _run(self) -> None:
        """Compute the next batch, unless an earlier call has taken the request."""
        batch = self._take()
        if not batch:
            return
        try:
            if self.on_batch:
                seconds = sum(len(r.samples) for r in batch) / SAMPLE_RATE
                self.on_batch(len(batch), seconds)
            emissions = self._model.compute_emissions([r.samples for r in batch])
            results = emissions.split()
        except BaseException as error:  # the thread that waits for the future raises it
            for request in batch:
                request.future.set_exception(error)
            return
        for request, result in zip(batch, results, strict=True):
            request.future.set_result(result)

    def _take(self) -> Sequence[_Request]:
        """Remove the requests of the next batch from the queue."""
        with self._changed:
            if self._requests and len(self._requests[0].samples) >= LONG * SAMPLE_RATE:
                self._changed.wait_for(self._is_collected, COLLECT_SECONDS)
            if not self._requests:
                return []
            oldest = self._requests[0]
            length = len(oldest.samples)
            similar = sorted(self._requests[1:], key=lambda r: abs(len(r.samples) - length))
            batch, longest = [oldest], length
            for request in similar:
                longest = max(longest, len(request.samples))
                if longest * (len(batch) + 1) > self._batch_samples:
                    break
                batch.append(request)
            taken = set(map(id, batch))
            self._requests = [r for r in self._requests if id(r) not in taken]
            self._waiting -= sum(len(r.samples) for r in batch)
            self._changed.notify_all()
            return batch

    def _is_collected(self) -> bool:
        return self._waiting >= self._batch_samples or not self._reading
