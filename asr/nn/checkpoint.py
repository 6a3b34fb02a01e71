"""Model files: weights and a JSON header with the architecture in one safetensors file.

Loading a file never unpickles anything and never imports a class by a path from the file. Weights
are NumPy arrays, so this module does not import torch.
"""

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from asr.errors import ModelError
from asr.files import atomic_write, find_packaged

FORMAT = "asr-ctc-2"
FORMAT_1 = "asr-ctc-1"

Header = dict[str, Any]
Weights = dict[str, ndarray]

# names of settings and weights in format 1, and their names today
_RENAMED = {
    "_target_": "class",
    "bands": "n_mels",
    "normalise": "normalize",
    "hidden": "hidden_size",
    "layers": "num_layers",
    "features.mean": "features.cmvn_mean",
    "features.deviation": "features.cmvn_std",
    "confidence": "calibration_params",
    "reaching": "boundary_params",
}


def write_checkpoint(
    path: Path, header: Header, weights: Weights, *, half: bool = False
) -> None:
    """Write a model file. An existing file is replaced only on success.

    Args:
        path: The file.
        header: Architecture, tokens, and scores.
        weights: Arrays by name.
        half: Store matrices in half precision. Reading the file converts them to float32.

    Raises:
        ModelError: If the file cannot be written, for example because the disk is full.
    """
    header = {"format": FORMAT, "version": version("asr"), **header}
    weights = {
        name: np.ascontiguousarray(weight, np.float16 if half and weight.ndim > 1 else None)
        for name, weight in weights.items()
    }
    # save_file would create a file that only its owner can read
    content = save(weights, metadata={"asr": json.dumps(header, ensure_ascii=False)})
    try:
        with atomic_write(path) as temporary:
            temporary.write_bytes(content)
    except OSError as error:
        raise ModelError(f"{path}: cannot be written ({error.strerror})") from None


def read_checkpoint(path: Path) -> tuple[Header, Weights]:
    """Return the header and the weights of a model file, converted to the current format.

    Args:
        path: The file, or the name of a packaged model, such as "english".

    Raises:
        ModelError: If the file does not exist or is not a model.
    """
    path = find_packaged(path, ".safetensors")
    if not path.is_file():
        raise ModelError(
            f"{path}: no such model. Pass the model.safetensors of a training, or english."
        )
    if path.suffix == ".onnx":
        raise ModelError(f"{path}: an exported model; this needs the model.safetensors")
    try:
        with safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
            header = json.loads(metadata.get("asr", "{}"))
            weights = {name: _read_weight(file, name) for name in file.keys()}  # noqa: SIM118, not a mapping
        if header.get("format") == FORMAT_1:
            weights = _convert_format_1(header, weights)
        elif header.get("format") != FORMAT:
            raise ValueError(f"its format is not {FORMAT}")
    except (SafetensorError, OSError, ValueError, AttributeError, LookupError) as error:
        reason = f"not a trained model ({error}). Training writes model.safetensors."
        raise ModelError(f"{path}: {reason}") from None
    return header, weights


def _read_weight(file: Any, name: str) -> ndarray:
    """Return an array of a file, in float32 if it was stored in half precision."""
    weight = file.get_tensor(name)
    return weight.astype(np.float32) if weight.dtype == np.float16 else weight


def _convert_format_1(header: Header, weights: Weights) -> Weights:
    """Convert a header in place, and return the converted weights."""
    for part in ("features", "encoder"):
        header[part] = settings = _rename(header[part])
        settings["class"] = settings["class"].rpartition(".")[2]
    fitted = {
        "calibration_params": np.array([1.0, 0.0], dtype=np.float32),
        "boundary_params": np.zeros(2, dtype=np.float32),
    }
    weights = fitted | _rename(weights)
    calibration = weights["calibration_params"]  # the first files have one slope for both
    weights["calibration_params"] = calibration[[0, -2, -1]]
    return weights


def _rename(values: dict[str, Any]) -> dict[str, Any]:
    return {_RENAMED.get(name, name): value for name, value in values.items()}
