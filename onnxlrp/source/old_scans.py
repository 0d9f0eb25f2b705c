"""Scan as it was before opset 9, with a batch on axis 0: a Scan over the samples, of a Scan over the steps.

`Scan₈(s, x) = Scan(n: Scan(s[n], x[n]))`.
"""

from __future__ import annotations

import onnx_ir as ir

from onnxlrp.errors import InvalidModelError


def old_scans(model: ir.Model) -> dict[str, list[int]]:
    """The directions of every Scan by the node's name; raises InvalidModelError where the samples differ in length."""
    found = {}
    for node in model.graph.all_nodes():
        if node.domain == "" and node.op_type == "Scan":
            if node.inputs[0] is not None:
                raise InvalidModelError(
                    f"Scan node {node.name!r} of opset 8 takes sequence lengths, which no later Scan does: export the "
                    "model anew"
                )
            ways = node.attributes.get("directions")
            found[str(node.name)] = [] if ways is None else [int(i) for i in ways.as_ints()]
    return found


def over_samples(model: ir.Model, directions: dict[str, list[int]]) -> None:
    """Put a Scan over the samples around each, once the converter has lifted the rest."""
    for node in list(model.graph.all_nodes()):
        if node.domain == "" and node.op_type == "Scan" and node.name in directions:
            _wrap(node, directions[str(node.name)])


def _wrap(node: ir.Node, directions: list[int]) -> None:
    graph = node.graph
    assert graph is not None
    operands = [v for v in node.inputs if v is not None]
    inner = [ir.Value(name=f"{node.name}_sample_{i}", type=v.type) for i, v in enumerate(operands)]
    attributes: list[ir.Attr] = [node.attributes["body"], node.attributes["num_scan_inputs"]]
    if directions:
        attributes.append(ir.AttrInt64s("scan_input_directions", directions))
    count = len(node.outputs)
    steps = ir.Node("", "Scan", inner, attributes, num_outputs=count, name=f"{node.name}_steps")
    for index, value in enumerate(steps.outputs):
        value.name, value.type = f"{node.name}_of_sample_{index}", node.outputs[index].type
    body = ir.Graph(inner, steps.outputs, nodes=[steps], name=f"{node.name}_sample")
    outer = ir.Node(
        "",
        "Scan",
        operands,
        [ir.AttrGraph("body", body), ir.AttrInt64("num_scan_inputs", len(operands))],
        num_outputs=count,
        name=node.name,
    )
    graph.insert_after(node, outer)
    for old, new in zip(node.outputs, outer.outputs, strict=True):
        new.type, new.shape = old.type, old.shape
        ir.convenience.replace_all_uses_with(old, new, replace_graph_outputs=True)
        new.name, old.name = old.name, None
    graph.remove(node, safe=True)
