"""The network that transcription runs: torch or ONNX Runtime."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Protocol, get_args

from numpy import ndarray

from asr.errors import ConfigError, UnsupportedModelError
from asr.nn.emissions import Emissions
from asr.text import Tokenizer
from asr.validation import is_installed

Engine = Literal["auto", "torch", "onnx"]
PACKAGES = ("onnxruntime", "onnx")
SUFFIX = ".onnx"  # `asr.export` writes such files


class AcousticModel(Protocol):
    """A network from waveforms to emissions, such as `CTCModel` or `OnnxModel`.

    Attributes:
        frame_samples: Samples that one feature frame reads.
        seconds_per_frame: Seconds between two frames of the emissions.
    """

    tokenizer: Tokenizer

    @property
    def frame_samples(self) -> int: ...  # noqa: D102
    @property
    def seconds_per_frame(self) -> float: ...  # noqa: D102

    def num_frames(self, samples: int) -> int:
        """Return the number of frames of the emissions for a number of samples."""

    def compute_emissions(self, waveforms: Sequence[ndarray]) -> Emissions:
        """Return the emissions (B, U, V) of waveforms (S,) at 16 kHz, computed as one batch."""


def load_model(
    path: str | Path, *, device: str = "cpu", engine: Engine = "auto"
) -> AcousticModel:
    """Load a trained model, or a file that `asr.export` wrote.

    Args:
        path: The file.
        device: Device of torch.
        engine: "torch", "onnx" for ONNX Runtime, which is about twice as fast on a CPU, or "auto"
            for ONNX Runtime on a CPU if it is installed and supports the model.

    Raises:
        ModelError: If the file is not a model.
        ConfigError: If the device is not available, or the engine is unknown or not installed.
    """
    if engine not in get_args(Engine):
        raise ConfigError(f"engine must be auto, torch, or onnx, got {engine!r}")
    is_exported = Path(path).suffix == SUFFIX
    installed = all(map(is_installed, PACKAGES))
    if engine == "torch" and is_exported:
        raise ConfigError(f"{path}: engine=torch needs the model.safetensors of a training")
    needs_onnx = is_exported or engine == "onnx"
    if needs_onnx and device != "cpu":
        raise ConfigError(f"{path}: ONNX Runtime runs on the CPU, not on device={device}")
    if needs_onnx and not installed:
        raise ConfigError("ONNX Runtime is not installed; pip install 'asr[onnx]'")
    if needs_onnx or (engine == "auto" and device == "cpu" and installed):
        from asr.inference.onnx_model import OnnxModel

        try:
            return OnnxModel(path)
        except UnsupportedModelError:
            if needs_onnx:
                raise
    from asr.nn.ctc import CTCModel

    return CTCModel.load(path, device=device)
