"""Local functions mean what onnxruntime makes of them: its own kernels come first, and the model's opset."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
import pytest
from onnx import AttributeProto, helper

import onnxlrp
from onnxlrp.errors import InvalidModelError
from tests.operators.case import onnxruntime

X = np.array([[[-1.0, 2.0, 0.5], [3.0, -0.5, 1.0]]], np.float32)
node = helper.make_node


def function(
    name: str,
    nodes: Sequence[onnx.NodeProto],
    domain: str = "local",
    opset: int = 21,
    overload: str = "",
    attributes: Sequence[str] = (),
    defaults: Sequence[AttributeProto] = (),
) -> onnx.FunctionProto:
    imports = [helper.make_opsetid("", opset), helper.make_opsetid("local", 1)]
    made = helper.make_function(domain, name, ["a"], ["b"], list(nodes), imports, list(attributes), list(defaults))
    made.overload = overload
    return made


def referring(made: onnx.NodeProto, name: str, to: str, kind: int = AttributeProto.FLOAT) -> onnx.NodeProto:
    """A node one of whose attributes is that of the function."""
    made.attribute.append(AttributeProto(name=name, ref_attr_name=to, type=kind))
    return made


def model(nodes: Sequence[onnx.NodeProto], functions: Sequence[onnx.FunctionProto], opset: int = 21) -> onnx.ModelProto:
    x, y = (helper.make_tensor_value_info(v, 1, ["N", 2, 3]) for v in "xy")
    imports = [*((d, 1) for d in ("local", "com.microsoft")), ("", opset), ("ai.onnx.ml", 3)]
    graph = helper.make_graph(list(nodes), "g", [x], [y])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid(*i) for i in imports], ir_version=10)
    made.functions.extend(functions)
    return made


def check(source: onnx.ModelProto, alike: onnx.ModelProto) -> onnxlrp.Explained:
    """Outputs as of the source, and relevance as of a model without functions."""
    explained = onnxlrp.convert(source, "epsilon", target="weights")
    found = onnxlrp.Explainer(explained)({"x": X})
    np.testing.assert_allclose(found.outputs["y"], onnxruntime(source)({"x": X})["y"], rtol=1e-5)
    expected = onnxlrp.Explainer(onnxlrp.convert(alike, "epsilon", target="weights"))({"x": X})
    np.testing.assert_allclose(found.relevance["x"], expected.relevance["x"], rtol=1e-5)
    return explained


THREEFOLD = [node("Add", ["a", "a"], ["c"]), node("Add", ["c", "a"], ["b"])]


@pytest.mark.parametrize(
    ("domain", "name", "more"),
    [
        ("", "Relu", {}),
        ("ai.onnx", "Gelu", {}),
        ("", "LeakyRelu", {"overload": "one"}),
        ("com.microsoft", "Gelu", {}),
    ],
)
def test_named_like_an_operator(domain, name, more):
    """The kernel runs, and the plan says that the function does not; another name, or domain, is the function."""
    call = node(name, ["x"], ["y"], domain="" if domain == "ai.onnx" else domain, **more)
    overload = more.get("overload", "")
    alike = node(name, ["x"], ["y"], domain=call.domain, **{k: v for k, v in more.items() if k != "overload"})
    explained = check(model([call], [function(name, THREEFOLD, domain, overload=overload)]), model([alike], []))
    assert any("is not used" in note and name in note for note in explained.notes)
    for other in (("local", name), ("com.microsoft", "OfMyOwn")):
        called = model([node(other[1], ["x"], ["y"], domain=other[0])], [function(other[1], THREEFOLD, other[0])])
        explained = check(called, model([node("Mul", ["x", "three"], ["y"]), *three()][::-1], []))
        assert not any("is not used" in note for note in explained.notes)


def three() -> list[onnx.NodeProto]:
    return [node("Constant", [], ["three"], value_float=3.0)]


def test_overloads():
    twice, squared = [node("Add", ["a", "a"], ["b"])], [node("Mul", ["a", "a"], ["b"])]
    calls = [node("F", ["x"], ["z"], domain="local"), node("F", ["z"], ["y"], domain="local", overload="squared")]
    plain = [node("Add", ["x", "x"], ["z"]), node("Mul", ["z", "z"], ["y"])]
    check(model(calls, [function("F", twice), function("F", squared, overload="squared")]), model(plain, []))


@pytest.mark.parametrize("opsets", [(11, 21), (21, 11), (13, 13)], ids=str)
def test_of_another_opset(opsets):
    """Softmax took all axes from the first on for one below 13: the model's opset decides, and the plan says so."""
    old, new = opsets
    called = model(
        [node("F", ["x"], ["y"], domain="local")], [function("F", [node("Softmax", ["a"], ["b"])], opset=old)], new
    )
    explained = check(called, model([node("Softmax", ["x"], ["y"])], [], new))
    assert any("another opset" in note and "Softmax" in note for note in explained.notes) == (old != new)


@pytest.mark.parametrize(
    ("body", "opset"),
    [
        (node("ReduceSum", ["a"], ["b"], axes=[1]), 11),
        (node("Gelu", ["a"], ["b"]), 20),
    ],
    ids=["attribute", "operator"],
)
def test_nodes_that_the_models_opset_does_not_know(body, opset):
    """onnxruntime refuses the file; the nodes mean what they say in the function's own opset."""
    source = model([node("F", ["x"], ["y"], domain="local")], [function("F", [body], opset=opset)], 17)
    alone = onnx.NodeProto.FromString(body.SerializeToString())
    alone.input[0], alone.output[0] = "x", "y"
    found = onnxlrp.Explainer(onnxlrp.convert(source, "epsilon", target="weights"))({"x": X})
    expected = onnxruntime(model([alone], [], opset))({"x": X})
    np.testing.assert_allclose(found.outputs["y"], expected["y"], rtol=1e-6)


@pytest.mark.parametrize(
    ("given", "expected"), [({}, 0.3), ({"slope": 0.7}, 0.7), ({"other": 1.0}, 0.3)], ids=["default", "given", "other"]
)
@pytest.mark.parametrize("nested", [False, True])
def test_defaults_of_attributes(nested, given, expected):
    """A call without the attribute takes the function's default; so does one whose caller was not given its own."""
    leaky = referring(node("LeakyRelu", ["a"], ["b"]), "alpha", "slope")
    functions = [function("F", [leaky], defaults=[helper.make_attribute("slope", 0.3)])]
    if nested:
        call = referring(node("F", ["a"], ["b"], domain="local"), "slope", "slope")
        functions.append(function("G", [call], attributes=["slope"]))
    given = {k: v for k, v in given.items() if k == "slope"}
    called = model([node("G" if nested else "F", ["x"], ["y"], domain="local", **given)], functions)
    check(called, model([node("LeakyRelu", ["x"], ["y"], alpha=expected)], []))


def test_a_circle():
    functions = [function(a, [node(b, ["a"], ["b"], domain="local")]) for a, b in ("FG", "GF")]
    with pytest.raises(InvalidModelError, match="call each other in a circle: "):
        onnxlrp.convert(model([node("F", ["x"], ["y"], domain="local")], functions))
