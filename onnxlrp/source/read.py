"""Read a model from a path, bytes, a ModelProto or an onnx_ir Model; bring it to one opset, infer types and shapes."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Collection
from pathlib import Path

import networkx as nx
import onnx
import onnx.inliner
import onnx_ir as ir
import onnx_ir.passes.common as passes

from onnxlrp import external_data
from onnxlrp.errors import InvalidModelError, OnnxLrpError
from onnxlrp.file_hashes import name_in
from onnxlrp.graph.provenance import RULE
from onnxlrp.interface import Interface
from onnxlrp.opening import opened
from onnxlrp.operators.before_onnx import EXPERIMENTS
from onnxlrp.printable import escaped, listed
from onnxlrp.source import valid, weights
from onnxlrp.source.inference import infer
from onnxlrp.source.inline_functions import write_out_functions
from onnxlrp.source.map_inputs import MapInput, take_map_inputs
from onnxlrp.source.operand_sizes import check_sizes
from onnxlrp.source.opsets import OPSET, keep_opsets, to_opset
from onnxlrp.source.repairs import repair
from onnxlrp.source.sparse import make_dense
from onnxlrp.trees.columns import attach
from onnxlrp.trees.held_columns import HeldColumns, take_out

Model = str | os.PathLike[str] | bytes | onnx.ModelProto | ir.Model

_SCORES = frozenset({ir.DataType.FLOAT, ir.DataType.DOUBLE, ir.DataType.FLOAT16, ir.DataType.BFLOAT16})


@dataclasses.dataclass
class Declared:
    """The source's declaration of a graph input or output, which is restored on emission."""

    name: str
    type: ir.TypeProtocol | None
    shape: ir.Shape | None


@dataclasses.dataclass
class Source:
    """A model as it was read, with what is needed to restore the file's form on emission."""

    model: ir.Model
    sha256: str
    files: list[Path] = dataclasses.field(default_factory=list)
    """The files that the model was read from: its own and those of its weights."""
    inputs: list[Declared] = dataclasses.field(default_factory=list)
    outputs: list[Declared] = dataclasses.field(default_factory=list)
    inner: dict[str, ir.Shape] = dataclasses.field(default_factory=dict)
    """The shapes that the file declares for inner values."""
    zipmaps: list[onnx.NodeProto] = dataclasses.field(default_factory=list)
    """ZipMap nodes, removed because onnx_ir has no map type; put back on emission."""
    map_outputs: list[tuple[int, onnx.ValueInfoProto]] = dataclasses.field(default_factory=list)
    """The outputs of the ZipMap nodes, each with its position among the graph's outputs."""
    map_inputs: list[MapInput] = dataclasses.field(default_factory=list)
    """Inputs that are maps, which are replaced by vectors; put back on emission."""
    sparse: list[onnx.SparseTensorProto] = dataclasses.field(default_factory=list)
    """Sparse tensors, which are replaced by dense ones; put back when the model is written."""
    held: HeldColumns = dataclasses.field(default_factory=HeldColumns)
    """Columns of large tree ensembles, for which short attributes stand in; put back when the model is written."""
    notes: list[str] = dataclasses.field(default_factory=list)
    """Notes about the model for the user."""
    opset: int = OPSET
    """The default-domain version that the file is written in."""
    name: str = "model"
    """The file's name without its ending; the graph's name if the model was not given by a path."""
    weights: dict[str, Path] = dataclasses.field(default_factory=dict)
    """The files that hold weights, each by its place in the model's folder."""


def read(model: Model) -> Source:
    """Read a model, bring it to opset 21, sort and name its nodes, make constants initializers, infer types and shapes.

    Ensures the laws of `source.spec.READ`. Raises InvalidModelError, with what to do, if the model cannot be read.
    """
    given = parsed(model)
    proto, held = given.proto, given.held
    _refuse_explained(proto)
    if not proto.graph.node:
        raise InvalidModelError("the model has no nodes: nothing is computed, so nothing can be explained")
    notes = [*valid.check(proto, held), *repair(proto)]
    sparse = make_dense(proto)
    zipmaps, map_outputs = _take_zipmaps(proto)
    taken = take_map_inputs(proto)
    try:
        keep_opsets(proto)
        changed = bool(proto.functions or zipmaps or taken)
        proto, more = write_out_functions(proto)
        if changed:
            valid.check(proto, held)
        valid.refuse_contradictions(proto)
        weights.embed_attributes(proto)
        loaded = ir.serde.deserialize_model(_without_graph_parameters(proto))
    except OnnxLrpError:
        raise
    except Exception as e:  # onnx and onnx_ir raise whatever their parts raise
        raise InvalidModelError(f"the graph cannot be read: {first_line(e)}") from e
    attach(loaded, held)
    name = Path(model).stem if isinstance(model, (str, os.PathLike)) else loaded.graph.name
    source = Source(
        loaded, given.sha256, given.files, zipmaps=zipmaps, map_outputs=map_outputs, map_inputs=taken, held=held
    )
    source.name = name or "model"
    source.weights = {name_in(path, given.folder): path for path in given.weights}
    source.sparse, source.notes = sparse, [*notes, *more]
    source.opset = loaded.opset_imports.get("", OPSET)
    _standardise(source)
    return source


def _refuse_explained(proto: onnx.ModelProto) -> None:
    """Raise InvalidModelError if a model already computes relevance, because converting it again would explain that
    relevance."""
    try:
        interface = Interface.from_metadata({p.key: p.value for p in proto.metadata_props})
    except ValueError:
        return  # A model with invalid metadata of ours is read as an ordinary one.
    if interface is not None and set(interface.relevance.values()) <= {o.name for o in proto.graph.output}:
        raise InvalidModelError(
            f"the model is explained already (by onnxlrp {interface.version}, composite {interface.composite}): run it "
            "with onnxlrp.Explainer or `onnxlrp explain`, or convert the model that it was made from"
        )
    if interface is None and any(entry.key == RULE for node in proto.graph.node for entry in node.metadata_props):
        raise InvalidModelError(
            "the model is explained already: nodes of it come from onnxlrp, but another tool has removed onnxlrp's "
            "entries from its metadata. Convert the model that it was made from"
        )


def _without_graph_parameters(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Write out operators whose function body takes graphs as parameters, because onnx_ir's own inliner accepts
    none."""
    names = [("ai.onnx.preview", "FlexAttention")]
    if not any((n.domain, n.op_type) in names for n in proto.graph.node):
        return proto
    inferred = onnx.shape_inference.infer_shapes(proto)
    return onnx.inliner.inline_selected_functions(inferred, names, inline_schema_functions=True)


def is_score(value: ir.Value) -> bool:
    """Decide whether a value can be explained: a tensor of floats of 16 bits or more."""
    return isinstance(value.type, ir.TensorType) and value.dtype in _SCORES


@dataclasses.dataclass
class Parsed:
    """A model that was given in any form, as a ModelProto of our own whose external tensors are settled."""

    proto: onnx.ModelProto
    sha256: str
    files: list[Path]
    """The files that the model was read from."""
    weights: list[Path]
    """The files among them that hold its weights."""
    folder: Path | None
    """The folder beside whose model the weights lie."""
    held: HeldColumns
    """The columns of large tree ensembles, which the model does not hold any more."""


def parsed(model: Model) -> Parsed:
    """Give a model as a ModelProto of our own. Raises InvalidModelError if it is none."""
    if isinstance(model, ir.Model):
        copy = ir.serde.serialize_model(model)
        content = copy.SerializeToString(deterministic=True)
        copy, held = _without_columns(copy, content)
        folder = _folder(model)
        found = external_data.settle(copy, folder)
        return Parsed(copy, _sha256(content), found, found, folder, held)
    given = opened(model)
    if given is None:
        raise InvalidModelError(f"a model is a path, bytes, an onnx.ModelProto or an onnx_ir.Model, not {type(model)}")
    if given.content is None:
        content = given.proto.SerializeToString(deterministic=True)
        copy, held = _without_columns(given.proto, content)
        if copy is given.proto:
            copy = onnx.ModelProto()
            copy.CopyFrom(given.proto)
        return Parsed(copy, _sha256(content), [], [], None, held)
    files = [] if given.file is None else [Path(model).absolute(), *given.weights]  # type: ignore[arg-type]
    folder = None if given.file is None else given.file.parent
    return Parsed(given.proto, _sha256(given.content), files, [*given.weights], folder, given.held)


def _without_columns(proto: onnx.ModelProto, content: bytes) -> tuple[onnx.ModelProto, HeldColumns]:
    """Take the columns of large tree ensembles out of a model with this content; returns the model itself where it has
    none."""
    rest, held = take_out(content)
    return (onnx.ModelProto.FromString(rest) if held else proto), held


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _folder(model: ir.Model) -> Path | None:
    """Find the folder of an onnx_ir model's external tensors, which `onnx_ir.load` stores in them (except those in
    functions); None if there is none."""
    folders = {os.fspath(t.base_dir) for t in weights.every(model) if isinstance(t, ir.ExternalTensor)} - {""}
    if len(folders) > 1:
        raise InvalidModelError(
            f"the model's weights lie in {len(folders)} folders: save it with onnx_ir.save, and give that file's path"
        )
    return Path(folders.pop()) if folders else None


def first_line(e: BaseException) -> str:
    """Give the first line of the message of an error, or of its cause."""
    cause = e.__cause__ or e
    return (str(cause).strip().splitlines() or [type(cause).__name__])[0][:300]


def _take_zipmaps(proto: onnx.ModelProto) -> tuple[list[onnx.NodeProto], list[tuple[int, onnx.ValueInfoProto]]]:
    """Remove the ZipMap nodes from the model; the scores that feed them become outputs in their place."""
    zipmaps = [n for n in proto.graph.node if (n.domain, n.op_type) == ("ai.onnx.ml", "ZipMap")]
    by_output = {n.output[0]: n for n in zipmaps}
    taken = []
    for position, output in enumerate(list(proto.graph.output)):
        node = by_output.get(output.name)
        if node is not None:
            taken.append((position, onnx.ValueInfoProto.FromString(output.SerializeToString())))
            output.Clear()
            output.name = node.input[0]
    for node in zipmaps:
        proto.graph.node.remove(node)
    return zipmaps, taken


def _standardise(source: Source) -> None:
    model = source.model
    _settle_operators(model.graph)
    _describe_initializers(model)
    _check_graph(model)
    source.inputs = [Declared(str(v.name), v.type, v.shape) for v in model.graph.inputs]
    for value in model.graph.inputs:
        if value.shape is not None and any(map(_placeholder, value.shape)):
            value.shape = ir.Shape([f"{value.name}_{a}" if _placeholder(d) else d for a, d in enumerate(value.shape)])
    source.inner = {
        str(v.name): v.shape.copy() for n in model.graph.all_nodes() for v in n.outputs if v.shape is not None
    }
    source.outputs = [Declared(str(v.name), v.type, v.shape) for v in model.graph.outputs]
    made_plain = [v.name for v in model.graph.inputs if v.name in model.graph.initializers]
    passes.RemoveInitializersFromInputsPass()(model)
    if made_plain:
        source.notes.append(
            f"{len(made_plain)} initializers were also listed as inputs ({listed(made_plain[:3])}"
            f"{', …' if len(made_plain) > 3 else ''}): they are plain initializers now"
        )
    passes.NameFixPass()(model)
    _name_nodes(model)
    # Only computed outputs are inferred anew: an output that is an input or initializer keeps its shape.
    for output in model.graph.outputs:
        if output.producer() is not None:
            output.shape = None
    to_opset(model)
    attach(model, source.held)
    passes.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    for output, declared in zip(model.graph.outputs, source.outputs, strict=True):
        is_computed = output.producer() is not None
        if is_computed and declared.shape is not None and isinstance(declared.type, ir.TensorType):
            output.shape = ir.Shape([None] * len(declared.shape))
    infer(model)
    check_sizes(model)
    _note_wrong_outputs(source)


def _placeholder(dim: int | ir.SymbolicDim) -> bool:
    """Decide whether a size only says that it varies. Some exporters leave it empty, some write −1, and some write the
    same question mark for every such size, which does not make these sizes equal."""
    return dim < 0 if isinstance(dim, int) else dim.value in (None, "?")


def _note_wrong_outputs(source: Source) -> None:
    """Note each output whose declared type or shape is wrong."""
    names = {d.value for v in source.model.graph.inputs for d in v.shape or () if isinstance(d, ir.SymbolicDim)}
    invented = {f"{v.name}_{a}" for v in source.inputs for a, size in enumerate(v.shape or ()) if _placeholder(size)}
    for declared, value in zip(source.outputs, source.model.graph.outputs, strict=True):
        if declared.type is not None and value.type is not None and declared.type != value.type:
            source.notes.append(f"output {value.name!r} is declared {declared.type}, but is {value.type}")
        if declared.shape is None or value.shape is None:
            continue
        said, found = list(declared.shape), list(value.shape)
        if len(said) != len(found) or any(_differs(d, f, names) for d, f in zip(said, found, strict=True)):
            shown = ",".join("?" if str(size) in invented else str(size) for size in found)
            source.notes.append(f"output {value.name!r} is declared {declared.shape}, but is [{shown}]")


def _differs(declared: int | ir.SymbolicDim, found: int | ir.SymbolicDim, names: Collection[str | None]) -> bool:
    """Decide whether a size is declared as a number but is another number, or is a size of an input that varies
    (skl2onnx declares [1, 4] downstream of a Normalizer of any number of rows)."""
    if not isinstance(declared, int):
        return False
    return found != declared if isinstance(found, int) else found.value in names


def _describe_initializers(model: ir.Model) -> None:
    """Give initializers the type and shape of their tensors, whatever the file declares for them."""
    for graph in (model.graph, *model.graph.subgraphs()):
        for value in graph.initializers.values():
            if value.const_value is not None:
                value.type = ir.TensorType(value.const_value.dtype)
                value.shape = ir.Shape(list(value.const_value.shape.numpy()))


def _settle_operators(graph: ir.Graph) -> None:
    """Give every operator its one domain and an imported version; refuse operators whose names no message could quote
    on a line."""
    imports = graph.opset_imports
    if "ai.onnx" in imports:
        imports.setdefault("", imports.pop("ai.onnx"))
    imports.setdefault("", OPSET)
    for node in graph.all_nodes():
        if node.domain == "ai.onnx":
            node.domain = ""
        # onnxruntime puts an operator of its own into the default domain, and runs some that ONNX has dropped.
        if node.domain == "" and node.op_type in ("SimplifiedLayerNormalization", *EXPERIMENTS):
            node.domain = "com.microsoft"
        # onnxruntime's tools leave the import out for the operators that they fuse.
        imports.setdefault(node.domain, 1)
        if not (node.domain + node.op_type).isprintable():
            raise InvalidModelError(
                f"node {node.name!r} is of the operator {node.domain + '::' + node.op_type!r}: the name of an operator "
                "holds no control characters"
            )


def _check_graph(model: ir.Model) -> None:
    """Refuse a graph with a cycle, with a value that nothing computes, or with a default-domain operator that does not
    exist."""
    graph = model.graph
    try:
        graph.sort()
    except ValueError as e:
        raise InvalidModelError(f"the graph has a cycle: {_cycle(graph)}") from e
    known = {id(v) for v in graph.inputs} | {id(v) for v in graph.initializers.values()}
    for value in graph.outputs:
        if value.producer() is None and id(value) not in known:
            raise InvalidModelError(f"the output {value.name!r} is computed by no node")
    for node in graph:
        for operand in node.inputs:
            if operand is not None and operand.producer() is None and id(operand) not in known:
                raise InvalidModelError(
                    f"{node.op_type} node {node.name!r} reads {operand.name!r}, which nothing computes"
                )
    opset = graph.opset_imports[""]
    for node in graph.all_nodes():
        if node.domain == "" and not onnx.defs.has(node.op_type, domain=""):
            raise InvalidModelError(
                f"node {node.name!r}: ai.onnx::{node.op_type} (opset {opset}) is no operator of ONNX; "
                "was it meant for another domain?"
            )


def _cycle(graph: ir.Graph) -> str:
    links = nx.DiGraph()
    for node in graph:
        for value in node.inputs:
            if value is not None and value.producer() is not None:
                links.add_edge(value.producer(), node)
    nodes = [edge[0] for edge in nx.find_cycle(links)]
    return " → ".join(escaped(f"{n.op_type} {n.name or '(no name)'}") for n in nodes[:6])


def _name_nodes(model: ir.Model) -> None:
    """Name each node that has no name, or a name that is taken, by its operator and position."""
    taken: set[str] = set()
    for index, node in enumerate(model.graph.all_nodes()):
        if not node.name or node.name in taken:
            node.name = f"{node.op_type}_{index}"
        taken.add(node.name)
