"""Shapley values and interactions of a forest in double precision, straight from `onnxlrp.trees`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import onnx_ir as ir

from onnxlrp.graph.call import Call
from onnxlrp.operators.reverse_builder import ReverseBuilder
from onnxlrp.trees.ensemble_attributes import forest
from onnxlrp.trees.forest import LEAF, MODES, Forest
from tests.operators.case import onnxruntime
from tests.operators.draws.classical import Tree, by_numbers, single
from tests.oracle.trees import Branch, Leaf

Array = np.ndarray
DOUBLE = ir.DataType.DOUBLE


def forest_of(trees: Sequence[Tree], targets: int = 1, **attributes: object) -> Forest:
    """The forest as the package reads it, with the drawn rates as covers."""
    tables = by_numbers(trees, "target", hit_rates=True, double=True)
    source = single("TreeEnsembleRegressor", kind=11, n_targets=targets, **tables, **attributes)
    (node,) = ir.serde.deserialize_model(source).graph
    return forest(Call.of(node))


def with_shares(trees: Forest, share: Array) -> Forest:
    """The same forest with other shares of the true branches, [nodes]."""
    return dataclasses.replace(trees, known_share=share)


def roots_of(trees: Forest) -> list[Branch | Leaf]:
    """The forest for the oracle, its shares as rates and its scale in the leaves."""

    def node(at: int, rate: float) -> Branch | Leaf:
        if trees.mode[at] == LEAF:
            return Leaf({t: float(v) * trees.scale for t, v in enumerate(trees.values[at])}, rate)
        share = float(trees.share[at])
        branch = Branch(
            MODES[trees.mode[at]], int(trees.feature[at]), float(trees.threshold[at]), bool(trees.missing[at]), rate
        )
        branch.yes, branch.no = node(int(trees.yes[at]), share), node(int(trees.no[at]), 1 - share)
        return branch

    return [node(int(root), 1.0) for root in trees.roots]


Emission = Callable[[ReverseBuilder, ir.Value, ir.Value], ir.Value]


def emitted(emit: Emission, features: int, targets: int = 1) -> ir.Graph:
    """The graph that `emit(op, x, factors)` emits, for rows x [N, features] and factors [N, targets]."""
    inputs = [
        ir.Value(name=name, type=ir.TensorType(DOUBLE), shape=ir.Shape(["N", width]))
        for name, width in (("x", features), ("factors", targets))
    ]
    graph = ir.Graph(inputs, [], nodes=[], name="g", opset_imports={"": 21})
    op = ReverseBuilder(graph, "lrp")
    graph.outputs.append(op.alias(emit(op, *inputs), "result"))
    return graph


def run(emit: Emission, x: Array, factors: Array) -> Array:
    """What `emit(op, x, factors)` emits, computed for rows [N, features] and factors [N, targets]."""
    model = ir.serde.serialize_model(ir.Model(emitted(emit, x.shape[1], factors.shape[1]), ir_version=10))
    return onnxruntime(model)({"x": x.astype(np.float64), "factors": factors.astype(np.float64)})["result"]
