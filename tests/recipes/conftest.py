"""Recordings of tones, and the shared corpora in the layout of their publishers."""

import runpy
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from asr.data.manifest import Utterance, read_manifest

SHARED = Path(__file__).parents[2].parent / "shared" / "data"


@pytest.fixture(scope="session")
def tone() -> Callable[..., Path]:
    """Return tone(path, seconds, rate), which writes a tone in the format of the file extension."""

    def write(path: Path, seconds: float = 0.1, rate: int = 16_000, **options: str) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(
            path, 0.1 * np.sin(np.arange(round(seconds * rate)) * 0.2), rate, **options
        )
        return path

    return write


@pytest.fixture(scope="session")
def manifest() -> Callable[[Path, str, str], list[Utterance]]:
    """Return manifest(root, corpus, split), which reads a manifest that a recipe wrote."""
    return lambda root, corpus, split: read_manifest(
        root / "manifests" / corpus / f"{split}.jsonl"
    )


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return shared("an4"), which lays out a corpus like its publisher, or skips if it is missing.

    Links replace decoded copies: recipes read only headers, and libsndfile ignores extensions.
    """
    if not (SHARED / "unpack.py").exists():
        pytest.skip(f"needs the shared corpora beside the repository, in {SHARED}")
    unpack = SimpleNamespace(**runpy.run_path(str(SHARED / "unpack.py")))

    def link(source: Path, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(source)

    def lay_out(corpus: str) -> Path:
        step = getattr(unpack, corpus)
        step.__globals__["decode"] = link
        root = tmp_path_factory.mktemp(corpus)
        step(root)
        return root

    return lay_out
