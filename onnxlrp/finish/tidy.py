"""Finish the model: remove unused nodes, restore declared shapes, write metadata."""

from __future__ import annotations

import collections
from collections.abc import Collection, Mapping

import onnx_ir as ir
import onnx_ir.passes.common as passes

from onnxlrp.finish.clip_rectified import clip_rectified
from onnxlrp.finish.in_slices import NOTHING_SAVED, Sliced, decide_slices, put_in_slices
from onnxlrp.finish.on_demand import Switch, put_under_switch
from onnxlrp.finish.portable import make_portable
from onnxlrp.finish.portable.known_sizes import declare_known_sizes
from onnxlrp.finish.private_copies import copy_float16, dequantise_again
from onnxlrp.finish.restore_quantised import restore_quantised
from onnxlrp.graph.builder import Builder
from onnxlrp.graph.names import Names
from onnxlrp.graph.provenance import is_own, is_relevance
from onnxlrp.source.read import OPSET, Source
from onnxlrp.source.unused import remove_unused
from onnxlrp.trees.ensemble_attributes import drop_unused_attributes


def tidy(
    source: Source,
    op: Builder,
    metadata: Mapping[str, str],
    switch: Switch | None = None,
    sliced: Sliced | None = None,
) -> list[str]:
    """Finish the explained model in place, and return notes about it; with a switch, relevance is computed on demand,
    with slices, for some samples at a time.

    Ensures the laws of `finish.finished_spec`.
    """
    op.assert_inferred()
    model = source.model
    graph = model.graph
    remove_unused(model)
    op.forget_removed()
    for node in graph.all_nodes():
        drop_unused_attributes(node)
    own = {v for n in graph.all_nodes() if is_own(n) for v in n.outputs}
    for body in (graph, *graph.subgraphs()):
        restore_quantised(op if body is graph else Builder(body, "lrp"), lifted=source.opset < OPSET)
    dequantise_again(op, graph.outputs[: len(source.outputs)])
    copy_float16(graph)
    clip_rectified(graph)
    graph.sort()
    remove_unused(model)
    notes = make_portable(source, op) if op.profile.rewritten else []
    slices = None if sliced is None else decide_slices(source, sliced)
    if sliced is not None:
        notes.append(NOTHING_SAVED if slices is None else slices.note)
    passes.NameFixPass()(model)
    _restore_outputs(source)
    shapes = {d.name: d.shape for d in source.inputs}
    for value in graph.inputs:
        value.shape = shapes.get(str(value.name), value.shape)
    outputs = set(graph.outputs)
    names = {d.value for v in graph.inputs for d in v.shape or () if isinstance(d, ir.SymbolicDim)}
    for value in graph.outputs[len(source.outputs) :]:
        value.shape = None if value.shape is None else _renamed(value.shape, names)
    for node in graph:
        for value in node.outputs:
            if value not in outputs:
                # A quantised model keeps its declared shapes: fusions depend on them, and its bits on the fusions.
                # Other domains get no inferred ones: onnxruntime computes a node in the memory of its operand if it
                # knows that both have one shape, and not all of ai.onnx.ml support that (1.31.1): a Normalizer (L2)
                # loses the signs of its numbers.
                declared = value in own or (node.domain != "" and not is_relevance(node))
                value.shape = source.inner.get(str(value.name)) if declared else _sizes(value, names)
                value.type = None if node.domain == "" and value.shape is None else value.type
    if slices is not None:
        put_in_slices(source, op, slices)
        remove_unused(model)
        passes.NameFixPass()(model)
    if switch is not None:
        put_under_switch(source, switch)
        remove_unused(model)
    for domain in [d for d in graph.opset_imports if d and not any(n.domain == d for n in graph.all_nodes())]:
        if not any(z.domain == domain for z in source.zipmaps):
            del graph.opset_imports[domain]
    model.metadata_props.update(metadata)
    model.producer_name = model.producer_name or "onnxlrp"
    if op.profile.rewritten:
        declare_known_sizes(source)
    return notes


def _restore_outputs(source: Source) -> None:
    """Give the source's outputs their declared shapes again.

    If a declaration contradicts the inferred shape (CatBoost declares [N] for an operator that gives [N, 1]), a copy
    gets the name and the declaration, because onnxruntime trusts it wherever the output is read: it checks nodes
    against it, folds its sizes into constants, and lets values with sizes of one name share memory.
    """
    graph = source.model.graph
    ports = [*source.inputs, *source.outputs]
    names = collections.Counter(d.value for p in ports for d in p.shape or () if isinstance(d, ir.SymbolicDim))
    shared = {name for name, count in names.items() if count > 1}
    for index, declared in enumerate(source.outputs):
        value = graph.outputs[index]
        assert declared.name == value.name, f"output {declared.name!r} became {value.name!r}"
        if value.producer() is not None and value.uses() and _claims(declared.shape, value.shape, shared):
            value = _copied(graph, value)
        value.shape = declared.shape


def _copied(graph: ir.Graph, value: ir.Value) -> ir.Value:
    """Make a copy of a value the graph's output, under its name and at every place where the outputs list it."""
    name = str(value.name)
    value.name = Names(graph).unique(f"{name}_computed")
    copy = ir.node("Identity", [value], name=f"{value.name}_copy")
    out = copy.outputs[0]
    out.name, out.type, out.doc_string = name, value.type, value.doc_string
    out.metadata_props.update(value.metadata_props)
    graph.append(copy)
    for index, listed in enumerate(graph.outputs):
        if listed is value:
            graph.outputs[index] = out
    return out


def _claims(declared: ir.Shape | None, inferred: ir.Shape | None, shared: Collection[str | None]) -> bool:
    """Decide whether a declaration contradicts the inferred shape, or says more than it.

    `shared` holds the names of sizes that occur in several declarations; a name that occurs in one says nothing.
    """
    if declared is None:
        return False
    if inferred is None or len(declared) != len(inferred):
        return True
    return any(
        d != f and (isinstance(d, int) or isinstance(f, int) or d.value in shared)
        for d, f in zip(declared, inferred, strict=True)
    )


def _sizes(value: ir.Value, names: Collection[str | None]) -> ir.Shape | None:
    """Return the shape of floats if some sizes are known by name only; None if onnxruntime can infer it.

    onnxruntime loses names at every Reshape to a computed shape, and values of unknown size stay in the list that it
    searches for memory to use again: sessions of graph networks took 20 s to create, not 3. Integers get None, because
    a target may be given once for the whole batch whose name it bears.
    """
    shape, dtype = value.shape, value.dtype
    if shape is None or dtype is None or not dtype.is_floating_point() or shape.is_static():
        return None
    unknown = any(isinstance(d, ir.SymbolicDim) and d.value is None for d in shape)
    return None if unknown else _renamed(shape, names)


def _renamed(shape: ir.Shape, names: Collection[str | None]) -> ir.Shape:
    """Prefix `lrp_` to the names of sizes that no input has.

    Inference counts names from `unk__0`, as did the tool that wrote the source's declarations, for other sizes, and
    onnxruntime takes sizes of one name to be equal.
    """
    return ir.Shape(
        [f"lrp_{d.value}" if isinstance(d, ir.SymbolicDim) and d.value not in {*names, None} else d for d in shape]
    )
