"""Write a model as one ONNX file, features included.

    samples    (B, S)     float32   waveforms at 16 kHz in -1..1, with any padding
    lengths    (B,)       int64     samples of each
    log_probs  (B, U, V)  float32   log-probabilities in nats, any values at padding
    frames     (B,)       int64     frames of each

The file computes what `CTCModel` computes in evaluation mode. Its metadata has one entry "asr" with
JSON: the tokens and everything else that decoding needs.
"""

import json
from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper

from asr.audio import SAMPLE_RATE
from asr.errors import ModelError
from asr.files import atomic_write
from asr.nn.ctc import CTCModel
from asr.nn.encoder import BiRNN, Encoder, Subsampling
from asr.nn.features import LOG_FLOOR, MIN_STD, LogMel
from asr.nn.onnx_graph import Graph

FORMAT = "asr-onnx-1"
# torch's gates in the order of ONNX: z, r, n and i, o, f, c
GATES = {"GRU": (1, 0, 2), "LSTM": (0, 3, 1, 2), "RNN": (0,)}


def export_onnx(model: CTCModel, path: Path, *, int8: bool = False) -> None:
    """Write a model as an ONNX file. An existing file is replaced only on success.

    Args:
        int8: Whether to store the weights in 8 bits, which makes the file a quarter as large. The
            computation stays in float32.

    Raises:
        ModelError: If the model has features or an encoder of other classes.
    """
    parts = {"features": LogMel, "encoder": Encoder}
    for part, cls in parts.items():
        if type(module := getattr(model, part)) is not cls:
            name = type(module).__name__
            raise ModelError(f"the export knows {part} {cls.__name__}, not {name}")
    g = Graph(int8=int8)
    x, lengths = _log_mel(g, model.features, "samples", "lengths")
    x, lengths = _encode(g, model, x, lengths)
    g("LogSoftmax", g.linear(x, model.head), axis=-1, name="log_probs")
    g("Identity", lengths, name="frames")
    shape = ["batch", "time", len(model.tokenizer)]
    inputs = {"samples": ["batch", "samples"], "lengths": ["batch"]}
    proto = g.to_model(inputs, {"log_probs": shape, "frames": ["batch"]})
    metadata = {
        "format": FORMAT,
        "tokens": list(model.tokenizer.tokens),
        "sample_rate": SAMPLE_RATE,
        "n_fft": model.features.n_fft,
        "hop_length": model.features.hop_length,
        "seconds_per_frame": model.seconds_per_frame,
        "calibration": astuple(model.calibration),
        "boundary_offsets": astuple(model.boundary_offsets),
        "int8": int8,
    }
    helper.set_model_props(proto, {"asr": json.dumps(metadata, ensure_ascii=False)})
    with atomic_write(path) as temporary:
        temporary.write_bytes(proto.SerializeToString())


def _log_mel(g: Graph, features: Any, samples: str, lengths: str) -> tuple[str, str]:
    """Add LogMel: samples (B, S) to features (B, T, F), and frames T (B,)."""
    n_fft, hop = features.n_fft, features.hop_length
    # a recording shorter than a frame gets one frame, which counts as padding
    missing = g("Max", g("Sub", g.integer(n_fft), g.size(samples, 1)), g.integer(0))
    missing = g("Unsqueeze", missing, g.integers(0))
    padded = g("Pad", samples, g("Concat", g.integers(0, 0, 0), missing, axis=0))
    energies = g("MatMul", _power(g, features, padded), g.constant(features.filterbank))
    excess = g("Max", g("Sub", lengths, g.integer(n_fft - hop)), g.integer(0))
    frames = g("Div", excess, g.integer(hop))  # (B,)
    mask = g("Unsqueeze", g.mask(frames, g.size(energies, 1)), g.integers(2))  # (B, T, 1)
    floor = LOG_FLOOR
    if features.top_db is not None:
        levels = g("ReduceMean", g("Mul", energies, mask), g.integers(2))  # (B, T, 1)
        loudest = g("ReduceMax", levels, g.integers(1))  # (B, 1, 1)
        energies = g("Div", energies, g("Max", loudest, g.constant(LOG_FLOOR)))
        floor = 10 ** (-features.top_db / 10)
    x = g("Log", g("Add", energies, g.constant(floor)))
    return _cmvn(g, features, g("Mul", x, mask), frames, mask), frames


def _power(g: Graph, features: Any, samples: str) -> str:
    """Add the power spectrum: samples (B, S) to (B, T, n_fft // 2 + 1).

    The window is symmetric. Sums of samples at equal distances from its center give the real parts
    around the center, and differences the imaginary parts, so the transform has half the products.
    """
    n_fft, hop, length = features.n_fft, features.hop_length, len(features.window)
    first = (n_fft - length) // 2
    offsets = np.arange(1, length // 2 + 1)  # the first value of the window is 0
    window = features.window.double().cpu().numpy()[offsets]
    window[2 * offsets == length] /= 2  # the sample at the center is in both halves
    distances = length / 2 - offsets
    angles = 2 * np.pi / n_fft * np.outer(distances, np.arange(n_fft // 2 + 1))
    last_start = g("Sub", g.size(samples, 1), g.integer(n_fft - 1))
    starts = g("Unsqueeze", g.range(last_start, hop), g.integers(1))  # (T, 1)
    earlier, later = (
        g("Gather", samples, g("Add", starts, g.integers(*positions)), axis=1)
        for positions in (first + offsets, first + length - offsets)
    )  # (B, T, length // 2)
    real = g(
        "MatMul", g("Add", later, earlier), g.constant(np.cos(angles) * window[:, None])
    )
    imag = g(
        "MatMul", g("Sub", later, earlier), g.constant(np.sin(angles) * window[:, None])
    )
    return g("Add", g("Mul", real, real), g("Mul", imag, imag))


def _cmvn(g: Graph, features: Any, x: str, frames: str, mask: str) -> str:
    """Add LogMel.apply_cmvn for `x` (B, T, F), which is 0 at padding."""
    if features.normalize == "none":
        return x
    if features.normalize == "corpus":
        x = g("Sub", x, g.constant(features.cmvn_mean))
        return g("Mul", g("Div", x, g.constant(features.cmvn_std)), mask)
    axis, one = g.integers(1), g.integers(1)
    x = g("Mul", g("Sub", x, g("Slice", x, g.integers(0), one, axis)), mask)
    count = g("Cast", g("Max", frames, g.integer(1)), to=TensorProto.FLOAT)
    count = g("Unsqueeze", count, g.integers(1, 2))  # (B, 1, 1)
    mean = g("Div", g("ReduceSum", x, axis), count)
    x = g("Mul", g("Sub", x, mean), mask)
    variance = g("Div", g("ReduceSum", g("Mul", x, x), axis), count)
    return g("Div", x, g("Max", g("Sqrt", variance), g.constant(MIN_STD)))


def _encode(g: Graph, model: CTCModel, x: str, lengths: str) -> tuple[str, str]:
    """Add the encoder: features (B, T, F) to (B, U, D), and frames U (B,)."""
    encoder: Any = model.encoder
    x, lengths = _subsample(g, encoder.subsampling, x, lengths)
    rows = g("Cast", lengths, to=TensorProto.INT32)
    x = g("Transpose", x, perm=[1, 0, 2])  # (U, B, D), as recurrent layers of ONNX read it
    layers = zip(encoder.norms, encoder.layers, strict=True)
    for number, (norm, layer) in enumerate(layers, 1):
        x = g("Add", x, _bidirectional(g, layer, g.layer_norm(x, norm), rows))
        if model.feedback and number in encoder.intermediate:
            logits = g.linear(g.layer_norm(x, encoder.final_norm), model.head)
            x = g("Add", x, g.linear(g("Softmax", logits, axis=-1), model.feedback))
    return g("Transpose", g.layer_norm(x, encoder.final_norm), perm=[1, 0, 2]), lengths


def _subsample(g: Graph, module: Subsampling, x: str, lengths: str) -> tuple[str, str]:
    """Add the convolutions and their projection: (B, T, F) to (B, U, D), and U (B,)."""
    x = g("Unsqueeze", x, g.integers(1))  # (B, 1, T, F)
    for convolution in (module.first, module.second):
        x = g("Relu", g.conv(x, convolution))
        lengths = g("Div", g("Add", lengths, g.integer(1)), g.integer(2))
        mask = g.mask(lengths, g.size(x, 2))
        x = g("Mul", x, g("Unsqueeze", mask, g.integers(1, 3)))
    x = g("Transpose", x, perm=[0, 2, 1, 3])  # (B, U, channels, ceil(F / 4))
    return g.linear(g("Reshape", x, g.integers(0, 0, -1)), module.project), lengths


def _bidirectional(g: Graph, layer: BiRNN, x: str, lengths: str) -> str:
    """Add a bidirectional layer: (U, B, D) to (U, B, 2 H)."""
    rnn: Any = layer.rnn
    op = rnn.mode.partition("_")[0]  # GRU, LSTM, RNN
    order = GATES[op]
    parameters = []
    for pair in zip(*rnn.all_weights, strict=True):  # the two directions
        gates = [np.split(p.detach().cpu().numpy(), len(order)) for p in pair]
        parameters.append(np.concatenate([each[i] for each in gates for i in order]))
    *matrices, input_bias, bias = parameters  # (2 gates H, ...)
    w, r = (g("Reshape", g.weight(m), g.integers(2, -1, m.shape[1])) for m in matrices)
    biases = np.concatenate([input_bias.reshape(2, -1), bias.reshape(2, -1)], axis=1)
    options: dict[str, Any] = {"hidden_size": rnn.hidden_size, "direction": "bidirectional"}
    if op == "GRU":
        options["linear_before_reset"] = 1
    y = g(op, x, w, r, g.constant(biases), lengths, **options)  # (U, 2, B, H)
    return g("Reshape", g("Transpose", y, perm=[0, 2, 1, 3]), g.integers(0, 0, -1))
