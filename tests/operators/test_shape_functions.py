"""Types and shapes downstream of ai.onnx.ml's operators are those that come out, in old models and new."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from onnxlrp.source.read import read
from tests.operators.case import onnxruntime
from tests.operators.draws.classical import Drawing, by_numbers, model, node

FLOAT, INT, STRING = TensorProto.FLOAT, TensorProto.INT64, TensorProto.STRING
MACHINE = {"rho": [0.1, 0.2, 0.3], "kernel_params": [0.5, 0.0, 2.0], "kernel_type": "RBF"}
WEIGHTS = np.linspace(-1, 1, 12).tolist()
TREES = Drawing(targets=range(3)).forest(np.random.default_rng(0), 2)
NODES = {
    "Normalizer": {"norm": "L2"},
    "Imputer": {"imputed_value_floats": [0.5], "replaced_value_float": 0.0},
    "Binarizer": {},
    "LabelEncoder": {"keys_floats": [0.0], "values_strings": ["zero"]},
    "SVMRegressor": MACHINE | {"coefficients": [1.0, 2.0], "support_vectors": WEIGHTS[:8], "n_supports": 2},
    "SVMClassifier": MACHINE
    | {"coefficients": WEIGHTS[:6], "support_vectors": WEIGHTS, "vectors_per_class": [1, 1, 1]}
    | {"classlabels_ints": [1, 2, 3]},
    "TreeEnsembleRegressor": {"n_targets": 3} | by_numbers(TREES, "target"),
    "TreeEnsembleClassifier": {"classlabels_strings": ["a", "b", "c"]} | by_numbers(TREES, "class"),
}


def checked(source: onnx.ModelProto, x: np.ndarray) -> None:
    """Every value of the model as it was read, against a run."""
    read_model = read(source).model
    found = onnxruntime(source)({"x": x})
    for value in read_model.graph.outputs:
        kind = helper.np_dtype_to_tensor_dtype(found[value.name].dtype) if found[value.name].dtype != object else STRING
        assert value.dtype == kind, value.name
        assert value.shape is not None
        assert len(value.shape) == found[value.name].ndim
        assert value.shape[0] == "N" or found[value.name].ndim == 0
        assert list(value.shape)[1:] == list(found[value.name].shape)[1:], value.name


# LabelEncoder's first version knows words and integers only.
@pytest.mark.parametrize(
    ("operator", "version"), [(o, v) for o in NODES for v in (1, 3) if (o, v) != ("LabelEncoder", 1)]
)
def test_outputs(operator, version):
    outputs = ["label", "y"] if "Classifier" in operator else ["y"]
    kinds = {"label": STRING if "Tree" in operator else INT, "y": STRING if operator == "LabelEncoder" else FLOAT}
    nodes = [node(operator, ["x"], outputs, **NODES[operator]), helper.make_node("Relu", ["x"], ["float"])]
    wanted = {name: kinds[name] for name in outputs} | {"float": FLOAT}
    source = model(nodes, {"x": (FLOAT, ["N", 4])}, wanted, version=version)
    checked(source, np.zeros((2, 4), np.float32))


def test_words_become_integers():
    """LabelEncoder's first version names no output type."""
    encoder = node("LabelEncoder", ["x"], ["y"], classes_strings=["a", "b"])
    nodes = [encoder, helper.make_node("Cast", ["y"], ["z"], to=FLOAT)]
    source = model(nodes, {"x": (STRING, ["N", 2])}, {"y": INT, "z": FLOAT}, version=1)
    checked(source, np.array([["a", "b"]], object))


def test_a_table_of_doubles():
    table = {"keys_tensor": np.array([1, 2]), "values_tensor": np.array([0.5, 0.25])}
    encoder = node("LabelEncoder", ["x"], ["y"], **{k: numpy_helper.from_array(v, k) for k, v in table.items()})
    checked(model([encoder], {"x": (INT, ["N", 2])}, {"y": TensorProto.DOUBLE}, version=4), np.array([[1, 2]]))
