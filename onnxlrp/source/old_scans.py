"""Rewrite a Scan of opset 8, which has a batch on axis 0, as a Scan over the samples that holds a Scan over the steps.

`Scan₈(s, x) = Scan(n: Scan(s[n], x[n]))`.
"""

from __future__ import annotations

import onnx_ir as ir

from onnxlrp.errors import InvalidModelError
from onnxlrp.source.old_node import Old


def over_samples(old: Old) -> None:
    """Put a Scan over the samples around the node; raises InvalidModelError if the node takes sequence lengths, because
    samples may then differ in length."""
    node, graph = old.node, old.graph
    if old.optional(0) is not None:
        raise InvalidModelError(
            f"Scan node {node.name!r} of opset 8 takes sequence lengths, which no later Scan does: export the model "
            "anew"
        )
    directions = old.take("directions")
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
    for before, after in zip(node.outputs, outer.outputs, strict=True):
        after.type, after.shape = before.type, before.shape
        ir.convenience.replace_all_uses_with(before, after, replace_graph_outputs=True)
        after.name, before.name = before.name, None
    graph.remove(node, safe=True)
