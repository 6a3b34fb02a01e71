"""Entry points called as from a shell, but in this process: importing torch anew would cost seconds each time."""

import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest


@dataclass(frozen=True)
class Finished:
    """Exit code and what was printed."""

    code: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """The one line on standard error; fails where there is not exactly one, or a traceback."""
        lines = [line for line in self.err.splitlines() if line.strip()]
        assert len(lines) == 1, self.err
        assert "Traceback" not in self.err
        return lines[0]


Call = Callable[..., Finished]


def caller(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """A function that runs an entry point's `main` with arguments."""

    def call(main: Callable[[], None], *arguments: object) -> Finished:
        monkeypatch.setattr(sys, "argv", ["asr", *map(str, arguments)])
        capsys.readouterr()
        try:
            main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        else:
            code = 0
        return Finished(code, *capsys.readouterr())

    return call
