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
from collections.abc import Callable, Collection, Mapping, Sequence
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
"""Ways in which an operator is linear. *product*: in each data operand by itself, the others held fixed. *scale*: the
same, and every output element is one element of an operand times a factor. *quotient*: a scale of operand 0, and not
linear in its divisor. *sum*: in all data operands at once. *affine*: it scales and shifts its one data operand.
*selection*: it only moves values.
"""
Selection = Literal["in place", "moved", "value", "window"]
"""Ways in which a routing operator selects values. *in place*: it leaves all elements where they are in memory, and so
costs nothing. *moved*: it moves them. *value*: it selects them by their values. *window*: it selects them by their
values from windows or axes, as pools and reductions do."""
Sign = Literal["nonnegative", "rectified", "keeps", "same", "unknown"]
"""Signs of an output. *nonnegative*: never below 0. *rectified*: never below 0, and 0 wherever the operand is not above
0. *keeps*: not below 0 where no operand is. *same*: for an activation, 0 or the sign of its operand."""
Activation = Literal["gate", "rectifier", "soft"]
"""Roles of an activation in a product of data. A *gate* (sigmoid, hard sigmoid, softmax) is a router, not a signal. The
*rectifier*, ReLU itself, and *soft* rectifiers such as GELU and SiLU are the gate of a product that has no *gate*."""
Receives = Literal["amount", "factor", "ratio"]
"""Forms in which a custom operator receives relevance. *amount*: R itself. *factor*: for each output the factor c with
R = output·c, which is exact where the output is 0. *ratio*: R/s(y) of the first output y, with the stabiliser of the ε
rule. Gradients are always amounts."""
Head = Literal["squash", "rescale"]
"""Roles of an operator at the end of a model. *squash*: it squashes scores, as softmax does, and is skipped on the way
from the output to the explained score. *rescale*: it brings scores to a common size, and is skipped if it lies
downstream of a squash."""
CHOICES: dict[str, tuple[str, ...]] = {
    "linearity": get_args(Linearity),
    "selection": get_args(Selection),
    "sign": get_args(Sign),
    "activation": get_args(Activation),
    "receives": get_args(Receives),
    "head": get_args(Head),
}
"""The fields of `Operator` whose values are words, each with the words that it may hold."""


def _features(call: Call, data: int) -> set[int]:
    """Name the axes of a matrix product that do not come from operand `data`: the other operand's own axis, and those
    along which that operand holds several matrices."""
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
    """Function that gives the same layer in standard operators on weights in floats, for weights that are packed or
    integers. Its transpose, and every run on other weights, use that layer; the model's own run stays as it is."""
    factors: tuple[int, ...] = ()
    """Operands that multiply the products of data and weight, and may have any sign."""
    by_rows: Callable[[Call], bool] = lambda call: True
    """True where each row of the output, along axis 0, depends on one row of the data."""
    rounds: Callable[[Call], bool] = lambda call: False
    """True where the model's own run rounds, so that its output differs from that of the same layer in floats."""

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
    """The transpose, the derivative or the reverse; for a stop a function that returns its reason."""
    operands: Operands
    """Function that returns the operands of a call that may carry relevance."""
    summary: str
    """One line that says what happens to relevance."""
    refuse: Callable[[Call], str | None] = lambda call: None
    """Function that returns the reason why a call has no rule, None where it has one."""
    gradient_only: tuple[int, ...] = ()
    """Operands that gradients reach and relevance does not, because they only tell to which values relevance goes, how
    much, or within which bounds."""
    gradient_outputs: tuple[int, ...] = ()
    """Outputs that gradients may arrive at. A model in which relevance arrives at one is refused, because no rule
    carries it back."""
    linearity: Linearity = "product"
    """The way in which a linear operator is linear in its data operands."""
    lookup: bool = False
    """True where operand 1 holds ids if operand 0 is a constant table: the operator is then an embedding."""
    layer: LayerForm | None = None
    sign: Sign | Callable[[Call], str] = "unknown"
    """The sign of the output."""
    piecewise_constant: bool = False
    """True where the derivative is 0 wherever there is one."""
    multiplier: Callable[[Builder, Call, Call, Any], Mapping[int, ir.Value]] | None = None
    """For a custom operator, `multiplier(op, call, before, g)` returns the multiplier of each operand under DeepLIFT,
    where g is that of the first output, or the list of those of all outputs where the function takes a list. `before`
    is the call at the baseline. Multipliers times the changes of the operands add up to g times that of the output."""
    base: Callable[[Call], np.ndarray | None] | None = None
    """For an operator whose relevance adds up to its last output less a base value, which the ledger books as bias:
    computes the base of one sample, in that output's rank; None where it depends on the sample."""
    delivers: bool = False
    """A custom operator that keeps no relevance: all that arrives at its output goes to its data operands."""
    interacts: bool = False
    """Hands back interactions of its operand's columns too, where the planner's attribute `interactions` asks for them.
    """
    expands: bool = False
    """Each element of its operand becomes a block along the last axis of its output: an encoder of categories."""
    elementwise: bool = False
    """True where each output element depends on one element of each operand (every `pass` operator, and arithmetic)."""
    selection: Selection = "moved"
    """The way in which a routing operator selects the elements of its outputs."""
    per_output: bool = False
    """True where the function takes a list of relevances, one for each output, None where none arrives."""
    activation: Activation | None = None
    """The role of an activation in a product of data."""
    average: Callable | None = None
    """Function that makes the average pooling over the windows of a max pooling, as a `Call`."""
    head: Head | Callable[[Builder, Call], ir.Value] | None = None
    """The role of the operator at the end of a model. For an operator that no rule leads through it is a function,
    which computes the score that the operator's output is computed from."""
    when: Callable[[ir.Node | Call], bool] | None = None
    """Condition on attributes and operands under which this entry is for a node; an entry without one is for all
    others."""
    receives: Receives = "amount"
    """The form of relevance that a custom operator takes."""
    compares: Callable[[Call], np.ndarray | None] = lambda call: None
    """Function that returns the rows [rows, features] that a kernel compares operand 0 with; None where it needs no
    reference. The planner chooses the reference and hands it over as the attribute `reference`."""
    rounding: bool = False
    """True where the operator quantises or dequantises: the values stay the same up to rounding, so patterns look
    through it."""
    in_floats: Callable[[Builder, Call], ir.Value | list[ir.Value]] | None = None
    """Function that computes an operator on quantised numbers in floats; relevance goes through this computation. It
    returns a list where there are several outputs. The model's own node computes the value."""
    inference: Callable[[Any], None] | None = None
    """Function that sets the types of the outputs in an `onnx.shape_inference.InferenceContext`, for an operator that
    ONNX does not know, or whose types it leaves open."""

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
    """Make an entry; its summary is the option `summary`, or else the first paragraph of the function's docstring."""
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
    """Stand in the registry for the function body that ONNX gives an operator, from which the operator is written
    out."""
    raise AssertionError(f"{call.op_type} is written out by its own function body")


def by_function_body(*names: str, summary: str, domain: str = "") -> None:
    """Register operators that are written out by the function body that ONNX gives them."""
    for name in names:
        register(Operator(name, domain, Kind.DECOMPOSED, function_body, lambda call: (), summary))


@dataclasses.dataclass(frozen=True)
class Reversed(Brief):
    """The result of a custom operator's way back, for its data operands.

    `amounts` holds the relevance of operands by index, or the gradient where gradients were asked for. `factors` holds
    for an operand x the factor c of relevance x·c, which is added to its amount. `conserves` is True where these add up
    to the relevance that arrived; a softmax does not conserve it, and the ledger marks its row.
    """

    amounts: dict[int, ir.Value] = dataclasses.field(default_factory=dict)
    conserves: bool = True
    epsilon: ir.Value | None = None
    """The relevance that a stabiliser kept."""
    bias: ir.Value | None = None
    """The relevance that constants kept."""
    factors: dict[int, ir.Value] = dataclasses.field(default_factory=dict)
    interactions: ir.Value | None = None
    """Interactions [N, F, F] of the columns of a table [N, F]: halves of the index of each pair, and 0 on the diagonal.
    """


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
