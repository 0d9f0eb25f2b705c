"""Heads whose largest output is not that of the largest score: the default class is the arg max of the output."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from onnx import NodeProto
from onnx.helper import make_node

from tools.cases.lib import Table, explain, sketch

ROWS = 400
CONSTANTS = {"halves": np.array([3, 3]), "box": np.array([2, 4]), "one": np.float32(1)}


def halves(left: str, right: str, sizes: str = "halves") -> list[NodeProto]:
    """Make two heads of different kinds side by side."""
    nodes = [make_node("Split", ["z", sizes], ["a", "b"], axis=1)]
    for kind, value, result in ((left, "a", "c"), (right, "b", "d")):
        nodes.append(make_node(kind, [value], [result], **({"axis": 1} if kind == "Softmax" else {})))
    return [*nodes, make_node("Concat", ["c", "d"], ["y"], axis=1)]


HEADS: dict[str, list[NodeProto]] = {
    "softmax": [make_node("Softmax", ["z"], ["y"], axis=1)],
    "sigmoids": [make_node("Sigmoid", ["z"], ["y"])],
    "softmax beside softmax": halves("Softmax", "Softmax"),
    "softmax beside sigmoids": halves("Softmax", "Sigmoid"),
    "sigmoids beside tanh": halves("Sigmoid", "Tanh"),
    "exp beside softplus": halves("Exp", "Softplus"),
    "boxes beside sigmoids": halves("Identity", "Sigmoid", "box"),
    "[p, 1 - p] of three scores": [
        make_node("Split", ["z", "halves"], ["a", "b"], axis=1),
        make_node("Sigmoid", ["a"], ["p"]),
        make_node("Sub", ["one", "p"], ["q"]),
        make_node("Concat", ["p", "q"], ["y"], axis=1),
    ],
    "1 - sigmoid": [make_node("Sigmoid", ["z"], ["p"]), make_node("Sub", ["one", "p"], ["y"])],
}


def differing(nodes: Sequence[NodeProto]) -> int:
    """Count rows whose default relevance is not that of the class that the explanation names."""
    rng = np.random.default_rng(0)
    constants = {"w": rng.normal(size=(6, 6)).astype(np.float32), **CONSTANTS}
    x = rng.normal(size=(ROWS, 6)).astype(np.float32)
    model = sketch([make_node("MatMul", ["x", "w"], ["z"]), *nodes], constants, ["N", 6], ["N", 6])
    default = explain(model, x)
    best = default.outputs["y"].argmax(1)
    asked = explain(model, x, target=best)
    other = np.abs(default.relevance["x"] - asked.relevance["x"]).max(1) > 1e-5
    return int((other | (default.target != best)).sum())


def main() -> int:
    """Require that 0 of 400 rows differ."""
    table = Table("rows whose default class is not the arg max of the output")
    for name, nodes in HEADS.items():

        def figure(nodes: list[NodeProto] = nodes) -> tuple[bool, str]:
            count = differing(nodes)
            return count == 0, f"{count} of {ROWS}"

        table.attempt(name, figure)
    return table.status()


if __name__ == "__main__":
    raise SystemExit(main())
