"""A ledger taps the relevance part, and changes nothing in it."""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
import onnx.parser
import pytest

import onnxlrp
from onnxlrp.graph.provenance import RULE
from tests.oracle.compare import Explained
from tests.oracle.net import Net
from tests.oracle.zoo import NETS
from tools.net.emitted_graph import operators, without

COMPOSITES = ["auto", "epsilon", "lrp0", "epsilon_plus", "epsilon_alpha2_beta1", "deep_taylor", "attn_lrp"]


def added(graph: onnx.GraphProto) -> Counter[str]:
    """The operators that onnxlrp added and that are not labelled as the ledger's own, those in bodies included."""
    found: Counter[str] = Counter()
    for node in graph.node:
        rule = [entry.value for entry in node.metadata_props if entry.key == RULE]
        found.update([] if rule in ([], ["ledger"]) else [node.op_type])
        for attribute in node.attribute:
            found.update(added(attribute.g) if attribute.type == onnx.AttributeProto.GRAPH else ())
    return found


def check(model: onnx.ModelProto, *, labelled: bool = True, **options: object) -> None:
    """The relevance part with a ledger, less what only the ledger needs, is the relevance part without one."""
    plain = onnxlrp.convert(model, **options).to_proto()
    kept = onnxlrp.convert(model, ledger=True, **options).to_proto()
    names = {entry.key: entry.value for entry in kept.metadata_props}
    untapped = without(kept, names["onnxlrp.ledger"].strip('"'))
    assert operators(plain, relevance=True) == operators(untapped, relevance=True)
    assert not labelled or added(plain.graph) == added(kept.graph)


@pytest.mark.parametrize("composite", COMPOSITES)
@pytest.mark.parametrize("net", ["strided", "depthwise", "residual", "smooth", "clipped", "mixer"])
def test_a_ledger_leaves_the_relevance_part_as_it_is(net, composite):
    check(NETS[net]().model(), composite=composite)


@pytest.mark.parametrize("net", ["residual", "mixer"])
def test_a_ledger_of_several_targets(net):
    check(NETS[net]().model(), composite="epsilon", targets=3)


LOOP = """<ir_version: 10, opset_import: ["" : 21]>
main (float[N, 4] x) => (float[N, 4] y)
<int64 trips = {3}, bool go = {1}, float[4] bias = {0.1, 0.2, 0.3, 0.4}> {
    y = Loop (trips, go, x) <body = step (int64 i, bool on, float[N, 4] h) => (bool on_out, float[N, 4] h_out) {
        on_out = Identity (on) shifted = Add (h, bias) h_out = Tanh (shifted)
    }>
}"""


def test_a_ledger_of_a_loop():
    """A loop carries the sums with its own values, under its own label."""
    check(onnx.parser.parse_model(LOOP), composite="epsilon", labelled=False)


def tokens() -> Net:
    """Scores of words at every token."""
    net = Net(70, x=(3, 5))
    return net.output(net.matmul(net.relu(net.matmul("x", 6)), 7))


def test_one_score_alone_is_explained_with_a_ledger_too():
    check(tokens().model(), composite="epsilon", target="token")
    explained = Explained(tokens().model(), composite="epsilon", target="token", ledger=True)
    table = explained.run(tokens().feeds())[explained.interface.ledger]
    assert len(table) == len(explained.interface.steps) == 3
    np.testing.assert_allclose(table[:, 0], table[:, 1:].sum(1), rtol=1e-9)
