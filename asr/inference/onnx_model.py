"""Run a model with ONNX Runtime. This module does not import torch."""

import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy import ndarray

from asr.audio import SAMPLE_RATE
from asr.errors import ModelError
from asr.nn.checkpoint import read_checkpoint
from asr.nn.emissions import BoundaryOffsets, Calibration, Emissions
from asr.nn.onnx_export import FORMAT, build_onnx
from asr.processes import usable_cpus
from asr.text import Tokenizer


class OnnxModel:
    """A trained model, or a file that `asr.export` wrote, in ONNX Runtime on the CPU.

    The number of threads is OMP_NUM_THREADS, or that of the processors that it may use.

    Raises:
        ModelError: If the file is not a model or has another version.
    """

    def __init__(self, path: str | Path) -> None:
        path = Path(path)
        # OpenMP allows a list with a number for each level of nested parallelism
        threads = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
        self._threads = int(threads) if threads.isdecimal() else usable_cpus()
        self._executor = ThreadPoolExecutor(self._threads, thread_name_prefix="onnx")
        options = _session_options()
        content, self._weights = _read_content(path)
        values = map(onnxruntime.OrtValue.ortvalue_from_numpy, self._weights.values())
        options.add_external_initializers(list(self._weights), list(values))
        providers = ["CPUExecutionProvider"]
        try:
            self._session = onnxruntime.InferenceSession(
                content, options, providers=providers
            )
            metadata = self._session.get_modelmeta().custom_metadata_map
            self._read(json.loads(metadata.get("asr", "{}")))
        except Exception as error:  # of many classes of ONNX Runtime
            reason = str(error).strip().partition("\n")[0]
            raise ModelError(f"{path}: not a file of asr.export ({reason})") from None

    def _read(self, header: dict[str, Any]) -> None:
        """Read the metadata.

        Raises:
            ValueError: If they have another format.
        """
        if header.get("format") != FORMAT:
            raise ValueError(f"its format is not {FORMAT}; export the model again")
        self.tokenizer = Tokenizer(tuple(header["tokens"]))
        self.frame_samples: int = header["n_fft"]
        self._hop: int = header["hop_length"]
        self._factor: int = header["subsampling_factor"]
        self.seconds_per_frame = self._hop * self._factor / SAMPLE_RATE
        self._empty = Emissions(
            np.zeros((0, 0, 1 + len(header["tokens"])), np.float32),
            np.zeros(0, np.int64),
            self.seconds_per_frame,
            Calibration(*header["calibration"]),
            BoundaryOffsets(*header["boundary_offsets"]),
        )

    def num_frames(self, samples: int) -> int:
        """Return the number of frames of the emissions for a number of samples."""
        frames = max(0, (samples - self.frame_samples) // self._hop + 1)
        return -(-frames // self._factor)

    def compute_emissions(self, waveforms: Sequence[ndarray]) -> Emissions:
        """Return the emissions (B, U, V) of waveforms (S,) at 16 kHz, computed as one batch.

        Each thread computes a part of the batch.
        """
        rows: list[Any] = [None] * len(waveforms)
        parts = min(self._threads, len(waveforms))
        batches = (waveforms[i::parts] for i in range(parts))
        for i, part in enumerate(self._executor.map(self._run, batches)):
            rows[i::parts] = part
        return self._empty.with_rows(rows)

    def _run(self, waveforms: Sequence[ndarray]) -> list[ndarray]:
        """Return the log-probabilities (U, V) of waveforms (S,)."""
        lengths = np.array([len(waveform) for waveform in waveforms], dtype=np.int64)
        samples = np.zeros((len(waveforms), max(lengths, default=0)), dtype=np.float32)
        for row, waveform in zip(samples, waveforms, strict=True):
            row[: len(waveform)] = waveform
        inputs = {"samples": samples, "lengths": lengths}
        log_probs, frames = self._session.run(None, inputs)
        return [row[:length] for row, length in zip(log_probs, frames, strict=True)]


def _session_options() -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    # more threads would divide each step of a GRU and wake up thousands of times
    options.intra_op_num_threads = 1
    # converts 8-bit weights to float32 once, while loading, instead of in each run
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    return options


def _read_content(path: Path) -> tuple[str | bytes, dict[str, ndarray]]:
    """Return the path of an exported file, or the graph and the weights of a trained model.

    Raises:
        ModelError: If there is no such file, or a trained model cannot be exported.
    """
    if path.suffix == ".onnx":
        if not path.is_file():
            raise ModelError(f"{path}: no such model. asr.export writes one.")
        return str(path), {}
    header, weights = read_checkpoint(path)
    external: dict[str, ndarray] = {}
    try:
        return build_onnx(header, weights, external=external).SerializeToString(), external
    except ModelError as error:
        raise type(error)(f"{path}: {error}") from None
