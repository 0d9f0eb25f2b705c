"""Decoders with keys and values of earlier tokens as inputs: they get their relevance, hidden ones none."""

from __future__ import annotations

import functools
import io
import warnings

import numpy as np
import onnx
import pytest

import onnxlrp
from tests.operators.case import onnxruntime
from tests.peers.transformer_zoo import VOCABULARY, build, torch, transformers

pytestmark = pytest.mark.peers

LAYERS, PAST, SIZE = 2, 4, 8
GROUPS = {"llama": 2, "qwen3": 2, "gpt2": 4}
NAMES = [f"past_{i}_{kind}" for i in range(LAYERS) for kind in ("key", "value")]


class _Step(torch.nn.Module):
    """The next tokens, given the past's keys and values."""

    def __init__(self, model) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids, attention_mask, *past):
        pairs = tuple((past[2 * i], past[2 * i + 1]) for i in range(LAYERS))
        cache = transformers.DynamicCache.from_legacy_cache(pairs)
        out = self.model(
            input_ids=input_ids, attention_mask=attention_mask, past_key_values=cache, use_cache=True, return_dict=True
        )
        return (out.logits, *(t for pair in out.past_key_values.to_legacy_cache() for t in pair))


@functools.cache
def exported(name: str):
    """The first sample's first two past tokens are hidden."""
    model, _ = build(name, biased=False)
    torch.manual_seed(3)
    mask = torch.ones(2, PAST + 3, dtype=torch.long)
    mask[0, :2] = 0
    past = [torch.randn(2, GROUPS[name], PAST, SIZE) for _ in NAMES]
    inputs = {"input_ids": torch.randint(3, VOCABULARY, (2, 3)), "attention_mask": mask}
    inputs |= dict(zip(NAMES, past, strict=True))
    axes = {n: {0: "N", 2: "P"} for n in NAMES} | {"input_ids": {0: "N", 1: "T"}, "attention_mask": {0: "N", 1: "S"}}
    buffer = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        logits = _Step(model)(*inputs.values())[0].numpy()
        torch.onnx.export(
            _Step(model),
            tuple(inputs.values()),
            buffer,
            dynamo=False,
            opset_version=17,
            input_names=list(inputs),
            output_names=["logits", *(n.replace("past", "present") for n in NAMES)],
            dynamic_axes=axes,
        )
    return onnx.load_from_string(buffer.getvalue()), {k: v.numpy() for k, v in inputs.items()}, logits


@pytest.mark.parametrize("name", GROUPS)
@pytest.mark.parametrize("composite", ["attn_lrp", "cp_lrp"])
def test_relevance_of_the_past(name, composite):
    model, inputs, logits = exported(name)
    explained = onnxlrp.convert(model, composite, output="logits", target="token").to_proto()
    outputs = onnxruntime(explained)(inputs)
    np.testing.assert_allclose(outputs["logits"], logits, rtol=1e-4, atol=1e-5)
    relevance = {n: outputs[f"{n}_relevance"] for n in ("input_ids", *NAMES)}
    for source, r in relevance.items():
        assert r.shape == inputs[source].shape
        if "value" in source:
            assert r.any()
        if source in NAMES:
            assert not r[0, :, :2].any()
    if composite == "cp_lrp":
        assert not any(relevance[n].any() for n in NAMES if "key" in n)
        total = sum(r.sum(axis=tuple(range(1, r.ndim))) for r in relevance.values())
        np.testing.assert_allclose(total, logits[:, -1].max(1), rtol=1e-3)


def test_relevance_of_heads():
    """Attention weights are inner values like others: one head's share of a token."""
    model, inputs, _ = exported("llama")
    weights = next(n.output[0] for n in model.graph.node if n.op_type == "Softmax")
    scores = next(n.input[0] for n in model.graph.node if n.op_type == "Softmax")
    explained = onnxlrp.convert(model, "attn_lrp", output="logits", target="token", relevance_at=[weights, scores])
    outputs = onnxruntime(explained.to_proto())(inputs)
    of_weights, of_scores = outputs[f"{weights}_relevance"], outputs[f"{scores}_relevance"]
    assert of_weights.shape == of_scores.shape == (2, 4, 3, PAST + 3)
    assert of_weights.any() and of_scores.any()
    assert not of_weights[0, :, :, :2].any() and not of_scores[0, :, :, :2].any()


def test_inside_a_norm_is_an_error_that_says_so():
    model, _, _ = exported("llama")
    root = next(n.output[0] for n in model.graph.node if n.op_type == "Sqrt")
    with pytest.raises(onnxlrp.errors.InputError, match="inside a step that is explained as one"):
        onnxlrp.convert(model, "attn_lrp", output="logits", target="token", relevance_at=[root])
