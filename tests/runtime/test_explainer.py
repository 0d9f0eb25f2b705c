from __future__ import annotations

import subprocess
import sys
import warnings

import numpy as np
import onnx
import pytest

from onnxlrp.errors import InputError, InvalidModelError, TargetError
from onnxlrp.runtime import Explainer

# The weight of the models in conftest.py: logits = x @ WEIGHT.
WEIGHT = np.array([[1.0, -2.0, 0.5, 3.0], [0.0, 1.0, 2.0, -1.0], [2.0, 0.5, -1.0, 1.0]], dtype=np.float32)
X = np.array([[1.0, 2.0, 3.0], [-1.0, 0.5, 2.0]], dtype=np.float32)


def test_relevance_outputs_and_predicted_class(linear):
    explanation = Explainer(linear)({"x": X})
    np.testing.assert_allclose(explanation.outputs["logits"], X @ WEIGHT)
    assert list(explanation.outputs) == ["logits"]
    predicted = (X @ WEIGHT).argmax(axis=1)
    assert explanation.target.tolist() == predicted.tolist()
    np.testing.assert_allclose(explanation.relevance["x"], X * WEIGHT.T[predicted])
    np.testing.assert_allclose(explanation.score, (X @ WEIGHT)[[0, 1], predicted])


def test_one_target_for_all_and_one_per_sample(linear):
    explainer = Explainer(linear)
    np.testing.assert_allclose(explainer({"x": X}, target=2).relevance["x"], X * WEIGHT[:, 2])
    each = explainer({"x": X}, target=np.array([0, -1]))
    predicted = int((X @ WEIGHT)[1].argmax())
    assert each.target.tolist() == [0, predicted]
    np.testing.assert_allclose(each.relevance["x"], X * WEIGHT.T[[0, predicted]])


def test_path_bytes_and_converted_result(linear, saved):
    class Explained:
        def to_proto(self):
            return linear

        def save(self, path, share_weights=False):
            raise AssertionError("not needed below 2 GB")

    for model in (saved(linear), linear.SerializeToString(), Explained()):
        assert Explainer(model)({"x": X}, target=1).target.tolist() == [1, 1]


def test_a_converted_result_past_two_gigabytes_goes_through_a_folder(linear):
    class Explained:
        def to_proto(self):
            raise ValueError("past 2 GB")

        def save(self, path, share_weights=False):
            onnx.save(linear, path)

    assert Explainer(Explained())({"x": X}).target.shape == (2,)


@pytest.mark.parametrize("target", [4, -2, [0, 4], 1.5, "cat", True, [0, 1, 2], [[0, 1]]])
def test_targets_that_do_not_exist(linear, target):
    with pytest.raises(TargetError):
        Explainer(linear)({"x": X}, target=target)


def test_a_target_past_the_last_class_is_an_error_where_the_number_of_classes_is_not_declared(linear):
    del linear.graph.output[0].type.tensor_type.shape.dim[:]
    linear.graph.output[0].type.tensor_type.shape.dim.add().dim_param = "N"
    linear.graph.output[0].type.tensor_type.shape.dim.add().dim_param = "C"
    for tensor in linear.graph.initializer:
        if tensor.name == "EYE":  # onnxruntime's own range check must not be what raises
            tensor.CopyFrom(onnx.numpy_helper.from_array(np.eye(9, 4, dtype=np.float32), "EYE"))
    with pytest.raises(TargetError, match="classes 0 to 3"):
        Explainer(linear)({"x": X}, target=7)


def test_one_score_per_sample_takes_no_class(one_score):
    explainer = Explainer(one_score)
    explanation = explainer({"x": X}, target=0)
    assert explanation.target.tolist() == [0, 0]
    np.testing.assert_allclose(explanation.score, X.sum(axis=1))
    with pytest.raises(TargetError):
        explainer({"x": X}, target=1)


def test_required_target_is_supplied(required):
    explanation = Explainer(required)({"x": X})
    assert explanation.target.tolist() == (X @ WEIGHT).argmax(axis=1).tolist()
    np.testing.assert_allclose(explanation.relevance["x"], X * WEIGHT.T[explanation.target])


def test_weights(weighted):
    explainer = Explainer(weighted)
    np.testing.assert_allclose(explainer({"x": X}).relevance["x"], X * WEIGHT.sum(axis=1), rtol=1e-6)
    chosen = explainer({"x": X}, weights=[0, 0, 1, 0])
    assert chosen.target is None and chosen.score is None
    np.testing.assert_allclose(chosen.relevance["x"], X * WEIGHT[:, 2])
    for wrong in ([0, 1], np.zeros((1, 2, 4)), np.zeros((3, 4)), "all"):
        with pytest.raises(TargetError):
            explainer({"x": X}, weights=wrong)
    with pytest.raises(TargetError, match="give weights="):
        explainer({"x": X}, target=1)


def test_kinds_of_target_that_the_model_does_not_take(linear):
    explainer = Explainer(linear)
    with pytest.raises(TargetError, match="takes no weights"):
        explainer({"x": X}, weights=1.0)
    with pytest.raises(TargetError, match="takes no position"):
        explainer({"x": X}, position=0)


def test_several_targets(many_targets):
    explainer = Explainer(many_targets)
    explanation = explainer({"x": X}, target=[0, 3])
    assert explanation.relevance["x"].shape == (2, 2, 3)
    assert explanation.target.tolist() == [[0, 3], [0, 3]]
    np.testing.assert_allclose(explanation.score, (X @ WEIGHT)[:, [0, 3]])
    np.testing.assert_allclose(explanation.relevance["x"].sum(axis=2), explanation.score, rtol=1e-5)
    with pytest.raises(TargetError, match="2 classes at once"):
        explainer({"x": X}, target=0)
    assert explainer({"x": X}).target.shape == (2, 2)


def test_token_targets_at_a_position(token):
    x = np.random.default_rng(0).standard_normal((2, 5, 3)).astype(np.float32)
    explainer = Explainer(token)
    last = explainer({"x": x})
    assert last.target.tolist() == (x @ WEIGHT)[:, -1].argmax(axis=1).tolist()
    there = explainer({"x": x}, target=1, position=[0, 4])
    np.testing.assert_allclose(there.score, (x @ WEIGHT)[[0, 1], [0, 4], 1], rtol=1e-6)
    with pytest.raises(TargetError, match="positions 0 to 4"):
        explainer({"x": x}, position=5)
    with pytest.raises(TargetError, match="classes 0 to 3"):
        explainer({"x": x}, target=4)


def test_ledger(linear):
    ledger = Explainer(linear)({"x": X}).ledger
    assert ledger.values.shape == (2, 5)
    assert ledger.gaps.tolist() == [0, 0]
    assert ledger.totals == {"bias": 0.5, "epsilon": 0.25, "stopped": 0.25}
    text = str(ledger)
    assert "MatMul*" in text and "passed on" in text and "remainder" in text


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({}, ["x", "float32 [N, 3]"]),
        ({"y": X}, ["no input 'y'", "float32 [N, 3]"]),
        ({"x": X.astype(np.float64)}, ["float32", "float64", "astype"]),
        ({"x": X[:, :2]}, ["axis 1 must be 3, not 2"]),
        ({"x": X[0]}, ["array[None]"]),
        ({"x": X[None, None]}, ["2 axes, not 4"]),
        ({"x": np.array([["a", "b", "c"]])}, ["string"]),
        ({"x": [[1, 2], [3]]}, ["no array"]),
    ],
)
def test_arrays_that_do_not_fit(linear, inputs, words):
    with pytest.raises(InputError) as caught:
        Explainer(linear)(inputs)
    assert all(word in str(caught.value) for word in words), caught.value


def test_lists_are_taken(linear):
    assert Explainer(linear)({"x": [[1, 2, 3]]}).relevance["x"].dtype == np.float32


def test_nan_is_a_warning_at_the_callers_line(linear):
    x = X.copy()
    x[0, 0] = np.nan
    explainer = Explainer(linear)
    with pytest.warns(UserWarning, match="1 NaN") as caught:
        explainer({"x": x})
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        explainer({"x": X})


def test_what_is_no_explained_model(source, saved, tmp_path):
    path = saved(source)
    with pytest.raises(InvalidModelError, match=r"onnxlrp convert .*model.onnx -o"):
        Explainer(path)
    with pytest.raises(InvalidModelError, match="no file"):
        Explainer(tmp_path / "nothing.onnx")
    with pytest.raises(InvalidModelError, match="folder"):
        Explainer(tmp_path)
    text = tmp_path / "text.onnx"
    text.write_text("hello, this is text")
    with pytest.raises(InvalidModelError, match=r"text.onnx"):
        Explainer(text)
    text.write_bytes(b"")
    with pytest.raises(InvalidModelError, match="no graph"):
        Explainer(text)
    with pytest.raises(InvalidModelError, match="int"):
        Explainer(3)


def test_a_truncated_model(linear, tmp_path):
    path = tmp_path / "cut.onnx"
    path.write_bytes(linear.SerializeToString()[:-100])
    with pytest.raises(InvalidModelError, match="cut off"):
        Explainer(path)


def test_a_model_that_onnxruntime_cannot_load(linear, capfd):
    linear.graph.node[0].op_type = "NoSuchOperator"
    with pytest.raises(InvalidModelError, match="NoSuchOperator"):
        Explainer(linear)
    captured = capfd.readouterr()
    assert captured.out == "" and captured.err == ""


def test_import_needs_no_onnxruntime():
    script = "import sys; sys.modules['onnxruntime'] = None\nimport onnxlrp.runtime as r\n"
    script += "from onnxlrp.runtime.providers import create_session\ncreate_session(b'')"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert "onnxlrp[cpu]" in done.stderr.splitlines()[-1]


def test_scores_that_leave_as_maps(maps):
    explainer = Explainer(maps)
    explanation = explainer({"x": X})
    assert explainer.explained_output == "probability"
    assert list(explanation.outputs) == ["probability"]
    assert explanation.target.tolist() == (X @ WEIGHT).argmax(axis=1).tolist()
    np.testing.assert_allclose(explanation.score, (X @ WEIGHT).max(axis=1))
    with pytest.raises(TargetError, match="classes 0 to 3"):
        explainer({"x": X}, target=4)
