"""Call entry points as from a shell, but in this process, because importing torch takes seconds."""

import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest


@dataclass(frozen=True)
class Finished:
    """Exit code and output of an entry point."""

    code: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """The single line on standard error. Fails if there are more, or a traceback."""
        lines = [line for line in self.err.splitlines() if line.strip()]
        assert len(lines) == 1, self.err
        assert "Traceback" not in self.err
        return lines[0]


Call = Callable[..., Finished]


def caller(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Return a function that runs the `main` of an entry point with arguments."""

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
