"""Every architecture through both exporters: outputs kept, the ledger closed, padding without relevance, no loss."""

from __future__ import annotations

import functools

import numpy as np
import pytest

import onnxlrp
from onnxlrp.interface import Interface
from tests.operators.case import onnxruntime
from tests.peers.transformer_zoo import HIDDEN_TOKENS, NOT_BY_DYNAMO, TOKENS, ZOO, export

pytestmark = pytest.mark.peers


def cases(names):
    for name in names:
        for dynamo in (False, True):
            reason = NOT_BY_DYNAMO.get(name) if dynamo else None
            marks = [] if reason is None else [pytest.mark.xfail(reason=reason, run=False)]
            yield pytest.param(name, dynamo, marks=marks, id=f"{name}-{'dynamo' if dynamo else 'torchscript'}")


@functools.cache
class Run:
    """One explained run: weights 1 at one score of each sample."""

    def __init__(self, name: str, composite: str, dynamo: bool, biased: bool = True) -> None:
        model, inputs, scores = export(name, dynamo=dynamo, biased=biased)
        weights = np.zeros_like(scores)
        # Of CLIP every pair of picture and text.
        weights[...] = 1 if name == "clip" else 0
        weights[(slice(None), *[0] * (scores.ndim - 1))] = 1
        explained = onnxlrp.convert(
            model, composite, target="weights", ledger=not composite.startswith("grad"), explain_probability=True
        ).to_proto()
        interface = Interface.from_metadata({m.key: m.value for m in explained.metadata_props})
        taken = {value.name for value in explained.graph.input}
        feeds = {k: v for k, v in inputs.items() if k in taken} | {interface.weights_input: weights}
        outputs = onnxruntime(explained)(feeds)
        self.scores, self.expected = outputs["scores"], scores
        self.relevance = {source: outputs[name] for source, name in interface.relevance.items()}
        self.ledger = outputs.get("relevance_ledger")
        self.marked = np.array(interface.marked)
        self.arrives = float((scores * weights).sum())


@pytest.mark.parametrize("composite", ["attn_lrp", "cp_lrp"])
@pytest.mark.parametrize(("name", "dynamo"), cases(ZOO))
def test_outputs_and_ledger(name, dynamo, composite):
    run = Run(name, composite, dynamo)
    np.testing.assert_allclose(run.scores, run.expected, rtol=1e-4, atol=1e-5 * np.abs(run.expected).max())
    assert run.relevance
    assert not {"attention_mask", "position_ids"} & set(run.relevance)
    assert all(np.isfinite(r).all() for r in run.relevance.values())
    if run.ledger is not None:
        gap = run.ledger[:, 0] - run.ledger[:, 1:].sum(1)
        assert np.abs(gap).max() <= 1e-4 * np.abs(run.ledger).max()


@pytest.mark.parametrize("composite", ["attn_lrp", "cp_lrp"])
@pytest.mark.parametrize(("name", "dynamo"), cases(n for n in ZOO if "input_ids" in ZOO[n].inputs()))
def test_padding_gets_exactly_nothing(name, dynamo, composite):
    """An encoder's tokens that the mask hides; those of a decoder stand behind what they could reach."""
    relevance = Run(name, composite, dynamo).relevance["input_ids"]
    assert relevance.shape == (2, TOKENS)
    assert not relevance[1, -HIDDEN_TOKENS:].any()
    assert relevance[1, :-HIDDEN_TOKENS].any()


@pytest.mark.parametrize("name", ZOO)
@pytest.mark.parametrize("composite", ["attn_lrp", "cp_lrp"])
def test_conservation(name, composite):
    """Without biases CP-LRP loses nothing, and AttnLRP the remainders of the softmax alone."""
    run = Run(name, composite, dynamo=False, biased=False)
    remainders = run.ledger[run.marked, 2].sum()
    assert composite == "attn_lrp" or not run.marked.any()
    total = sum(float(r.sum()) for r in run.relevance.values()) + remainders
    assert abs(total - run.arrives) <= 1e-3 * np.abs(run.ledger[:, 0]).max()


@pytest.mark.parametrize("name", [n for n in ZOO if n not in NOT_BY_DYNAMO])
@pytest.mark.parametrize("composite", ["attn_lrp", "cp_lrp"])
def test_both_exporters_one_relevance(name, composite):
    one, other = (Run(name, composite, dynamo) for dynamo in (False, True))
    assert set(one.relevance) == set(other.relevance)
    for source, relevance in one.relevance.items():
        np.testing.assert_allclose(other.relevance[source], relevance, atol=1e-4 * np.abs(relevance).max(), rtol=0)


@pytest.mark.parametrize("name", ZOO)
def test_gradient(name):
    """True gradients reach the tokens that are seen, no others, and neither masks nor positions."""
    run = Run(name, "gradient", dynamo=False)
    assert run.relevance and not {"attention_mask", "position_ids"} & set(run.relevance)
    for source, relevance in run.relevance.items():
        assert np.isfinite(relevance).all() and relevance.any()
        if source == "input_ids":
            assert not relevance[1, -HIDDEN_TOKENS:].any()
