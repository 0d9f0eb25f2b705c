"""Bring a model to opset 21: what is older is lifted here, what is newer is lowered by the library where it can."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

import onnx
import onnx_ir as ir
from onnxscript.version_converter import ConvertVersionPass

from onnxlrp.errors import InvalidModelError
from onnxlrp.source.decompose import decompose, has_decomposed
from onnxlrp.source.inference import infer
from onnxlrp.source.old_operators import lift

OPSET = 21
"""The default-domain version that models are brought to; a newer one that cannot be lowered is kept."""
_IR_VERSION = 10
_FIRST = 7
"""The oldest opset that onnxruntime runs, and whose operators are lifted here."""
_OF_ANOTHER = "onnxlrp.opset."
"""Domains of the nodes of local functions that import another opset than the model, one for each opset."""


def to_opset(model: ir.Model) -> None:
    """Lift to opset 21, or lower where the library can; a newer model that it cannot lower keeps its opset.

    In between, what is several operators in one is written out.
    """
    if model.graph.opset_imports[""] < _FIRST:
        _convert_version(model, _FIRST)
    _lift(model)
    before = model.graph.opset_imports[""]
    while has_decomposed(model):
        decompose(model)
    if before > OPSET:
        # The library raises what it likes; only the resulting opset counts.
        with contextlib.suppress(InvalidModelError):
            _convert_version(model, OPSET)
    lowered = model.graph.opset_imports[""] <= OPSET
    model.ir_version = _IR_VERSION if lowered else max(model.ir_version, _IR_VERSION)


def keep_opsets(proto: onnx.ModelProto) -> None:
    """Move the nodes of local functions whose opset is not the model's to a domain that says which one it is, so that
    each is lifted from its own once the functions are inlined."""
    imported = {o.domain: o.version for o in proto.opset_import}
    own = imported.get("", imported.get("ai.onnx", OPSET))
    for function in proto.functions:
        for entry in function.opset_import:
            if entry.domain in ("", "ai.onnx") and entry.version != own:
                for node in _all_nodes(function.node):
                    if node.domain == entry.domain:
                        node.domain = f"{_OF_ANOTHER}{entry.version}"
                entry.domain, entry.version = f"{_OF_ANOTHER}{entry.version}", 1


def _all_nodes(nodes: Iterator[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    """Nodes, and those of their bodies."""
    for node in nodes:
        yield node
        for attribute in node.attribute:
            yield from _all_nodes(attribute.g.node)


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


def _convert_version(model: ir.Model, target: int) -> None:
    """Convert by the library; raises InvalidModelError where it cannot."""
    before = model.graph.opset_imports[""]
    noisy = logging.getLogger("onnxscript"), logging.getLogger("onnx_ir")
    levels = [logger.level for logger in noisy]
    for logger in noisy:
        logger.setLevel(logging.CRITICAL)
    failure = ""
    try:
        ConvertVersionPass(target, fallback=True)(model)
    except Exception as e:  # The converters raise what they like.
        failure = f": {e}".splitlines()[0][:300]
    finally:
        for logger, level in zip(noisy, levels, strict=True):
            logger.setLevel(level)
    if model.graph.opset_imports[""] != target:
        raise InvalidModelError(
            f"opset {before} cannot be converted to {target}{failure}: convert it with onnx.version_converter first, "
            "or export the model anew"
        )
