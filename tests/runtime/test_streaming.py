"""Many batches: what they give, where they go, and what a second run does."""

from __future__ import annotations

import dataclasses
import io
import os
import threading

import numpy as np
import onnx
import pytest
from PIL import Image

import onnxlrp
from onnxlrp.errors import InputError, TargetError
from onnxlrp.runtime import Explainer, Results, streaming
from onnxlrp.runtime.archive import write_npz
from onnxlrp.runtime.inputs import TensorSpec

X = np.random.default_rng(0).normal(size=(10, 3)).astype(np.float32)


def joined(explanations, read=lambda one: one.relevance["x"]):
    return np.concatenate([read(one) for one in explanations])


def test_batches_are_one_call(linear):
    """Relevance, outputs, classes and scores; the last batch is smaller."""
    explainer = Explainer(linear)
    whole = explainer({"x": X})
    parts = list(explainer.map({"x": X}, batch_size=4))
    assert [len(part.target) for part in parts] == [4, 4, 2]
    np.testing.assert_array_equal(joined(parts), whole.relevance["x"])
    np.testing.assert_array_equal(joined(parts, lambda p: p.outputs["logits"]), whole.outputs["logits"])
    np.testing.assert_array_equal(joined(parts, lambda p: p.target), whole.target)


def test_targets_per_sample_and_for_all(linear):
    explainer = Explainer(linear)
    each = np.arange(10) % 4
    np.testing.assert_array_equal(
        joined(explainer.map({"x": X}, 4, target=each)), explainer({"x": X}, target=each).relevance["x"]
    )
    np.testing.assert_array_equal(
        joined(explainer.map({"x": X}, 4, target=[2])), explainer({"x": X}, target=2).relevance["x"]
    )
    with pytest.raises(TargetError, match="3 values for target, but there are 10 samples"):
        explainer.map({"x": X}, 4, target=[1, 2, 3])


def test_several_targets_at_once(many_targets):
    """[K] are the targets of every sample, even where there are K samples; [N, K] are one row each."""
    explainer = Explainer(many_targets)
    two = np.stack([np.arange(10) % 4, np.arange(10) % 3], axis=1)
    np.testing.assert_array_equal(
        joined(explainer.map({"x": X}, 4, target=two)), explainer({"x": X}, target=two).relevance["x"]
    )
    np.testing.assert_array_equal(
        joined(explainer.map({"x": X[:2]}, 1, target=[0, 3])), explainer({"x": X[:2]}, target=[0, 3]).relevance["x"]
    )


def test_weights_per_sample_and_for_all(weighted):
    explainer = Explainer(weighted)
    for weights in (np.arange(40.0).reshape(10, 4), np.array([1.0, -1.0, 0.0, 0.0])):
        np.testing.assert_array_equal(
            joined(explainer.map({"x": X}, 4, weights=weights)), explainer({"x": X}, weights=weights).relevance["x"]
        )


def test_it_is_lazy(linear):
    """Nothing is read but what is asked for and a few batches ahead."""
    read = []

    class Lazy:
        def __len__(self):
            return 100

        shape, ndim = (100, 3), 2

        def __getitem__(self, span):
            read.append(span.start)
            return np.ones((span.stop - span.start, 3), np.float32)

    explanations = Explainer(linear).map({"x": Lazy()}, batch_size=1)
    assert read == []
    next(explanations)
    explanations.close()
    assert 1 <= len(read) <= 5


def test_reading_and_running_overlap(linear, monkeypatch):
    """While a batch runs, the next one is read: otherwise the session would wait here for ever."""
    explainer = Explainer(linear)
    second = threading.Event()

    class Told:
        shape, ndim = (2, 3), 2

        def __len__(self):
            return 2

        def __getitem__(self, span):
            if span.start == 1:
                second.set()
            return X[span]

    run = explainer.compute

    def wait(*arguments, **options):
        assert second.wait(timeout=10)
        return run(*arguments, **options)

    monkeypatch.setattr(explainer, "compute", wait)
    assert len(list(explainer.map({"x": Told()}, batch_size=1))) == 2


def test_errors_say_which_samples(linear):
    bad = [[1.0, 2.0, 3.0]] * 4 + [[1.0, 2.0]]
    explanations = Explainer(linear).map({"x": bad}, batch_size=4)
    next(explanations)
    with pytest.raises(InputError, match=r"samples 4 to 4: .*axis 1 must be 3"):
        next(explanations)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("onnxlrp-read")]


@pytest.mark.parametrize(
    ("inputs", "size", "words"),
    [
        ({"y": X}, 4, "did you mean 'x'|it takes"),
        ({}, 4, "needs a value"),
        ({"x": X[:0]}, 4, "at least one"),
        ({"x": X}, 0, "from 1 on"),
        ({"x": 3.0}, 4, "give an array"),
        ({"x": "no/such/file.npy"}, 4, "no file"),
        ({"x": "no/such/*.npy"}, 4, "names no file"),
    ],
)
def test_what_cannot_be_mapped(linear, inputs, size, words):
    with pytest.raises(InputError, match=words):
        Explainer(linear).map(inputs, batch_size=size)


def fixed(model, size):
    """The same model for batches of that size only."""
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = size
    return model


def test_a_fixed_batch(linear):
    explainer = Explainer(fixed(linear, 1))
    assert len(list(explainer.map({"x": X[:3]}))) == 3
    with pytest.raises(InputError, match="batches of 1, as its file declares"):
        explainer.map({"x": X}, batch_size=2)
    with pytest.raises(InputError, match="10 samples do not fill whole batches"):
        Explainer(fixed(linear, 4)).map({"x": X})


def test_several_inputs():
    """One row each per sample; what has no batch axis is the same for all."""
    text = """<ir_version: 10, opset_import: ["": 21]> two (float[N, 3] a, float[N, 3] b, float[1, 3] scale, float t)
    => (float[N, 3] y) { s = Mul (a, scale) p = Add (s, b) y = Mul (p, t) }"""
    explainer = Explainer(onnxlrp.convert(onnx.parser.parse_model(text), "epsilon"))
    given = {"a": X, "b": X[::-1].copy(), "scale": X[:1], "t": np.float32(2)}
    whole = explainer(given)
    parts = list(explainer.map(given, 3))
    for name in ("a", "b"):
        np.testing.assert_array_equal(joined(parts, lambda p: p.relevance[name]), whole.relevance[name])
    with pytest.raises(InputError, match="'a' 10, 'b' 9"):
        explainer.map({**given, "b": X[:9]})


# ------------------------------------------------------------------------------------------------------------- files


def test_arrays_and_tables_from_files(linear, tmp_path):
    """Rows of .npy, .npz and .csv are samples, one file behind the other; an array without batch axis is one."""
    np.save(tmp_path / "a.npy", X[:4])
    np.savez(tmp_path / "b.npz", x=X[4:5])
    np.savetxt(tmp_path / "c.csv", X[5:9], delimiter=",", fmt="%.9g")
    np.save(tmp_path / "d.npy", X[9])
    (tmp_path / ".hidden").write_text("not a sample")
    explainer = Explainer(linear)
    expected = explainer({"x": X}).relevance["x"]
    for given in (tmp_path, str(tmp_path / "*.*"), sorted(tmp_path.glob("[a-d]*"))):
        np.testing.assert_array_equal(joined(explainer.map({"x": given}, 3)), expected)
    np.testing.assert_array_equal(joined(explainer.map({"x": tmp_path / "a.npy"}, 3)), expected[:4])


def test_pictures(tmp_path):
    """Every picture is resized, preprocessed and put into the batch of its turn."""
    text = """<ir_version: 10, opset_import: ["": 21]> g (float[N, 3, 4, 4] x) => (float[N, 48] y)
    { y = Flatten (x) }"""
    explainer = Explainer(onnxlrp.convert(onnx.parser.parse_model(text), "epsilon"))
    colours = [(10 * i, 5 * i, i) for i in range(5)]
    for index, colour in enumerate(colours):
        Image.new("RGB", (6, 8), colour).save(tmp_path / f"{index}.png")
    seen = joined(explainer.map({"x": str(tmp_path)}, 2, preprocess="unit"), lambda p: p.outputs["y"])
    np.testing.assert_allclose(seen.reshape(5, 3, 16)[:, :, 0] * 255, colours, rtol=1e-6)
    second = list(explainer.map({"x": tmp_path}, 2))[1]
    assert second.originals == {"x": [str(tmp_path / "2.png"), str(tmp_path / "3.png")]}
    (tmp_path / "3.png").write_bytes(b"no picture")
    explanations = explainer.map({"x": tmp_path}, 2)
    next(explanations)
    with pytest.raises(InputError, match=r"samples 2 to 3: .*3\.png"):
        next(explanations)


# ----------------------------------------------------------------------------------------------------------- a folder


def test_results_in_a_folder(linear, tmp_path):
    explainer = Explainer(linear)
    whole = explainer({"x": X})
    results = explainer.map({"x": X}, 4, to=tmp_path / "out")
    assert results.complete and results.done == results.samples == 10
    assert {*results} == {"x_relevance", "logits", "target", "score", "relevance_ledger"}
    np.testing.assert_array_equal(results["x_relevance"], whole.relevance["x"])
    np.testing.assert_array_equal(Results(str(tmp_path / "out"))["logits"], whole.outputs["logits"])
    np.testing.assert_array_equal(results["score"], whole.score)
    assert results["relevance_ledger"].shape == (3, 2, 5)
    assert [len(batch["target"]) for batch in results.batches()] == [4, 4, 2]
    with np.load(tmp_path / "out" / "000000004-000000008.npz") as plain:
        np.testing.assert_array_equal(plain["x_relevance"], whole.relevance["x"][4:8])
    assert "10 of 10 samples" in repr(results)
    with pytest.raises(KeyError):
        results["nonsense"]


def counted(explainer, monkeypatch, stop_at=None):
    """The batches that are really computed; an interruption at one of them."""
    run, calls = explainer.compute, []

    def once(*arguments, **options):
        if len(calls) == stop_at:
            raise KeyboardInterrupt
        calls.append(arguments)
        return run(*arguments, **options)

    monkeypatch.setattr(explainer, "compute", once)
    return calls


def test_an_interrupted_run_goes_on(linear, tmp_path, monkeypatch):
    explainer, out = Explainer(linear), tmp_path / "out"
    with monkeypatch.context() as patch:
        counted(explainer, patch, stop_at=2)
        with pytest.raises(KeyboardInterrupt):
            explainer.map({"x": X}, 3, to=out)
    begun = Results(out)
    assert not begun.complete and begun.done == 6
    np.testing.assert_array_equal(begun["x_relevance"], explainer({"x": X[:6]}).relevance["x"])
    calls = counted(explainer, monkeypatch)
    results = explainer.map({"x": X}, 3, to=out)
    assert len(calls) == 2 and results.complete
    explainer.map({"x": X}, 3, to=out)
    assert len(calls) == 2
    np.testing.assert_array_equal(results["x_relevance"], Explainer(linear)({"x": X}).relevance["x"])


def test_half_a_file_never_counts(linear, tmp_path, monkeypatch):
    """Writing fails in the middle: nothing of it is there."""
    explainer, out = Explainer(linear), tmp_path / "out"

    def half(path, arrays, **options):
        write_npz(path, arrays, **options)
        path.write_bytes(path.read_bytes()[:50])
        raise OSError("no space left")

    monkeypatch.setattr("onnxlrp.runtime.results.write_npz", half)
    with pytest.raises(OSError, match="no space"):
        explainer.map({"x": X}, 5, to=out)
    assert [path.name for path in out.iterdir()] == ["map.json"]
    monkeypatch.undo()
    assert explainer.map({"x": X}, 5, to=out).complete


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"batch_size": 4}, "batch_size"),
        ({"target": 1}, "a target"),
        ({"inputs": {"x": X[:6]}}, "number of samples"),
        ({"inputs": {"x": np.concatenate([X[:3], X[:3], X[6:]])}}, "explains other data .* samples 3 to 5 "),
        ({"target": np.arange(10) % 4}, "a target"),
        ({"model": True}, "the model"),
    ],
)
def test_a_folder_that_was_begun_otherwise(linear, tmp_path, change, words):
    first = {"inputs": {"x": X}, "batch_size": 3}
    Explainer(linear).map(**first, to=tmp_path)
    before = sorted((path.name, path.read_bytes()) for path in tmp_path.iterdir())
    if change.pop("model", False):
        linear.graph.doc_string = "another one"
    with pytest.raises(InputError, match=words):
        Explainer(linear).map(**{**first, **change}, to=tmp_path)
    assert sorted((path.name, path.read_bytes()) for path in tmp_path.iterdir()) == before


def test_folders_that_are_none_of_ours(linear, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"no folder that Explainer\.map has written"):
        Explainer(linear).map({"x": X}, to=tmp_path)
    with pytest.raises(InputError, match="is a file"):
        Explainer(linear).map({"x": X}, to=tmp_path / "notes.txt")
    results = Explainer(linear).map({"x": X}, 5, to=tmp_path / "new" / "out")
    results.part(0, 5).write_bytes(b"damaged")
    with pytest.raises(InputError, match="is damaged: remove it"):
        Explainer(linear).map({"x": X}, 5, to=tmp_path / "new" / "out")


def test_a_mended_file_is_no_other_data(linear, tmp_path):
    """A damaged file stops the run; what is complete stays, and the run goes on once the file is mended. A file is
    told from others by its content, not by its time."""
    data, out = tmp_path / "data", tmp_path / "out"
    data.mkdir()
    for index, row in enumerate(X):
        np.save(data / f"{index}.npy", row)
    good = (data / "7.npy").read_bytes()
    (data / "7.npy").write_bytes(good[:-4])  # the header is whole, the numbers are not
    with pytest.raises(InputError, match=r"7\.npy"):
        Explainer(linear).map({"x": data}, 2, to=out)
    (data / "7.npy").write_bytes(good)
    assert Explainer(linear).map({"x": data}, 2, to=out).complete
    os.utime(data / "0.npy", ns=(1, 1))
    assert Explainer(linear).map({"x": data}, 2, to=out).complete
    state = (data / "0.npy").stat()
    np.save(data / "0.npy", X[5])
    os.utime(data / "0.npy", ns=(state.st_atime_ns, state.st_mtime_ns))
    with pytest.raises(InputError, match="samples 0 to 1"):
        Explainer(linear).map({"x": data}, 2, to=out)


def test_batches_of_other_shapes(tmp_path):
    """They are kept as they are; only joined they cannot be."""
    text = '<ir_version: 10, opset_import: ["": 21]> g (float[N, T] x) => (float[N, T] y) { y = Relu (x) }'
    model = onnxlrp.convert(onnx.parser.parse_model(text), "epsilon", target="weights")
    results = Explainer(model).map({"x": [[1.0, 2.0], [3.0, 4.0, 5.0]]}, 1, to=tmp_path / "out")
    assert [batch["x_relevance"].shape for batch in results.batches()] == [(1, 2), (1, 3)]
    with pytest.raises(InputError, match=r"differs in shape between batches .*batches\(\)"):
        results["x_relevance"]


@pytest.mark.parametrize("wanted", [False, True])
def test_the_bar_is_for_terminals(linear, monkeypatch, wanted):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    screen = Terminal()
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    list(Explainer(linear).map({"x": X}, 4, progress=wanted))
    assert ("10/10" in screen.getvalue()) == wanted


@pytest.mark.parametrize(
    ("dtype", "shape", "rows"),
    [
        (np.float32, ("N", 3), 256),
        (np.float32, ("N",), 256),
        (np.int64, ("N", 3), 256),
        (np.float32, ("N", 20_000), None),
        (np.float32, ("N", "steps"), None),
        (np.int64, ("N", "tokens"), None),
        (np.float32, (2, 3), None),
        (np.float32, ("N", 3, 8, 8), None),
    ],
)
def test_rows_in_a_batch(linear, dtype, shape, rows):
    """Many of a table; the usual number of texts, recordings and pictures, whose layers take far more memory."""
    explainer = Explainer(linear)
    explainer._file = dataclasses.replace(explainer._file, inputs={"x": TensorSpec("x", np.dtype(dtype), shape)})
    assert streaming.rows_at_once(explainer, {"x": ["files"]}) == rows


def test_rows_in_a_batch_of_a_table_whose_columns_are_counted_by_the_data(linear):
    explainer = Explainer(linear)
    spec = TensorSpec("x", np.dtype(np.float32), (None, None))
    explainer._file = dataclasses.replace(explainer._file, inputs={"x": spec})
    assert streaming.rows_at_once(explainer, {"x": X}) == 256
    assert streaming.rows_at_once(explainer, {"x": np.zeros((2, 5000), np.float32)}) is None


def test_ids_by_their_name_are_no_table(linear):
    explainer = Explainer(linear)
    spec = TensorSpec("input_ids", np.dtype(np.int64), ("N", 128))
    explainer._file = dataclasses.replace(explainer._file, inputs={"x": spec})
    assert streaming.rows_at_once(explainer, {"x": ["a text"]}) is None


def test_a_table_goes_in_large_batches(linear):
    rows = np.ones((300, 3), np.float32)
    assert [len(one.target) for one in Explainer(linear).map(rows)] == [256, 44]
    assert [len(one.target) for one in Explainer(linear).map(rows, 200)] == [200, 100]


def test_what_a_folder_is_told_of_its_data_takes_one_sample(linear, tmp_path):
    """The first batch is read once, as all others are."""
    read = []

    class Noted:
        shape, ndim = (8, 3), 2

        def __len__(self):
            return 8

        def __getitem__(self, span):
            read.append((span.start, span.stop))
            return X[span]

    Explainer(linear).map({"x": Noted()}, 4, to=tmp_path / "out")
    assert read.count((0, 1)) == 1
    assert sorted({*read}) == [(0, 1), (0, 4), (4, 8)]
