"""Files that are there whole or not at all."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Where to write what is to stand at `path` once it is whole, in the same folder, which is made if need be.

    What stood there stays until then, and for good where writing fails; several processes may write at a time. Of an
    OSError that does not say where, such as that of a full disk, `path` becomes the file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{uuid4().hex}.partial")
    try:
        yield partial
        partial.replace(path)
    except OSError as error:
        if error.errno is not None:  # one with a message alone would lose it
            error.filename = error.filename or str(path)
        raise
    finally:
        partial.unlink(missing_ok=True)
