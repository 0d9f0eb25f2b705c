"""Columns that are held outside of a model: the explained file has the same bytes, and what is wrong is refused."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

import onnxlrp
from onnxlrp.errors import InvalidModelError
from onnxlrp.trees import held_columns
from tests.source.valid.test_trees import changed
from tests.trees.test_members import members

ML = "ai.onnx.ml"


def regressor(y: str = "y", **more: object) -> onnx.NodeProto:
    """Two trees of three nodes, with lists."""
    columns = {
        "nodes_treeids": [0, 0, 0, 1, 1, 1],
        "nodes_nodeids": [0, 1, 2] * 2,
        "nodes_featureids": [0, 0, 0, 1, 0, 0],
        "nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF", "BRANCH_GT", "LEAF", "LEAF"],
        "nodes_truenodeids": [1, 0, 0] * 2,
        "nodes_falsenodeids": [2, 0, 0] * 2,
        "nodes_values": [0.5, 0.0, 0.0, -0.25, 0.0, 0.0],
        "nodes_hitrates": [4.0, 3.0, 1.0, 4.0, 2.0, 2.0],
        "target_treeids": [0, 0, 1, 1],
        "target_nodeids": [1, 2, 1, 2],
        "target_ids": [0] * 4,
        "target_weights": [1.0, -2.0, 0.5, 3.0],
    }
    return helper.make_node(
        "TreeEnsembleRegressor", ["x"], [y], f"trees of {y}", None, ML, n_targets=1, **columns | more
    )


def doubles() -> onnx.NodeProto:
    """The same, with tensors of doubles."""
    node = regressor()
    for name in ("nodes_values", "target_weights", "nodes_hitrates"):
        (old,) = (a for a in node.attribute if a.name == name)
        tensor = numpy_helper.from_array(np.array(old.floats, np.float64))
        node.attribute.remove(old)
        node.attribute.append(helper.make_attribute(f"{name}_as_tensor", tensor))
    return node


def classifier() -> onnx.NodeProto:
    """The same as a classifier of two classes with one score."""
    node = regressor()
    for attribute in node.attribute:
        attribute.name = attribute.name.replace("target_", "class_")
    kept = [a for a in node.attribute if a.name != "n_targets"]
    del node.attribute[:]
    labels = {"classlabels_int64s": [0, 1], "post_transform": "LOGISTIC"}
    node.attribute.extend([*kept, *(helper.make_attribute(k, v) for k, v in labels.items())])
    node.op_type, node.output[:] = "TreeEnsembleClassifier", ["label", "y"]
    return node


def model(*nodes: onnx.NodeProto, opset: int = 17, dtype: int = TensorProto.FLOAT, columns: int = 1, **more: object):
    ends = [("x", dtype, ["N", 2]), ("y", TensorProto.FLOAT, ["N", columns])]
    graph = helper.make_graph(nodes, "held", *([helper.make_tensor_value_info(*end)] for end in ends))
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid(ML, 3), helper.make_opsetid("own", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8, **more)


def in_body() -> onnx.ModelProto:
    """The trees in both branches of an If."""
    body = helper.make_graph([regressor()], "body", [], [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)])
    other = helper.make_graph(
        [regressor("z")], "other", [], [helper.make_tensor_value_info("z", TensorProto.FLOAT, None)]
    )
    first = [helper.make_node("ReduceSum", ["x"], ["s"], keepdims=0), helper.make_node("Cast", ["s"], ["b"], to=9)]
    return model(*first, helper.make_node("If", ["b"], ["y"], then_branch=body, else_branch=other))


def in_function() -> onnx.ModelProto:
    """The trees in a local function."""
    opsets = [helper.make_opsetid(ML, 3)]
    function = helper.make_function("own", "F", ["x"], ["y"], [regressor()], opsets)
    return model(helper.make_node("F", ["x"], ["y"], domain="own"), functions=[function])


MODELS = {
    "lists": lambda: model(regressor()),
    "doubles": lambda: model(doubles(), dtype=TensorProto.DOUBLE),
    "one score": lambda: model(classifier(), columns=2),
    "two equal nodes": lambda: model(regressor("a"), regressor("b"), helper.make_node("Add", ["a", "b"], ["y"])),
    "no missing values": lambda: model(regressor(nodes_missing_value_tracks_true=[0] * 6)),
    "missing values": lambda: model(regressor(nodes_missing_value_tracks_true=[1, 0, 0, 0, 0, 0])),
    "opset 6": lambda: model(regressor(), opset=6),
    "opset 23": lambda: model(regressor(), opset=23),
    "sets": lambda: members([[1.0, 2.0], [40.0]], [0, 0]),
    "in a body": in_body,
    "in a function": in_function,
}


@pytest.mark.parametrize("name", MODELS)
def test_the_same_bytes(name, monkeypatch, tmp_path):
    proto = MODELS[name]()
    content = proto.SerializeToString(deterministic=True)
    wanted = onnxlrp.convert(proto)
    monkeypatch.setattr(held_columns, "LARGE", 0)
    rest, held = held_columns.take_out(content)
    assert held and b"".join(held.put_back(rest)) == content
    forms = {
        "proto": proto,
        "bytes": content,
        "ir": ir.serde.deserialize_model(proto),
        "path": tmp_path / "source.onnx",
    }
    forms["path"].write_bytes(content)
    for form, source in forms.items():
        found = onnxlrp.convert(source)
        if form != "ir":  # which has other names and bytes than the file
            assert found.interface == wanted.interface
            assert found.to_proto() == wanted.to_proto()
        found.save(tmp_path / "explained.onnx")
        assert onnx.load(tmp_path / "explained.onnx") == found.to_proto()
    assert proto.SerializeToString(deterministic=True) == content


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"nodes_featureids": [0, 0, 0, 2, 0, 0]}, "reads column 2"),
        ({"nodes_featureids": [0] * 5}, "different lengths"),
        ({"nodes_modes": ["LEAF"] * 5 + ["leaf"]}, "'leaf', which are not modes of nodes"),
        ({"target_ids": [0, 0, 0, 1]}, "its target_ids are not all from 0 to 0"),
        ({"target_weights": [1.0] * 3}, "different lengths"),
        ({"nodes_truenodeids": [7, 0, 0] * 2}, "names a node that it does not have"),
    ],
)
def test_what_is_wrong_in_held_columns(attributes, words, monkeypatch):
    monkeypatch.setattr(held_columns, "LARGE", 0)
    with pytest.raises(InvalidModelError, match=words):
        onnxlrp.convert(model(regressor(**attributes)))


@pytest.mark.parametrize("large", [0, 2**20])
@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"leaf_targetids": [0, 1, -1]}, "its leaf_targetids are not all from 0 to 2"),
        ({"nodes_falseleafs": [0]}, "the length of its nodes_falseleafs is 1, and its table has 2 rows"),
        ({"nodes_missing_value_tracks_true": [0]}, "the length of its nodes_missing_value_tracks_true is 1"),
        ({"nodes_hitrates": numpy_helper.from_array(np.ones(3, np.float32))}, "the length of its nodes_hitrates is 3"),
        ({"nodes_modes": numpy_helper.from_array(np.array([0, 7], np.uint8))}, "nodes_modes are not all from 0 to 6"),
    ],
)
def test_what_is_wrong_in_tables(attributes, words, large, monkeypatch):
    monkeypatch.setattr(held_columns, "LARGE", large)
    with pytest.raises(InvalidModelError, match=words):
        onnxlrp.convert(changed(members([[1.0], [2.0]], [0, 0]), **attributes))


@pytest.mark.parametrize("cut", [1, 40, 200])
def test_a_file_that_is_cut_off(cut, monkeypatch):
    monkeypatch.setattr(held_columns, "LARGE", 0)
    with pytest.raises(InvalidModelError, match="was cut off"):
        onnxlrp.convert(model(regressor()).SerializeToString()[:-cut])


def test_small_nodes_are_left_alone():
    content = model(regressor()).SerializeToString()
    rest, held = held_columns.take_out(content)
    assert rest is content and not held
