"""Find recordings in folders."""

import stat
from collections import deque
from pathlib import Path

_AUDIO = (
    "wav wave rf64 w64 flac aif aiff aifc au snd sph nist voc mp3 mp2 mpga ogg oga opus"
    " aac ac3 wv tta ape m4a m4b qta caf amr awb weba mka wma"
)
_VIDEO = "mp4 m4v mov 3gp 3gpp 3g2 webm mkv wmv asf avi flv ts mts mpg mpeg"
VIDEO_EXTENSIONS = frozenset(f".{name}" for name in _VIDEO.split())
EXTENSIONS = VIDEO_EXTENSIONS | {f".{name}" for name in _AUDIO.split()}
UNREADABLE = "unreadable folder"


def find_recordings(folder: Path) -> list[Path]:
    """Return the sorted paths of all recordings below a folder; see `list_files`."""
    files, _ = list_files(folder)
    return list(filter(is_recording, files))


def is_recording(path: Path) -> bool:
    """Return whether a file has an extension of audio or video.

    The "._" files of macOS only hold attributes of other files.
    """
    return path.suffix.lower() in EXTENSIONS and not path.name.startswith("._")


def list_files(folder: Path) -> tuple[list[Path], list[tuple[Path, str]]]:
    """Return all files below a folder, sorted, and (path, reason) of what is passed over.

    The reason for a folder that cannot be read starts with `UNREADABLE`. Linked folders are
    followed, each folder once.
    """
    files: list[Path] = []
    skipped: list[tuple[Path, str]] = []
    seen: set[tuple[int, int]] = set()
    queue = deque([folder])
    while queue:
        current = queue.popleft()
        try:
            status = current.stat()
            names = sorted(path.name for path in current.iterdir())
        except OSError as error:
            skipped.append((current, f"{UNREADABLE}: {error.strerror}"))
            continue
        if (status.st_dev, status.st_ino) in seen:
            skipped.append((current, "folder linked twice"))
            continue
        seen.add((status.st_dev, status.st_ino))
        for name in names:
            path = current / name
            try:
                mode = path.stat().st_mode
            except OSError:
                skipped.append((path, "broken link"))
                continue
            if stat.S_ISREG(mode):
                files.append(path)
            elif not stat.S_ISDIR(mode):
                skipped.append((path, "not a file"))
            elif name.startswith("."):
                skipped.append((path, "hidden folder"))
            elif path.is_symlink():
                queue.append(path)  # after all others, so that a link is the second way
            else:
                queue.appendleft(path)
    return sorted(files), skipped
