"""What a program must know to run an explained file, read from the file alone."""

from __future__ import annotations

import numpy as np
import onnx.parser
import onnxruntime
import pytest

import onnxlrp
from onnxlrp.errors import InputError, InvalidModelError
from onnxlrp.runtime.fed_inputs import program_of
from onnxlrp.runtime.reading import open_model

WEIGHTS = "<float[2, 2] w = {1, 0.5, -1, 1}>"


def explained(nodes="y = MatMul(x, w)", **options):
    head = '<ir_version: 10, opset_import: ["": 21]>'
    proto = onnx.parser.parse_model(f"{head} tiny (float[N, 2] x) => (float[N, 2] y) {WEIGHTS} {{ {nodes} }}")
    return onnxlrp.convert(proto, "epsilon", **options)


def program(*arguments, **options):
    return program_of(open_model(explained(*arguments, **options)), "tiny.lrp.onnx")


def test_an_optional_class_is_told_from_a_required_one():
    optional, required, none = (program(target_input=how) for how in ("optional", "required", "none"))
    assert [(one.name, one.type, one.sizes, one.fill, one.optional) for one in optional.inputs] == [
        ("x", "float32", (1, 2), 0, False),
        ("target", "int64", (1,), -1, True),
    ]
    assert [one.name for one in optional.hidden] == ["target"] and not required.hidden
    assert "or left out" in optional.inputs[1].about and "left out" not in required.inputs[1].about
    assert [one.name for one in none.inputs] == ["x"]
    assert optional.outputs == ("y", "x_relevance") and optional.relevance_sizes == (1, 2)


@pytest.mark.parametrize(
    ("options", "sizes", "fill"),
    [
        ({"target": "element"}, (1, 1), -1),
        ({"target": "weights"}, (1, 1), 1),
        ({"targets": 3}, (1, 3), -1),
    ],
)
def test_the_program_runs_with_the_default_of_every_kind_of_target(options, sizes, fill):
    model = explained(target_input="required", **options)
    found = program_of(open_model(model), "tiny.lrp.onnx")
    (added,) = found.inputs[1:]
    assert added.fill == fill and added.sizes == sizes
    feeds = {one.name: np.full(one.sizes, one.fill, one.type) for one in found.inputs}
    session = onnxruntime.InferenceSession(model.to_proto().SerializeToString(), providers=["CPUExecutionProvider"])
    results = session.run(list(found.outputs), feeds)
    assert results[found.outputs.index(found.relevance)].shape == found.relevance_sizes


def test_one_symbol_has_one_size_and_sides_of_pictures_are_large():
    inputs = "float[N, 3, H, W] picture, float[N, T] a, float[M, T] b"
    nodes = "s = ReduceMean <keepdims = 0> (picture)  t = ReduceMean(b)  u = Sum(a, s)  v = Add(u, t)"
    nodes += "  y = ReduceSum(v, one)"
    head = '<ir_version: 10, opset_import: ["": 21]>'
    text = f"{head} tiny ({inputs}) => (float[N, 1] y) <int64[1] one = {{1}}> {{ {nodes} }}"
    found = program_of(open_model(onnxlrp.convert(onnx.parser.parse_model(text), "epsilon")), "tiny.lrp.onnx")
    assert {one.name: one.sizes for one in found.inputs if one.name != "target"} == {
        "picture": (1, 3, 224, 224),
        "a": (1, 8),
        "b": (1, 8),
    }


def test_what_is_reduced_or_inside_is_fetched_too():
    found = program(nodes="h = Relu(x)  y = MatMul(h, w)", reduce={"x": "top=1"}, relevance_at=["h"])
    assert found.outputs == ("y", "x_relevance", "h_relevance", "x_relevance_indices")
    assert found.relevance_sizes == (1, 1)
    inner = program(nodes="h = Relu(x)  y = MatMul(h, w)", inputs=(), relevance_at=["h"])
    assert inner.outputs == ("y", "h_relevance") and inner.relevance == "h_relevance"


def test_a_source_is_refused():
    proto = onnx.parser.parse_model(
        '<ir_version: 10, opset_import: ["": 21]> tiny (float[N, 2] x) => (float[N, 2] y) { y = Relu(x) }'
    )
    with pytest.raises(InvalidModelError, match="onnxlrp convert"):
        program_of(open_model(proto), "tiny.onnx")


def test_an_input_of_unknown_rank_is_named():
    model = explained().to_proto()
    model.graph.input[0].type.tensor_type.ClearField("shape")
    with pytest.raises(InputError, match="'x'"):
        program_of(open_model(model), "tiny.onnx")
