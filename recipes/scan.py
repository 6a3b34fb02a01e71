"""Reasons to pass over files of a folder, and the files that a table names."""

import os
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from asr.audio import EXTENSIONS
from asr.data.manifest import is_file, local_path

# Recordings that nothing here reads, to distinguish them from other files
UNSUPPORTED = {".alac", ".ds2", ".dss", ".gsm", ".ra", ".rm", ".spx", ".vox"}
MEDIA = EXTENSIONS | UNSUPPORTED
SYSTEM_FILES = {"desktop.ini", "thumbs.db"}


def normalize_name(name: str) -> str:
    """Return a file name in NFC. macOS decomposes accents that other systems compose."""
    return unicodedata.normalize("NFC", name)


def skip_reason(path: Path) -> str:
    """Return the reason for passing over a file, or "" if it is a recording."""
    name = path.name.lower()
    if name.startswith("._"):
        return "macOS metadata"  # beside a file on a disk that is not Apple's
    if name.startswith(".") or name in SYSTEM_FILES:
        return "system file"
    suffix = path.suffix.lower()
    if suffix in EXTENSIONS:
        return ""
    return "format not supported" if suffix in UNSUPPORTED else "not a recording"


class FileFinder:
    """Find files that a table names relative to the first folder that has them.

    The name may lack an extension, and its accents may be composed or not.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self.folders = folders
        self._names: dict[Path, dict[str, list[str]]] = {}

    def __call__(self, name: str) -> Path:
        """Return the path of a file, or the expected path if it does not exist.

        Raises:
            ValueError: If the name is an absolute path of another system.
        """
        paths = [local_path(folder, name) for folder in self.folders]
        for path in paths:
            for candidate in (path, *_with_extensions(path)):
                if is_file(candidate):
                    return candidate
        found = (self._find_composed(folder, name) for folder in self.folders)
        return next(filter(None, found), paths[0])

    def _find_composed(self, folder: Path, name: str) -> Path | None:
        """Return the file whose name differs only in the composition of accents."""
        if name.isascii():
            return None
        path = Path(os.path.normpath(folder.absolute() / name.replace("\\", "/")))
        return self._match(Path(path.anchor), path.relative_to(path.anchor).parts)

    def _match(self, folder: Path, parts: Sequence[str]) -> Path | None:
        """Return the file below a folder that has these names in some composition."""
        extensions = [""] if len(parts) > 1 else ["", *sorted(EXTENSIONS)]
        for extension in extensions:
            wanted = normalize_name(parts[0] + extension)
            for name in self._list(folder).get(wanted, ()):
                path = folder / name
                found = self._match(path, parts[1:]) if parts[1:] else path
                if found and is_file(found):
                    return found
        return None

    def _list(self, folder: Path) -> dict[str, list[str]]:
        """Return the names in a folder by their composed form."""
        if folder not in self._names:
            names: dict[str, list[str]] = {}
            with suppress(OSError, ValueError):
                for path in sorted(folder.iterdir()):
                    names.setdefault(normalize_name(path.name), []).append(path.name)
            self._names[folder] = names
        return self._names[folder]


def _with_extensions(path: Path) -> Iterator[Path]:
    if not path.name or path.suffix.lower() in EXTENSIONS:
        return
    for extension in sorted(EXTENSIONS):
        yield path.with_name(path.name + extension)
