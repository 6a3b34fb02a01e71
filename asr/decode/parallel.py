"""A function of this process on each row of a padded array: by processes forked from it, and by itself."""

import mmap
import multiprocessing
import os
import select
import signal
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import accumulate
from multiprocessing.connection import Connection
from typing import Generic, NamedTuple, TypeVar

import numpy as np

from asr.errors import DecodingError

Context = TypeVar("Context")
Result = TypeVar("Result")

ROOM = 1 << 20  # bytes of shared memory, at least
BLOCKS = 512  # at most, so that even a pipe of one page holds a claim for each


class Parallel(Generic[Context, Result]):
    """Calls of `function(row, context)` by as many as `workers` processes, one of which is this one.

    The others are forked at the first call and have what the function holds from then on. Rows lie in memory that all
    share, in blocks that become smaller; whoever is free claims the next one, by reading its index from a pipe, and
    sends its results when they are there. So all end together, however unlike the rows are. An error in a process is
    raised here, and DecodingError where one was killed.
    """

    def __init__(self, function: Callable[[np.ndarray, Context], Result], workers: int) -> None:
        self.function, self.workers = function, workers
        self._team: _Team[Context, Result] | None = None

    def __call__(self, rows: np.ndarray, lengths: Sequence[int], context: Context) -> list[Result]:
        """The results for rows of float32, (N, U, V) with padding, `lengths` without, in their order."""
        others = min(self.workers, len(rows)) - 1
        if others < 1:
            return [
                self.function(row[:length], context)
                for row, length in zip(rows, lengths, strict=True)
            ]
        if self._team is None or rows.nbytes > len(self._team.memory):
            self._leave()
            self._team = _Team(self.function, max(ROOM, 2 * rows.nbytes))
        try:
            found = self._team(rows, lengths, context, others)
        except BaseException as error:
            self._leave()  # what its processes answer now is nobody's
            if isinstance(error, EOFError | ConnectionError):
                raise DecodingError(
                    "a process that decodes was killed, perhaps for want of memory"
                ) from error
            raise
        return [found[i] for i in range(len(rows))]

    def _leave(self) -> None:
        if self._team is not None:
            self._team.close()
            self._team = None


class _Task(NamedTuple, Generic[Context]):
    """The shape of the padded rows in shared memory, their lengths without, and which of them make up each block."""

    shape: tuple[int, ...]
    lengths: Sequence[int]
    blocks: Sequence[Sequence[int]]
    context: Context


class _Team(Generic[Context, Result]):
    """Forked processes, and the memory and the claims that they share with this one. Without it they end."""

    def __init__(self, function: Callable[[np.ndarray, Context], Result], size: int) -> None:
        self.function = function
        self.memory = mmap.mmap(-1, size)
        self.fork = multiprocessing.get_context("fork")
        self.claims, self.offers = self.fork.Pipe(duplex=False)
        self.ends: list[Connection] = []
        self.poll = select.poll()

    def __call__(
        self, rows: np.ndarray, lengths: Sequence[int], context: Context, others: int
    ) -> dict[int, Result]:
        while len(self.ends) < others:
            self._grow()
        task = _Task(rows.shape, lengths, _blocks(lengths, 1 + others), context)
        for end in self.ends[:others]:
            end.send(task)  # before the rows are there, which nobody claims until then
        self._share(rows, task)
        self._offer(*[len(task.blocks)] * (1 + others))  # for each process an end
        found: dict[int, Result] = {}
        for results in self._results(task):
            found |= results
            others -= self._collect(found, wait=False)
        while others:
            others -= self._collect(found, wait=True)
        return found

    def _share(self, rows: np.ndarray, task: _Task[Context]) -> None:
        """Copy the rows, and offer each block as soon as it is there."""
        shared = self._rows(task)
        for number, block in enumerate(task.blocks):
            for i in block:
                length = task.lengths[i]
                shared[i, :length] = rows[i, :length]
            self._offer(number)

    def _collect(self, found: dict[int, Result], *, wait: bool) -> int:
        """Add what other processes have sent. How many of them say that they are done."""
        done = 0
        for number, _ in self.poll.poll(None if wait else 0):
            (end,) = (end for end in self.ends if end.fileno() == number)
            answer = end.recv()
            if isinstance(answer, Exception):
                try:
                    raise answer
                finally:
                    del answer  # the traceback holds this frame: a circle, which would keep everything of the caller
            if answer is None:
                done += 1
            else:
                found |= answer
        return done

    def close(self) -> None:
        """Let go of the processes, which end when they have done what they are at."""
        for end in (*self.ends, self.claims, self.offers):
            end.close()

    def _grow(self) -> None:
        here, there = self.fork.Pipe()
        process = self.fork.Process(
            target=self._serve, args=(there, [*self.ends, here, self.offers]), daemon=True
        )
        process.start()
        there.close()
        self.ends.append(here)
        self.poll.register(here, select.POLLIN)

    def _serve(self, end: Connection, inherited: Sequence[Connection]) -> None:
        """Answer until the other end is closed, of which this process must hold no copy."""
        signal.signal(
            signal.SIGINT, signal.SIG_IGN
        )  # Ctrl-C ends the first process, and then this one
        for other in inherited:
            other.close()
        with suppress(EOFError, ConnectionError):
            while True:
                task = end.recv()
                try:
                    self._answer(end, task)
                except Exception as error:
                    end.send(error)

    def _answer(self, end: Connection, task: _Task[Context]) -> None:
        """Send what is found, block by block, and None at the end."""
        for results in self._results(task):
            end.send(results)
        end.send(None)

    def _results(self, task: _Task[Context]) -> Iterator[dict[int, Result]]:
        """Which rows this process claims, and their results."""
        rows = self._rows(task)
        while (number := self._claim()) < len(task.blocks):
            yield {
                i: self.function(rows[i, : task.lengths[i]], task.context)
                for i in task.blocks[number]
            }

    def _rows(self, task: _Task[Context]) -> np.ndarray:
        return np.ndarray(task.shape, np.float32, self.memory)

    def _offer(self, *numbers: int) -> None:
        os.write(self.offers.fileno(), b"".join(number.to_bytes(4, "little") for number in numbers))

    def _claim(self) -> int:
        claim = os.read(self.claims.fileno(), 4)
        if not claim:
            raise EOFError
        return int.from_bytes(claim, "little")


def _blocks(lengths: Sequence[int], processes: int) -> list[list[int]]:
    """The rows' indices, longest first, in blocks of half a process's share of the frames left, of one row at least."""
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    ends = list(accumulate(lengths[i] for i in order))
    least, blocks, first, done = 1 + len(order) // BLOCKS, [], 0, 0
    while first < len(order):
        share = (ends[-1] - done) / (2 * processes)
        last = max(first + least, bisect_right(ends, done + share))
        blocks.append(order[first:last])
        first, done = last, ends[min(last, len(order)) - 1]
    return blocks
