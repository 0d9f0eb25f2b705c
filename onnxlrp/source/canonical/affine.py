"""What is affine per output feature and alone behind a layer belongs to the layer.

`k·f(x; w, b) + t = f(x; k·w, k·b + t)`: batch norm with `k = γ/√(σ² + ε)`, `t = β − k·μ`; a constant Add or Sub
(`k = 1`); a product with one constant per feature that a sum with a constant follows (batch norm written out). New
weights are chains of nodes, which the session folds.
"""

from __future__ import annotations

import onnx_ir as ir

from onnxlrp.graph.call import Call
from onnxlrp.graph.misses import attempt, holds, miss
from onnxlrp.operators.normalisation import batch_norm_scale
from onnxlrp.source.canonical.common import Rewriter

_Affine = tuple["ir.Value | None", "ir.Value | None"]
"""k and t, each [features] or None."""
_BIAS = {"Conv": 2, "ConvTranspose": 2, "DeformConv": 3, "Gemm": 2}
"""The operand that holds the bias."""


def rewrite(rewriter: Rewriter) -> None:
    """Fold, as long as the sole consumer of a layer is affine per feature."""
    for node in rewriter.nodes(*_BIAS, "MatMul"):
        fold = _fold_matmul if node.op_type == "MatMul" else _fold_biased
        while fold(rewriter, node):
            pass
    for node in rewriter.nodes("BatchNormalization"):
        attempt("is not folded into a layer", node, _belongs_to_layer, node)


def _belongs_to_layer(node: ir.Node) -> bool:
    """Decide whether a batch norm reads a layer, or the bias that is added to one."""
    value = node.inputs[0]
    maker = None if value is None else value.producer()
    layer = maker is not None and maker.op_type in (*_BIAS, "MatMul", "Add", "Sub")
    return holds(layer, lambda: f"{value and value.name!r} is the output of no layer")


def _next(
    rewriter: Rewriter, node: ir.Node, value: ir.Value, bias: ir.Value | None = None
) -> tuple[ir.Node, _Affine, int] | None:
    """Find the node downstream of a layer's value that is folded into the layer, its k and t, and how many features
    there are."""
    what = f"is not folded into {node.op_type} {node.name!r}"
    for following in dict.fromkeys(value.consumers()):
        found = attempt(what, following, _sole_affine, rewriter, node, value, bias, following)
        if found is not None:
            return following, *found
    return None


def _sole_affine(
    rewriter: Rewriter, node: ir.Node, value: ir.Value, bias: ir.Value | None, following: ir.Node
) -> tuple[_Affine, int] | None:
    """k and t of the one node that reads a layer's value, and the number of features; `bias`: that of the layer."""
    features = None if rewriter.sole_consumer(value) is None else _features(node, rewriter)
    if features is None:
        return None
    if bias is not None and not _per_feature(rewriter, bias, features[0]):
        return miss(f"the bias of {node.op_type} {node.name!r} varies along other axes than the features")
    affine = _affine(rewriter, value, following, *features)
    return None if affine is None else (affine, features[0])


def _features(node: ir.Node, rewriter: Rewriter) -> tuple[int, int] | None:
    """(number of features, axis of the output counted from the end), None where the weight is not constant or its
    shape is not known."""
    weight, out = node.inputs[1], node.outputs[0]
    if weight is None or not rewriter.is_constant(weight):
        return miss(f"the weight of {node.op_type} {node.name!r} depends on an input")
    if weight.shape is None or out.shape is None:
        return miss(f"the shape of {node.op_type} {node.name!r} is not known")
    shape = [d if isinstance(d, int) else None for d in weight.shape]
    if node.op_type in ("Conv", "DeformConv"):
        count, axis = shape[0], 1 - len(out.shape)
    elif node.op_type == "ConvTranspose":
        group = node.attributes["group"].value if "group" in node.attributes else 1
        count, axis = None if shape[1] is None else shape[1] * group, 1 - len(out.shape)
    elif len(shape) == 2:
        turned = node.op_type == "Gemm" and "transB" in node.attributes and node.attributes["transB"].value
        count, axis = shape[0 if turned else 1], -1
    else:
        return miss(f"the weight of {node.op_type} {node.name!r} is no matrix")
    return miss("the number of features is not known") if count is None else (count, axis)


def _affine(rewriter: Rewriter, value: ir.Value, node: ir.Node, count: int, axis: int) -> _Affine | None:
    """k and t of a node that reads `value`, None where it is not affine per feature."""
    op = rewriter.op
    if node.domain != "" or node.op_type not in ("BatchNormalization", "Add", "Sub", "Mul", "Div"):
        return miss("it is no BatchNormalization, Add, Sub, Mul or Div")
    call = Call.of(node)
    if node.op_type == "BatchNormalization":
        parameters = [call.input(i) for i in range(1, 5)]
        rank = len(value.shape) if value.shape is not None else 0
        if axis % rank != 1 or call.attr("training_mode", 0):
            return miss("it normalises another axis than that of the features, or in training mode")
        if not all(map(rewriter.is_constant, parameters)):
            return miss("its scale, shift, mean or variance depends on an input")
        k = batch_norm_scale(op, call)
        return k, op.Sub(call.operand(2), op.Mul(k, call.operand(3)))
    other = node.inputs[1] if node.inputs[0] is value else node.inputs[0]
    if other is None or not rewriter.is_constant(other) or (node.op_type in ("Sub", "Div") and other is node.inputs[0]):
        return miss("its other operand is no constant, or is what a constant is taken from or divided by")
    if other.shape is None or value.shape is None or len(other.shape) > len(value.shape):
        return miss(f"the constant {other.name!r} broadcasts the layer's output, or has no known shape")
    sizes = dict(zip(range(-len(other.shape), 0), other.shape, strict=True))
    size = sizes.pop(axis, 1)
    if any(d != 1 for d in sizes.values()) or size not in (1, count):
        return miss(f"the constant {other.name!r} varies along other axes than the features")
    if node.op_type in ("Mul", "Div") and (size == 1 or not _shift_follows(rewriter, node)):
        # A scale alone passes relevance; with a shift downstream, it is a batch norm written out.
        return miss("it is one number for all features, or no constant Add or Sub follows: a scale passes relevance")
    vector = (
        op.Expand(op.Reshape(other, op.ints([-1])), op.ints([count]))
        if size != count
        else op.Reshape(other, op.ints([-1]))
    )
    if node.op_type in ("Mul", "Div"):
        return (vector if node.op_type == "Mul" else op.Reciprocal(vector)), None
    return None, (vector if node.op_type == "Add" else op.Neg(vector))


def _shift_follows(rewriter: Rewriter, node: ir.Node) -> bool:
    behind = rewriter.sole_consumer(node.outputs[0])
    return behind is not None and behind.op_type in ("Add", "Sub") and any(map(rewriter.is_constant, behind.inputs))


def _scaled(rewriter: Rewriter, node: ir.Node, k: ir.Value, count: int) -> ir.Value:
    """The weight times k along its output features."""
    op, weight = rewriter.op, node.inputs[1]
    assert weight is not None and weight.shape is not None
    rank = len(weight.shape)
    if node.op_type in ("Conv", "DeformConv"):
        return op.Mul(weight, op.Reshape(k, op.ints([count] + [1] * (rank - 1))))
    if node.op_type == "ConvTranspose":
        group = int(node.attributes["group"].value) if "group" in node.attributes else 1
        if group == 1:
            return op.Mul(weight, op.Reshape(k, op.ints([1, count] + [1] * (rank - 2))))
        split = op.Reshape(weight, op.Concat(op.ints([group, -1]), op.shape(weight, 1), axis=0))
        scaled = op.Mul(split, op.Reshape(k, op.ints([group, 1, count // group] + [1] * (rank - 2))))
        return op.Reshape(scaled, op.shape(weight))
    turned = node.op_type == "Gemm" and "transB" in node.attributes and node.attributes["transB"].value
    return op.Mul(weight, op.Reshape(k, op.ints([count, 1] if turned else [1, count])))


def _shifted(rewriter: Rewriter, bias: ir.Value | None, affine: _Affine) -> ir.Value | None:
    """k·b + t."""
    op, (k, t) = rewriter.op, affine
    scaled = bias if bias is None or k is None else op.Mul(bias, k)
    if scaled is None or t is None:
        return t if scaled is None else scaled
    return op.Add(scaled, t)


def _fold_biased(rewriter: Rewriter, node: ir.Node) -> bool:
    """Convolutions and Gemm: they have a bias of their own."""
    at = _BIAS[node.op_type]
    bias = node.inputs[at] if len(node.inputs) > at else None
    found = _next(rewriter, node, node.outputs[0], bias)
    if found is None:
        return False
    following, affine, count = found
    if bias is not None:
        bias = rewriter.op.Expand(rewriter.op.Reshape(bias, rewriter.op.ints([-1])), rewriter.op.ints([count]))
    if affine[0] is not None:
        node.replace_input_with(1, rewriter.made(_scaled(rewriter, node, affine[0], count)))
    shifted = _shifted(rewriter, bias, affine)
    if shifted is not None:
        if len(node.inputs) <= at:
            node.resize_inputs(at + 1)
        node.replace_input_with(at, rewriter.made(shifted))
    rewriter.replace(following.outputs[0], node.outputs[0], f"{node.op_type} {node.name!r}")
    return True


def _per_feature(rewriter: Rewriter, bias: ir.Value, count: int) -> bool:
    """Whether a Gemm's C varies over features only (a Conv's bias always does)."""
    if not rewriter.is_constant(bias) or bias.shape is None:
        return False
    sizes = list(bias.shape)
    return all(d == 1 for d in sizes[:-1]) and (not sizes or sizes[-1] in (1, count))


def _fold_matmul(rewriter: Rewriter, node: ir.Node) -> bool:
    """MatMul and the constant Add of its bias, then batch norm: the scale goes into the matrix, the rest into the
    Add."""
    found = _next(rewriter, node, node.outputs[0])
    if found is None:
        return False
    following, affine, count = found
    op, bias, add = rewriter.op, None, None
    if following.op_type in ("Add", "Sub"):
        # The bias: it stays where it is, unless something affine follows.
        add, bias = following, affine[1]
        found = _next(rewriter, node, add.outputs[0])
        if found is None:
            return False
        following, affine, _ = found
    if affine[0] is not None:
        node.replace_input_with(1, rewriter.made(_scaled(rewriter, node, affine[0], count)))
    shifted = _shifted(rewriter, bias, affine)
    where = f"MatMul {node.name!r}"
    if shifted is None:
        rewriter.replace(following.outputs[0], node.outputs[0], where)
    elif add is not None and add.op_type == "Add":
        add.replace_input_with(1 if add.inputs[0] is node.outputs[0] else 0, rewriter.made(shifted))
        rewriter.replace(following.outputs[0], add.outputs[0], where)
    else:
        summed = op.Add(node.outputs[0], rewriter.made(shifted))
        if add is not None:
            rewriter.absorbed[str(add.outputs[0].name)] = where
        rewriter.replace(following.outputs[0], summed, where)
    return True
