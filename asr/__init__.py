"""A speech recogniser to read, run and trust: log-mel features, a bidirectional GRU, CTC.

import asr
print(asr.load("model.safetensors").transcribe("a.wav").text)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from asr.transcriber import Transcriber

__all__ = ["load"]


def load(path: str | Path, *, device: str = "cpu") -> Transcriber:
    """A trained model with a greedy decoder, ready to transcribe. Raises ModelError where the file is not a model."""
    from asr.transcriber import Transcriber  # here, so that `import asr` does not wait for torch

    return Transcriber.load(path, device=device)
