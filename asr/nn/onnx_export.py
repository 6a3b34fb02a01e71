"""Write a model as one ONNX file, features included.

    samples    (B, S)     float32   waveforms at 16 kHz in -1..1, with any padding
    lengths    (B,)       int64     samples of each
    log_probs  (B, U, V)  float32   log-probabilities in nats, any values at padding
    frames     (B,)       int64     frames of each

The file computes what `CTCModel` computes in evaluation mode. Its metadata has one entry "asr" with
JSON: the tokens and everything else that decoding needs.
"""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy import ndarray
from onnx import TensorProto, helper

from asr.audio import SAMPLE_RATE
from asr.errors import ModelError, UnsupportedModelError
from asr.nn.checkpoint import Header, Weights
from asr.nn.mel import NORMALIZATIONS
from asr.nn.onnx_features import OnnxLogMel
from asr.nn.onnx_graph import Graph

FORMAT = "asr-onnx-1"
LAYER_NORM_EPSILON = 1e-5  # torch's default
SUBSAMPLING_FACTOR = 4
# torch's gates in the order of ONNX: z, r, n and i, o, f, c
GATES = {"gru": (1, 0, 2), "lstm": (0, 3, 1, 2), "rnn": (0,)}
# default arguments of LogMel and Encoder, which a model file may omit
DEFAULTS: dict[str, dict[str, Any]] = {
    "features": {
        "class": "LogMel",
        "n_mels": 80,
        "window_ms": 25.0,
        "hop_ms": 10.0,
        "n_fft": 512,
        "normalize": "utterance",
        "top_db": None,
    },
    "encoder": {
        "class": "Encoder",
        "channels": 32,
        "hidden_size": 256,
        "num_layers": 3,
        "cell": "gru",
        "dropout": 0.1,
        "intermediate": (),
    },
}


def build_onnx(
    header: Header,
    weights: Weights,
    *,
    int8: bool = False,
    external: dict[str, ndarray] | None = None,
) -> onnx.ModelProto:
    """Return the ONNX graph of a model from the content of its file.

    Args:
        header: Settings and tokens.
        weights: Weights by name.
        int8: Whether to store matrices in 8 bits, which makes the file a quarter as large. The
            computation stays in float32.
        external: Receives large constants by name, which are then not stored in the graph.

    Raises:
        ModelError: If the model has features or an encoder of other classes, or the weights do not
            belong to the settings.
    """
    features, encoder = (_read_settings(header, part) for part in ("features", "encoder"))
    _check_weights(features, encoder, header, weights)
    g = Graph(int8=int8, external=external)
    mel = OnnxLogMel(g, features, weights)
    x, lengths = _encode(g, encoder, weights, *mel("samples", "lengths"))
    g("LogSoftmax", _linear(g, weights, "head", x), axis=-1, name="log_probs")
    g("Identity", lengths, name="frames")
    shape = ["batch", "time", len(weights["head.bias"])]
    inputs = {"samples": ["batch", "samples"], "lengths": ["batch"]}
    proto = g.to_model(inputs, {"log_probs": shape, "frames": ["batch"]})
    metadata = {
        "format": FORMAT,
        "tokens": header["tokens"],
        "sample_rate": SAMPLE_RATE,
        "n_fft": features["n_fft"],
        "hop_length": mel.hop,
        "subsampling_factor": SUBSAMPLING_FACTOR,
        "calibration": weights["calibration_params"].tolist(),
        "boundary_offsets": weights["boundary_params"].tolist(),
        "int8": int8,
    }
    helper.set_model_props(proto, {"asr": json.dumps(metadata, ensure_ascii=False)})
    return proto


def _read_settings(header: Header, part: str) -> dict[str, Any]:
    """Return the settings of a part of the model, with defaults.

    Raises:
        UnsupportedModelError: If the part is missing or of another class.
        ModelError: If it has settings of another version.
    """
    settings, known = header.get(part, {}), DEFAULTS[part]
    if (name := settings.get("class")) != known["class"]:
        raise UnsupportedModelError(
            f"ONNX supports the {part} class {known['class']}, not {name}"
        )
    unknown = sorted(settings.keys() - known.keys())
    settings = {**known, **settings}
    if settings.get("cell", "gru") not in GATES:
        unknown.append(f"cell={settings['cell']}")
    if settings.get("normalize", "none") not in NORMALIZATIONS:
        unknown.append(f"normalize={settings['normalize']}")
    if unknown:
        raise ModelError(f"its {part} have settings of another version: {unknown[0]}")
    return settings


def _check_weights(
    features: Mapping[str, Any],
    encoder: Mapping[str, Any],
    header: Header,
    weights: Weights,
) -> None:
    """Check that the weights belong to the settings.

    Raises:
        ModelError: If a weight is missing, unknown, or of another shape.
    """
    shapes = {name: weight.shape for name, weight in weights.items()}
    expected = _weight_shapes(features, encoder, num_tokens=1 + len(header["tokens"]))
    if different := shapes.items() ^ expected.items():
        name = min(different)[0]
        raise ModelError(
            f"{name} is {shapes.get(name, 'missing')}, but its settings need "
            f"{expected.get(name, 'none')}"
        )


def _weight_shapes(
    features: Mapping[str, Any], encoder: Mapping[str, Any], num_tokens: int
) -> dict[str, tuple[int, ...]]:
    """Return the shapes of all weights of a model."""
    n_mels, channels = features["n_mels"], encoder["channels"]
    hidden = encoder["hidden_size"]
    dim, rows = 2 * hidden, len(GATES[encoder["cell"]]) * hidden
    shapes: dict[str, tuple[int, ...]] = {
        "features.cmvn_mean": (n_mels,),
        "features.cmvn_std": (n_mels,),
        "encoder.subsampling.first.weight": (channels, 1, 3, 3),
        "encoder.subsampling.second.weight": (channels, channels, 3, 3),
        "encoder.subsampling.project.weight": (dim, channels * -(-n_mels // 4)),
        "encoder.final_norm.weight": (dim,),
        "head.weight": (num_tokens, dim),
    }
    if encoder["intermediate"]:
        shapes["feedback.weight"] = (dim, num_tokens)
    for i in range(encoder["num_layers"]):
        shapes[f"encoder.norms.{i}.weight"] = (dim,)
    biases = {f"{k.removesuffix('weight')}bias": v[:1] for k, v in shapes.items()}
    shapes |= {k: v for k, v in biases.items() if not k.startswith("features.")}
    for i in range(encoder["num_layers"]):
        for end in ("l0", "l0_reverse"):
            layer = f"encoder.layers.{i}.rnn"
            shapes[f"{layer}.weight_ih_{end}"] = (rows, dim)
            shapes[f"{layer}.weight_hh_{end}"] = (rows, hidden)
            shapes[f"{layer}.bias_ih_{end}"] = shapes[f"{layer}.bias_hh_{end}"] = (rows,)
    return {**shapes, "calibration_params": (3,), "boundary_params": (2,)}


def _linear(g: Graph, w: Weights, name: str, x: str) -> str:
    return g.linear(x, w[f"{name}.weight"], w[f"{name}.bias"])


def _layer_norm(g: Graph, w: Weights, name: str, x: str) -> str:
    weights = g.constant(w[f"{name}.weight"]), g.constant(w[f"{name}.bias"])
    return g("LayerNormalization", x, *weights, axis=-1, epsilon=LAYER_NORM_EPSILON)


def _encode(
    g: Graph, settings: Mapping[str, Any], w: Weights, x: str, lengths: str
) -> tuple[str, str]:
    """Add the encoder: features (B, T, F) to (B, U, D), and frames U (B,)."""
    x, lengths = _subsample(g, w, x, lengths)
    rows = g("Cast", lengths, to=TensorProto.INT32)
    x = g("Transpose", x, perm=[1, 0, 2])  # (U, B, D), as recurrent layers of ONNX read it
    for i in range(settings["num_layers"]):
        y = _layer_norm(g, w, f"encoder.norms.{i}", x)
        prefix = f"encoder.layers.{i}.rnn."
        layer = {k.removeprefix(prefix): v for k, v in w.items() if k.startswith(prefix)}
        x = g("Add", x, _bidirectional(g, settings["cell"], layer, y, rows))
        if i + 1 in settings["intermediate"]:
            logits = _linear(g, w, "head", _layer_norm(g, w, "encoder.final_norm", x))
            x = g("Add", x, _linear(g, w, "feedback", g("Softmax", logits, axis=-1)))
    x = _layer_norm(g, w, "encoder.final_norm", x)
    return g("Transpose", x, perm=[1, 0, 2]), lengths


def _subsample(g: Graph, w: Weights, x: str, lengths: str) -> tuple[str, str]:
    """Add the convolutions and their projection: (B, T, F) to (B, U, D), and U (B,)."""
    x = g("Unsqueeze", x, g.integers(1))  # (B, 1, T, F)
    x, lengths = _convolve(g, w, "first", x, lengths)
    mask = g.mask(lengths, g.size(x, 2))  # the second convolution must not read padding
    x = g("Mul", x, g("Unsqueeze", mask, g.integers(1, 3)))
    x, lengths = _convolve(g, w, "second", x, lengths)
    x = g("Transpose", x, perm=[0, 2, 1, 3])  # (B, U, channels, ceil(F / 4))
    x = g("Reshape", x, g.integers(0, 0, -1))
    return _linear(g, w, "encoder.subsampling.project", x), lengths


def _convolve(g: Graph, w: Weights, name: str, x: str, lengths: str) -> tuple[str, str]:
    """Add a convolution with a stride of 2: (B, C, T, F) to (B, C, T / 2, F / 2), rounded up."""
    name = f"encoder.subsampling.{name}"
    kernel, bias = g.weight(w[f"{name}.weight"]), g.constant(w[f"{name}.bias"])
    x = g("Relu", g("Conv", x, kernel, bias, strides=[2, 2], pads=[1, 1, 1, 1]))
    return x, g("Div", g("Add", lengths, g.integer(1)), g.integer(2))


def _bidirectional(
    g: Graph, cell: str, layer: Mapping[str, ndarray], x: str, lengths: str
) -> str:
    """Add a bidirectional layer with torch's parameters: (U, B, D) to (U, B, 2 H)."""
    order = GATES[cell]
    directions = []
    for end, direction in (("l0", "forward"), ("l0_reverse", "reverse")):
        w, r, input_bias, bias = (
            np.concatenate(
                [np.split(layer[f"{name}_{end}"], len(order))[i] for i in order]
            )[None]
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        )  # (1, gates H, ...)
        options: dict[str, Any] = {"hidden_size": r.shape[2], "direction": direction}
        if cell == "gru":
            options["linear_before_reset"] = 1
        biases = g.constant(np.concatenate([input_bias, bias], axis=1))
        inputs = g.weight(w, axis=1), g.weight(r, axis=1), biases, lengths
        y = g(cell.upper(), x, *inputs, **options)  # (U, 1, B, H)
        directions.append(g("Squeeze", y, g.integers(1)))
    return g("Concat", *directions, axis=2)
