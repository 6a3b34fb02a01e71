"""Run an exported model with ONNX Runtime. This module does not import torch."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from asr.errors import ConfigError, ModelError
from asr.nn.emissions import BoundaryOffsets, Calibration, Emissions
from asr.text import Tokenizer

FORMAT = "asr-onnx-1"
SUFFIX = ".onnx"


class OnnxEngine:
    """A model file that `asr.export` wrote.

    Args:
        path: The ONNX file.
        threads: Number of threads of an operation, 0 for one per core.

    Raises:
        ModelError: If the file is not such a model or has another version.
        ConfigError: If ONNX Runtime is not installed.
    """

    def __init__(self, path: str | Path, *, threads: int = 0) -> None:
        if not Path(path).is_file():
            raise ModelError(f"{path}: no such model. Export one with asr.export.")
        try:
            import onnxruntime
        except ImportError:
            message = "the package onnxruntime is missing; pip install 'asr[onnx]'"
            raise ConfigError(message) from None
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(
                path, options, providers=["CPUExecutionProvider"]
            )
            metadata = self._session.get_modelmeta().custom_metadata_map
            header = json.loads(metadata.get("asr", "{}"))
            if header.get("format") != FORMAT:
                raise ValueError(f"its format is not {FORMAT}; export it again")
            self._read(header)
        except Exception as error:  # ONNX Runtime raises classes of its own
            reason = str(error).strip().splitlines()[0]
            raise ModelError(f"{path}: not an exported model ({reason})") from None

    def _read(self, header: dict[str, Any]) -> None:
        self.tokenizer = Tokenizer(tuple(header["tokens"]))
        self.seconds_per_frame: float = header["seconds_per_frame"]
        self.calibration = Calibration(*header["calibration"])
        self.boundary_offsets = BoundaryOffsets(*header["boundary_offsets"])
        self.n_fft: int = header["n_fft"]
        self.hop_length: int = header["hop_length"]

    def num_frames(self, samples: int) -> int:
        """Return the number of frames of the emissions for a number of samples."""
        frames = max(0, (samples - self.n_fft) // self.hop_length + 1)
        return -(-frames // 4)

    def __call__(self, waveforms: Sequence[np.ndarray]) -> Emissions:
        """Return the emissions (B, U, V) of waveforms (S,) at 16 kHz, computed as one batch."""
        lengths = np.array([len(waveform) for waveform in waveforms], dtype=np.int64)
        samples = np.zeros((len(waveforms), max(lengths, default=0)), dtype=np.float32)
        for row, waveform in zip(samples, waveforms, strict=True):
            row[: len(waveform)] = waveform
        inputs = {"samples": samples, "lengths": lengths}
        log_probs, frames = self._session.run(None, inputs)
        fitted = self.calibration, self.boundary_offsets
        return Emissions(log_probs, frames, self.seconds_per_frame, *fitted)
