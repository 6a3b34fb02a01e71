"""A function of this process on several arguments at once: by processes forked from it, and by itself."""

import multiprocessing
import signal
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from typing import Generic, TypeVar

from asr.errors import DecodingError

Argument = TypeVar("Argument")
Result = TypeVar("Result")


class Parallel(Generic[Argument, Result]):
    """Calls of a function, the first one here and each other one in a process of its own.

    The processes are forked at the first call and have what the function holds from then on: only arguments and results
    are sent, by this thread, so that a function which holds Python's lock keeps nothing back. Results are in the order
    of the arguments; an error in a process is raised here, and DecodingError where one was killed.
    """

    def __init__(self, function: Callable[[Argument], Result]) -> None:
        self.function = function
        self._ends: list[Connection] = []

    def __call__(self, arguments: Sequence[Argument]) -> list[Result]:
        while len(self._ends) < len(arguments) - 1:
            self._fork()
        ends = self._ends[: len(arguments) - 1]
        try:
            for end, argument in zip(ends, arguments[1:], strict=True):
                end.send(argument)
            found = [self.function(arguments[0])]
            for end in ends:
                result, error = end.recv()
                if error is not None:
                    raise error
                found.append(result)
        except BaseException as error:
            self._ends = []  # what the others answer now is nobody's
            if isinstance(error, EOFError | ConnectionError):
                raise DecodingError("a process that decodes was killed, perhaps for want of memory") from error
            raise
        return found

    def _fork(self) -> None:
        fork = multiprocessing.get_context("fork")
        here, there = fork.Pipe()
        process = fork.Process(target=_serve, args=(self.function, there, [*self._ends, here]), daemon=True)
        process.start()
        there.close()
        self._ends.append(here)


def _serve(function: Callable[[Argument], Result], end: Connection, inherited: Sequence[Connection]) -> None:
    """Answer until the other end is closed, of which this process must hold no copy."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the first process, and then this one
    for other in inherited:
        other.close()
    while True:
        try:
            argument = end.recv()
        except EOFError:
            return
        answer: tuple[Result | None, Exception | None]
        try:
            answer = function(argument), None
        except Exception as error:
            answer = None, error
        end.send(answer)
