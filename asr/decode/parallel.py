"""A function of this process on each of many arrays: by processes forked from it, and by itself."""

import mmap
import multiprocessing
import os
import select
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Generic, NamedTuple, TypeVar

import numpy as np

from asr.errors import DecodingError

Context = TypeVar("Context")
Result = TypeVar("Result")

ROOM = 1 << 20  # bytes of shared memory, at least
CLAIMS = 512  # at most, so that even a pipe of one page holds them all
PIECE = 8  # results that are sent at once


class Parallel(Generic[Context, Result]):
    """Calls of `function(row, context)` by as many as `workers` processes, one of which is this one.

    The others are forked at the first call and have what the function holds from then on. Rows lie in memory that all
    share, the largest first, and whoever is free claims the next one, by reading its index from a pipe; results come a
    few at a time. So all end together, however unlike the rows are. An error in a process is raised here, and
    DecodingError where one was killed.
    """

    def __init__(self, function: Callable[[np.ndarray, Context], Result], workers: int) -> None:
        self.function, self.workers = function, workers
        self._team: _Team[Context, Result] | None = None

    def __call__(self, rows: Sequence[np.ndarray], context: Context) -> list[Result]:
        """The results for rows (U, V) of float32, in their order."""
        others = min(self.workers, len(rows)) - 1
        if others < 1:
            return [self.function(row, context) for row in rows]
        need = sum(row.nbytes for row in rows)
        if self._team is None or need > len(self._team.memory):
            self._leave()
            self._team = _Team(self.function, max(ROOM, 2 * need))
        largest_first = sorted(range(len(rows)), key=lambda i: -rows[i].size)
        try:
            found = self._team([rows[i] for i in largest_first], context, others)
        except BaseException as error:
            self._leave()  # what its processes answer now is nobody's
            if isinstance(error, EOFError | ConnectionError):
                raise DecodingError("a process that decodes was killed, perhaps for want of memory") from error
            raise
        at = {i: found[place] for place, i in enumerate(largest_first)}
        return [at[i] for i in range(len(rows))]

    def _leave(self) -> None:
        if self._team is not None:
            self._team.close()
            self._team = None


class _Task(NamedTuple, Generic[Context]):
    """Rows in shared memory: row i is the numbers from bounds[i] to bounds[i + 1], `width` for each frame."""

    bounds: np.ndarray
    width: int
    context: Context


class _Team(Generic[Context, Result]):
    """Forked processes, and the memory and the claims that they share with this one. Without it they end."""

    def __init__(self, function: Callable[[np.ndarray, Context], Result], size: int) -> None:
        self.function = function
        self.memory = mmap.mmap(-1, size)
        self.fork = multiprocessing.get_context("fork")
        self.claims, self.offer = self.fork.Pipe(duplex=False)
        self.ends: list[Connection] = []
        self.poll = select.poll()

    def __call__(self, rows: Sequence[np.ndarray], context: Context, others: int) -> dict[int, Result]:
        while len(self.ends) < others:
            self._grow()
        bounds = np.cumsum([0, *(row.size for row in rows)])
        task = _Task(bounds, rows[0].shape[1], context)
        for end in self.ends[:others]:
            end.send(task)  # before the rows are there, which nobody claims until then
        np.concatenate([row.ravel() for row in rows], out=_numbers(self.memory)[: bounds[-1]])
        claims = [*range(0, len(rows), _block(len(rows))), *[len(rows)] * (1 + others)]  # for each process an end
        os.write(self.offer.fileno(), np.array(claims, dtype="<i4").tobytes())
        found: dict[int, Result] = {}
        for i, result in self._results(task):
            found[i] = result
            if len(found) % PIECE == 0:
                others -= self._collect(found, wait=False)
        while others:
            others -= self._collect(found, wait=True)
        return found

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
            piece, last = answer
            found |= piece
            done += last
        return done

    def close(self) -> None:
        """Let go of the processes, which end when they have done what they are at."""
        for end in (*self.ends, self.claims, self.offer):
            end.close()

    def _grow(self) -> None:
        here, there = self.fork.Pipe()
        process = self.fork.Process(target=self._serve, args=(there, [*self.ends, here, self.offer]), daemon=True)
        process.start()
        there.close()
        self.ends.append(here)
        self.poll.register(here, select.POLLIN)

    def _serve(self, end: Connection, inherited: Sequence[Connection]) -> None:
        """Answer until the other end is closed, of which this process must hold no copy."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the first process, and then this one
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
        """Send what is found, a piece at a time, each with whether it is the last."""
        found: dict[int, Result] = {}
        for i, result in self._results(task):
            found[i] = result
            if len(found) == PIECE:
                end.send((found, False))
                found = {}
        end.send((found, True))

    def _results(self, task: _Task[Context]) -> Iterator[tuple[int, Result]]:
        """Which rows this process claims, and their results."""
        numbers, count = _numbers(self.memory), len(task.bounds) - 1
        while (first := self._claim()) < count:
            for i in range(first, min(first + _block(count), count)):
                row = numbers[task.bounds[i] : task.bounds[i + 1]].reshape(-1, task.width)
                yield i, self.function(row, task.context)

    def _claim(self) -> int:
        claim = os.read(self.claims.fileno(), 4)
        if not claim:
            raise EOFError
        return int.from_bytes(claim, "little")


def _numbers(memory: mmap.mmap) -> np.ndarray:
    return np.frombuffer(memory, dtype=np.float32)


def _block(count: int) -> int:
    """How many rows are claimed at once."""
    return 1 + count // CLAIMS
