"""Names that do not exist: the error suggests the nearest that does, wherever a user writes a name."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import onnxlrp
from onnxlrp import composites, rules
from onnxlrp.errors import InputError
from onnxlrp.evaluation.arguments_of_evaluate import asked_measures, check_beside
from onnxlrp.near_names import did_you_mean
from onnxlrp.runtime.files import Preprocess
from onnxlrp.runtime.inputs import TensorSpec, check
from onnxlrp.targets import kind_named


def network():
    """picture [N, 2] → hidden → scores [N, 2]."""
    shapes = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 2]) for name in ("picture", "scores")]
    nodes = [helper.make_node("MatMul", ["picture", "w"], ["hidden"]), helper.make_node("Relu", ["hidden"], ["scores"])]
    graph = helper.make_graph(
        nodes, "net", shapes[:1], shapes[1:], [numpy_helper.from_array(np.eye(2, dtype="f"), "w")]
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


NET = network()


def test_a_near_name_is_suggested_and_no_far_one():
    assert did_you_mean("gama", ["ZPlus", "Gamma"]) == " (did you mean 'Gamma'?)"
    assert did_you_mean("resnet", ["ZPlus", "Gamma"]) == ""
    assert did_you_mean("x", []) == ""


@pytest.mark.parametrize(
    ("mistake", "suggested"),
    [
        (lambda: composites.parse("epsilon_pluss"), "epsilon_plus"),
        (lambda: composites.parse("epsilon(epsilom=1)"), "epsilon"),
        (lambda: rules.parse("Gama"), "Gamma"),
        (lambda: rules.parse("Gamma(gama=1)"), "gamma"),
        (lambda: composites.unregister("our"), "ours"),
        (lambda: kind_named("elements"), "element"),
        (lambda: Preprocess.parse("imagnet"), "imagenet"),
        (lambda: check({"imge": 1}, {"image": TensorSpec("image", None, None)}), "image"),
        (lambda: asked_measures(["stabilty"], None), "stability"),
        (lambda: check_beside(["oclusion"]), "occlusion"),
        (lambda: onnxlrp.convert(NET, initial="outputs"), "output"),
        (lambda: onnxlrp.convert(NET, output="scores_"), "scores"),
        (lambda: onnxlrp.convert(NET, inputs=["pictur"]), "picture"),
        (lambda: onnxlrp.convert(NET, relevance_at=["hiden"]), "hidden"),
        (lambda: onnxlrp.convert(NET, background={"picture": [[1.0, 1]], "pictures": [[1]]}), "picture"),
        (lambda: onnxlrp.Explainer(onnxlrp.convert(NET), ["CPU"]), "CPUExecutionProvider"),
    ],
)
def test_everywhere(mistake, suggested):
    composites.register("ours", composites.Auto())
    try:
        with pytest.raises(InputError) as error:
            mistake()
    finally:
        composites.unregister("ours")
    assert f"(did you mean {suggested!r}?)" in str(error.value)
