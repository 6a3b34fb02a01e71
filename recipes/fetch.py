"""From an address to a folder: download that goes on where it stopped, checksum, safe unpacking."""

import errno
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
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from asr.errors import AsrError

CHUNK = 1 << 20  # bytes
DROPPED = (
    ConnectionError,
    TimeoutError,
    http.client.HTTPException,
    urllib.error.URLError,
    ssl.SSLError,
)
DAMAGED = (tarfile.ReadError, zipfile.BadZipFile, EOFError, zlib.error)

console = Console(
    stderr=True, highlight=False, soft_wrap=True
)  # where recipes say what they are doing


class RecipeError(AsrError):
    """A corpus that cannot be fetched, verified, unpacked or understood."""


@dataclass(frozen=True)
class Archive:
    """A publisher's file: folder of its address, name, checksum, and the folder in it that holds the corpus.

    `checksum` is "md5:..." or "sha256:...", or a function that looks it up once it is needed; None where the
    publisher gives none, and then only the archive's own check sums tell a damaged copy.
    """

    base: str
    name: str
    checksum: str | Callable[[], str] | None = None
    tree: str = "."


def ensure_extracted(archive: Archive, root: Path, folder: Path) -> Path:
    """The unpacked corpus at `folder`: as it lies there, else from the archive in `root`, else downloaded.

    Raises RecipeError as `download`, `verify` and `unpack` do.
    """
    if not folder.is_dir():
        unpack(ensure_downloaded(archive, root), folder, tree=archive.tree)
    return folder


def ensure_downloaded(archive: Archive, root: Path) -> Path:
    """The publisher's file in `root`, verified: as it lies there, else downloaded; raises as those."""
    path = root / archive.name
    checksum = archive.checksum() if callable(archive.checksum) else archive.checksum
    if path.exists():
        verify(path, checksum)
        return path
    return download(f"{archive.base.rstrip('/')}/{archive.name}", path, checksum=checksum)


def recorded(dataset: str, url: str) -> str:
    """The SHA-256 that torchaudio has on record for an archive of one of its data sets."""
    # Imported here and by name, for it imports torch: seconds that only a download should cost.
    return "sha256:" + importlib.import_module(f"torchaudio.datasets.{dataset}")._CHECKSUMS[url]


def download(
    url: str,
    target: Path,
    *,
    checksum: str | None = None,
    tries: int = 5,
    timeout: float = 30.0,
    pause: float = 1.0,
) -> Path:
    """Fetch `url` to `target`, by way of `target.partial`, from which a later call goes on.

    A dropped connection is taken up again until `tries` attempts in a row brought nothing; `timeout` is the
    seconds that a server may stay silent, `pause` those before the first new attempt, doubled for each
    further one. Raises RecipeError for an address that the server does not serve, no connection, a full disk,
    a wrong checksum.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(target.name + ".partial")
    by_hand = (
        f"run again to go on, set url= to a mirror, or get the file by hand and put it at {target}"
    )
    failures = 0
    while True:
        had = _size(partial)
        try:
            if _transfer(url, partial, timeout):
                break
            reason = "the connection dropped"
        except urllib.error.HTTPError as error:
            reason = f"the server answers {error.code} {error.reason}"
            if error.code < 500 and error.code not in (408, 429):
                raise RecipeError(f"{url}: {reason}; {by_hand}") from None
        except ValueError as error:
            raise RecipeError(f"{url}: not an address ({error}); check url=") from None
        except DROPPED as error:
            reason = str(getattr(error, "reason", error)) or type(error).__name__
        failures = 1 if _size(partial) > had else failures + 1
        if failures >= tries:
            raise RecipeError(f"{url}: {reason} ({tries} attempts in a row); {by_hand}")
        console.print(f"{url}: {reason}; trying again")
        time.sleep(pause * 2 ** (failures - 1))
    partial.replace(target)
    verify(target, checksum)
    return target


def verify(path: Path, checksum: str | None) -> None:
    """Raises RecipeError where a file has another checksum than "md5:..." or "sha256:..."; None: any."""
    if checksum is None:
        return
    algorithm, _, expected = checksum.partition(":")
    with path.open("rb") as file:
        found = hashlib.file_digest(file, algorithm).hexdigest()
    if found != expected:
        raise RecipeError(
            f"{path}: wrong {algorithm} checksum: expected {expected}, got {found}: damaged or another file; "
            "delete it and run again"
        )


def unpack(archive: Path, folder: Path, *, tree: str = ".") -> Path:
    """Unpack a tar (any compression) or zip; its folder `tree` becomes `folder`, whole or not at all.

    Raises RecipeError for a damaged archive, a full disk, and a member that would land outside: nothing is
    written there.
    """
    if folder.exists():
        raise RecipeError(f"{folder}: is there already; delete it to unpack {archive} again")
    scratch = folder.with_name(f".{folder.name}.unpacking")
    shutil.rmtree(scratch, ignore_errors=True)  # what an interrupted run left
    scratch.mkdir(parents=True)
    console.print(f"unpacking {archive.name} to {folder}")
    try:
        with _full_disk_named(
            folder.parent, f"unpack {archive} ({_human(archive.stat().st_size)} packed)"
        ):
            (_unzip if zipfile.is_zipfile(archive) else _untar)(archive, scratch)
        if not (scratch / tree).is_dir():
            held = ", ".join(sorted(path.name for path in scratch.iterdir())[:5]) or "nothing"
            raise RecipeError(
                f"{archive}: holds no folder {tree!r}, but {held}; is it the right archive?"
            )
        (scratch / tree).rename(folder)
    except DAMAGED as error:
        why = str(error).partition(":\n")[0]  # what follows are the compressions that were tried
        raise RecipeError(
            f"{archive}: damaged or cut off ({why}); delete it and run again"
        ) from None
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return folder


def _transfer(url: str, partial: Path, timeout: float) -> bool:
    """One connection's worth of a file, added to what is there; whether the file is now whole."""
    have = _size(partial)
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response = urllib.request.urlopen(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        if error.code != 416:  # "range not satisfiable": there is nothing after what is there
            raise
        if error.headers.get("Content-Range") == f"bytes */{have}":
            return True
        partial.unlink()  # longer than the server's file: of another one
        return False
    with response:
        if response.status != 206:  # the server knows no ranges: from the start
            have = 0
        length = response.headers.get("Content-Length")
        total = have + int(length) if length else None
        with _full_disk_named(partial, f"hold {url.rpartition('/')[2]}", total):
            free = shutil.disk_usage(partial.parent).free
            if total and total - have > free:
                raise OSError(errno.ENOSPC, "not enough room")
            with (
                partial.open("ab" if have else "wb") as out,
                _progress(url, have, total) as advance,
            ):
                while chunk := response.read(CHUNK):
                    out.write(chunk)
                    advance(len(chunk))
    return total is None or _size(partial) == total


@contextmanager
def _progress(url: str, have: int, total: int | None) -> Iterator[Callable[[int], None]]:
    size = f" ({_human(total)})" if total else ""
    if not console.is_terminal:
        console.print(f"fetching {url}{size}" + (f", from {_human(have)} on" if have else ""))
        yield lambda count: None
        return
    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress("{task.description}", *columns, console=console) as bar:
        task = bar.add_task(url.rpartition("/")[2], total=total, completed=have)
        yield lambda count: bar.advance(task, count)


@contextmanager
def _full_disk_named(path: Path, what: str, total: int | None = None) -> Iterator[None]:
    """Turns "no space left" into a message that says where, and how much is needed; what is there is kept."""
    try:
        yield
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        where = path if path.is_dir() else path.parent
        need = f"; {_human(total)} needed, {_human(_size(path))} there" if total else ""
        free = _human(shutil.disk_usage(where).free)
        raise RecipeError(
            f"{where}: disk full: no room to {what}{need}, {free} free; make room and run again, or set root="
        ) from None


def _untar(archive: Path, folder: Path) -> None:
    with tarfile.open(archive) as tar:
        for member in tar:
            _check_inside(archive, member.name)
            try:
                tar.extract(member, folder, filter="data")
            except tarfile.FilterError as error:
                raise _unsafe(archive, member.name, str(error)) from None


def _unzip(archive: Path, folder: Path) -> None:
    with zipfile.ZipFile(archive) as packed:
        for name in packed.namelist():
            _check_inside(archive, name)
            packed.extract(name, folder)


def _check_inside(archive: Path, name: str) -> None:
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or ":" in name.partition("/")[0]:  # C: is a drive
        raise _unsafe(archive, name, "it leads out of the folder")


def _unsafe(archive: Path, member: str, why: str) -> RecipeError:
    return RecipeError(
        f"{archive}: unsafe member {member!r}: {why}; nothing was unpacked, get another copy"
    )


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _human(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"
