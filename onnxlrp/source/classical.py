"""Types and shapes behind ai.onnx.ml's operators, most of which ONNX has no inference for."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import onnx_ir as ir

from onnxlrp.graph.call import Call

DOMAIN = "ai.onnx.ml"
_FLOAT, _INT, _STRING = ir.DataType.FLOAT, ir.DataType.INT64, ir.DataType.STRING


def infer_classical(node: ir.Node) -> None:
    """Set what is open of the outputs of such a node."""
    call, x = Call.of(node), node.inputs[0]
    if x is None or node.op_type not in _OUTPUTS:
        return
    for value, (dtype, columns) in zip(node.outputs, _OUTPUTS[node.op_type](call), strict=False):
        # What inference has half found (a type that it takes to be undefined) is set anew.
        value.type = ir.TensorType(dtype) if dtype is not None else value.type
        if value.shape is None and columns is None:
            value.shape = x.shape
        elif value.shape is None and columns is not None:
            value.shape = ir.Shape([_samples(x), *columns])


_Output = tuple[ir.DataType | None, Sequence[int] | None]
"""The type of an output and the axes behind the samples; None: the operand's own."""


def _samples(x: ir.Value) -> int | ir.SymbolicDim | None:
    if x.shape is None:
        return None
    return 1 if len(x.shape) < 2 else x.shape[0]


def _label(call: Call) -> ir.DataType:
    return _STRING if call.attr("classlabels_strings") else _INT


def _same(call: Call) -> list[_Output]:
    return [(call.operand(0).dtype, None)]


def _float(call: Call) -> list[_Output]:
    return [(_FLOAT, None)]


def _encoder(call: Call) -> list[_Output]:
    """The first version goes between strings and integers; later ones name what they put in."""
    dtype = call.operand(0).dtype
    table = call.attr("values_tensor")
    if table is not None:
        dtype = table.dtype
    elif "classes_strings" in call.attributes:
        dtype = _INT if dtype == _STRING else _STRING
    else:
        kinds = {"values_strings": _STRING, "values_int64s": _INT, "values_floats": _FLOAT}
        dtype = next((kind for name, kind in kinds.items() if name in call.attributes), None)
    return [(dtype, None)]


def _classes(call: Call) -> int:
    return max(len(call.attr(f"classlabels_{kind}", ())) for kind in ("ints", "int64s", "strings"))


def _support_vectors(call: Call) -> list[_Output]:
    """Scores of pairs of classes, unless they are made probabilities or there are no support vectors."""
    count = _classes(call)
    pairs = "vectors_per_class" in call.attributes and not call.attr("prob_a", ())
    return [(_label(call), ()), (_FLOAT, (count * (count - 1) // 2 if pairs and count > 2 else count,))]


_OUTPUTS: dict[str, Callable[[Call], list[_Output]]] = {
    "Scaler": _float,
    "Normalizer": _float,
    "Imputer": _same,
    "LabelEncoder": _encoder,
    "FeatureVectorizer": lambda call: [(_FLOAT, (sum(call.ints("inputdimensions", ())),))],
    "LinearRegressor": lambda call: [(_FLOAT, (int(call.attr("targets", 1)),))],
    "LinearClassifier": lambda call: [(_label(call), ()), (_FLOAT, (_classes(call),))],
    "SVMRegressor": lambda call: [(_FLOAT, (1,))],
    "SVMClassifier": _support_vectors,
    "TreeEnsembleRegressor": lambda call: [(_FLOAT, (int(call.attr("n_targets", 1)),))],
    "TreeEnsembleClassifier": lambda call: [(_label(call), ()), (_FLOAT, (_classes(call),))],
}
"""What comes out of the operators that ONNX leaves open."""
