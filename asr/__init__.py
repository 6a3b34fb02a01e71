"""A speech recogniser to read, run and trust: log-mel features, a bidirectional GRU, CTC.

import asr
print(asr.load("model.safetensors").transcribe("a.wav").text)
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from asr.inference.transcriber import Transcriber

__all__ = ["load"]

# torch keeps a thousand CPU kernels of each sort, by the shapes they were made for, and batches seldom have the same
# shape twice: a training grew by a third within an hour. A step needs some forty. Both are read at the first kernel.
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "64")
os.environ.setdefault("LRU_CACHE_CAPACITY", "64")
# numpy asks for huge pages wherever it takes 4 MB, as for a picture. What torch puts there later is rounded up to them.
os.environ.setdefault("NUMPY_MADVISE_HUGEPAGE", "0")


def load(path: str | Path, *, device: str = "cpu") -> Transcriber:
    """A trained model with a greedy decoder, ready to transcribe. Raises ModelError where the file is not a model."""
    from asr.inference.transcriber import (
        Transcriber,
    )  # here, so that `import asr` does not wait for torch

    return Transcriber.load(path, device=device)
