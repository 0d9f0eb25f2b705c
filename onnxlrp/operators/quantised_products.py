"""Recognition of the products of integers that onnxruntime's tools write, and the layers in floats that compute the
same."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import onnx_ir as ir

from onnxlrp.graph.call import content
from onnxlrp.graph.readers import sole_reader
from onnxlrp.graph.walks import follow_operators

if TYPE_CHECKING:
    from onnxlrp.graph.builder import Builder

Found = tuple[list[ir.Node], ir.Value]
Constant = Callable[[ir.Value | None], bool]


def integer_product(op: Builder, node: ir.Node, constant: Constant) -> Found | None:
    """Recognise a quantised layer from its integer product; return its nodes and the same layer in floats, or None.

    The layer is `Cast(product(x, w))·scale of x·scale of w + bias`, where product is the ConvInteger or MatMulInteger
    `node`. The scales may be spread over any number of factors in any order.
    """
    x, w = _source(node, 0), _source(node, 1)
    weight, matrix = node.inputs[1], node.op_type == "MatMulInteger"
    chain, cast, rounded = [node], _sole(node), None
    if cast is not None and cast.op_type == "Add":
        rounded = _other(cast, node.outputs[0])
        chain, cast = [node, cast], _sole(cast)
    if x is None or weight is None or cast is None or cast.op_type != "Cast" or weight.shape is None:
        return None
    if (w is None and not constant(weight)) or (w is not None and not matrix):
        return None
    # A scale that is constant is one of the constant factors, so only the others are looked for.
    missing = [s for n in (x, w) if n is not None and not constant(s := _scale(n))]
    chain, factors = [*chain, cast], []
    while (following := _sole(chain[-1])) is not None and following.op_type == "Mul":
        scale_factors = _factors(_other(following, chain[-1].outputs[0]), missing, constant)
        if scale_factors is None or not all(f in missing or _fits(f, weight, matrix) for f in scale_factors):
            break
        missing = [s for s in missing if s not in scale_factors]
        factors += [f for f in scale_factors if constant(f)]
        chain.append(following)
    if missing or chain[-1] is cast:
        return None
    scales = [_scale(n) for n in (x, w) if n is not None]
    bias = None if rounded is None else _rounded_bias(rounded, [*scales, *factors], constant)
    if rounded is not None and (bias is None or not (matrix or _per_channel(rounded))):
        return None
    given = [op.DequantizeLinear(node.inputs[0], _scale(x), *_zeros(x))]
    if w is not None:
        given.append(op.DequantizeLinear(weight, _scale(w), *_zeros(w)))
    else:
        given.append(_weight(op, node, given[0].dtype))
    for source in (n for n in (x, w) if n is not None and constant(_scale(n))):
        given[1] = op.Div(given[1], op.Reshape(_scale(source), op.ints([])))
    for factor in factors:
        given[1] = op.Mul(given[1], factor if matrix else op.Reshape(factor, _first(op, weight)))
    bias = _bias(chain, constant, matrix) if bias is None else bias
    if matrix:
        product = op.MatMul(*given)
        return chain, product if bias is None else op.Add(product, bias)
    attributes = {name: attribute.value for name, attribute in node.attributes.items()}
    vector = None if bias is None else op.Reshape(bias, op.ints([-1]))
    return chain, op.Conv(*given, vector, **attributes)


def _source(node: ir.Node, operand: int) -> ir.Node | None:
    """Return the node that quantises an operand with a single scale and with the zero point that the product subtracts;
    None if there is no such node."""
    value = node.inputs[operand]
    source = None if value is None else value.producer()
    if source is None or source.op_type not in ("DynamicQuantizeLinear", "QuantizeLinear"):
        return None
    scale, zeros = _scale(source), _zeros(source)
    theirs = node.inputs[operand + 2] if len(node.inputs) > operand + 2 else None
    if source.op_type == "QuantizeLinear" and (scale.shape is None or any(d != 1 for d in scale.shape)):
        return None
    if (theirs is None) != (not zeros):
        return None
    known, own = content(theirs), content(zeros[0]) if zeros else None
    same = known is not None and own is not None and known.size == own.size == 1 and known.item() == own.item()
    return source if theirs is None or theirs is zeros[0] or same else None


def _scale(source: ir.Node) -> ir.Value:
    scale = source.outputs[1] if source.op_type == "DynamicQuantizeLinear" else source.inputs[1]
    assert scale is not None
    return scale


def _zeros(source: ir.Node) -> list[ir.Value]:
    """Return the zero point of a quantising node in a list, which is empty if it has none."""
    if source.op_type == "DynamicQuantizeLinear":
        return [source.outputs[2]]
    return [v for v in source.inputs[2:3] if v is not None]


def _factors(value: ir.Value | None, missing: list[ir.Value], constant: Constant) -> list[ir.Value] | None:
    """Split a product of scales into its factors: constants, and the scales in `missing`, each at most once. Return
    None if it has other factors."""
    if value is None or value in missing or constant(value):
        return None if value is None else [value]
    node = value.producer()
    if node is None or node.op_type != "Mul" or node.domain != "":
        return None
    first, second = node.inputs
    a = _factors(first, missing, constant)
    b = None if a is None else _factors(second, [s for s in missing if s not in a], constant)
    return None if a is None or b is None else a + b


def _fits(factor: ir.Value, weight: ir.Value, matrix: bool) -> bool:
    """Decide whether a constant holds one number, or one for each output feature."""
    if factor.shape is None or weight.shape is None:
        return False
    dims, rank = list(factor.shape), len(weight.shape)
    if all(d == 1 for d in dims):
        return True
    if matrix:
        return all(d == 1 for d in dims[:-1])
    at = len(dims) - rank + 1
    return at >= 0 and all(d == 1 for a, d in enumerate(dims) if a != at) and dims[at] == weight.shape[0]


def _first(op: Builder, weight: ir.Value) -> ir.Value:
    """Build the shape in which one number for each kernel broadcasts to the weight of a convolution."""
    assert weight.shape is not None
    return op.ints([-1, *[1] * (len(weight.shape) - 1)])


def _weight(op: Builder, node: ir.Node, wide: ir.DataType | None) -> ir.Value:
    """Compute `w − zero` of a constant weight, in floats."""
    w = node.inputs[1]
    assert w is not None
    numbers = op.Cast(w, to=wide)
    zero = node.inputs[3] if len(node.inputs) > 3 else None
    if zero is None:
        return numbers
    shift = op.Cast(zero, to=wide)
    return op.Sub(numbers, shift if node.op_type == "MatMulInteger" else op.Reshape(shift, _first(op, w)))


def _bias(chain: list[ir.Node], constant: Constant, matrix: bool) -> ir.Value | None:
    """Return the bias that is added after the scales and append its Add to the chain; None without one."""
    following = _sole(chain[-1])
    if following is None or following.op_type != "Add":
        return None
    bias = _other(following, chain[-1].outputs[0])
    if not constant(bias) or not (matrix or _per_channel(bias)):
        return None
    chain.append(following)
    return bias


_ROUNDS = frozenset({"Reshape", "Cast", "Floor", "Round"})


def _rounded_bias(value: ir.Value | None, scales: list[ir.Value], constant: Constant) -> ir.Value | None:
    """Return the constant b of `Cast(Floor or Round(b / scales))`, which is added to the integers; None for others.

    onnxruntime's first tool wrote a bias in this way. The sum that reaches the output is b rounded to a step, and
    counts as constant for gradients too, although the scales depend on the data.
    """
    node = None if value is None else follow_operators(value, _ROUNDS).producer()
    if node is None or node.op_type != "Div":
        return None
    b, by = node.inputs
    found = _factors(by, scales, constant)
    vector = b is not None and b.shape is not None and len(b.shape) == 1 and constant(b)
    return b if vector and found is not None and set(found) == set(scales) else None


def _per_channel(bias: ir.Value | None) -> bool:
    """Decide whether a bias has the shape [1, C, 1, …]."""
    dims = [] if bias is None or bias.shape is None else list(bias.shape)
    return len(dims) > 2 and dims[0] == 1 and all(d == 1 for d in dims[2:])


def _sole(node: ir.Node) -> ir.Node | None:
    """Return the only reader of a node's output, if it is an operator of ONNX; else None."""
    reader = sole_reader(node.outputs[0])
    return None if reader is None or reader[0].domain != "" else reader[0]


def _other(node: ir.Node, value: ir.Value) -> ir.Value | None:
    return node.inputs[1] if node.inputs[0] is value else node.inputs[0]
