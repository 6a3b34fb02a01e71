"""Atomic writing of files."""

import errno
import os
from pathlib import Path

import pytest

from asr.files import atomic_write


def test_the_file_changes_only_when_writing_succeeds(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.txt"
    with atomic_write(path) as partial:
        partial.write_text("first")
        assert not path.exists()
    assert path.read_text() == "first"
    with (
        pytest.raises(OSError, match=r"No space left on device: .*a\.txt"),
        atomic_write(path) as partial,
    ):
        partial.write_text("sec")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with pytest.raises(KeyboardInterrupt), atomic_write(path) as partial:
        partial.write_text("sec")
        raise KeyboardInterrupt
    assert path.read_text() == "first"
    assert list(path.parent.iterdir()) == [path]


def test_two_writers_at_once_leave_the_file_of_one_of_them(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with atomic_write(path) as first, atomic_write(path) as second:
        first.write_text("first")
        second.write_text("second")
    assert path.read_text() == "first"
