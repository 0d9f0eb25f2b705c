"""Refuse operands whose sizes contradict each other, as onnxruntime does and onnx's inference does not."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import onnx_ir as ir

from onnxlrp.errors import InvalidModelError
from onnxlrp.trees.columns import column, is_ensemble
from onnxlrp.trees.forest import LEAF

Dims = Sequence[object]
"""Sizes of an operand; only those that are integers are compared."""
_ALONG_AXIS = ("Softmax", "LogSoftmax", "Hardmax", "LayerNormalization", "RMSNormalization")
_GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


def check_sizes(model: ir.Model) -> None:
    """Raise InvalidModelError, naming the node, if an operand's sizes do not fit the sizes of the others."""
    for node in model.graph.all_nodes():
        _check_order(node)
        _check_axis(node)
        _check_features(node)
        find = _WANTED.get(node.op_type) if node.domain == "" else None
        for index, wanted in (find(node) if find is not None else {}).items():
            value = node.inputs[index] if index < len(node.inputs) else None
            if value is not None and value.shape is not None and not _fits(list(value.shape), wanted):
                raise InvalidModelError(
                    f"{node.op_type} node {node.name!r} (ai.onnx::{node.op_type}): its operand {value.name!r} has the "
                    f"shape {value.shape}, and must have {_shown(wanted)}; export the model again, or repair it"
                )


def _check_order(node: ir.Node) -> None:
    """Raise InvalidModelError if a Transpose does not name every axis once."""
    order = node.attributes.get("perm") if (node.op_type, node.domain) == ("Transpose", "") else None
    dims = None if order is None else _dims(node, 0)
    if order is not None and dims is not None and sorted(order.as_ints()) != list(range(len(dims))):
        raise InvalidModelError(
            f"Transpose node {node.name!r} (ai.onnx::Transpose): its perm {list(order.as_ints())} does not name each "
            f"of the {len(dims)} axes once; export the model again, or repair it"
        )


def _check_axis(node: ir.Node) -> None:
    """Raise InvalidModelError if an axis is none of the operand's."""
    axis = node.attributes.get("axis") if node.op_type in _ALONG_AXIS and node.domain == "" else None
    dims = None if axis is None else _dims(node, 0)
    if axis is not None and dims and not -len(dims) <= axis.as_int() < len(dims):
        raise InvalidModelError(
            f"{node.op_type} node {node.name!r} (ai.onnx::{node.op_type}): its operand has {len(dims)} axes, and none "
            f"is the axis {axis.as_int()}; export the model again, or repair it"
        )


def _check_features(node: ir.Node) -> None:
    """Raise InvalidModelError if a tree reads a column that its operand does not have."""
    if not is_ensemble(node):
        return
    features, modes = (column(node.attributes, name) for name in ("nodes_featureids", "nodes_modes"))
    if features is None or modes is None:
        return
    dims = _dims(node, 0)
    columns = dims[-1] if dims and isinstance(dims[-1], int) else None
    # The entry of a leaf is not read and may hold any number.
    wrong = (modes.astype(np.int8) != LEAF) & ((features < 0) | (features >= (np.inf if columns is None else columns)))
    if wrong.any():
        raise InvalidModelError(
            f"{node.op_type} node {node.name!r} (ai.onnx.ml::{node.op_type}): one of its trees reads column "
            f"{features[wrong.argmax()]}, counted from 0, and the number of its operand's columns is "
            f"{'not known' if columns is None else columns}; export the model again, or repair it"
        )


def _fits(dims: Dims, wanted: Dims) -> bool:
    return len(dims) == len(wanted) and all(
        a == b for a, b in zip(dims, wanted, strict=True) if isinstance(a, int) and isinstance(b, int)
    )


def _shown(dims: Dims) -> str:
    return "[" + ", ".join(str(d) if isinstance(d, int) else "?" for d in dims) + "]"


def _dims(node: ir.Node, index: int) -> list[object] | None:
    value = node.inputs[index] if index < len(node.inputs) else None
    return None if value is None or value.shape is None else list(value.shape)


def _channels(node: ir.Node) -> dict[int, Dims]:
    """Give the sizes of scale and bias: one number for each channel."""
    x = _dims(node, 0)
    return {} if x is None or len(x) < 2 else {i: [x[1]] for i in range(1, len(node.inputs))}


def _bias(node: ir.Node) -> dict[int, Dims]:
    """Give the size of a convolution's bias: one number for each output channel."""
    weight = _dims(node, 1)
    return {} if weight is None else {2: [weight[0]]}


def _recurrent(node: ir.Node) -> dict[int, Dims]:
    """Give the sizes of a recurrent cell's operands; the weights are [directions, gates · hidden, …]."""
    x, weight = _dims(node, 0), _dims(node, 1)
    hidden, direction = node.attributes.get("hidden_size"), node.attributes.get("direction")
    if x is None or weight is None or hidden is None or len(x) != 3:
        return {}
    size = hidden.as_int()
    ways = 2 if direction is not None and direction.as_string() == "bidirectional" else 1
    rows = _GATES[node.op_type] * size
    batch = x[0 if (layout := node.attributes.get("layout")) is not None and layout.as_int() else 1]
    states: Dims = [batch, ways, size] if layout is not None and layout.as_int() else [ways, batch, size]
    wanted: dict[int, Dims] = {1: [ways, rows, x[2]], 2: [ways, rows, size], 3: [ways, 2 * rows], 4: [batch], 5: states}
    return {**wanted, 6: states, 7: [ways, 3 * size]} if node.op_type == "LSTM" else wanted


def _product(node: ir.Node) -> dict[int, Dims]:
    """Give the sizes of a Gemm's last operand, which broadcasts to the product: it has no more axes and no other
    sizes."""
    bias, (rows, columns) = _dims(node, 2), _sizes(node)
    if bias is None:
        return {}
    if len(bias) > 2:
        return {2: [rows, columns]}
    wanted = [rows, columns][2 - len(bias) :]
    return {2: [d if d == 1 else w for d, w in zip(bias, wanted, strict=True)]}


def _sizes(node: ir.Node) -> list[object]:
    """Find the numbers of rows and columns of a Gemm's product."""
    found: list[object] = []
    for index, name in enumerate(("transA", "transB")):
        dims, turned = _dims(node, index), node.attributes.get(name)
        axis = index if turned is None or not turned.as_int() else 1 - index
        found.append(None if dims is None or len(dims) != 2 else dims[axis])
    return found


def _normalised(node: ir.Node) -> dict[int, Dims]:
    """Give the sizes of a LayerNormalization's scale and bias, which broadcast to its operand."""
    x, wanted = _dims(node, 0), dict[int, Dims]()
    for index in (1, 2):
        dims = _dims(node, index)
        if x is None or dims is None:
            continue
        ends = x[len(x) - len(dims) :] if len(dims) <= len(x) else x
        wanted[index] = [d if d == 1 else e for d, e in zip(dims, ends, strict=False)] if len(dims) <= len(x) else x
    return wanted


_WANTED: dict[str, Callable[[ir.Node], dict[int, Dims]]] = {
    **dict.fromkeys(("GroupNormalization", "InstanceNormalization"), _channels),
    "Conv": _bias,
    **dict.fromkeys(_GATES, _recurrent),
    "Gemm": _product,
    "LayerNormalization": _normalised,
}
