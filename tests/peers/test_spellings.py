"""One model in four spellings, one relevance: both exporters, onnxruntime's fused operators, local functions."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import onnx
import pytest

import onnxlrp
from onnxlrp.interface import Interface
from tests.operators.case import onnxruntime
from tests.peers.transformer_zoo import export

optimizer = pytest.importorskip("onnxruntime.transformers.optimizer")
ort = pytest.importorskip("onnxruntime")

NotImplemented_ = pytest.importorskip("onnxruntime.capi.onnxruntime_pybind11_state").NotImplemented

pytestmark = pytest.mark.peers

FUSED = {
    "bert": ("bert", {"Attention", "SkipLayerNormalization", "BiasGelu", "EmbedLayerNormalization"}),
    "gpt2": ("gpt2", {"SkipLayerNormalization", "FastGelu"}),
    "llama": ("gpt2", {"SkipSimplifiedLayerNormalization", "SimplifiedLayerNormalization"}),
    "vit": ("vit", {"SkipLayerNormalization", "BiasGelu"}),
    "t5_encoder": ("t5", {"SkipSimplifiedLayerNormalization", "Attention", "RelativePositionBias"}),
}
"""What onnxruntime's tool for transformers calls the model, and what it must at least have fused."""


def functions(name: str) -> onnx.ModelProto:
    """The TorchScript export with every block of the model a local function, all of its weights handed in."""
    model = onnx.ModelProto.FromString(export(name, dynamo=False)[0].SerializeToString())
    blocks: dict[str, list[onnx.NodeProto]] = {}
    for node in model.graph.node:
        if (found := re.search(r".*(layer|layers|h|block|blocks)\.\d+/", node.name)) is not None:
            blocks.setdefault(found[0], []).append(node)
    for index, nodes in enumerate(blocks.values()):
        made = {o for n in nodes for o in n.output}
        rest = [n for n in model.graph.node if n not in nodes]
        read = {i for n in rest for i in n.input} | {o.name for o in model.graph.output}
        inputs = list(dict.fromkeys(i for n in nodes for i in n.input if i and i not in made))
        outputs = [o for n in nodes for o in n.output if o in read]
        function = onnx.helper.make_function("blocks", f"Block{index}", inputs, outputs, nodes, model.opset_import)
        model.functions.append(function)
        call = onnx.helper.make_node(f"Block{index}", inputs, outputs, domain="blocks")
        at = list(model.graph.node).index(nodes[-1])
        kept = [*(n for n in list(model.graph.node)[:at] if n not in nodes), call]
        kept += [n for n in list(model.graph.node)[at:] if n not in nodes]
        del model.graph.node[:]
        model.graph.node.extend(kept)
    model.opset_import.append(onnx.helper.make_opsetid("blocks", 1))
    del model.graph.value_info[:]
    onnx.checker.check_model(model)
    return model


def fused(name: str, folder: Path) -> onnx.ModelProto:
    """As onnxruntime's tool for transformers writes it."""
    model, _, _ = export(name, dynamo=False)
    path = folder / "source.onnx"
    onnx.save(model, path)
    result = optimizer.optimize_model(
        str(path), model_type=FUSED[name][0], num_heads=4, hidden_size=32, opt_level=0, only_onnxruntime=False
    )
    return result.model


def optimised(name: str, folder: Path, level: str) -> onnx.ModelProto:
    """As an onnxruntime session writes its own graph."""
    model, _, _ = export(name, dynamo=False)
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, level)
    options.optimized_model_filepath = str(folder / "optimised.onnx")
    ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return onnx.load(folder / "optimised.onnx")


def relevance(model: onnx.ModelProto, name: str, composite: str) -> np.ndarray:
    """Of the first input, from the first score of each sample."""
    _, inputs, scores = export(name, dynamo=False)
    weights = np.zeros_like(scores)
    weights[(slice(None), *[0] * (scores.ndim - 1))] = 1
    explained = onnxlrp.convert(model, composite, target="weights").to_proto()
    interface = Interface.from_metadata({m.key: m.value for m in explained.metadata_props})
    taken = {value.name for value in explained.graph.input}
    outputs = onnxruntime(explained)(
        {k: v for k, v in inputs.items() if k in taken} | {interface.weights_input: weights}
    )
    np.testing.assert_allclose(outputs[model.graph.output[0].name], scores, rtol=1e-4, atol=1e-4)
    return outputs[interface.relevance[next(iter(inputs))]]


@pytest.mark.parametrize("composite", ["attn_lrp", "cp_lrp"])
@pytest.mark.parametrize("name", FUSED)
@pytest.mark.parametrize("spelling", ["dynamo", "functions", "fused", "basic", "extended"])
def test_one_relevance(spelling, name, composite, tmp_path, request):
    if (spelling, name) == ("fused", "t5_encoder"):
        reason = "converts, but onnxruntime's CPU has no kernel for RelativePositionBias"
        request.applymarker(pytest.mark.xfail(reason=reason, raises=NotImplemented_, strict=True))
    plain = relevance(export(name, dynamo=False)[0], name, composite)
    if spelling == "dynamo":
        model = export(name, dynamo=True)[0]
    elif spelling == "functions":
        model = functions(name)
        assert model.functions
    elif spelling == "fused":
        model = fused(name, tmp_path)
        assert FUSED[name][1] <= {n.op_type for n in model.graph.node}
    else:
        model = optimised(name, tmp_path, f"ORT_ENABLE_{spelling.upper()}")
    found = relevance(model, name, composite)
    assert np.linalg.norm(found - plain) <= 1e-4 * np.linalg.norm(plain)
