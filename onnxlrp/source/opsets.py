"""Bring a model to opset 21: older operators are lifted here, newer ones are lowered by the library if it can."""

from __future__ import annotations

import contextlib

import onnx
import onnx_ir as ir
from onnx import helper
from onnxscript.version_converter import ConvertVersionPass

from onnxlrp.errors import InvalidModelError
from onnxlrp.source.decompose import decompose, has_decomposed
from onnxlrp.source.inference import infer
from onnxlrp.source.loggers import silenced
from onnxlrp.source.old_operators import lift
from onnxlrp.source.valid.inner import every_node

OPSET = 21
"""The version of ONNX's default domain that models are brought to; a model that is newer and cannot be lowered keeps
its version."""
_IR_VERSION = 10
_FIRST = 7
"""The oldest opset that onnxruntime runs, and the oldest whose operators are lifted here; the library converts older
models to this opset first."""
_DEFAULT = ("", "ai.onnx")
_OF_ANOTHER = "onnxlrp.opset."
"""Prefix of the domains of nodes of local functions that import another opset than the model; each opset has its own
domain."""


def to_opset(model: ir.Model) -> None:
    """Lift a model to opset 21, or lower it if the library can; a newer model that the library cannot lower keeps its
    opset.

    Between lifting and lowering, operators that are compositions of others are written out.
    """
    if model.graph.opset_imports[""] < _FIRST:
        _refuse_misplaced(model)
        _convert_version(model, _FIRST)
    _lift(model)
    before = model.graph.opset_imports[""]
    while has_decomposed(model):
        decompose(model)
    if before > OPSET and _exists_at_the_target(model):
        # The library raises exceptions of many kinds; only the resulting opset counts.
        with contextlib.suppress(InvalidModelError):
            _convert_version(model, OPSET)
    lowered = model.graph.opset_imports[""] <= OPSET
    model.ir_version = _IR_VERSION if lowered else max(model.ir_version, _IR_VERSION)


def _refuse_misplaced(model: ir.Model) -> None:
    """Refuse operands that the library lifts wrongly: below opset 7, `axis` could place a smaller operand along an
    axis."""
    for node in model.graph.all_nodes():
        if node.domain == "" and "broadcast" in node.attributes and "axis" in node.attributes:
            raise InvalidModelError(
                f"{node.op_type} node {node.name!r} places an operand along an axis, as only opsets below {_FIRST} do "
                f"(this is {model.graph.opset_imports['']}): export the model anew"
            )


def keep_opsets(proto: onnx.ModelProto) -> None:
    """Let local functions keep their own opset, before they are inlined, if the model's opset does not have all of
    their nodes.

    onnxruntime (1.31) inlines a function as if it were written in the model's opset, which gives the function its
    meaning if every node is valid in that opset. If a node is not, onnxruntime does not run the file, and the function
    has the meaning that ONNX gives it: its nodes move to a domain that records their opset, from which each node is
    lifted.
    """
    imported = {o.domain: o.version for o in proto.opset_import}
    own = imported.get("", imported.get("ai.onnx", OPSET))
    others = [(f, o) for f in proto.functions for o in f.opset_import if o.domain in _DEFAULT and o.version != own]
    nodes = [n for f, _ in others for n in every_node(f.node) if n.domain in _DEFAULT]
    if all(_is_valid(n, own) for n in nodes):
        return
    for function, entry in others:
        domain = f"{_OF_ANOTHER}{entry.version}"
        for node in every_node(function.node):
            if node.domain in _DEFAULT:
                node.domain = domain
        entry.domain, entry.version = domain, 1


def _is_valid(node: onnx.NodeProto, opset: int) -> bool:
    """Decide whether an opset knows a node's operator with the node's attributes and its numbers of operands and
    outputs."""
    if not onnx.defs.has(node.op_type, max_inclusive_version=opset, domain=""):
        return False
    schema = onnx.defs.get_schema(node.op_type, opset, "")
    given = {a.name for a in node.attribute}
    required = {name for name, a in schema.attributes.items() if a.required}
    return (
        not schema.deprecated
        and required <= given <= set(schema.attributes)
        and schema.min_input <= len(node.input) <= schema.max_input
        and schema.min_output <= len(node.output) <= schema.max_output
    )


def _lift(model: ir.Model) -> None:
    """Lift every node from the opset that it was written for."""
    opset = model.graph.opset_imports[""]
    newest, rest = max(OPSET, opset), []
    for node in list(model.graph.all_nodes()):
        version = opset if node.domain == "" else 0
        if node.domain.startswith(_OF_ANOTHER):
            version = int(node.domain.removeprefix(_OF_ANOTHER))
            node.domain = ""
        newest = max(newest, version)
        node.version = None
        if version:
            rest.append(lift(node, version))
    for domain in [d for d in model.graph.opset_imports if d.startswith(_OF_ANOTHER)]:
        del model.graph.opset_imports[domain]
    model.graph.opset_imports[""] = newest
    finishing = [finish for finish in rest if finish is not None]
    if finishing:
        infer(model)
    for finish in finishing:
        finish()


def _exists_at_the_target(model: ir.Model) -> bool:
    """Decide whether opset 21 has all operators' attributes. Those that change nothing are removed, because the library
    leaves attributes as they are."""
    for node in model.graph.all_nodes():
        if node.domain != "" or not onnx.defs.has(node.op_type, max_inclusive_version=OPSET, domain=""):
            continue
        known = onnx.defs.get_schema(node.op_type, OPSET, "").attributes
        for name in [n for n in node.attributes if n not in known]:
            if not _changes_nothing(node, name):
                return False
            del node.attributes[name]
    return True


def _changes_nothing(node: ir.Node, name: str) -> bool:
    """Decide whether an attribute has the value that the operator uses without it."""
    if name == "round_mode":
        # Only casts to one type use this attribute, and opset 21 lacks that type.
        to = node.attributes.get("to")
        kind = node.inputs[1].dtype if to is None and node.inputs[1] is not None else to and to.as_int()
        return kind not in (None, ir.DataType.FLOAT8E8M0)
    declared = onnx.defs.get_schema(node.op_type, "").attributes.get(name)
    if declared is None or not declared.default_value.type:
        return False
    value = node.attributes[name].value
    return helper.get_attribute_value(declared.default_value) == (value.encode() if isinstance(value, str) else value)


def _convert_version(model: ir.Model, target: int) -> None:
    """Convert the model with the library; raises InvalidModelError if that fails."""
    before, failure = model.graph.opset_imports[""], ""
    try:
        with silenced("onnxscript", "onnx_ir"):
            ConvertVersionPass(target, fallback=True)(model)
    except Exception as e:  # The converters raise exceptions of many kinds.
        failure = f": {e}".splitlines()[0][:300]
    if model.graph.opset_imports[""] != target:
        raise InvalidModelError(
            f"opset {before} cannot be converted to {target}{failure}: convert it with onnx.version_converter first, "
            "or export the model anew"
        )
