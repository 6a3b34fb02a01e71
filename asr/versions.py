"""Versions of this program and of the packages that its results depend on."""

import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

PACKAGES = ("asr", "torch", "torchaudio", "lightning", "soundfile", "jiwer")


def read_versions() -> dict[str, str]:
    """Return the versions of Python and of the packages by name."""
    packages = {package: version(package) for package in PACKAGES}
    return {"python": platform.python_version()} | packages


def read_commit() -> str | None:
    """Return the commit of this clone, with a + if files have changed, or None without a clone."""
    command = ["git", "describe", "--always", "--abbrev=12", "--exclude=*", "--dirty=+"]
    try:
        git = subprocess.run(
            command, cwd=Path(__file__).parent, capture_output=True, text=True
        )
    except OSError:  # git is not installed
        return None
    return git.stdout.strip() or None
