"""A ledger taps the relevance part, and changes nothing in it."""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
import pytest

import onnxlrp
from tests.oracle.compare import Explained
from tests.oracle.net import Net
from tests.oracle.zoo import NETS
from tools.net.emitted_graph import operators, without

COMPOSITES = ["auto", "epsilon", "lrp0", "epsilon_plus", "epsilon_alpha2_beta1", "deep_taylor", "attn_lrp"]


def both(model: onnx.ModelProto, **options: object) -> tuple[Counter[str], Counter[str]]:
    """The operators of the relevance part without a ledger; and with one, less those that only the ledger needs."""
    plain = onnxlrp.convert(model, **options).to_proto()
    kept = onnxlrp.convert(model, ledger=True, **options).to_proto()
    names = {entry.key: entry.value for entry in kept.metadata_props}
    return operators(plain, relevance=True), operators(
        without(kept, names["onnxlrp.ledger"].strip('"')), relevance=True
    )


@pytest.mark.parametrize("composite", COMPOSITES)
@pytest.mark.parametrize("net", ["strided", "depthwise", "residual", "smooth", "clipped", "mixer"])
def test_a_ledger_leaves_the_relevance_part_as_it_is(net, composite):
    plain, tapped = both(NETS[net]().model(), composite=composite)
    assert plain == tapped


def tokens() -> Net:
    """Scores of words at every token."""
    net = Net(70, x=(3, 5))
    return net.output(net.matmul(net.relu(net.matmul("x", 6)), 7))


def test_one_score_alone_is_explained_with_a_ledger_too():
    plain, tapped = both(tokens().model(), composite="epsilon", target="token")
    assert plain == tapped
    explained = Explained(tokens().model(), composite="epsilon", target="token", ledger=True)
    table = explained.run(tokens().feeds())[explained.interface.ledger]
    assert len(table) == len(explained.interface.steps) == 3
    np.testing.assert_allclose(table[:, 0], table[:, 1:].sum(1), rtol=1e-9)
