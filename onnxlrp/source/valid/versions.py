"""Check that the version of the file format and those of the operator sets exist."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import onnx

from onnxlrp.source.valid.refusal import refusal

_NEWER = "update onnx, or export the model for an older version"


def imported(opsets: Iterable[onnx.OperatorSetIdProto]) -> dict[str, int]:
    """Give the versions of operator sets by domain."""
    return {"" if o.domain == "ai.onnx" else o.domain: o.version for o in opsets}


def check(proto: onnx.ModelProto) -> None:
    """Raise InvalidModelError if a version does not exist."""
    newest = int(onnx.IR_VERSION)
    if not 0 <= proto.ir_version <= newest:
        raise refusal(f"its IR version is {proto.ir_version}, and the newest one that onnx knows is {newest}", _NEWER)
    if not proto.opset_import:
        raise refusal("it does not say which operator set it is written for")
    _check_opsets(proto.opset_import, "the model")
    for function in proto.functions:
        _check_opsets(function.opset_import, f"the function {function.name!r}")


def _check_opsets(opsets: Iterable[onnx.OperatorSetIdProto], owner: str) -> None:
    for opset in opsets:
        _check_version("" if opset.domain == "ai.onnx" else opset.domain, opset.version, owner)


def _check_version(domain: object, version: int, owner: str) -> None:
    if not isinstance(domain, str):
        raise refusal(f"the name of an operator set that {owner} imports is no UTF-8 text")
    newest = _newest().get(domain)
    if newest is not None and not 1 <= version <= newest:
        raise refusal(
            f"{owner} imports version {version} of the operator set {domain or 'ai.onnx'}, which onnx "
            f"{onnx.__version__} knows up to {newest}",
            _NEWER,
        )


def _newest() -> Mapping[str, int]:
    """Give the newest version of each operator set that onnx knows."""
    return {"": onnx.defs.onnx_opset_version(), "ai.onnx.ml": max(row[3] for row in onnx.helper.VERSION_TABLE)}
