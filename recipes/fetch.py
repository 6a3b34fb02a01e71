"""Resumable downloads, checksums, and safe extraction of archives."""

import errno
import gzip
import hashlib
import http.client
import importlib
import shutil
import ssl
import tarfile
import time
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from rich import progress
from rich.filesize import decimal

from recipes.console import console
from recipes.errors import RecipeError, convert_errors

CHUNK = 1 << 20  # bytes
TIMEOUT = 30.0  # seconds to wait for data
DROPPED = (
    ConnectionError,
    TimeoutError,
    http.client.HTTPException,
    urllib.error.URLError,
    ssl.SSLError,
)
# All but "request timeout" and "too many requests"
REJECTED = {*range(300, 500)} - {408, 429}
DAMAGED = (tarfile.ReadError, zipfile.BadZipFile, gzip.BadGzipFile, EOFError, zlib.error)


Checksum = str | Callable[[], str] | None  # "md5:..." or "sha256:...", or how to get it


def ensure_extracted(
    url: str,
    name: str,
    root: Path,
    folder: str,
    *,
    tree: str = ".",
    checksum: Checksum = None,
) -> Path:
    """Return ROOT/FOLDER. If it does not exist, download an archive to `root` and extract it.

    Args:
        url: URL of the folder that holds the archive.
        name: Name of the archive.
        root: Folder of all corpora.
        folder: Folder of the corpus.
        tree: Folder in the archive that becomes `folder`.
        checksum: Checksum of the archive. If the publisher gives none, only the checks inside the
            archive detect damage.

    Raises:
        RecipeError: If the archive cannot be downloaded, verified, or extracted.
    """
    target = root / folder
    if not target.is_dir():
        unpack(ensure_downloaded(url, name, root, checksum), target, tree=tree)
    return target


def ensure_downloaded(url: str, name: str, root: Path, checksum: Checksum) -> Path:
    """Return the verified file in `root`. Download it from the folder `url` if it does not exist.

    Raises:
        RecipeError: If the file cannot be downloaded or verified.
    """
    path = root / name
    expected = checksum() if callable(checksum) else checksum
    if not path.exists():
        return download(f"{url.rstrip('/')}/{name}", path, checksum=expected)
    verify(path, expected)
    return path


def torchaudio_checksum(dataset: str, url: str) -> str:
    """Return the SHA-256 checksum that torchaudio records for an archive of a dataset."""
    # Imported here because torchaudio imports torch, which takes seconds.
    module = importlib.import_module(f"torchaudio.datasets.{dataset}")
    return f"sha256:{module._CHECKSUMS[url]}"


def download(
    url: str,
    target: Path,
    *,
    checksum: str | None = None,
    tries: int = 5,
    pause: float = 1.0,
) -> Path:
    """Download `url` to `target` and return `target`.

    An interrupted download is kept in `target.partial`, and the next call resumes it.

    Args:
        url: Address of the file.
        target: Path of the file.
        checksum: "md5:..." or "sha256:...".
        tries: Number of successive attempts without new data before giving up.
        pause: Seconds before the second attempt, doubled before each further one.

    Raises:
        RecipeError: If the server or the file is unavailable, the disk is full, or the checksum
            is wrong.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(target.name + ".partial")
    failures = 0
    while True:
        size = _size(partial)
        try:
            if _transfer(url, partial):
                partial.replace(target)
                verify(target, checksum)
                return target
            reason, status = "the connection dropped", None
        except DROPPED as error:
            reason, status = _reason(error), getattr(error, "code", None)
        failures = 1 if _size(partial) > size else failures + 1
        if failures >= tries or status in REJECTED:
            problem = f"{url}: {reason} (attempts without new data: {failures})"
            fix = (
                f"Run again to resume, set url= to a mirror, or save the file as {target}."
            )
            raise RecipeError(f"{problem}. {fix}")
        console.print(f"{url}: {reason}. Retrying.")
        time.sleep(pause * 2 ** (failures - 1))


def verify(path: Path, checksum: str | None) -> None:
    """Compare a file with a checksum, "md5:..." or "sha256:...". None accepts every file.

    Raises:
        RecipeError: If the checksum differs.
    """
    if checksum is None:
        return
    algorithm, _, expected = checksum.partition(":")
    with path.open("rb") as file:
        actual = hashlib.file_digest(file, algorithm).hexdigest()
    if actual != expected:
        problem = f"wrong {algorithm} checksum (expected {expected}, got {actual})"
        raise RecipeError(
            f"{path}: {problem}. The file is damaged. Delete it and run again."
        )


def unpack(archive: Path, folder: Path, *, tree: str = ".") -> Path:
    """Extract a tar (any compression) or zip archive and move its folder `tree` to `folder`.

    On failure, `folder` does not exist and nothing else is left.

    Raises:
        RecipeError: If the archive is damaged, the disk is full, a member would be written
            outside, or `folder` exists.
    """
    if folder.exists():
        raise RecipeError(f"{folder} exists. Delete it to extract {archive} again.")
    scratch = folder.with_name(f".{folder.name}.unpacking")
    shutil.rmtree(scratch, ignore_errors=True)  # left by an interrupted run
    scratch.mkdir(parents=True)
    console.print(f"extracting {archive.name} to {folder}")
    purpose = f"extract {archive} ({decimal(archive.stat().st_size)} compressed)"
    damaged = f"{archive} is damaged or incomplete"
    try:
        with (
            convert_errors(*DAMAGED, problem=damaged, fix="Delete it and run again."),
            _explain_full_disk(folder.parent, purpose),
        ):
            extract = _extract_zip if zipfile.is_zipfile(archive) else _extract_tar
            extract(archive, scratch)
        if not (scratch / tree).is_dir():
            names = ", ".join(sorted(path.name for path in scratch.iterdir())[:5])
            problem = f"{archive} has no folder {tree!r} (found: {names or 'nothing'})"
            raise RecipeError(f"{problem}. Check that it is the right archive.")
        (scratch / tree).rename(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return folder


def _transfer(url: str, partial: Path) -> bool:
    """Continue a download over one connection and return whether the file is complete."""
    start = _size(partial)
    headers = {"Range": f"bytes={start}-"} if start else {}
    try:
        problem = f"{url} is not a valid URL"
        with convert_errors(ValueError, problem=problem, fix="Check url=."):
            request = urllib.request.Request(url, headers=headers)
            response = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code != 416:  # range not satisfiable
            raise
        if error.headers.get("Content-Range") == f"bytes */{start}":
            return True
        partial.unlink()  # longer than the server's file, so it belongs to another file
        return False
    with response:
        if response.status != 206:
            start = 0  # the server ignores ranges and sends the file from the beginning
        length = response.headers.get("Content-Length")
        total = start + int(length) if length else None
        with _explain_full_disk(partial, f"store {url.rpartition('/')[2]}", total):
            _save(response, partial, url, start, total)
    return total is None or _size(partial) == total


def _save(response: Any, partial: Path, url: str, start: int, total: int | None) -> None:
    if total and total - start > shutil.disk_usage(partial.parent).free:
        raise OSError(errno.ENOSPC, "not enough space")
    if not console.is_terminal:
        size = f" ({decimal(total)})" if total else ""
        resumed = f", resuming at {decimal(start)}" if start else ""
        console.print(f"downloading {url}{size}{resumed}")
    bar = progress.Progress(
        "{task.description}",
        progress.BarColumn(),
        progress.DownloadColumn(),
        progress.TransferSpeedColumn(),
        progress.TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )
    with partial.open("ab" if start else "wb") as file, bar:
        task = bar.add_task(partial.stem, total=total, completed=start)
        while chunk := response.read(CHUNK):
            file.write(chunk)
            bar.advance(task, len(chunk))


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP status {error.code} {error.reason}"
    return str(getattr(error, "reason", error)) or type(error).__name__


@contextmanager
def _explain_full_disk(
    path: Path, purpose: str, total: int | None = None
) -> Iterator[None]:
    """Replace "no space left on device" by a message with the folder and the sizes in it."""
    try:
        yield
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        folder = path if path.is_dir() else path.parent
        sizes = f"{decimal(shutil.disk_usage(folder).free)} free"
        if total:
            sizes = f"{decimal(total)} needed, {decimal(_size(path))} stored, {sizes}"
        problem = f"{folder}: disk full, cannot {purpose} ({sizes})"
        fix = "Free some space and run again, or set root= to another disk."
        raise RecipeError(f"{problem}. {fix}") from None


def _extract_tar(archive: Path, folder: Path) -> None:
    with tarfile.open(archive) as tar:
        for member in tar:
            with _refuse_unsafe(archive, member.name):
                tar.extract(member, folder, filter="data")


def _extract_zip(archive: Path, folder: Path) -> None:
    with zipfile.ZipFile(archive) as zipped:
        for name in zipped.namelist():
            with _refuse_unsafe(archive, name):
                zipped.extract(name, folder)


@contextmanager
def _refuse_unsafe(archive: Path, name: str) -> Iterator[None]:
    """Check the name of a member, which libraries silently correct, and convert their refusals."""
    path = PurePosixPath(name.replace("\\", "/"))
    has_drive = ":" in name.partition("/")[0]  # C:
    problem = f"{archive}: unsafe member {name!r}"
    fix = "Nothing was extracted. Get another copy."
    if path.is_absolute() or ".." in path.parts or has_drive:
        raise RecipeError(f"{problem}: its path leads outside. {fix}")
    with convert_errors(tarfile.FilterError, problem=problem, fix=fix):
        yield


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
