"""Layers of an ONNX model as modules of torch: parameters that can be read, changed, and drawn anew."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import onnx
import torch
from onnx import numpy_helper

from onnxlrp.runtime import providers as sessions

_PAIR = {1: "weight", 2: "bias"}
_FLOATS = (np.float16, np.float32, np.float64)


class WeightedLayer(torch.nn.Module):
    """A node with weights. A call runs the node alone; the network itself is run by onnxruntime as a whole.

    `reset_parameters` draws the weights as torch's own module of this kind does, so that one seed gives one network.
    """

    def __init__(self, node: onnx.NodeProto, names: Mapping[str, str], tensors: Mapping[str, torch.Tensor]) -> None:
        super().__init__()
        self.node = node
        self.names = dict(names)
        """Initializers of the model by the name of the parameter."""
        self.output = node.output[0]
        """Name of the layer's output; the sum with a bias that follows it."""
        for name, tensor in tensors.items():
            if name.startswith("running"):
                self.register_buffer(name, tensor)
            else:
                self.register_parameter(name, torch.nn.Parameter(tensor))

    @property
    def out_channels(self) -> int:
        """Number of outputs that have a bias each."""
        return int(self._in_torch_layout().shape[0])

    def tensors(self) -> Iterator[tuple[str, torch.Tensor]]:
        """Yield each parameter with the initializer that it stands for."""
        for role, name in self.names.items():
            yield name, getattr(self, role)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Run the node on one tensor, in the place of its input that is no weight."""
        feeds = {name: tensor.detach().numpy() for name, tensor in self.tensors() if name in self.node.input}
        (data,) = [name for name in self.node.input if name and name not in feeds]
        feeds[data] = x.detach().numpy().astype(next(iter(feeds.values())).dtype)
        values = [
            onnx.helper.make_tensor_value_info(n, onnx.helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
            for n, a in feeds.items()
        ]
        outputs = [onnx.helper.make_empty_tensor_value_info(self.node.output[0])]
        graph = onnx.helper.make_graph([self.node], "layer", values, outputs)
        model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 21)], ir_version=10)
        session = sessions.create_session(model.SerializeToString())
        return torch.from_numpy(sessions.run(session, None, feeds)[self.node.output[0]])

    def reset_parameters(self) -> None:
        """Draw all parameters anew, as torch begins a module of this kind."""
        with torch.no_grad():
            _FRESH[self.node.op_type](self)

    def _in_torch_layout(self) -> torch.Tensor:
        """The weight with the outputs along axis 0, as torch lays it out; that of a transposed convolution as it is."""
        weight = self.get_parameter("weight")
        attributes = {a.name: a.i for a in self.node.attribute}
        inputs_first = self.node.op_type == "MatMul" or (self.node.op_type == "Gemm" and not attributes.get("transB"))
        return weight.mT if inputs_first and weight.dim() > 1 else weight


def weighted_layers(graph: onnx.GraphProto) -> Iterator[WeightedLayer]:
    """Yield a module for each node that has weights among the graph's initializers, in the graph's order."""
    arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    known = {name: torch.from_numpy(array.copy()) for name, array in arrays.items() if array.dtype in _FLOATS}
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    for node in graph.node:
        roles = _roles(node, known)
        names = {role: node.input[i] for i, role in roles.items() if i < len(node.input) and node.input[i] in known}
        if not names or ("weight" not in names and "W" not in names):
            continue
        shift = _bias_of_product(node, readers.get(node.output[0], []), known)
        if shift is not None:
            names["bias"] = shift[1]
        layer = WeightedLayer(node, names, {role: known[name] for role, name in names.items()})
        layer.output = layer.output if shift is None else shift[0]
        yield layer


def _roles(node: onnx.NodeProto, known: Mapping[str, torch.Tensor]) -> Mapping[int, str]:
    """Name the operands of a node that are weights, by their positions."""
    if node.op_type == "MatMul" and node.input[0] in known:
        return {0: "weight"}
    return _ROLES.get(node.op_type, {}) if node.domain in ("", "ai.onnx") else {}


def _bias_of_product(
    node: onnx.NodeProto, readers: list[onnx.NodeProto], known: Mapping[str, torch.Tensor]
) -> tuple[str, str] | None:
    """Find the constant that is added to a product of matrices: the sum's name and the constant's."""
    if node.op_type != "MatMul" or len(readers) != 1 or readers[0].op_type != "Add":
        return None
    added = [name for name in readers[0].input if name in known and known[name].dim() == 1]
    return (readers[0].output[0], added[0]) if added else None


def _uniform(layer: WeightedLayer) -> None:
    """Draw a convolution or a dense layer between ±1/√(inputs of one output)."""
    weight = layer._in_torch_layout()
    drawn = torch.empty(weight.shape, dtype=weight.dtype)
    torch.nn.init.kaiming_uniform_(drawn, a=math.sqrt(5))
    weight.copy_(drawn)
    if "bias" in layer.names:
        bound = 1 / math.sqrt(max(1, weight[0].numel()))
        torch.nn.init.uniform_(layer.get_parameter("bias"), -bound, bound)


def _ones(layer: WeightedLayer) -> None:
    """Let a norm change nothing."""
    for role in layer.names:
        getattr(layer, role).fill_(1.0 if role in ("weight", "running_var") else 0.0)


def _normal(layer: WeightedLayer) -> None:
    """Draw a table of embeddings from the standard normal distribution."""
    torch.nn.init.normal_(layer.get_parameter("weight"))


def _recurrent(layer: WeightedLayer) -> None:
    """Draw a recurrent cell between ±1/√(hidden size)."""
    bound = 1 / math.sqrt(layer.get_parameter("R").shape[-1])
    for role in layer.names:
        torch.nn.init.uniform_(layer.get_parameter(role), -bound, bound)


_NORMS = ("BatchNormalization", "GroupNormalization", "InstanceNormalization", "LayerNormalization", "RMSNormalization")
_CELLS = ("GRU", "LSTM", "RNN")
_FRESH: Mapping[str, Callable[[WeightedLayer], None]] = {
    **dict.fromkeys(("Conv", "ConvTranspose", "Gemm", "MatMul"), _uniform),
    **dict.fromkeys(_NORMS, _ones),
    "Gather": _normal,
    **dict.fromkeys(_CELLS, _recurrent),
}
"""The function that draws the weights of each operator anew."""

_ROLES: Mapping[str, Mapping[int, str]] = {
    **dict.fromkeys(_FRESH, _PAIR),
    "BatchNormalization": {**_PAIR, 3: "running_mean", 4: "running_var"},
    "Gather": {0: "weight"},
    **{operator: {1: "W", 2: "R", 3: "B"} for operator in _CELLS},
}
"""Names of the operands that are weights, by operator and position."""
