"""Find recordings in folders."""

import os
from collections.abc import Iterator
from pathlib import Path

_AUDIO = (
    "wav wave rf64 w64 flac aif aiff aifc au snd sph nist voc mp3 mp2 mpga ogg oga opus"
    " aac ac3 wv tta ape m4a m4b qta caf amr awb weba mka wma"
)
_VIDEO = "mp4 m4v mov 3gp 3gpp 3g2 webm mkv wmv asf avi flv ts mts mpg mpeg"
VIDEO_EXTENSIONS = frozenset(f".{name}" for name in _VIDEO.split())
EXTENSIONS = VIDEO_EXTENSIONS | {f".{name}" for name in _AUDIO.split()}


def find_recordings(folder: Path) -> list[Path]:
    """Return the sorted paths of all files below a folder with an extension of audio or video."""
    return list_folder(folder)[0]


def list_folder(folder: Path) -> tuple[list[Path], list[Path]]:
    """Return the sorted paths of the recordings below a folder, and of everything else.

    Folders behind symbolic links are included once. Folders that cannot be read and broken links
    are in the second list. The "._" files that macOS adds are in neither, because they only hold
    attributes of other files.
    """
    recordings: list[Path] = []
    others: list[Path] = []
    if folder.is_dir():
        for path, is_file in _walk(folder, set()):
            is_recording = is_file and path.suffix.lower() in EXTENSIONS
            (recordings if is_recording else others).append(path)
    return sorted(recordings), sorted(others)


def _walk(folder: Path, visited: set[Path]) -> Iterator[tuple[Path, bool]]:
    """Yield everything below a folder that was not visited before, and whether it is a file."""
    target = folder.resolve()
    if target in visited:
        return
    visited.add(target)
    try:
        with os.scandir(folder) as entries:
            children = sorted(entries, key=lambda entry: (entry.is_symlink(), entry.name))
    except OSError:
        yield folder, False
        return
    for entry in children:
        path = folder / entry.name
        if entry.is_dir():
            yield from _walk(path, visited)
        elif not entry.name.startswith("._"):
            yield path, entry.is_file()
