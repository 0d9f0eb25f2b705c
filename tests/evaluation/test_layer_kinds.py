"""Kinds of layers in a transformer block, told by the graph alone."""

from __future__ import annotations

import numpy as np
import pytest

import onnxlrp
from onnxlrp.evaluation.layer_kinds import planned_layers
from tests.evaluation import nets, tuning_nets


@pytest.mark.parametrize("gated", [False, True])
def test_places_in_transformer_blocks(gated):
    model = tuning_nets.transformer(np.random.default_rng(0), blocks=2, gated=gated)
    kinds = {layer.name: layer.kind for layer in planned_layers(onnxlrp.inspect(model, "attn_lrp"))}
    wanted = {"head": "other layers"}
    for first in (0, 7):
        wanted |= {f"node{first + index}": "query, key and value" for index in range(3)}
        wanted |= {f"node{first + 3}": "attention output", f"node{first + 4}": "MLP in", f"node{first + 5}": "MLP out"}
        wanted |= {f"node{first + 6}": "MLP in"} if gated else {}
    assert kinds == wanted
    assert list(kinds)[-1] == "head"


def test_without_attention_a_kind_is_what_the_layer_is():
    layers = planned_layers(onnxlrp.inspect(nets.convolutions(np.random.default_rng(0))))
    assert [(one.name, one.kind) for one in layers] == [
        ("conv1", "convolution"),
        ("conv2", "convolution"),
        ("dense", "dense"),
    ]
    assert layers[0].role.first and layers[2].role.last
