"""Write files atomically, and find the files that come with this package."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

# seconds between attempts on Windows, where virus scanners and readers block a file for a moment
PAUSES = (0.05, 0.2, 1.0) if sys.platform == "win32" else ()

PACKAGED = Path(__file__).parent / "models"


def find_packaged(path: Path, suffix: str = "") -> Path:
    """Return `path`, or the packaged file PATH + SUFFIX if only that exists."""
    packaged = PACKAGED / f"{path}{suffix}"
    is_name = len(path.parts) == 1
    return packaged if is_name and packaged.is_file() and not path.is_file() else path


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder that atomically replaces `path` on success.

    Missing folders are created. On failure, `path` keeps its previous content. Several processes
    may write the same path at once.

    Raises:
        OSError: If writing fails. The error names `path`, not the temporary file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{uuid4().hex}.partial")  # a longer name may be too long
    try:
        yield temporary
        _replace(temporary, path)
    except OSError as error:
        if error.errno is not None:  # an OSError without errno would lose its message
            is_own = error.filename in (None, str(temporary))
            error.filename = str(path) if is_own else error.filename
        raise
    finally:
        temporary.unlink(missing_ok=True)


def _replace(source: Path, target: Path) -> None:
    for pause in PAUSES:
        try:
            source.replace(target)
            return
        except PermissionError:
            time.sleep(pause)
    source.replace(target)
