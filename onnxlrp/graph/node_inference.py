"""Inference of the types and shapes of one node's outputs by ONNX, with a cache.

A model repeats its layers, and relevance repeats their reversal: the same operator on operands of the same types and
shapes, over and over. Inference of one node passes through protocol buffers, which takes a tenth of a millisecond.
"""

from __future__ import annotations

from collections.abc import Hashable

import onnx_ir as ir
from onnxscript._internal._inference import infer_outputs as _ask

ERROR = "pkg.onnxscript.shape_inference_error"
"""Key of a node's metadata under which onnxscript keeps the message of a failed inference."""
_CONSTANT = 20
"""Most elements of a constant whose content onnxscript lets inference see."""
_MOST = 1 << 14
"""Most answers that are cached."""
_PLAIN = frozenset(ir.AttributeType[name] for name in ("INT", "INTS", "FLOAT", "FLOATS", "STRING", "STRINGS"))
_KNOWN: dict[Hashable, list[tuple[ir.DataType, ir.Shape | None]]] = {}
"""Cache of answers: the type and shape of each output, by the question that was asked."""


def infer_outputs(node: ir.Node) -> None:
    """Set the types and shapes of a node's outputs; if inference fails, `ERROR` in its metadata holds the message."""
    _infer(node)
    if node.op_type == "Split" and len(node.outputs) > _CONSTANT:
        _set_parts(node)


def _infer(node: ir.Node) -> None:
    key = None if any(v.type is not None or v.shape is not None for v in node.outputs) else _question(node)
    known = None if key is None else _KNOWN.get(key)
    if known is not None:
        for value, (dtype, shape) in zip(node.outputs, known, strict=True):
            value.dtype, value.shape = dtype, None if shape is None else shape.copy()
        return
    _ask(node)
    tensors = [v for v in node.outputs if isinstance(v.type, ir.TensorType)]
    answers = [(v.dtype, None if v.shape is None else v.shape.copy()) for v in tensors if v.dtype is not None]
    # A type is missing where inference failed.
    if key is not None and len(answers) == len(node.outputs):
        if len(_KNOWN) >= _MOST:
            _KNOWN.clear()
        _KNOWN[key] = answers


def _set_parts(node: ir.Node) -> None:
    """Set the shapes of the parts of a Split into more than `_CONSTANT` parts, whose sizes inference does not see."""
    whole, sizes = node.inputs[0], node.inputs[1] if len(node.inputs) > 1 else None
    if whole is None or whole.shape is None or sizes is None or sizes.const_value is None:
        return
    axis = node.attributes["axis"].as_int() if "axis" in node.attributes else 0
    for part, size in zip(node.outputs, sizes.const_value.numpy().tolist(), strict=True):
        shape = list(whole.shape)
        shape[axis] = size
        part.shape = ir.Shape(shape)


def _question(node: ir.Node) -> Hashable | None:
    """Make a key of all that inference looks at; None if there are graphs, tensors or values of other types."""
    if node.domain != "" or any(a.type not in _PLAIN or a.is_ref() for a in node.attributes.values()):
        return None
    operands = tuple(map(_seen, node.inputs))
    if None in operands:
        return None
    attributes = [
        (a.name, a.type, a.value if isinstance(a.value, (int, float, str)) else tuple(a.value))
        for a in node.attributes.values()
    ]
    return (node.op_type, node.version, len(node.outputs), tuple(sorted(attributes)), operands)


def _seen(value: ir.Value | None) -> Hashable | None:
    """Describe an operand as inference sees it, () if it is left out; None if it is no plain tensor."""
    if value is None:
        return ()
    kind, shape, constant = value.type, value.shape, value.const_value
    if not isinstance(kind, ir.TensorType) or kind.denotation is not None:
        return None
    dims = None if shape is None else tuple(d if isinstance(d, int) else (d.value,) for d in shape)
    if constant is None or constant.size > _CONSTANT:
        return kind.dtype, dims, None
    if constant.dtype == ir.DataType.STRING or isinstance(constant, ir.ExternalTensor):
        return None
    return kind.dtype, dims, (constant.dtype, tuple(constant.shape.numpy()), constant.tobytes())
