"""What is written beside its place, and moved there."""

import errno
import os
from pathlib import Path

import pytest

from asr.files import atomic_write


def test_what_stood_there_stays_until_all_is_written_and_for_good_where_it_fails(
    tmp_path: Path,
) -> None:
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


def test_two_may_write_at_a_time_and_each_file_is_of_one_of_them(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with atomic_write(path) as one, atomic_write(path) as other:
        one.write_text("one")
        other.write_text("other")
    assert path.read_text() == "one"
