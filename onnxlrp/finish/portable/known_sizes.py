"""Pass that declares sizes only by numbers and by the symbols of the model's own inputs and outputs."""

from __future__ import annotations

import onnx_ir as ir

from onnxlrp.source.read import Source


def declare_known_sizes(source: Source) -> None:
    """Take out every declared size that goes by an invented symbol, which tract takes for another size than it is.

    Inner values with such a size lose their shape; in outputs the size has no name. Symbols of the source's own
    declarations stay. An input that chooses a target has the batch of the source's first input with an open one.
    """
    graph = source.model.graph
    given, added = graph.inputs[: len(source.inputs)], graph.inputs[len(source.inputs) :]
    ports = [*given, *graph.outputs[: len(source.outputs)]]
    known = {d.value for v in ports for d in v.shape or () if isinstance(d, ir.SymbolicDim)}
    batch = next((v.shape[0] for v in given if v.shape and isinstance(v.shape[0], ir.SymbolicDim)), None)
    for value in added:
        if value.shape and _named(value.shape[0], known) != value.shape[0]:
            value.shape = ir.Shape([batch or value.shape[0], *list(value.shape)[1:]])
            known |= {d.value for d in value.shape if isinstance(d, ir.SymbolicDim)}
    outputs = set(graph.outputs)
    for body in (graph, *graph.subgraphs()):
        for value in [v for node in body for v in node.outputs if v not in outputs]:
            if value.shape is not None and not _is_known(value.shape, known):
                value.shape, value.type = None, value.type if body is not graph else None
    for value in graph.outputs[len(source.outputs) :]:
        if value.shape is not None:
            value.shape = ir.Shape([_named(d, known) for d in value.shape])


def _is_known(shape: ir.Shape, known: set[str | None]) -> bool:
    return all(isinstance(d, int) or (d.value is not None and d.value in known) for d in shape)


def _named(size: int | ir.SymbolicDim, known: set[str | None]) -> int | ir.SymbolicDim:
    return size if isinstance(size, int) or size.value in known else ir.SymbolicDim(None)
