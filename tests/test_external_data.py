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
from onnxlrp import opening
from onnxlrp.errors import InputError, InvalidModelError
from tests.weight_files import (
    EXPLAINED,
    PLACES,
    SIZE,
    W,
    branch_constant,
    branch_initializer,
    cache,
    check,
    constant,
    external,
    folder,
    info,
    initializer,
    model,
    sparse_indices,
    written,
)

__all__ = ["cache", "folder"]


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
    "pipe for nothing": (fifo, "pipe", {"dims": (0, 3)}),
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


def watched(patch: pytest.MonkeyPatch) -> list[str]:
    """The files that are opened from now on, by whatever means of Python."""
    found: list[str] = []
    for module, name in ((builtins, "open"), (io, "open"), (os, "open")):
        real = getattr(module, name)
        patch.setattr(
            module, name, lambda file, *a, _real=real, **k: (found.append(os.fspath(file)), _real(file, *a, **k))[1]
        )
    return found


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    return watched(monkeypatch)


def prepared(way: str, folder: Path) -> TensorProto:
    """A tensor that leads out of the folder in that way."""
    prepare, location, options = WAYS[way]
    prepare(folder)
    return external(None if location is None else location.replace("{folder}", str(folder)), **options)


READERS = (onnxlrp.convert, onnxlrp.inspect, onnxlrp.Explainer)


@pytest.mark.parametrize("way", WAYS)
def test_every_way_out_is_refused_in_every_place(way, folder, opened):
    """The tensor is named with its place, and no file but the model's is opened."""
    tensor = prepared(way, folder)
    for place, words in PLACES.items():
        path = written(folder, place(tensor))
        opened.clear()
        for read in READERS:
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
        found = opening.opened(path)
        assert found is not None and found.weights


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
    monkeypatch.setattr("onnxlrp.finish.save._LIMIT", SIZE - 1)
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


def test_attributes_are_read_at_once(folder):
    """But those of constants, which stay where they are."""
    (folder / "two.bin").write_bytes(np.full(1, 2, np.float32).tobytes())
    layer = helper.make_node("MatMul", ["x", "w"], ["z"])
    fill = helper.make_node("ConstantOfShape", ["size"], ["two"], "fill", value=external("two.bin", dims=[1]))
    scale = helper.make_node("Mul", ["z", "two"], ["y"])
    weight = helper.make_node("Constant", [], ["w"], value=external())
    size = onnx.numpy_helper.from_array(np.array([3]), "size")
    path = written(folder, model([weight, layer, fill, scale], [size]))
    explained = onnxlrp.convert(path, "epsilon")
    (folder / "two.bin").unlink()
    check(explained, times=2)
    explained.save(folder / "shared.onnx", share_weights=True)
    check(folder / "shared.onnx", times=2)


def test_a_constant_that_is_the_output_of_a_branch(folder):
    two, three = ([helper.make_node("Constant", [], ["a"], value=external(f"{n}.bin", dims=[1]))] for n in (2, 3))
    for n in (2, 3):
        (folder / f"{n}.bin").write_bytes(np.full(1, n, np.float32).tobytes())
    here, other = (helper.make_graph(nodes, "g", [], [info("a", [1])]) for nodes in (two, three))
    nodes = [
        helper.make_node("If", ["which"], ["times"], "fork", then_branch=here, else_branch=other),
        helper.make_node("MatMul", ["x", "w"], ["z"]),
        helper.make_node("Mul", ["z", "times"], ["y"]),
    ]
    which = onnx.numpy_helper.from_array(np.array(False), "which")
    explained = onnxlrp.convert(written(folder, model(nodes, [external(), which])), "epsilon")
    explained.save(folder / "shared.onnx", share_weights=True)
    check(folder / "shared.onnx", times=3)
    check(explained, times=3)


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
