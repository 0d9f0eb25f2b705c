"""Models whose weights lie in a file of their own, named in any place of a model that can hold a tensor."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import onnxlrp

W = np.random.default_rng(0).normal(size=(400, 3)).astype(np.float32)
X = np.random.default_rng(1).normal(size=(5, 400)).astype(np.float32)
SIZE = W.nbytes
OPSETS = [helper.make_opsetid("", 17), helper.make_opsetid("my.domain", 1)]


def external(
    location: str | None = "w.bin", dtype: int = TensorProto.FLOAT, dims: object = (400, 3), **entries: object
):
    """A tensor that lies in another file."""
    tensor = TensorProto(name="w", data_type=dtype, dims=dims, data_location=TensorProto.EXTERNAL)
    if location is not None:
        tensor.external_data.add(key="location", value=location)
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=str(value))
    return tensor


def info(name: str, shape: list) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def product() -> onnx.NodeProto:
    return helper.make_node("MatMul", ["x", "w"], ["y"], "product")


def model(nodes: list[onnx.NodeProto], initializers: list[TensorProto] = [], functions: list = []):  # noqa: B006
    graph = helper.make_graph(nodes, "g", [info("x", ["N", 400])], [info("y", ["N", 3])], initializers)
    return helper.make_model(graph, opset_imports=OPSETS, ir_version=8, functions=functions)


def inside() -> TensorProto:
    return onnx.numpy_helper.from_array(W, "w")


def initializer(tensor: TensorProto) -> onnx.ModelProto:
    return model([product()], [tensor])


def constant(tensor: TensorProto) -> onnx.ModelProto:
    return model([helper.make_node("Constant", [], ["w"], "c", value=tensor), product()])


def choice(nodes: list[onnx.NodeProto], initializers: list[TensorProto]) -> onnx.ModelProto:
    """A choice whose one branch is as given, and whose other is a copy that needs no file."""
    here = helper.make_graph(nodes, "then", [], [info("y", ["N", 3])], initializers)
    other = helper.make_graph([product()], "else", [], [info("y", ["N", 3])], [inside()])
    which = helper.make_node("Constant", [], ["which"], value=onnx.numpy_helper.from_array(np.array(True)))
    return model([which, helper.make_node("If", ["which"], ["y"], "fork", then_branch=here, else_branch=other)])


def branch_initializer(tensor: TensorProto) -> onnx.ModelProto:
    return choice([product()], [tensor])


def branch_constant(tensor: TensorProto) -> onnx.ModelProto:
    return choice([helper.make_node("Constant", [], ["w"], "c", value=tensor), product()], [])


def calling(nodes: list[onnx.NodeProto]) -> tuple[onnx.ModelProto, onnx.FunctionProto]:
    function = helper.make_function("my.domain", "Times", ["x"], ["y"], nodes, OPSETS[:1])
    found = model([helper.make_node("Times", ["x"], ["y"], domain="my.domain")], functions=[function])
    return found, found.functions[0]


def function_constant(tensor: TensorProto) -> onnx.ModelProto:
    return calling([helper.make_node("Constant", [], ["w"], "c", value=tensor), product()])[0]


def function_default(tensor: TensorProto) -> onnx.ModelProto:
    """A function's attribute whose default is a tensor."""
    node = helper.make_node("Constant", [], ["w"], "c")
    node.attribute.add(name="value", ref_attr_name="weights", type=onnx.AttributeProto.TENSOR)
    proto, function = calling([node, product()])
    function.attribute_proto.append(helper.make_attribute("weights", tensor))
    return proto


def several(tensor: TensorProto) -> onnx.ModelProto:
    """A list of tensors, in an attribute that the operator does not have."""
    node = product()
    node.attribute.append(helper.make_attribute("more", [inside(), tensor]))
    return model([node], [inside()])


def mistyped(tensor: TensorProto) -> onnx.ModelProto:
    """A tensor in an attribute that says that it is a number."""
    node = product()
    node.attribute.add(name="odd", type=onnx.AttributeProto.INT, t=tensor)
    return model([node], [inside()])


def sparse(tensor: TensorProto, as_indices: bool = False) -> onnx.SparseTensorProto:
    whole = onnx.SparseTensorProto(dims=[400, 3])
    whole.values.CopyFrom(inside() if as_indices else tensor)
    whole.indices.CopyFrom(tensor if as_indices else onnx.numpy_helper.from_array(np.arange(1200), "w"))
    return whole


def sparse_values(tensor: TensorProto) -> onnx.ModelProto:
    node = helper.make_node("Constant", [], ["w"], "c", sparse_value=sparse(tensor))
    return model([node, product()])


def sparse_indices(tensor: TensorProto) -> onnx.ModelProto:
    node = helper.make_node("Constant", [], ["w"], "c", sparse_value=sparse(tensor, as_indices=True))
    return model([node, product()])


def sparse_initializer(tensor: TensorProto) -> onnx.ModelProto:
    proto = model([product()])
    proto.graph.sparse_initializer.append(sparse(tensor))
    return proto


def training(tensor: TensorProto) -> onnx.ModelProto:
    proto = model([product()], [inside()])
    proto.training_info.add().algorithm.initializer.append(tensor)
    return proto


PLACES: dict[Callable[[TensorProto], onnx.ModelProto], str] = {
    initializer: "the weights of 'w'",
    constant: "'value' of Constant node 'c'",
    branch_initializer: "'w', in the then_branch of If node 'fork'",
    branch_constant: "'value' of Constant node 'c', in the then_branch of If node 'fork'",
    function_constant: "'value' of Constant node 'c', in function my.domain::Times",
    function_default: "'weights' of Times node '', in function my.domain::Times",
    several: "'more' of MatMul node 'product'",
    mistyped: "'odd' of MatMul node 'product'",
    sparse_values: "'sparse_value' of Constant node 'c'",
    sparse_indices: "'sparse_value' of Constant node 'c'",
    sparse_initializer: "the weights of 'w'",
    training: "'w', in the algorithm of training 0",
}
"""Every place, and how a message speaks of it."""
EXPLAINED = (initializer, constant, branch_initializer, branch_constant, function_constant)


def written(folder: Path, proto: onnx.ModelProto) -> Path:
    path = folder / "m.onnx"
    path.write_bytes(proto.SerializeToString())
    return path


def folder_in(outer: Path) -> Path:
    """A folder with a good weight file, and another file outside of it."""
    found = outer / "inside"
    found.mkdir()
    (found / "w.bin").write_bytes(W.tobytes())
    (outer / "outside.bin").write_bytes(W.tobytes())
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return folder_in(tmp_path)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A model as caches of downloads hold it: a snapshot of links to files that are named by their content."""
    snapshot, blobs = tmp_path / "cache" / "snapshots" / "1", tmp_path / "cache" / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    (blobs / "aaaa").write_bytes(initializer(external("model.onnx_data")).SerializeToString())
    (blobs / "bbbb").write_bytes(W.tobytes())
    (snapshot / "model.onnx").symlink_to("../../blobs/aaaa")
    (snapshot / "model.onnx_data").symlink_to("../../blobs/bbbb")
    return snapshot / "model.onnx"


def check(model: object, times: int = 1) -> None:
    """Check that an explained model has the product's outputs, so many times, and their relevance."""
    explanation = onnxlrp.Explainer(model, providers=["CPUExecutionProvider"])({"x": X}, target=1)
    np.testing.assert_allclose(explanation.outputs["y"], times * (X @ W), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(explanation.relevance["x"], times * X * W[:, 1], rtol=1e-3, atol=1e-3)
