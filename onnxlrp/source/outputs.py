"""Choose the output to explain: the first floating-point one, the one that the user names, or the scores that a class
is chosen from."""

from __future__ import annotations

import onnx_ir as ir

from onnxlrp.errors import InputError, InvalidModelError
from onnxlrp.graph.walks import follow_operators
from onnxlrp.near_names import did_you_mean
from onnxlrp.printable import escaped, listed
from onnxlrp.source.read import Declared, Source, is_score

_KEEP_CLASSES = frozenset({"Cast", "Identity", "Squeeze", "Unsqueeze", "Reshape", "Flatten", "Transpose"})


def hand_out_scores(source: Source, name: str | None) -> None:
    """Make scores an output if the user names them and the model itself outputs only the class, or a sequence of them.
    This happens before the graph is rewritten, so that the scores go by the model's own names.

    Raises InvalidModelError, with the names that may be given instead, if no output can be explained.
    """
    graph = source.model.graph
    hidden = {str(v.name): v for v in _hidden_scores(graph)}
    if name in hidden:
        graph.outputs.append(hidden[name])
        source.outputs.append(Declared(name, hidden[name].type, hidden[name].shape))
    if not any(is_score(v) for v in graph.outputs):
        kinds = ", ".join(f"{escaped(str(v.name))}: {_kind(v)}" for v in graph.outputs)
        names = " or ".join(f"output={n!r}" for n in hidden)
        instead = f"; {names} explains scores that an output is made of" if names else ""
        raise InvalidModelError(f"the model has no floating-point output to explain ({kinds}){instead}")


def explained_output(source: Source, name: str | None) -> tuple[ir.Value, str]:
    """Find the explained output and its name: the one that the user names, or else the first floating-point one."""
    outputs = list(source.model.graph.outputs)
    names = [str(v.name) for v in outputs]
    for position, declared in source.map_outputs:
        # The user sees the ZipMap's output, but the score that feeds it is explained.
        names[position] = declared.name
    if name is not None:
        if name not in names:
            raise InputError(
                f"the model has no output {name!r}{did_you_mean(name, names)}; its outputs: {listed(names)}"
            )
        value = outputs[names.index(name)]
        if not is_score(value):
            kind = value.type or value.dtype
            raise InputError(f"the output {name!r} holds {kind}: only floating-point scores can be explained")
        return value, name
    floating = {n: v for n, v in zip(names, outputs, strict=True) if is_score(v)}
    first = next(iter(floating))
    if len(set(floating.values())) > 1:
        source.notes.append(f"the output {first!r} is explained, the first of {listed(floating)}")
    return floating[first], first


def _kind(value: ir.Value) -> str:
    return str(value.dtype) if isinstance(value.type, ir.TensorType) else str(value.type)


def _hidden_scores(graph: ir.Graph) -> list[ir.Value]:
    """Find the scores that are no outputs themselves, but that an output is made of: those that an ArgMax compares, or
    that a sequence holds."""
    found = []
    for output in graph.outputs:
        node = follow_operators(output, _KEEP_CLASSES).producer()
        count = {"ArgMax": 1, "SequenceConstruct": None}.get("" if node is None else node.op_type, 0)
        scores = () if node is None else node.inputs[:count]
        found += [v for v in scores if v is not None and v.producer() is not None and is_score(v)]
    return [v for v in found if not v.is_graph_output()]
