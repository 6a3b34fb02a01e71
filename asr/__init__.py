"""A speech recognizer that you can read, run, and trust: log-mel features, a BiGRU, and CTC.

Example:
    import asr
    print(asr.load().transcribe("a.wav").text)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from asr.inference.model import Engine
    from asr.inference.transcriber import Transcriber

__all__ = ["load"]


def load(
    path: str | Path = "english", *, device: str = "cpu", engine: Engine = "auto"
) -> Transcriber:
    """Load a trained model with a greedy decoder.

    Args:
        path: A model file of a training, a file of `asr.export`, or "english", the model that comes
            with this package.
        device: Device of torch.
        engine: "torch", "onnx", or "auto" for ONNX Runtime on a CPU if it is installed.

    Raises:
        ModelError: If the file is not a model.
        ConfigError: If the device is not available or the engine is not installed.
    """
    # here, because `import asr` should be fast
    from asr.inference.transcriber import Transcriber

    return Transcriber.load(path, device=device, engine=engine)
