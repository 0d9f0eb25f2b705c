"""Explained models built by hand, so that running is tested without the compiler."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import onnx.parser
import pytest

from onnxlrp.interface import Interface

WEIGHT = np.array([[1.0, -2.0, 0.5, 3.0], [0.0, 1.0, 2.0, -1.0], [2.0, 0.5, -1.0, 1.0]], dtype=np.float32)

# logits = x @ W; the relevance of x for class c is x * W[:, c], which sums up to logits[c].
_LINEAR = """
<ir_version: 10, opset_import: ["": 21]>
linear ({inputs}) => (float[N, 4] logits, {outputs})
{{
  logits = MatMul (x, W)
  {body}
}}
"""
_CHOSEN = """
  predicted = ArgMax <axis = 1, keepdims = 0> (logits)
  zero = Constant <value_int = 0> ()
  is_default = Less (target, zero)
  chosen = Where (is_default, predicted, target)
  seed = Gather (EYE, chosen)
"""
_BACK = """
  Wt = Transpose <perm = [1, 0]> (W)
  gradient = MatMul (seed, Wt)
  x_relevance = Mul (x, gradient)
"""


def build(text: str, interface: Interface | None, **initializers: np.ndarray) -> onnx.ModelProto:
    """A checked model from onnx's text syntax, with `interface` written into it."""
    model = onnx.parser.parse_model(text)
    for name, value in initializers.items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(value, name))
    if interface is not None:
        onnx.helper.set_model_props(model, interface.to_metadata())
    onnx.checker.check_model(model)
    return model


def interface(**changes: object) -> Interface:
    """What the linear model says of itself."""
    fields: dict = {
        "version": "0",
        "composite": "epsilon",
        "output": "logits",
        "source_sha256": "",
        "relevance": {"x": "x_relevance"},
        "target_input": "target",
    }
    return Interface(**{**fields, **changes})


@pytest.fixture
def source() -> onnx.ModelProto:
    """The linear model before it was explained."""
    text = """
    <ir_version: 10, opset_import: ["": 21]>
    linear (float[N, 3] x) => (float[N, 4] logits) { logits = MatMul (x, W) }
    """
    return build(text, None, W=WEIGHT)


@pytest.fixture
def linear() -> onnx.ModelProto:
    """target="class" with a default, and a ledger of two steps."""
    text = _LINEAR.format(
        inputs="float[N, 3] x, int64[N] target",
        outputs="float[N, 3] x_relevance, float[2, 5] relevance_ledger",
        body=_CHOSEN + _BACK + "relevance_ledger = Identity (LEDGER)",
    )
    names = {"ledger": "relevance_ledger", "steps": ("seed", "MatMul"), "marked": (False, True)}
    ledger = np.array([[2, 2, 0, 0, 0], [2, 1, 0.5, 0.25, 0.25]], np.float32)
    default = np.array([-1], np.int64)
    return build(text, interface(**names), W=WEIGHT, EYE=np.eye(4, dtype=np.float32), target=default, LEDGER=ledger)


@pytest.fixture
def required() -> onnx.ModelProto:
    """target_input="required": an ordinary input."""
    text = _LINEAR.format(
        inputs="float[N, 3] x, int64[N] target", outputs="float[N, 3] x_relevance", body=_CHOSEN + _BACK
    )
    return build(text, interface(required=True), W=WEIGHT, EYE=np.eye(4, dtype=np.float32))


@pytest.fixture
def weighted() -> onnx.ModelProto:
    """target="weights", required, so that the Explainer supplies the ones."""
    text = _LINEAR.format(
        inputs="float[N, 3] x, float[N, 4] logits_weights",
        outputs="float[N, 3] x_relevance",
        body="seed = Identity (logits_weights)" + _BACK,
    )
    names = {"target": "weights", "target_input": None, "weights_input": "logits_weights", "required": True}
    return build(text, interface(**names), W=WEIGHT)


@pytest.fixture
def one_score() -> onnx.ModelProto:
    """One score per sample: no classes, no target."""
    text = """
    <ir_version: 10, opset_import: ["": 21]>
    one (float[N, 3] x) => (float[N] score, float[N, 3] x_relevance)
    {
      axes = Constant <value_ints = [1]> ()
      score = ReduceSum <keepdims = 0> (x, axes)
      x_relevance = Identity (x)
    }
    """
    return build(text, interface(output="score", class_axis=None, target_input=None))


@pytest.fixture
def many_targets() -> onnx.ModelProto:
    """targets=2: relevance [N, 2, 3]; the predicted class is not needed by the tests that use it."""
    text = """
    <ir_version: 10, opset_import: ["": 21]>
    linear (float[N, 3] x, int64[N, 2] target) => (float[N, 4] logits, float[N, 2, 3] x_relevance)
    {
      logits = MatMul (x, W)
      predicted = ArgMax <axis = 1, keepdims = 1> (logits)
      zero = Constant <value_int = 0> ()
      is_default = Less (target, zero)
      chosen = Where (is_default, predicted, target)
      Wt = Transpose <perm = [1, 0]> (W)
      gradient = Gather (Wt, chosen)
      axis = Constant <value_ints = [1]> ()
      wide = Unsqueeze (x, axis)
      x_relevance = Mul (wide, gradient)
    }
    """
    return build(text, interface(targets=2), W=WEIGHT, target=np.full((1, 2), -1, np.int64))


@pytest.fixture
def token() -> onnx.ModelProto:
    """target="token" on scores [N, T, 4]; the relevance is a stand-in, the input itself."""
    text = """
    <ir_version: 10, opset_import: ["": 21]>
    linear (float[N, T, 3] x, int64[N] target, int64[N] position) => (float[N, T, 4] logits, float[N, T, 3] x_relevance)
    {
      logits = MatMul (x, W)
      unused_target = Identity (target)
      unused_position = Identity (position)
      x_relevance = Identity (x)
    }
    """
    default = np.array([-1], np.int64)
    names = {"target": "token", "position_input": "position", "class_axis": 2}
    return build(text, interface(**names), W=WEIGHT, target=default, position=default)


@pytest.fixture
def saved(tmp_path) -> Callable[[onnx.ModelProto], str]:
    """Writes a model to a file and gives its path."""

    def write(model: onnx.ModelProto) -> str:
        path = tmp_path / "model.onnx"
        onnx.save(model, path)
        return str(path)

    return write


@pytest.fixture
def maps() -> onnx.ModelProto:
    """The scores leave as the maps of a ZipMap; `interface.output` is the value that feeds it."""
    text = """
    <ir_version: 10, opset_import: ["": 21, "ai.onnx.ml": 1]>
    linear (float[N, 3] x, int64[N] target) => (float[N, 3] x_relevance)
    {
      logits = MatMul (x, W)
      probability = ai.onnx.ml.ZipMap <classlabels_strings = ["a", "b", "c", "d"]> (logits)
      unused = Identity (target)
      x_relevance = Identity (x)
    }
    """
    model = onnx.parser.parse_model(text)
    model.graph.initializer.append(onnx.numpy_helper.from_array(WEIGHT, "W"))
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([-1], np.int64), "target"))
    scores = onnx.helper.make_tensor_type_proto(onnx.TensorProto.FLOAT, [])
    entry = onnx.TypeProto()
    entry.map_type.key_type = onnx.TensorProto.STRING
    entry.map_type.value_type.CopyFrom(scores)
    model.graph.output.append(onnx.helper.make_value_info("probability", onnx.helper.make_sequence_type_proto(entry)))
    onnx.helper.set_model_props(model, interface().to_metadata())
    return model
