"""Which output is explained: the first of floats, the one that is named, or scores that stand behind a class."""

from __future__ import annotations

import onnx_ir as ir

from onnxlrp.errors import InputError, InvalidModelError
from onnxlrp.graph.walks import follow_operators
from onnxlrp.printable import escaped, listed
from onnxlrp.source.read import Declared, Source, is_score

_KEEP_CLASSES = frozenset({"Cast", "Identity", "Squeeze", "Unsqueeze", "Reshape", "Flatten", "Transpose"})


def hand_out_scores(source: Source, name: str | None) -> None:
    """The scores of a model that answers with a class alone become an output if they are named; before the graph is
    rewritten, so that they go by the model's own names.

    Raises InvalidModelError where no output can be explained, with what may be named instead.
    """
    graph = source.model.graph
    compared = {str(v.name): v for v in _compared_scores(graph)}
    if name in compared:
        graph.outputs.append(compared[name])
        source.outputs.append(Declared(name, compared[name].type, compared[name].shape))
    if not any(is_score(v) for v in graph.outputs):
        kinds = ", ".join(f"{escaped(str(v.name))}: {v.dtype}" for v in graph.outputs)
        names = " or ".join(f"output={n!r}" for n in compared)
        instead = f"; {names} explains the scores that its ArgMax compares" if names else ""
        raise InvalidModelError(f"the model has no floating-point output to explain ({kinds}){instead}")


def explained_output(source: Source, name: str | None) -> tuple[ir.Value, str]:
    """The explained output and its name; the first floating-point one that is no input, unless it is named."""
    outputs = list(source.model.graph.outputs)
    names = [str(v.name) for v in outputs]
    for position, declared in source.map_outputs:
        # What the user sees is the ZipMap's output; what is explained is the score that feeds it.
        names[position] = declared.name
    if name is not None:
        if name not in names:
            raise InputError(f"the model has no output {name!r}; its outputs: {listed(names)}")
        value = outputs[names.index(name)]
        if not is_score(value):
            kind = value.type or value.dtype
            raise InputError(f"the output {name!r} holds {kind}: only floating-point scores can be explained")
        return value, name
    floating = {n: v for n, v in zip(names, outputs, strict=True) if is_score(v)}
    first = next(iter(floating))
    if len(set(floating.values())) > 1:
        source.notes.append(f"explained is the output {first!r}, the first of {listed(floating)}")
    return floating[first], first


def _compared_scores(graph: ir.Graph) -> list[ir.Value]:
    """What an ArgMax compares whose choice is an output, and which is none itself."""
    found = []
    for output in graph.outputs:
        node = follow_operators(output, _KEEP_CLASSES).producer()
        scores = node.inputs[0] if node is not None and node.op_type == "ArgMax" else None
        if scores is not None and scores.producer() is not None and is_score(scores) and not scores.is_graph_output():
            found.append(scores)
    return found
