"""Registration and removal of the user's own operators beside those of onnxlrp."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeVar

from onnxlrp.errors import InputError
from onnxlrp.graph.call import Call
from onnxlrp.near_names import did_you_mean
from onnxlrp.operators import registry
from onnxlrp.operators.registry import Kind, Operator

Handler = TypeVar("Handler", bound=Callable[..., Any])

_KINDS: dict[str, tuple[Kind, dict[str, Any]]] = {
    "linear": (Kind.LINEAR, {"linearity": "sum"}),
    "routing": (Kind.ROUTING, {}),
    "elementwise": (Kind.ELEMENTWISE, {"elementwise": True}),
    "custom": (Kind.CUSTOM, {}),
    "decomposed": (Kind.DECOMPOSED, {}),
}
_OWN: dict[tuple[str, str], list[Operator]] = {}
"""Entries that the user has registered, by domain and operator type."""


def operator(
    op_type: str,
    *,
    domain: str = "",
    kind: Literal["linear", "routing", "elementwise", "custom", "decomposed"] = "linear",
    operands: Callable[[Call], Sequence[int]] | None = None,
    **options: Any,
) -> Callable[[Handler], Handler]:
    """Register a handler: a function that says how relevance goes back through an operator of your own.

    The model's own node computes the output as before; a handler only writes nodes for the way back. It is registered
    for the whole process, until `onnxlrp.unregister_operator`.

    Parameters
    ----------
    op_type
        The operator's name, such as `"Double"`.
    domain
        The domain of its nodes, such as `"my.domain"`; `""` is ONNX's own.
    kind
        The kind of operator, which decides what the decorated function takes and returns. `op` builds nodes:
        `op.Mul(a, 2.0)` appends one and returns its output, an `onnx_ir.Value`; `op.ints([0, 1])` is an int64 constant.
        `call` is the node: `call.operand(0)` is an operand, `call.attr("axis", 0)` an attribute or its default.

        - `"linear"` (default): `transpose(op, call, operand, r)` returns the transpose for one operand, applied to `r`,
          a value in the output's shape; the result has the operand's shape. Its rule is that of a sum, Epsilon.
        - `"routing"`: the same function, for an operator that only moves values: relevance moves back undivided.
        - `"elementwise"`: `derivative(op, call, operand)` returns the derivative of an elementwise function, in the
          operand's shape. Relevance passes; under gradients it is multiplied by the derivative.
        - `"custom"`: `reverse(op, call, r, gradient)` returns a `onnxlrp.operators.registry.Reversed` that holds the
          relevance of each operand; `gradient` is True where the composite is a gradient.
        - `"decomposed"`: `write_out(op, call)` returns the outputs, computed by other operators. They replace the node
          as the model is read, also in the explained model.
    operands
        A function from the call to the indices of the operands that may carry relevance. Default: operand 0.
    options
        Further fields of `onnxlrp.operators.registry.Operator`, such as `sign="nonnegative"` where the output is never
        negative, `linearity="product"` for a linear operator that is a product of its operands, `receives="factor"` for
        a custom one that takes a factor of its output, or `inference`, which infers shapes where the model does not
        declare them.

    Raises
    ------
    InputError
        The kind or an option does not exist, or the operator has a handler already.

    Examples
    --------
    ```python
    @onnxlrp.operator("Double", domain="my.domain")  # y = 2·x
    def double(op, call, operand, r):
        \"\"\"Doubled, as the value was.\"\"\"  # its first line is in `onnxlrp operators`
        return op.Mul(r, 2.0)


    @onnxlrp.operator("Swish", domain="my.domain", kind="decomposed")  # y = x·σ(x)
    def swish(op, call):
        x = call.operand(0)
        return [op.Mul(x, op.Sigmoid(x))]
    ```
    """
    if kind not in _KINDS:
        way_out = "onnxlrp.stopping_operator registers an operator at which relevance ends"
        raise InputError(f"kind is one of {', '.join(_KINDS)}, not {kind!r}{did_you_mean(kind, _KINDS)}; {way_out}")
    known = [f.name for f in dataclasses.fields(Operator)][4:]
    if unknown := [name for name in options if name not in known]:
        raise InputError(f"an operator has no option {unknown[0]!r}; there are: {', '.join(known)}")
    for name in registry.CHOICES.keys() & options.keys():
        computed = callable(options[name]) and name in ("sign", "head")
        if not computed and options[name] not in registry.CHOICES[name]:
            raise InputError(f"{name} is one of {', '.join(registry.CHOICES[name])}, not {options[name]!r}")
    chosen, preset = _KINDS[kind]
    if operands is not None:
        options["operands"] = operands

    def decorate(handler: Handler) -> Handler:
        _enter(registry.make_entry(chosen, op_type, domain, handler, **{**preset, **options}))
        return handler

    return decorate


def stopping_operator(op_type: str, *, domain: str = "", reason: str) -> None:
    """Register an operator at which relevance ends, because its output does not depend on its operands' values.

    Relevance that arrives there goes no further: the plan names the node and the reason, and the ledger books it as
    stopped. It is registered for the whole process, until `onnxlrp.unregister_operator`.

    Parameters
    ----------
    op_type
        The operator's name.
    domain
        The domain of its nodes; `""` is ONNX's own.
    reason
        The reason in a few words, as plans show it: `"positions, not values"`.

    Raises
    ------
    InputError
        The operator has a handler already.

    Examples
    --------
    ```python
    onnxlrp.stopping_operator("RowNumbers", domain="my.domain", reason="positions, not values")
    ```
    """
    _enter(registry.make_stop(op_type, domain, reason))


def unregister_operator(op_type: str, domain: str = "") -> None:
    """Take out what `onnxlrp.operator` or `onnxlrp.stopping_operator` registered for an operator.

    Parameters
    ----------
    op_type, domain
        The operator, as it was registered.

    Raises
    ------
    InputError
        Nothing was registered for it. The operators that onnxlrp brings along cannot be taken out.

    Examples
    --------
    ```python
    onnxlrp.stopping_operator("RowNumbers", domain="my.domain", reason="positions, not values")
    onnxlrp.unregister_operator("RowNumbers", "my.domain")
    ```
    """
    entries = _OWN.pop((registry.plain(domain), op_type), None)
    if entries is None:
        raise InputError(f"no handler of {domain or 'ai.onnx'}::{op_type} was registered by onnxlrp.operator")
    for entry in entries:
        registry.unregister(entry)


def _enter(entry: Operator) -> None:
    try:
        registry.register(entry)
    except ValueError as error:
        way_out = "take it out with onnxlrp.unregister_operator first"
        raise InputError(
            f"{error}: {way_out if (entry.domain, entry.op_type) in _OWN else 'onnxlrp brings one along'}"
        ) from None
    _OWN.setdefault((entry.domain, entry.op_type), []).append(entry)
