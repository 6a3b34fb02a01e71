"""A speech recognizer that you can read, run, and trust: log-mel features, a BiGRU, and CTC.

Example:
    import asr
    print(asr.load("model.safetensors").transcribe("a.wav").text)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from asr.inference.transcriber import Transcriber

__all__ = ["load"]


def load(path: str | Path, *, device: str = "cpu") -> Transcriber:
    """Load a trained model with a greedy decoder.

    Raises:
        ModelError: If the file is not a model.
        ConfigError: If the device is not available.
    """
    # here, because torch loads slowly and `import asr` should not
    from asr.inference.transcriber import Transcriber

    return Transcriber.load(path, device=device)
