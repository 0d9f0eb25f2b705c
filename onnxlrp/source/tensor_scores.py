"""Outputs that are maps become tensors, for runtimes that have no maps."""

from __future__ import annotations

import onnx_ir as ir

from onnxlrp.graph.names import Names
from onnxlrp.source.read import Source


def replace_maps(source: Source) -> None:
    """Let the scores that feed a ZipMap be outputs in its place, under its name, and note that.

    The columns of the scores are the ZipMap's classes, in their order.
    """
    graph = source.model.graph
    names = Names(graph)
    for position, declared in source.map_outputs:
        score, name = graph.outputs[position], declared.name
        out = ir.val(names.unique(name), type=score.type, shape=score.shape)
        graph.append(ir.node("Identity", [score], outputs=[out], name=names.unique(f"{name}_scores")))
        graph.outputs[position] = out
        entry = source.outputs[position]
        entry.name, entry.type, entry.shape = str(out.name), score.type, score.shape
        source.notes.append(f"the output {name!r} is a tensor of scores, one column a class, and no map (ZipMap)")
    source.zipmaps, source.map_outputs = [], []
