"""The inner values whose relevance or coefficients the caller asks for."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import onnx_ir as ir

from onnxlrp.errors import InputError
from onnxlrp.near_names import did_you_mean
from onnxlrp.operators.control_flow import bodies
from onnxlrp.plan.steps import Plan


def inner_values(
    graph: ir.Graph,
    plan: Plan,
    names: Sequence[str],
    absorbed: Mapping[str, str],
    ends: Collection[ir.Value] = (),
) -> list[ir.Value]:
    """Find values by their names; `absorbed` maps the name of each value of the source that is gone to the place where
    it went, and `ends` are the inner values that relevance ends at, if it does not go on to inputs.

    Raises InputError for a name that no value has, and for a value at which no relevance arrives.
    """
    receivers = {v for s in plan.steps for v in s.outputs}
    receivers |= {v for s in plan.steps for v in s.operands.values() if v in ends}
    found = []
    for name in dict.fromkeys(names):
        value = named_value(graph, name, absorbed)
        if value not in receivers:
            raise InputError(
                f"no relevance arrives at {name!r}: it lies inside a step that is explained as one, or off the path"
            )
        found.append(value)
    return found


def patched_values(
    graph: ir.Graph,
    plan: Plan,
    names: Sequence[str],
    absorbed: Mapping[str, str],
    initial: str,
    ends: Collection[ir.Value] = (),
) -> list[ir.Value]:
    """Find the values whose coefficients the caller asks for, as above.

    Raises InputError too where relevance does not start from the score.
    """
    if names and initial == "one":
        raise InputError('coefficients are factors of the score itself: leave initial="output"')
    return inner_values(graph, plan, names, absorbed, ends)


def named_value(graph: ir.Graph, name: str, absorbed: Mapping[str, str]) -> ir.Value:
    """Find an inner value by its name; `absorbed` as above. Raises InputError for a name that no value has."""
    if name in absorbed:
        raise InputError(f"{name!r} lies inside one step: {absorbed[name]}")
    found = next((v for n in graph for v in n.outputs if v.name == name), None)
    if found is None:
        _refuse_inside(graph, name)
        near = did_you_mean(name, (v.name for n in graph for v in n.outputs))
        raise InputError(f"the model has no inner value {name!r}{near}; `onnxlrp inspect` lists the steps")
    return found


def _refuse_inside(graph: ir.Graph, name: str) -> None:
    """Raise InputError for a name that a value inside a body of If, Loop or Scan has."""
    for node in graph:
        parts = [part for body in bodies(node) for part in (body.graph, *body.graph.subgraphs())]
        if any(v.name == name for part in parts for inner in part for v in inner.outputs):
            raise InputError(
                f"{name!r} lies inside a body of {node.op_type} {node.name!r}, whose relevance stays there: name a "
                "value outside, such as an output of that node"
            )
