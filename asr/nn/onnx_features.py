"""Log-mel features as operations of an ONNX graph."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from asr.audio import SAMPLE_RATE
from asr.nn.checkpoint import Weights
from asr.nn.mel import (
    LOG_FLOOR,
    MIN_STD,
    PRIOR_FRAMES,
    SPEECH_DB,
    mel_filterbank,
)
from asr.nn.onnx_graph import Graph


class OnnxLogMel:
    """The operations of `asr.nn.features.LogMel`."""

    def __init__(self, g: Graph, settings: Mapping[str, Any], weights: Weights) -> None:
        self.g, self.settings, self.weights = g, settings, weights
        self.n_fft: int = settings["n_fft"]
        per_ms = SAMPLE_RATE / 1000
        self.hop = round(settings["hop_ms"] * per_ms)
        self.window = round(settings["window_ms"] * per_ms)  # length in samples

    def __call__(self, samples: str, lengths: str) -> tuple[str, str]:
        """Add features (B, T, F) of samples (B, S), and their frames T (B,)."""
        g, n_fft, top_db = self.g, self.n_fft, self.settings["top_db"]
        filters = mel_filterbank(self.settings["n_mels"], n_fft)
        energies = g("MatMul", self._power(samples), g.constant(filters))
        excess = g("Max", g("Sub", lengths, g.integer(n_fft - self.hop)), g.integer(0))
        frames = g("Div", excess, g.integer(self.hop))  # (B,)
        mask = g("Unsqueeze", g.mask(frames, g.size(energies, 1)), g.integers(2))
        floor = LOG_FLOOR
        if top_db is not None:
            levels = g("Mul", g("ReduceMean", energies, g.integers(2)), mask)  # (B, T, 1)
            loudest = g("ReduceMax", levels, g.integers(1))  # (B, 1, 1)
            energies = g("Div", energies, g("Max", loudest, g.constant(LOG_FLOOR)))
            floor = 10 ** (-top_db / 10)
        x = g("Log", g("Add", energies, g.constant(floor)))
        return self._cmvn(x, floor, mask), frames

    def _power(self, samples: str) -> str:
        """Add the power spectrum (B, T, n_fft // 2 + 1) of samples (B, S).

        The window is symmetric. Sums of samples at equal distances from its center give the real
        parts, and differences the imaginary parts, so the transform has half the products.
        """
        g, n_fft, hop = self.g, self.n_fft, self.hop
        offsets = np.arange(1, self.window // 2 + 1)  # the first value of the window is 0
        hann = 0.5 - 0.5 * np.cos(2 * np.pi * offsets / self.window)
        hann[2 * offsets == self.window] /= 2  # the center is in both halves
        distances = self.window / 2 - offsets
        angles = 2 * np.pi / n_fft * np.outer(distances, np.arange(n_fft // 2 + 1))
        # a recording shorter than a frame gets one frame, which counts as padding
        excess = g("Max", g("Sub", g.size(samples, 1), g.integer(n_fft)), g.integer(0))
        frames = g("Add", g("Div", excess, g.integer(hop)), g.integer(1))  # T
        padded = g("Pad", samples, g.integers(0, hop, 0, n_fft + hop))
        first = hop + (n_fft - self.window) // 2  # padded samples before the window
        rows = -(-len(offsets) // hop)  # hops that half a window touches
        last = first + self.window - rows * hop
        earlier = self._halves(padded, frames, first + 1, rows)
        later = self._halves(padded, frames, last, rows, reverse=True)
        real, imag = (
            g("MatMul", g(op, later, earlier), g.constant(function(angles) * hann[:, None]))
            for op, function in (("Add", np.cos), ("Sub", np.sin))
        )
        return g("Add", g("Mul", real, real), g("Mul", imag, imag))

    def _halves(
        self, samples: str, frames: str, start: int, rows: int, *, reverse: bool = False
    ) -> str:
        """Add half of the window of each frame (B, T, window // 2).

        A half is cut from rows of one hop, since copying rows is faster than copying samples. The
        rows of the first frame begin at `start`. `reverse` reads them backward.
        """
        g, hop = self.g, self.hop
        size = g("Mul", g("Add", frames, g.integer(rows - 1)), g.integer(hop))
        stop = g("Unsqueeze", g("Add", size, g.integer(start)), g.integers(0))
        x = g("Slice", samples, g.integers(start), stop, g.integers(1))
        x = g("Reshape", x, g.integers(0, -1, hop))  # (B, T + rows - 1, hop)
        order = range(rows)
        if reverse:
            axis, step = g.integers(2), g.integers(-1)
            x = g("Slice", x, g.integers(-1), g.integers(-hop - 1), axis, step)
            order = order[::-1]
        index = g("Add", g("Unsqueeze", g.range(frames), g.integers(1)), g.integers(*order))
        x = g("Reshape", g("Gather", x, index, axis=1), g.integers(0, 0, rows * hop))
        return g("Slice", x, g.integers(0), g.integers(self.window // 2), g.integers(2))

    def _cmvn(self, x: str, floor: float, mask: str) -> str:
        """Add the normalization of `x` (B, T, F). Frames with a `mask` of 0 become 0."""
        g = self.g
        normalize, axis = self.settings["normalize"], g.integers(1)
        if normalize == "none":
            return g("Mul", x, mask)
        mean, std = (self.weights[f"features.cmvn_{name}"] for name in ("mean", "std"))
        if normalize == "corpus":
            x = g("Div", g("Sub", x, g.constant(mean)), g.constant(std))
            return g("Mul", x, mask)
        if normalize == "speech":
            weights, prior = self._speech_weights(x, floor, mask), PRIOR_FRAMES
            center = g.constant(mean)
        else:
            weights, prior = mask, 0
            center = g("Slice", x, g.integers(0), g.integers(1), axis)
        x = g("Sub", x, center)
        count = g("Add", g("ReduceSum", weights, axis), g.constant(prior))
        count = g("Max", count, g.constant(1))  # (B, 1, 1)
        total = g("ReduceSum", g("Mul", weights, x), axis)
        x = g("Sub", x, g("Div", total, count))
        squares = g("ReduceSum", g("Mul", weights, g("Mul", x, x)), axis)
        variance = g("Div", g("Add", squares, g.constant(prior * std**2)), count)
        x = g("Div", x, g("Max", g("Sqrt", variance), g.constant(MIN_STD)))
        return g("Mul", x, mask)

    def _speech_weights(self, x: str, floor: float, mask: str) -> str:
        """Add the weights (B, T, 1) of logarithms `x` (B, T, F) that are 0 in silence."""
        g, (full, none) = self.g, SPEECH_DB
        energies = g("Sub", g("Exp", x), g.constant(floor))
        energies = g("Mul", g("ReduceMean", energies, g.integers(2)), mask)
        lowest = g.constant(LOG_FLOOR)
        loudest = g("Max", g("ReduceMax", energies, g.integers(1)), lowest)
        level = g("Log", g("Max", g("Div", energies, loudest), lowest))
        per_neper = 10 / np.log(10) / (none - full)  # 10 log10(x) = 10 / ln(10) ln(x)
        scaled = g("Mul", level, g.constant(per_neper))
        weights = g("Add", scaled, g.constant(none / (none - full)))
        return g("Mul", g("Clip", weights, g.constant(0), g.constant(1)), mask)
