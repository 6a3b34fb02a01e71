"""Recordings that are no files of their own on this machine: pieces of shards, and what lies behind an address."""

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from asr.errors import AudioError, StorageError

TRIES = 3  # of a server that fails for a moment
PAUSE = 1.0  # seconds before the second, twice as long before each further one
SILENCE = 60.0  # seconds that the answer to a batch may take


@dataclass(frozen=True, slots=True)
class ByteRange:
    """`size` bytes from byte `first` on of the file at `place`: its member `member`, or the whole of it without these.

    `place` is a path or an address that fsspec knows: https://, s3://, gs://, ...
    """

    place: str
    member: str = ""
    first: int = 0
    size: int | None = None

    @property
    def name(self) -> str:
        """The name of the recording without where it lies."""
        return PurePosixPath(self.member or self.place).name

    @property
    def stem(self) -> str:
        """The same without the ending."""
        return PurePosixPath(self.name).stem

    def __str__(self) -> str:
        return f"{self.place}/{self.member}" if self.member else self.place


def is_url(place: str | Path) -> bool:
    """Whether a name is an address, not a path."""
    return "://" in str(place)


def read_ranges(recordings: Sequence[Path | ByteRange]) -> list[Path | bytes | AudioError]:
    """What `audio.read` takes for each: a path as it is, else the bytes, asked for all at once, or what is wrong there.

    Raises StorageError where a server or an object store does not answer, does so with an error `TRIES` times in a
    row, or serves no pieces of files: then it is not the recording that is at fault.
    """
    found: list[Path | bytes | AudioError] = []
    far: dict[str, list[int]] = defaultdict(list)  # the places in the list, by protocol
    for at, recording in enumerate(recordings):
        if isinstance(recording, ByteRange) and is_url(recording.place):
            far[recording.place.partition("://")[0]].append(at)
            found.append(b"")
        else:
            found.append(_near(recording) if isinstance(recording, ByteRange) else recording)
    for places in far.values():
        for at, answer in zip(places, _far([recordings[at] for at in places]), strict=True):  # type: ignore[misc]
            found[at] = answer
    return found


def _near(recording: ByteRange) -> bytes | AudioError:
    try:
        with Path(recording.place).open("rb") as file:
            file.seek(recording.first)
            return _whole(recording, file.read(-1 if recording.size is None else recording.size))
    except OSError as error:
        return AudioError(f"{recording}: cannot be opened ({error.strerror}); check the path")


def _far(recordings: Sequence[ByteRange]) -> list[bytes | AudioError]:
    answers: list[Any] = [None] * len(recordings)
    files = _files(recordings[0].place)
    left = list(range(len(recordings)))
    for attempt in range(TRIES):
        if attempt:
            time.sleep(PAUSE * 2 ** (attempt - 1))
        for at, answer in zip(left, _ask(files, [recordings[at] for at in left]), strict=True):
            answers[at] = _judged(recordings[at], answer)
        left = [at for at in left if not isinstance(answers[at], bytes | AudioError)]
        if not left:
            return answers
    raise StorageError(
        f"{recordings[left[0]].place}: {_reason(answers[left[0]])} ({TRIES} attempts in a row)"
    )


def _files(place: str) -> Any:
    import fsspec  # here, for what transcribes a file needs none of it

    try:
        return fsspec.core.url_to_fs(place)[0]
    except (
        ImportError,
        ValueError,
    ) as error:  # a library for this protocol that is not installed, or no protocol
        raise StorageError(f"{place}: {error}") from None


def _ask(files: Any, recordings: Sequence[ByteRange]) -> list[Any]:
    """The bytes of each, or the error that came instead."""
    starts = [None if r.size is None else r.first for r in recordings]
    ends = [None if r.size is None else r.first + r.size for r in recordings]
    limit = {"timeout": SILENCE} if files.async_impl else {}
    try:
        return files.cat_ranges(
            [r.place for r in recordings], starts, ends, on_error="return", **limit
        )
    except Exception as error:  # every protocol has its own
        return [error] * len(recordings)


def _judged(recording: ByteRange, answer: Any) -> Any:
    if isinstance(answer, bytes):
        if recording.size is not None and len(answer) > recording.size:
            raise StorageError(
                f"{recording.place}: the server gives no pieces of files; shards need one that does"
            )
        return _whole(recording, answer)
    if isinstance(answer, FileNotFoundError):
        return AudioError(f"{recording}: no such file there")
    if getattr(answer, "status", None) == 416:  # the piece lies behind the end
        return _whole(recording, b"")
    return answer


def _whole(recording: ByteRange, body: bytes) -> bytes | AudioError:
    if recording.size is None or len(body) == recording.size:
        return body
    return AudioError(
        f"{recording}: cut off: {len(body):,} of {recording.size:,} bytes are there; get a whole copy"
    )


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {SILENCE:g} s"
    status = getattr(error, "status", None)
    return f"the server answers {status}" if status else str(error) or type(error).__name__
