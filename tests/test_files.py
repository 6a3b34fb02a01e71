"""Atomic writing of files, and packaged files."""

import errno
import os
from pathlib import Path

import pytest

from asr.files import atomic_write, find_packaged


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


def test_a_name_of_the_largest_length_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / f"{'a' * 251}.txt"
    with atomic_write(path) as partial:
        partial.write_text("long")
    assert path.read_text() == "long"


def test_errors_name_the_file_and_not_the_temporary_one(tmp_path: Path) -> None:
    (tmp_path / "a.txt").mkdir()
    with pytest.raises(OSError) as caught, atomic_write(tmp_path / "a.txt") as partial:
        partial.write_text("text")
    assert caught.value.filename == str(tmp_path / "a.txt")


def test_two_writers_at_once_leave_the_file_of_one_of_them(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with atomic_write(path) as first, atomic_write(path) as second:
        first.write_text("first")
        second.write_text("second")
    assert path.read_text() == "first"


def test_a_file_that_windows_blocks_for_a_moment_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace, attempts = Path.replace, []

    def blocked_twice(source: Path, target: Path) -> Path:
        attempts.append(target)
        if len(attempts) < 3:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return replace(source, target)

    monkeypatch.setattr(Path, "replace", blocked_twice)
    monkeypatch.setattr("asr.files.PAUSES", (0.0, 0.0))
    with atomic_write(tmp_path / "a.txt") as partial:
        partial.write_text("new")
    assert (tmp_path / "a.txt").read_text() == "new"


def test_a_name_stands_for_a_packaged_file_unless_there_is_such_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packaged = tmp_path / "package" / "tiny.safetensors"
    packaged.parent.mkdir()
    packaged.touch()
    monkeypatch.setattr("asr.files.PACKAGED", packaged.parent)
    monkeypatch.chdir(tmp_path)
    assert find_packaged(Path("tiny"), ".safetensors") == packaged
    assert find_packaged(Path("tiny.safetensors")) == packaged
    for other in ("tiny", "other.safetensors", "./package/tiny", "../package/tiny", ""):
        assert find_packaged(Path(other)) == Path(other)
    (tmp_path / "tiny").mkdir()  # a folder is not a model
    assert find_packaged(Path("tiny"), ".safetensors") == packaged
    (tmp_path / "tiny").rmdir()
    (tmp_path / "tiny").touch()
    assert find_packaged(Path("tiny"), ".safetensors") == Path("tiny")
