"""Every operator's entry: what kind it is, and how relevance and gradients go backwards through it.

*linear*: the transpose in each operand, everything else held fixed. *routing*: at most one source per
output element, the transpose of the selection. *elementwise*: the derivative. *custom*: its own reverse. *stop*:
the reason. *decomposed*: written out in other operators as the model is read.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import inspect
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import onnx
import onnx_ir as ir

from onnxlrp.graph.call import Call
from onnxlrp.reprs import Brief, cut

if TYPE_CHECKING:
    from onnxlrp.graph.builder import Builder


class Kind(enum.Enum):
    """Way in which an operator carries relevance."""

    LINEAR = "linear"
    ROUTING = "routing"
    ELEMENTWISE = "elementwise"
    CUSTOM = "custom"
    STOP = "stop"
    REFUSED = "refused"
    """Carries relevance, but has no rule: a model that needs it is refused."""
    DECOMPOSED = "decomposed"
    """Written out in other operators as the model is read."""


Operands = Callable[[Call], Sequence[int]]
Linearity = Literal["product", "sum", "scale", "quotient", "affine", "selection"]
"""*product*: linear in each data operand by itself, the others held fixed. *scale*: the same, and every output element
is one element of an operand times a factor. *quotient*: a scale of operand 0, and not linear in its divisor. *sum*:
linear in all data operands at once. *affine*: scales and shifts its one data operand. *selection*: only moves values.
"""
Selection = Literal["in place", "moved", "value", "window"]
"""*in place*: a routing operator leaves all elements where they are in memory, and so costs nothing. *moved*: it moves
them. *value*: it selects them by their values. *window*: the same, from windows or axes, as pools and reductions do."""
Sign = Literal["nonnegative", "rectified", "keeps", "same", "unknown"]
"""*nonnegative*: never below 0. *rectified*: the same, and 0 wherever the operand is not above 0. *keeps*: not below 0
where no operand is. *same*: for an activation, its operand's own sign or none (0)."""
Activation = Literal["gate", "rectifier", "soft"]
"""A *gate* (sigmoid, hard sigmoid, softmax) is a router, not a signal. The *rectifier*, ReLU itself, and *soft*
rectifiers such as GELU and SiLU are the gate of a product without one."""
Receives = Literal["amount", "factor", "ratio"]
"""The relevance R itself as an *amount*; of each output the *factor* c with R = output·c, exact where the output is 0;
the *ratio* R/s(y) of the first output y, divided as by ε. Gradients are amounts."""
Head = Literal["squash", "rescale"]
"""Role of an operator at the end of a model: one that squashes scores, as softmax does, is skipped on the way to the
explained output, and with it one downstream that brings scores to a common size."""
CHOICES: dict[str, tuple[str, ...]] = {
    "linearity": get_args(Linearity),
    "selection": get_args(Selection),
    "sign": get_args(Sign),
    "activation": get_args(Activation),
    "receives": get_args(Receives),
    "head": get_args(Head),
}
"""The fields of an operator that are words, and the words."""


def _features(call: Call, data: int) -> set[int]:
    """Name the axes of a matrix product that come from the operand other than `data` alone: its own axis, and those
    along which it holds several matrices."""
    shape = call.operand(1 - data).shape
    matrices = range(-len(shape), -2) if shape is not None else ()
    own = {a for a in matrices if shape is not None and shape[a] != 1}
    return {-1 if data == 0 else -2, *own}


@dataclasses.dataclass(frozen=True)
class LayerForm:
    """The operands in which a convolution or dense layer keeps its weight and bias."""

    kind: Literal["convolution", "dense"]
    operands: tuple[tuple[int, int], ...]
    """(data, weight) pairs that are possible."""
    bias: int | None = None
    features: Callable[[Call, int], Collection[int]] = _features
    """Axes of the output, counted from its end, that a bias downstream may vary over, by the operand of the data."""
    channels: int = 1
    """Axis of a convolution's weight that holds the input's channels: those of one group on axis 1, all on axis 0."""
    dequantised: Callable[[Builder, Call], Call] | None = None
    """For weights that are packed or integers: the same layer in standard operators on weights in floats, for its
    transpose and for every run on other weights. The model's own run stays as it is."""
    factors: tuple[int, ...] = ()
    """Operands that multiply the products of data and weight, and may have any sign."""
    by_rows: Callable[[Call], bool] = lambda call: True
    """True where each row of the data along axis 0 goes into the output by itself."""
    rounds: Callable[[Call], bool] = lambda call: False
    """True where the model's own run rounds, so that its output is not what stands in for it would make."""

    def bias_of(self, call: Call) -> ir.Value | None:
        """The bias among a call's operands, None where it has none."""
        return None if self.bias is None else call.input(self.bias)


@dataclasses.dataclass(frozen=True)
class Operator:
    """One operator's entry."""

    op_type: str
    domain: str
    kind: Kind
    function: Callable
    """transpose, derivative, reverse, or for a stop its reason."""
    operands: Operands
    """Operands that may carry relevance."""
    summary: str
    """One line that says what happens to relevance."""
    refuse: Callable[[Call], str | None] = lambda call: None
    """Why this very node has no rule, None where it has one."""
    gradient_only: tuple[int, ...] = ()
    """Operands that gradients reach and relevance does not: they say where, how much or within which bounds, the
    relevance goes to the values."""
    gradient_outputs: tuple[int, ...] = ()
    """Outputs that gradients arrive at; a model whose relevance does is refused: its way round is not known."""
    linearity: Linearity = "product"
    """The way in which a linear operator is linear in its data operands."""
    lookup: bool = False
    """Operand 1 are ids where operand 0 is a constant table: an embedding."""
    layer: LayerForm | None = None
    sign: Sign | Callable[[Call], str] = "unknown"
    """The sign of the output."""
    piecewise_constant: bool = False
    """Its derivative is 0 wherever it has one."""
    base: Callable[[Call], np.ndarray | None] | None = None
    """For an operator whose relevance adds up to its last output less a base value, which the ledger books as bias:
    computes the base of one sample, in that output's rank; None where it depends on the sample."""
    delivers: bool = False
    """A custom operator that keeps no relevance: all that arrives at its output goes to its data operands."""
    elementwise: bool = False
    """Each output element depends on one element of each operand (every `pass` operator, and arithmetic)."""
    selection: Selection = "moved"
    """The way in which a routing operator selects the elements of its outputs."""
    per_output: bool = False
    """Takes a list of relevances, one per output, None where none arrives."""
    activation: Activation | None = None
    """The part that an activation has in a product of data."""
    average: Callable | None = None
    """Max pooling: the average pooling over the same windows, as a `Call`."""
    head: Head | Callable[[Builder, Call], ir.Value] | None = None
    """The role of the operator at the end of a model. A function, for an operator that no rule leads through, computes
    the score that its output is computed from."""
    when: Callable[[ir.Node | Call], bool] | None = None
    """Decides by attributes and operands which nodes this entry is for; an entry without it is for all others."""
    receives: Receives = "amount"
    """The form of relevance that a custom operator takes."""
    compares: Callable[[Call], np.ndarray | None] = lambda call: None
    """The rows [rows, features] that a kernel compares operand 0 with; None where it needs no reference. The planner
    chooses the reference and hands it over as the attribute `reference`."""
    rounding: bool = False
    """Quantises or dequantises: the same values up to rounding, which patterns look through."""
    in_floats: Callable[[Builder, Call], ir.Value | list[ir.Value]] | None = None
    """For an operator on quantised numbers: the same computation in floats, which relevance goes through; a list where
    it has several outputs. The model's own node computes the value."""
    inference: Callable[[Any], None] | None = None
    """For an operator that ONNX does not know, or leaves open: sets the types of its outputs in an
    `onnx.shape_inference.InferenceContext`."""

    def __repr__(self) -> str:
        return f"<Operator {cut(self.domain or 'ai.onnx')}::{cut(self.op_type)}: {self.kind.value}>"

    def sign_of(self, call: Call) -> str:
        """The sign of this very node's output."""
        return self.sign(call) if callable(self.sign) else self.sign

    @property
    def scales(self) -> bool:
        """True where every output element is one element of an operand times a factor, perhaps shifted."""
        return self.linearity in ("scale", "quotient", "affine")

    @property
    def moves(self) -> bool:
        """True for a routing operator that only moves values, whatever they are."""
        return self.kind is Kind.ROUTING and not self.selects_by_value

    @property
    def selects_by_value(self) -> bool:
        """True for a routing operator whose selection depends on the values."""
        return self.selection in ("value", "window")

    @property
    def since(self) -> int:
        """The first version of the operator, 1 where it is none of ONNX's own."""
        return _first_versions().get(self.op_type, 1)


@functools.cache
def _first_versions() -> dict[str, int]:
    """The first version of every operator that onnx knows: all schemas are read once."""
    first: dict[str, int] = {}
    for schema in onnx.defs.get_all_schemas_with_history():
        first[schema.name] = min(schema.since_version, first.get(schema.name, schema.since_version))
    return first


_OPERATORS: dict[tuple[str, str], Operator] = {}
_VARIANTS: dict[tuple[str, str], list[Operator]] = {}


def register(entry: Operator) -> None:
    """Add an entry; two for one operator are a mistake."""
    key = (entry.domain, entry.op_type)
    if entry.when is not None:
        _VARIANTS.setdefault(key, []).append(entry)
        return
    if key in _OPERATORS:
        raise ValueError(f"two handlers for {entry.domain or 'ai.onnx'}::{entry.op_type}")
    _OPERATORS[key] = entry


def unregister(entry: Operator) -> None:
    """Take an entry out again."""
    key = (entry.domain, entry.op_type)
    if entry.when is None:
        del _OPERATORS[key]
    else:
        _VARIANTS[key] = [other for other in _VARIANTS[key] if other is not entry]
        if not _VARIANTS[key]:
            del _VARIANTS[key]


def plain(domain: str) -> str:
    """Name a domain as the table does: ONNX's own is empty."""
    return "" if domain == "ai.onnx" else domain


def find(node: ir.Node | Call) -> Operator | None:
    """The entry of a node's operator, None where there is none."""
    key = (plain(node.domain), node.op_type)
    for variant in _VARIANTS.get(key, ()):
        if variant.when is not None and variant.when(node):
            return variant
    return _OPERATORS.get(key)


def is_known(domain: str, op_type: str) -> bool:
    """Decide whether there is an entry for an operator."""
    return (domain, op_type) in _OPERATORS or (domain, op_type) in _VARIANTS


def _first(call: Call) -> Sequence[int]:
    return (0,)


def all_operands(call: Call) -> Sequence[int]:
    """Every operand that is there."""
    return [i for i, v in enumerate(call.inputs) if v is not None]


def _enter(kind: Kind, names: Sequence[str], domain: str, **options: Any) -> Callable:
    def decorate(function: Callable) -> Callable:
        for name in names:
            register(make_entry(kind, name, domain, function, **options))
        return function

    return decorate


def make_entry(kind: Kind, name: str, domain: str, function: Callable, **options: Any) -> Operator:
    """Make an entry; without a `summary` the first paragraph of the function's docstring is it."""
    text = (inspect.getdoc(function) or "").split("\n\n")[0].replace("\n", " ")
    given = {"operands": _first, **options, "summary": options.get("summary") or text}
    return Operator(name, plain(domain), kind, function, **given)


def make_stop(name: str, domain: str, reason: str, **options: Any) -> Operator:
    """Make the entry of an operator at which relevance ends."""
    return Operator(name, plain(domain), Kind.STOP, lambda: reason, lambda call: (), reason, **options)


def linear(*names: str, domain: str = "", **options: Any) -> Callable:
    """Register `transpose(op, call, operand, r) -> relevance of that operand` of a linear operator."""
    return _enter(Kind.LINEAR, names, domain, **options)


def routing(*names: str, domain: str = "", **options: Any) -> Callable:
    """Register `transpose(op, call, operand, r)` of an operator that only moves values."""
    return _enter(Kind.ROUTING, names, domain, **options)


def activation(*names: str, domain: str = "", **options: Any) -> Callable:
    """Register `derivative(op, call, operand) -> dy/d operand` of an elementwise function."""
    return _enter(Kind.ELEMENTWISE, names, domain, elementwise=True, **options)


def custom(*names: str, domain: str = "", **options: Any) -> Callable:
    """Register `reverse(op, call, r, gradient) -> Reversed` of an operator with a rule of its own.

    `op` is a `ReverseBuilder`: `op.stabilise(d)` is a denominator d with the composite's ε.
    """
    return _enter(Kind.CUSTOM, names, domain, **options)


def stop(*names: str, reason: str, domain: str = "", **options: Any) -> None:
    """Register operators at which relevance ends."""
    for name in names:
        register(make_stop(name, domain, reason, **options))


def refused(*names: str, reason: str, operands: Operands = all_operands, domain: str = "") -> None:
    """Register operators that carry relevance but have no rule: a model that needs one is refused, for this reason."""

    def function() -> str:
        return reason

    for name in names:
        register(Operator(name, domain, Kind.REFUSED, function, operands, reason, refuse=lambda call: reason))


def decomposed(*names: str, domain: str = "", **options: Any) -> Callable:
    """Register `write_out(op, call) -> the outputs` of an operator that is written out in others as it is read."""
    return _enter(Kind.DECOMPOSED, names, domain, **options)


def function_body(op: Builder, call: Call) -> Sequence[ir.Value]:
    """Stand for the function body that ONNX gives an operator, by which it is written out."""
    raise AssertionError(f"{call.op_type} is written out by its own function body")


def by_function_body(*names: str, summary: str, domain: str = "") -> None:
    """Register operators that are written out by the function body that ONNX gives them."""
    for name in names:
        register(Operator(name, domain, Kind.DECOMPOSED, function_body, lambda call: (), summary))


@dataclasses.dataclass(frozen=True)
class Reversed(Brief):
    """The result of a custom operator's way back, for its data operands.

    `amounts`, one per operand: relevance, or the gradient where gradients were asked for. `factors`: of an operand x
    the factor c of relevance x·c, which is added to its amount. `conserves`: whether their sum is the relevance that
    arrived; a softmax's is not, and is marked in the ledger.
    """

    amounts: dict[int, ir.Value] = dataclasses.field(default_factory=dict)
    conserves: bool = True
    epsilon: ir.Value | None = None
    """The relevance that a stabiliser kept."""
    bias: ir.Value | None = None
    """The relevance that constants kept."""
    factors: dict[int, ir.Value] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class TableRow:
    """A line of `onnxlrp operators`."""

    operator: str
    domain: str
    kind: str
    summary: str
    since: int


def table() -> list[TableRow]:
    """Every registered operator, by domain and name."""
    return [
        TableRow(e.op_type, e.domain or "ai.onnx", e.kind.value, e.summary, e.since)
        for _, e in sorted(_OPERATORS.items())
    ]
