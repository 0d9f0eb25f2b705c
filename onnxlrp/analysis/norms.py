"""Recognition of norms that are written out, in the spellings of exporters; each becomes one step of the plan.

*Standardised*: `d = x − mean(x)`, `n = d / √(mean(d²) + ε)` over any axes, then `γ·n + β`: layer norm, instance norm,
and group norm on a tensor with an axis of groups. tf2onnx writes `x·s + (β − mean(x)·s)` with `s = γ/√(…)`. jax
computes the variance as `max(0, mean(x²) − mean(x)²)` and a mean as `Σ / n`.
*Grouped*: torch's group norm, an InstanceNormalization of the groups between two Reshapes, then `γ·n + β`.
*RMS*: `x / √(mean(x²) + ε)`, then `γ·n`. *L2*: `x / ‖x‖`, the divisor kept from 0 in any way.

A square may be `v²` or `v·v`, and a quotient a product with a reciprocal or a power. Casts enclose what a model of
halves computes in float32. Unsqueeze, Reshape and Expand restore the axes that a mean removes.
The nodes stay as they are: opset 21 has no RMSNormalization, and CUDA has no kernel for GroupNormalization.
"""

from __future__ import annotations

import math
from typing import Any

import onnx_ir as ir

from onnxlrp.analysis.facts import Facts
from onnxlrp.analysis.patterns import (
    Patterns,
    Recognised,
    Values,
    axes_of,
    both_orders,
    broadcasts_to,
    constant,
    either,
    holds_numbers,
    number,
    var,
)
from onnxlrp.graph.call import Call, content
from onnxlrp.graph.misses import attempt, holds, miss


def norm_of(node: ir.Node, facts: Facts) -> Recognised | None:
    """Return the norm that ends in a node; None where there is none."""
    return attempt("is no norm", node, _norm, node, facts)


def _norm(node: ir.Node, facts: Facts) -> Recognised | None:
    for patterns in (_STANDARDISED, _BY_SQUARES, _GROUPED, _RMS, _L2):
        if (norm := patterns.match(node, facts)) is not None:
            return norm
    return None


# ---------------------------------------------------------------------------------------- the expressions


def _reduced(op: Any, how: str, value: Any, name: str) -> Any:
    """Build the pattern of a reduction: `name` is bound to its result, `{name}_wide` to the result in a shape that
    broadcasts against `value`."""
    reduction = getattr(op, how)(value, _allow_other_inputs=True, _outputs=[name])
    if how == "ReduceMean":
        reduction = either(reduction, op.GlobalAveragePool(value, _outputs=[name]))
    return _put_back(op, reduction, name)


def _put_back(op: Any, reduction: Any, name: str) -> Any:
    back = either(op.Unsqueeze(reduction, var(f"{name}_axes")), op.Reshape(reduction, var(f"{name}_shape")), reduction)
    return either(op.Expand(back, var(f"{name}_size")), back, name=f"{name}_wide")


def _square(op: Any, value: Any) -> Any:
    return either(op.Pow(value, var("two")), op.Mul(value, value))


def _root(op: Any, value: Any) -> Any:
    return either(op.Sqrt(value), op.Pow(value, var("half")))


def _wide(op: Any, value: Any) -> Any:
    """Build the pattern of a value that may be cast to another float type."""
    return either(op.Cast(value), value)


def _over(op: Any, root: Any, power: Any | None = None) -> Any:
    """Build the pattern of `1 / root`; `power` is the square of the root."""
    root = either(op.Expand(root, var("root_size")), root)
    ways = [op.Reciprocal(root), op.Div(var("one"), root)]
    return either(*ways, *([] if power is None else [op.Pow(power, var("minus_half"))]))


def _quotients(op: Any, value: Any, root: Any, power: Any | None = None) -> list[Any]:
    """List the patterns of `value / root`: a quotient, or a product with a reciprocal."""
    wide = either(op.Expand(root, var("root_size")), root)
    return [op.Div(value, wide), *both_orders(op.Mul, value, _wide(op, _over(op, root, power)))]


def _with_tail(op: Any, ends: list[Any], shift: bool) -> list[Any]:
    """Return the patterns `ends` of a norm n together with those of `γ·n` and, if `shift`, of `γ·n + β` and `n + β`."""
    normal = _wide(op, either(*ends))
    scaled = both_orders(op.Mul, normal, var("gamma"))
    shifted = both_orders(op.Add, either(*scaled, normal), var("beta")) if shift else []
    return [*shifted, *scaled, *ends]


def _standardised(op: Any) -> list[Any]:
    x = var("x")
    # The mean may be computed twice, the second time for the variance.
    mean, second_mean = (_reduced(op, "ReduceMean", x, name) for name in ("mean", "again"))
    deviation = either(op.Sub(x, mean), op.Sub(x, second_mean))
    square = _square(op, _wide(op, deviation))
    variance = either(*both_orders(op.Add, _reduced(op, "ReduceMean", square, "variance"), var("epsilon")))
    root = _root(op, variance)
    ends = _quotients(op, _wide(op, op.Sub(x, mean)), root, variance)
    over = _over(op, root, variance)
    s = either(*both_orders(op.Mul, over, var("gamma")), over)
    scaled = either(*both_orders(op.Mul, x, s))
    scaled_mean = either(*both_orders(op.Mul, mean, s))
    less = either(*both_orders(op.Mul, op.Neg(mean), s))
    shift = either(*both_orders(op.Add, less, var("beta")), op.Sub(var("beta"), scaled_mean), less)
    return [*_with_tail(op, ends, shift=True), *both_orders(op.Add, scaled, shift), op.Sub(scaled, scaled_mean)]


def _mean(op: Any, value: Any, name: str) -> Any:
    """Build the pattern of a mean, which may be a sum divided by the number of elements or times its inverse."""
    mean = op.ReduceMean(value, _allow_other_inputs=True, _outputs=[name])
    total = op.ReduceSum(value, _allow_other_inputs=True, _outputs=[f"{name}_sum"])
    shares = both_orders(op.Mul, total, var(f"{name}_share"))
    return either(mean, *shares, op.Div(total, var(f"{name}_count")))


def _by_squares(op: Any) -> list[Any]:
    x = var("x")
    mean = _mean(op, x, "mean")
    left = op.Sub(_mean(op, _square(op, x), "squares"), _square(op, mean))
    cut = either(*both_orders(op.Max, left, var("zero")), op.Relu(left), left)
    variance = either(*both_orders(op.Add, _put_back(op, cut, "variance"), var("epsilon")))
    deviation, root = op.Sub(x, _put_back(op, mean, "mean")), _root(op, variance)
    s = either(*both_orders(op.Mul, _over(op, root, variance), var("gamma")))
    scaled = both_orders(op.Mul, deviation, s)
    shifted = both_orders(op.Add, either(*scaled), var("beta"))
    return [*shifted, *scaled, *_with_tail(op, _quotients(op, deviation, root, variance), shift=True)]


def _grouped(op: Any) -> list[Any]:
    apart = op.Reshape(var("x"), var("apart"))
    normal = op.InstanceNormalization(apart, var("ones"), var("zeros"), _outputs=["normal"])
    return _with_tail(op, [op.Reshape(normal, var("together"))], shift=True)


def _rms(op: Any) -> list[Any]:
    x = var("x")
    mean = _reduced(op, "ReduceMean", _square(op, x), "square")
    mean = either(*both_orders(op.Add, mean, var("epsilon")))
    root = _root(op, mean)
    ends = _quotients(op, x, root, mean)
    s = either(*both_orders(op.Mul, _over(op, root, mean), var("gamma")))
    return [*_with_tail(op, ends, shift=False), *both_orders(op.Mul, x, s)]


def _l2(op: Any) -> list[Any]:
    x = var("x")
    sums = [_reduced(op, "ReduceSum", _square(op, x), "square"), _reduced(op, "ReduceSumSquare", x, "square")]
    root = either(_reduced(op, "ReduceL2", x, "square"), _root(op, _guarded(op, either(*sums), "epsilon")))
    root = _guarded(op, root, "guard")
    over = _over(op, root)
    wide = either(op.Expand(root, var("root_size")), root)
    return [op.Div(x, wide), *both_orders(op.Mul, x, either(*both_orders(op.Min, over, var("most")), over))]


def _guarded(op: Any, value: Any, name: str) -> Any:
    """Build the pattern of a value that an Add, Max or Clip may keep from 0; the least number is bound to `name`."""
    least = var(name)
    ways = [*both_orders(op.Add, value, least), *both_orders(op.Max, value, least)]
    return either(op.Clip(value, least, _allow_other_inputs=True), *ways, value)


# ---------------------------------------------------------------------------------------- the checks


def _axes(values: Values, *names: str) -> tuple[int, ...] | None:
    """Return the axes of reductions; None unless all have the same and their results broadcast along these only."""
    all_axes = {axes_of(values[name].producer()) for name in names if name in values}
    axes = all_axes.pop() if len(all_axes) == 1 else None
    rank = 0 if (shape := values["x"].shape) is None else len(shape)
    if not axes or any(not _keeps(values.get(f"{name}_wide"), rank, axes) for name in names):
        return miss("its reductions are over different axes, or do not keep them")
    return axes


def _keeps(value: ir.Value | None, rank: int, axes: tuple[int, ...]) -> bool:
    """Decide whether a reduced value has size 1 along `axes` and the rank of the value that was reduced."""
    if value is None:
        return True
    node = value.producer()
    if node is not None and node.op_type == "Expand":
        value = node.inputs[0]
    shape = None if value is None else value.shape
    return shape is not None and len(shape) == rank and all(shape[a] == 1 for a in axes)


def _positive(values: Values, *names: str) -> bool:
    found = all((n := number(values[name])) is not None and n >= 0 for name in names if name in values)
    return holds(found, "its epsilon is no constant number of at least 0")


_PARAMETERS = ("gamma", "beta")
_USUAL = {"two": 2.0, "one": 1.0, "half": 0.5, "minus_half": -0.5, "zero": 0.0}


def _fits(values: Values, facts: Facts) -> bool:
    """Decide whether the numbers are those of a norm, and γ and β are constants that broadcast to x."""
    parameters = [values[name] for name in _PARAMETERS if name in values]
    return (
        holds(values["x"] in facts.data, f"{values['x'].name!r} depends on no input")
        and holds(holds_numbers(values, **_USUAL), "its exponents or numerators are other numbers")
        and holds(constant(_PARAMETERS, values, facts), "its scale or shift depends on an input")
        and holds(all(broadcasts_to(v, values["x"]) for v in parameters), "its scale or shift broadcasts its input")
    )


def _call(node: ir.Node, op_type: str, values: Values, **attributes: Any) -> Call:
    operands = (values["x"], *(values.get(name) for name in _PARAMETERS))
    attrs = {name: ir.convenience.convert_attribute(name, value) for name, value in attributes.items()}
    return Call(op_type, "", None, attrs, operands, tuple(node.outputs), node.name, operands)


def _as_standardised(node: ir.Node, values: Values, facts: Facts) -> Recognised | None:
    axes = _axes(values, "mean", "again", "variance")
    return None if axes is None else _normalised(node, values, facts, axes)


def _normalised(node: ir.Node, values: Values, facts: Facts, axes: tuple[int, ...]) -> Recognised | None:
    epsilon = number(values["epsilon"])
    if not _positive(values, "epsilon") or not _fits(values, facts):
        return None
    name = _name(values, axes)
    return Recognised(name, _call(node, "LayerNormalization", values, axes=list(axes), epsilon=epsilon))


def _as_by_squares(node: ir.Node, values: Values, facts: Facts) -> Recognised | None:
    means = {name: values[name if name in values else f"{name}_sum"] for name in ("mean", "squares")}
    wide = {f"{name}_wide": values[f"{name}_wide"] for name in ("mean", "variance")}
    axes = _axes({"x": values["x"], **means, **wide}, "mean", "squares")
    if axes is None or not _keeps(wide["variance_wide"], len(values["x"].shape or ()), axes):
        return None
    averages = all(_averages(values, axes, name) for name in means)
    right = holds(averages, "a sum is divided by another number than that of its terms")
    return _normalised(node, values, facts, axes) if right else None


def _averages(values: Values, axes: tuple[int, ...], name: str) -> bool:
    """Decide whether a sum is divided by the number of its terms."""
    share, count = values.get(f"{name}_share"), values.get(f"{name}_count")
    if share is None and count is None:
        return True
    sizes = [d for a in axes if isinstance(d := (values["x"].shape or ())[a], int)]
    number_of = number(count) if share is None else 1 / (number(share) or math.inf)
    return len(sizes) == len(axes) and number_of is not None and math.isclose(number_of, math.prod(sizes), rel_tol=1e-3)


def _name(values: Values, axes: tuple[int, ...]) -> str:
    """Name a norm by its axes: group norm where a Reshape has added them, instance norm where they are all axes after
    the channels, else layer norm."""
    x, gamma = values["x"], values.get("gamma")
    rank = len(x.shape or ())
    producer = x.producer()
    if producer is not None and producer.op_type == "Reshape" and rank > 3 and len(axes) > 1:
        return "group norm"
    per_channel = gamma is None or gamma.shape is None or all(d == 1 for d in gamma.shape[-len(axes) :])
    if rank > 2 and axes == tuple(range(2 - rank, 0)) and per_channel and axes != (-1,):
        return "instance norm"
    return "layer norm"


def _as_grouped(node: ir.Node, values: Values, facts: Facts) -> Recognised | None:
    """Check that an InstanceNormalization of `[N, G, …]` without scale and shift normalises groups of channels."""
    x, normal = values["x"], values["normal"].producer()
    groups, ones, zeros = _groups(values), content(values["ones"]), content(values["zeros"])
    same = x.shape is not None and x.shape == node.outputs[0].shape
    if normal is None or groups is None or not same:
        return miss("its first Reshape does not set groups of channels apart, or its last does not undo that")
    if not _fits(values, facts):
        return None
    if ones is None or zeros is None or (ones != 1).any() or zeros.any():
        return miss("the InstanceNormalization inside has a scale or shift of its own")
    if not all(_per_channel(values[name], x) for name in _PARAMETERS if name in values):
        return miss("its scale or shift varies along other axes than the channels")
    epsilon = Call.of(normal).attr("epsilon", 1e-5)
    return Recognised("group norm", _call(node, "GroupNormalization", values, num_groups=groups, epsilon=epsilon))


def _groups(values: Values) -> int | None:
    """Count the groups; None unless the Reshape keeps axis 0 and splits the channels evenly."""
    apart, shape = values["normal"].producer(), values["x"].shape
    rows = None if apart is None or apart.inputs[0] is None else apart.inputs[0].shape
    if rows is None or shape is None or len(rows) < 3 or not isinstance(rows[1], int) or not isinstance(shape[1], int):
        return None
    target = content(values["apart"])
    first = rows[0] == shape[0] or (target is not None and target.reshape(-1)[0] == 0)
    return rows[1] if first and shape[1] % rows[1] == 0 else None


def _per_channel(value: ir.Value, x: ir.Value) -> bool:
    """Decide whether a parameter varies along axis 1 of x only."""
    rank, shape = len(x.shape or ()), list(value.shape or ())
    wide = [1] * (rank - len(shape)) + shape
    return all(d == 1 for axis, d in enumerate(wide) if axis != 1)


def _as_rms(node: ir.Node, values: Values, facts: Facts) -> Recognised | None:
    if _axes(values, "square") is None or not _positive(values, "epsilon") or not _fits(values, facts):
        return None
    return Recognised("RMS norm", _call(node, "RMSNormalization", values))


def _as_l2(node: ir.Node, values: Values, facts: Facts) -> Recognised | None:
    guards = ("epsilon", "guard", "most")
    if _axes(values, "square") is None or not _positive(values, *guards) or not _fits(values, facts):
        return None
    return Recognised("L2 norm", _call(node, "LpNormalization", values))


_STANDARDISED = Patterns("a layer or instance norm", _standardised, _as_standardised)
_BY_SQUARES = Patterns("a layer norm by the mean of squares", _by_squares, _as_by_squares)
_GROUPED = Patterns("a group norm", _grouped, _as_grouped)
_RMS = Patterns("an RMS norm", _rms, _as_rms)
_L2 = Patterns("an L2 norm", _l2, _as_l2)
