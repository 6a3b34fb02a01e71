"""Build an ONNX graph one operation at a time. Values are names of tensors."""

from typing import Any

import numpy as np
import onnx
from numpy import ndarray
from onnx import TensorProto, helper, numpy_helper

OPSET = 18
IR_VERSION = 9  # ONNX Runtime 1.16 and later
SMALL = 256  # numbers in a constant that is always stored in the model


class Graph:
    """A growing list of ONNX operations and weights.

    Args:
        int8: Whether `weight` stores integers of 8 bits with a scale per output channel.
        external: Receives large constants by name, which are then not stored in the model.
    """

    def __init__(
        self, *, int8: bool = False, external: dict[str, ndarray] | None = None
    ) -> None:
        self.int8 = int8
        self.external = external
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[bytes, onnx.TensorProto] = {}

    def __call__(self, op: str, *inputs: str, name: str = "", **attributes: Any) -> str:
        """Add an operation and return its output, named `name` or by its number."""
        name = name or f"{op}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], **attributes))
        return name

    def constant(self, value: Any, dtype: type = np.float32) -> str:
        """Return a constant tensor. Equal small constants are stored once."""
        array: ndarray = np.asarray(value, dtype=dtype, order="C")
        name = f"constant_{len(self.constants)}"
        key = name.encode()
        if array.size <= SMALL:
            key = repr((array.dtype, array.shape)).encode() + array.tobytes()
        elif self.external is not None:
            self.external[name] = array
            kind = helper.np_dtype_to_tensor_dtype(array.dtype)
            tensor = onnx.TensorProto(name=name, dims=array.shape, data_type=kind)
            tensor.data_location = TensorProto.EXTERNAL
            tensor.external_data.add(key="location", value=name)
            self.constants[key] = tensor
        if key not in self.constants:
            self.constants[key] = numpy_helper.from_array(array, name)
        return self.constants[key].name

    def weight(self, array: ndarray, axis: int = 0) -> str:
        """Return a matrix or kernel with outputs along `axis`, which `int8` rounds to 8 bits."""
        if not self.int8:
            return self.constant(array)
        others = tuple(i for i in range(array.ndim) if i != axis)
        scale = np.abs(array).max(others, keepdims=True).clip(1e-12) / 127
        integers = np.rint(array / scale)
        stored = self.constant(integers, np.int8), self.constant(scale.ravel())
        return self("DequantizeLinear", *stored, axis=axis)

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

    def linear(self, x: str, weight: ndarray, bias: ndarray) -> str:
        """Multiply the last axis by a matrix (outputs, inputs), and add a bias (outputs,)."""
        product = self("MatMul", x, self.weight(weight.T, axis=1))
        return self("Add", product, self.constant(bias))

    def to_model(self, inputs: dict[str, Any], outputs: dict[str, Any]) -> onnx.ModelProto:
        """Return the model. Inputs and outputs map names to shapes; None is dynamic.

        A shape of one axis is of integers, any other of floats.
        """
        types = {1: TensorProto.INT64}

        def describe(tensors: dict[str, Any]) -> list[onnx.ValueInfoProto]:
            return [
                helper.make_tensor_value_info(
                    name, types.get(len(shape), TensorProto.FLOAT), shape
                )
                for name, shape in tensors.items()
            ]

        constants = list(self.constants.values())
        graph = helper.make_graph(
            self.nodes, "asr", describe(inputs), describe(outputs), constants
        )
        opset = helper.make_opsetid("", OPSET)
        options = {"opset_imports": [opset], "ir_version": IR_VERSION}
        model = helper.make_model(graph, producer_name="asr", **options)
        if self.external is None:
            onnx.checker.check_model(model, full_check=True)
        return model
