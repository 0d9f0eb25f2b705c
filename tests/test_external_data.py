"""Weights in other files: which are read, wherever in the model they are named, and which are refused unopened."""

from __future__ import annotations

import builtins
import io
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper

import onnxlrp
from onnxlrp import external_data
from onnxlrp.errors import InputError, InvalidModelError

W = np.random.default_rng(0).normal(size=(400, 3)).astype(np.float32)
X = np.random.default_rng(1).normal(size=(5, 400)).astype(np.float32)
SIZE = W.nbytes
OPSETS = [helper.make_opsetid("", 17), helper.make_opsetid("my.domain", 1)]


# ------------------------------------------------------------------------------------- where a tensor can stand


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


# ----------------------------------------------------------------------------------------------- ways to be refused


def empty(folder: Path) -> None:
    """Leave the folder as it is: w.bin in it, and outside.bin beside it."""


def link(name: str, target: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).symlink_to(target)


def nested(folder: Path) -> None:
    (folder / "sub").mkdir()


def fifo(folder: Path) -> None:
    os.mkfifo(folder / "pipe")


def hard_link(folder: Path) -> None:
    os.link(folder.parent / "outside.bin", folder / "hard.bin")


def linked_folder_left_again(folder: Path) -> None:
    (folder.parent / "elsewhere" / "sub").mkdir(parents=True)
    (folder.parent / "elsewhere" / "w.bin").write_bytes(W.tobytes())
    (folder / "door").symlink_to("../elsewhere/sub")


OUT = "../outside.bin"
WAYS: dict[str, tuple[Callable[[Path], None], str | None, dict]] = {
    "upwards": (empty, OUT, {}),
    "upwards from within": (nested, "sub/../../outside.bin", {}),
    "upwards from nowhere": (empty, "a/../../outside.bin", {}),
    "upwards and back": (empty, "../inside/w.bin/../../outside.bin", {}),
    "the folder itself": (empty, ".", {}),
    "the folder above": (empty, "..", {}),
    "absolute": (empty, "{folder}/../outside.bin", {}),
    "absolute, inside": (empty, "{folder}/w.bin", {}),
    "two slashes": (empty, "//outside.bin", {}),
    "home": (empty, "~/outside.bin", {}),
    "address": (empty, "file://{folder}/w.bin", {}),
    "a variable": (empty, "$HOME/outside.bin", {}),
    "escaped": (empty, "%2e%2e/outside.bin", {}),
    "escaped slash": (empty, "..%2foutside.bin", {}),
    "backslashes": (empty, "..\\outside.bin", {}),
    "backslash inside": (empty, "sub\\w.bin", {}),
    "drive": (empty, "C:/outside.bin", {}),
    "drive, relative": (empty, "c:outside.bin", {}),
    "network share": (empty, "\\\\host\\share\\outside.bin", {}),
    "pattern": (empty, "w*", {}),
    "no location": (empty, None, {}),
    "empty location": (empty, "", {}),
    "zero byte": (empty, "w.bin\0", {}),
    "zero byte amid": (empty, "w.bin\0/../../outside.bin", {}),
    "newline": (empty, "w.bin\n", {}),
    "escape sequence": (empty, "\x1b[2Kw.bin", {}),
    "turned text": (empty, "w\u202e.bin", {}),
    "far too long": (empty, "w" * 5000, {}),
    "a file's child": (empty, "w.bin/w.bin", {}),
    "link to a file outside": (link("l", OUT), "l", {}),
    "link to a file inside": (link("l", "w.bin"), "l", {}),
    "absolute link": (link("l", "/"), "l", {}),
    "link to nothing": (link("l", "nothing"), "l", {}),
    "link to itself": (link("l", "l"), "l", {}),
    "link to a folder": (link("l", ".."), "l/outside.bin", {}),
    "link to a folder inside": (link("l", "."), "l/w.bin", {}),
    "link that is left again": (linked_folder_left_again, "door/../w.bin", {}),
    "hard link": (hard_link, "hard.bin", {}),
    "folder": (nested, "sub", {}),
    "folder with a slash": (nested, "sub/", {}),
    "pipe": (fifo, "pipe", {}),
    "model itself": (empty, "m.onnx", {}),
    "missing": (empty, "absent.bin", {}),
    "missing folder": (empty, "absent/w.bin", {}),
    "offset beyond": (empty, "w.bin", {"offset": SIZE + 1}),
    "offset too far": (empty, "w.bin", {"offset": 4}),
    "huge offset": (empty, "w.bin", {"offset": 2**63}),
    "endless offset": (empty, "w.bin", {"offset": "9" * 4000}),
    "negative offset": (empty, "w.bin", {"offset": -4}),
    "offset of words": (empty, "w.bin", {"offset": "ten"}),
    "offset with a sign": (empty, "w.bin", {"offset": "+0"}),
    "offset of other digits": (empty, "w.bin", {"offset": "\u0663"}),
    "negative length": (empty, "w.bin", {"length": -SIZE}),
    "length of none": (empty, "w.bin", {"length": 0}),
    "too short a length": (empty, "w.bin", {"length": SIZE - 4}),
    "too long a length": (empty, "w.bin", {"length": SIZE + 4}),
    "larger shape": (empty, "w.bin", {"dims": (4000, 30)}),
    "huge shape": (empty, "w.bin", {"dims": (2**40, 2**40)}),
    "negative shape": (empty, "w.bin", {"dims": (-400, -3)}),
    "wider type": (empty, "w.bin", {"dtype": TensorProto.DOUBLE}),
    "strings": (empty, "w.bin", {"dtype": TensorProto.STRING}),
    "no type": (empty, "w.bin", {"dtype": TensorProto.UNDEFINED}),
    "unknown type": (empty, "w.bin", {"dtype": 99}),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a good weight file, and another file outside of it."""
    found = tmp_path / "inside"
    found.mkdir()
    (found / "w.bin").write_bytes(W.tobytes())
    (tmp_path / "outside.bin").write_bytes(W.tobytes())
    return found


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that are opened, by whatever means of Python."""
    found: list[str] = []
    for module, name in ((builtins, "open"), (io, "open"), (os, "open")):
        real = getattr(module, name)
        monkeypatch.setattr(
            module, name, lambda file, *a, _real=real, **k: (found.append(os.fspath(file)), _real(file, *a, **k))[1]
        )
    return found


@pytest.mark.parametrize("way", WAYS)
def test_every_way_out_is_refused_in_every_place(way, folder, opened):
    """The tensor is named with its place, and no file but the model's is opened."""
    prepare, location, options = WAYS[way]
    prepare(folder)
    location = None if location is None else location.replace("{folder}", str(folder))
    tensor = external(location, **options)
    for place, words in PLACES.items():
        path = written(folder, place(tensor))
        opened.clear()
        for read in (onnxlrp.convert, onnxlrp.inspect, onnxlrp.Explainer):
            with pytest.raises(InvalidModelError) as error:
                read(path)
            assert words in str(error.value), (place.__name__, error.value)
        assert set(opened) <= {str(path)}, place.__name__


@pytest.mark.parametrize("place", PLACES, ids=lambda p: p.__name__)
def test_a_model_without_a_folder_refers_to_no_file(place, folder, monkeypatch, opened):
    """Not even to one in the current directory."""
    monkeypatch.chdir(folder)
    proto = place(external())
    opened.clear()
    for source in (proto, proto.SerializeToString()):
        for read in (onnxlrp.convert, onnxlrp.Explainer):
            with pytest.raises(InvalidModelError, match=r"has no folder.*give the model by its path"):
                read(source)
    assert not opened


def test_a_file_named_twice(folder):
    """Readers differ in which name they take."""
    tensor = external()
    tensor.external_data.add(key="location", value="../outside.bin")
    for read in (onnxlrp.convert, onnxlrp.Explainer):
        with pytest.raises(InvalidModelError, match="'location' of their file is given 2 times"):
            read(written(folder, initializer(tensor)))


def test_what_cannot_be_read(folder, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(InvalidModelError, match=r"w\.bin.*permission"):
        onnxlrp.convert(written(folder, initializer(external())))


# ------------------------------------------------------------------------------------------------------ what is read


def check(model: object) -> None:
    """An explained model has the product's outputs and relevance."""
    explanation = onnxlrp.Explainer(model, providers=["CPUExecutionProvider"])({"x": X}, target=1)
    np.testing.assert_allclose(explanation.outputs["y"], X @ W, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(explanation.relevance["x"], X * W[:, 1], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("place", PLACES, ids=lambda p: p.__name__)
@pytest.mark.parametrize("location", ["w.bin", "./w.bin", "sub/w.bin", "sub/../w.bin", "%2e%2e", "ä b.bin"])
def test_what_lies_in_the_folder_is_no_way_out(place, location, folder):
    """The guard lets it through, percent signs are as good as letters; other refusals are others' business."""
    nested(folder)
    for name in ("sub/w.bin", "%2e%2e", "ä b.bin"):
        (folder / name).write_bytes(np.arange(1200).tobytes() if place is sparse_indices else W.tobytes())
    (folder / "w.bin").write_bytes((folder / "sub" / "w.bin").read_bytes())
    dtype = TensorProto.INT64 if place is sparse_indices else TensorProto.FLOAT
    path = written(folder, place(external(location, dtype, [1200] if place is sparse_indices else [400, 3])))
    if place in EXPLAINED:
        check(onnxlrp.convert(path, "epsilon"))
    else:
        assert len(external_data.settle_beside(onnx.load(path, load_external_data=False), path))


@pytest.mark.parametrize("place", EXPLAINED, ids=lambda p: p.__name__)
def test_it_goes_wherever_the_model_goes(place, folder, tmp_path, monkeypatch):
    """Into another folder, into memory, into a file with data of its own; and stays where it is shared."""
    noise = np.zeros(7, np.float32).tobytes()
    (folder / "w.bin").write_bytes(noise + W.tobytes() + noise)
    source = written(folder, place(external(offset=len(noise), length=SIZE)))
    explained = onnxlrp.convert(source, "epsilon")
    explained.save(folder / "shared.onnx", share_weights=True)
    (tmp_path / "far").mkdir()
    explained.save(tmp_path / "far" / "whole.onnx")
    monkeypatch.setattr("onnxlrp.emit.save._LIMIT", SIZE - 1)
    explained.save(tmp_path / "far" / "apart.onnx")
    monkeypatch.undo()
    check(explained)
    check(explained.to_proto())
    check(folder / "shared.onnx")
    (folder / "w.bin").unlink()
    check(tmp_path / "far" / "whole.onnx")
    check(tmp_path / "far" / "apart.onnx")
    names = ["apart.onnx", "apart.onnx.data", "whole.onnx"]
    assert sorted(path.name for path in (tmp_path / "far").iterdir()) == names


def test_a_file_that_shrinks_meanwhile(folder, tmp_path):
    explained = onnxlrp.convert(written(folder, initializer(external())), "epsilon")
    (folder / "w.bin").write_bytes(W.tobytes()[:-1])
    with pytest.raises(InvalidModelError, match=r"'w'.*shorter"):
        explained.save(tmp_path / "out.onnx")
    assert not list(tmp_path.glob("*out.onnx*"))


def test_shared_weights_in_a_folder_below(folder):
    nested(folder)
    (folder / "w.bin").rename(folder / "sub" / "w.bin")
    onnxlrp.convert(written(folder, initializer(external("sub/w.bin"))), "epsilon").save(
        folder / "shared.onnx", share_weights=True
    )
    check(folder / "shared.onnx")


# ----------------------------------------------------------------------------------------------------- linked models


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


def test_a_cache_of_links(cache, tmp_path):
    explained = onnxlrp.convert(cache, "epsilon")
    check(explained)
    explained.save(tmp_path / "out.onnx")
    check(tmp_path / "out.onnx")
    with pytest.raises(InputError, match="beside the source's weight file"):
        explained.save(cache.parent / "shared.onnx", share_weights=True)


def test_an_explained_model_in_a_cache_of_links(cache, tmp_path):
    """A session reads it through the links as well."""
    onnxlrp.convert(cache, "epsilon").save(tmp_path / "whole.onnx")
    onnx.save(
        onnx.load(tmp_path / "whole.onnx"),
        tmp_path / "split.onnx",
        save_as_external_data=True,
        location="model.onnx_data",
        size_threshold=SIZE,
    )
    for name, blob in (("split.onnx", "aaaa"), ("model.onnx_data", "bbbb")):
        (tmp_path / name).replace(cache.parents[2] / "blobs" / blob)
    check(cache)


@pytest.mark.parametrize("target", ["../../../outside.bin", "../../other/bbbb"])
def test_a_link_that_leaves_the_cache(cache, target, folder, tmp_path):
    data = cache.with_name("model.onnx_data")
    (tmp_path / "cache" / "other").mkdir()
    (tmp_path / "cache" / "other" / "bbbb").write_bytes(W.tobytes())
    data.unlink()
    data.symlink_to(target)
    assert data.read_bytes() == W.tobytes()
    for read in (onnxlrp.convert, onnxlrp.Explainer):
        with pytest.raises(InvalidModelError, match="is a link"):
            read(cache)


def test_a_link_to_a_model_with_its_weights(folder, tmp_path):
    """The weights are looked for beside the link, then beside the model."""
    path = tmp_path / "current.onnx"
    path.symlink_to(written(folder, initializer(external())))
    check(onnxlrp.convert(path, "epsilon"))
    onnxlrp.convert(path, "epsilon").save(folder / "shared.onnx", share_weights=True)
    path.unlink()
    path.symlink_to(folder / "shared.onnx")
    check(path)
    (tmp_path / "w.bin").write_bytes(b"short")
    with pytest.raises(InvalidModelError, match="which has 5"):
        onnxlrp.convert(path)


# -------------------------------------------------------------------------------------------------- onnx_ir's models


def test_an_onnx_ir_model_knows_its_folder(folder):
    for place in (initializer, constant, branch_initializer, branch_constant):
        check(onnxlrp.convert(ir.load(written(folder, place(external()))), "epsilon"))
    with pytest.raises(InvalidModelError, match="leads out of the model's folder"):
        onnxlrp.convert(ir.load(written(folder, initializer(external(OUT)))))


def test_an_onnx_ir_model_without_a_folder(folder, monkeypatch):
    monkeypatch.chdir(folder)
    with pytest.raises(InvalidModelError, match="no folder"):
        onnxlrp.convert(ir.from_proto(initializer(external())))


def test_an_onnx_ir_model_of_two_folders(folder, tmp_path):
    loaded = ir.load(written(folder, initializer(external())))
    other = ir.ExternalTensor("outside.bin", 0, SIZE, ir.DataType.FLOAT, shape=ir.Shape([400, 3]), name="v")
    other.base_dir = tmp_path
    loaded.graph.register_initializer(ir.Value(name="v", const_value=other))
    with pytest.raises(InvalidModelError, match=r"2 folders.*onnx_ir\.save"):
        onnxlrp.convert(loaded)
