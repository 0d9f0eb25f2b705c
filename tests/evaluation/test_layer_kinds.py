"""Kinds of layers in a transformer block, told by the graph alone."""

from __future__ import annotations

import numpy as np
import pytest

import onnxlrp
from onnxlrp.evaluation.layer_kinds import planned_layers
from tests.evaluation import nets, tuning_nets


@pytest.mark.parametrize("gated", [False, True])
def test_places_in_a_transformer_block(gated):
    model = tuning_nets.transformer(np.random.default_rng(0), gated=gated)
    kinds = {layer.name: layer.kind for layer in planned_layers(onnxlrp.inspect(model, "attn_lrp"))}
    assert kinds == {
        **dict.fromkeys(("node0", "node1", "node2"), "query, key and value"),
        "node3": "attention output",
        "node4": "MLP in",
        **({"node6": "MLP in"} if gated else {}),
        "node5": "MLP out",
        "node7": "other layers",
    }


def test_without_attention_a_kind_is_what_the_layer_is():
    layers = planned_layers(onnxlrp.inspect(nets.convolutions(np.random.default_rng(0))))
    assert [(one.name, one.kind) for one in layers] == [
        ("conv1", "convolution"),
        ("conv2", "convolution"),
        ("dense", "dense"),
    ]
    assert layers[0].role.first and layers[2].role.last
