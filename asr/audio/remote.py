"""Read recordings that are not local files: byte ranges of shards, and files on remote storage."""

import re
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from asr.errors import AudioError, StorageError

URL = re.compile(r"[^/\\]{2,}://")
ATTEMPTS = 3  # requests before a failing server raises StorageError
PAUSE = 1.0  # seconds before the second attempt, twice as long before the third, and so on
TIMEOUT = 60.0  # seconds until the server must have answered a batch of requests


@dataclass(frozen=True, slots=True)
class ByteRange:
    """A recording inside a file: `size` bytes from byte `offset`, or the complete file by default.

    `path` is a local path or a URL that fsspec supports (https://, s3://, gs://, ...). `member` is
    the name of the recording inside the file.
    """

    path: str
    member: str = ""
    offset: int = 0
    size: int | None = None

    @property
    def name(self) -> str:
        """File name of the recording without folders."""
        return PurePosixPath(self.member or self.path).name

    @property
    def stem(self) -> str:
        """File name of the recording without folders and extension."""
        return PurePosixPath(self.name).stem

    def __str__(self) -> str:
        return f"{self.path}/{self.member}" if self.member else self.path


def is_url(path: str | Path) -> bool:
    """Return whether a path is a URL. A single letter is a drive of Windows, not a protocol."""
    return URL.match(str(path)) is not None


def read_ranges(recordings: Sequence[Path | ByteRange]) -> list[Path | bytes | AudioError]:
    """Read byte ranges, those of one protocol in one batch of requests.

    Returns:
        For each recording its bytes, or an AudioError if it is missing or incomplete. Plain paths
        are returned unchanged.

    Raises:
        StorageError: If a server does not answer, fails `ATTEMPTS` times in a row, or does not
            support byte ranges.
    """
    answers: dict[Path | ByteRange, Any] = {}
    remote: dict[str, list[ByteRange]] = defaultdict(list)  # by protocol
    for recording in recordings:
        if not isinstance(recording, ByteRange):
            answers[recording] = recording
        elif is_url(recording.path):
            remote[recording.path.partition("://")[0]].append(recording)
        else:
            answers[recording] = _read_local(recording)
    for ranges in remote.values():
        answers |= _read_remote(ranges)
    return [answers[recording] for recording in recordings]


def _read_local(recording: ByteRange) -> bytes | AudioError:
    try:
        with Path(recording.path).open("rb") as file:
            file.seek(recording.offset)
            return _check_answer(recording, file.read(recording.size))
    except OSError as error:
        return AudioError(f"{recording}: {error.strerror}. Check the path.")


def _read_remote(pending: list[ByteRange]) -> dict[Any, Any]:
    """Read ranges of one protocol. Failed requests are repeated."""
    answers: dict[ByteRange, Any] = {}
    for attempt in range(ATTEMPTS):
        time.sleep(PAUSE * attempt)
        for recording, answer in zip(pending, _request(pending), strict=True):
            answers[recording] = _check_answer(recording, answer)
        pending = [r for r in pending if not isinstance(answers[r], bytes | AudioError)]
        if not pending:
            return answers
    reason = _describe(answers[pending[0]])
    raise StorageError(f"{pending[0].path}: {reason} ({ATTEMPTS} attempts)")


def _request(recordings: list[ByteRange]) -> list[Any]:
    """Return the bytes of each range, or the exception that its request raised."""
    import fsspec  # slow to import, and local files do not need it

    paths = [recording.path for recording in recordings]
    try:
        filesystem = fsspec.core.url_to_fs(paths[0])[0]
    except (ImportError, ValueError) as error:  # unknown protocol, or a missing library
        raise StorageError(f"{paths[0]}: {error}") from None
    starts = [r.size and r.offset for r in recordings]  # None reads the complete file
    ends = [r.size and r.offset + r.size for r in recordings]
    options = {"timeout": TIMEOUT} if filesystem.async_impl else {}
    try:
        return filesystem.cat_ranges(paths, starts, ends, on_error="return", **options)
    except Exception as error:  # each protocol raises its own classes
        return [error] * len(recordings)


def _check_answer(recording: ByteRange, answer: Any) -> Any:
    """Return the bytes, an AudioError if the recording is at fault, or the server's error."""
    if isinstance(answer, FileNotFoundError):
        return AudioError(f"{recording}: no such file on the server")
    if getattr(answer, "status", None) == 416:  # the range starts after the end of the file
        answer = b""
    if not isinstance(answer, bytes):
        return answer
    size = len(answer) if recording.size is None else recording.size
    if len(answer) > size:
        raise StorageError(f"{recording.path}: the server does not support byte ranges")
    if len(answer) < size:
        return AudioError(f"{recording}: cut off: {len(answer):,} of {size:,} bytes")
    return answer


def _describe(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {TIMEOUT:g} s"
    status = getattr(error, "status", None)
    return f"the server returned {status}" if status else str(error) or type(error).__name__
