"""Build an ONNX graph one operation at a time. Values are names of tensors."""

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

OPSET = 18
IR_VERSION = 9  # ONNX Runtime 1.16 and later


class Graph:
    """A growing list of ONNX operations and weights.

    Args:
        int8: Whether `weight` stores integers of 8 bits with a scale per output channel.
    """

    def __init__(self, *, int8: bool = False) -> None:
        self.int8 = int8
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[bytes, onnx.TensorProto] = {}

    def __call__(self, op: str, *inputs: str, name: str = "", **attributes: Any) -> str:
        """Add an operation and return its output, named `name` or by its number."""
        name = name or f"{op}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], **attributes))
        return name

    def constant(self, value: Any, dtype: type = np.float32) -> str:
        """Return a constant tensor. Equal constants are stored once."""
        if isinstance(value, Tensor):
            value = value.detach().cpu().numpy()
        array = np.asarray(value, dtype=dtype, order="C")
        key = repr((array.dtype, array.shape)).encode() + array.tobytes()
        name = f"constant_{len(self.constants)}"
        return self.constants.setdefault(key, numpy_helper.from_array(array, name)).name

    def weight(self, value: Tensor | np.ndarray) -> str:
        """Return a matrix or kernel (outputs, ...), which `int8` rounds to 8 bits."""
        array = np.asarray(value.detach().cpu() if isinstance(value, Tensor) else value)
        if not self.int8:
            return self.constant(array)
        scale = (
            np.abs(array).max(tuple(range(1, array.ndim))).clip(1e-12) / 127
        )  # (outputs,)
        rounded = np.rint(array / scale.reshape(-1, *[1] * (array.ndim - 1)))
        stored = self.constant(rounded, np.int8), self.constant(scale)
        return self("DequantizeLinear", *stored, axis=0)

    def integers(self, *values: int) -> str:
        """Return a constant of integers (N,), such as axes or a shape."""
        return self.constant(values, np.int64)

    def integer(self, value: int) -> str:
        """Return a constant integer ()."""
        return self.constant(value, np.int64)

    def size(self, x: str, axis: int) -> str:
        """Return the size of an axis as a tensor ()."""
        return self("Squeeze", self("Shape", x, start=axis, end=axis + 1), self.integers(0))

    def range(self, stop: str, step: int = 1) -> str:
        """Return the integers (N,) from 0 to `stop` ()."""
        return self("Range", self.integer(0), stop, self.integer(step))

    def mask(self, lengths: str, size: str) -> str:
        """Return a mask (B, size) of floats that is 1 before each length (B,)."""
        rows = self("Unsqueeze", lengths, self.integers(1))  # (B, 1)
        return self("Cast", self("Less", self.range(size), rows), to=TensorProto.FLOAT)

    def linear(self, x: str, layer: nn.Linear) -> str:
        """Apply a linear layer to the last axis."""
        matrix = self("Transpose", self.weight(layer.weight), perm=[1, 0])
        return self("Add", self("MatMul", x, matrix), self.constant(layer.bias))

    def layer_norm(self, x: str, layer: nn.LayerNorm) -> str:
        """Normalize the last axis."""
        weights = self.constant(layer.weight), self.constant(layer.bias)
        return self("LayerNormalization", x, *weights, axis=-1, epsilon=layer.eps)

    def conv(self, x: str, layer: nn.Conv2d) -> str:
        """Apply a convolution to (B, C, T, F)."""
        options = {"strides": [*layer.stride], "pads": [*layer.padding] * 2}  # type: ignore[misc]
        return self(
            "Conv", x, self.weight(layer.weight), self.constant(layer.bias), **options
        )

    def to_model(self, inputs: dict[str, Any], outputs: dict[str, Any]) -> onnx.ModelProto:
        """Return the checked model. Inputs and outputs map names to shapes; None is dynamic.

        A shape of one axis is of integers, any other of floats.
        """
        types = {1: TensorProto.INT64}
        values = [
            [
                helper.make_tensor_value_info(
                    name, types.get(len(shape), TensorProto.FLOAT), shape
                )
                for name, shape in tensors.items()
            ]
            for tensors in (inputs, outputs)
        ]
        graph = helper.make_graph(self.nodes, "asr", *values, [*self.constants.values()])
        opset = helper.make_opsetid("", OPSET)
        options = {"opset_imports": [opset], "ir_version": IR_VERSION}
        model = helper.make_model(graph, producer_name="asr", **options)
        onnx.checker.check_model(model, full_check=True)
        return model
