"""LSTM, GRU and RNN: every attribute, which operands are there and which are data, which outputs are read."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn
from onnx import helper

from tests.operators.case import Case
from tests.operators.draws.common import draws, each, pick, random
from tests.oracle.recurrent import DEFAULTS, FUNCTIONS

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
UNLIKE = {("GRU", 0, "Softplus")}
"""What onnxruntime computes otherwise: not a number where e^x is none."""


@draws("LSTM", "GRU", "RNN")
def recurrent(draw: DrawFn, op: str) -> Case:
    """A cell with any attributes."""
    direction = pick(draw, "forward", "reverse", "bidirectional")
    directions = 2 if direction == "bidirectional" else 1
    steps, batch, width, size = (draw(st.integers(1, n), label=k) for k, n in (("T", 4), ("N", 3), ("I", 3), ("H", 3)))
    layout = pick(draw, 0, 0, 0, 1)
    attributes: dict[str, Any] = {"direction": direction, "hidden_size": size, "layout": layout}
    names = _activations(draw, op, directions, attributes)
    if pick(draw, False, False, True):
        attributes["clip"] = pick(draw, 0.25, 1.0)
    if op == "LSTM":
        attributes["input_forget"] = pick(draw, 0, 0, 1)
    if op == "GRU":
        attributes["linear_before_reset"] = pick(draw, 0, 1)
    rng, rows = random(draw), GATES[op] * size
    first = (batch, directions, size) if layout else (directions, batch, size)
    shapes = {
        0: (batch, steps, width) if layout else (steps, batch, width),
        1: (directions, rows, width),
        2: (directions, rows, size),
        3: (directions, 2 * rows),
        5: first,
        **({6: first, 7: (directions, 3 * size)} if op == "LSTM" else {}),
    }
    operands: list[Any] = [None] * (8 if op == "LSTM" else 6)
    for index, shape in shapes.items():
        if index < 3 or pick(draw, False, True):
            operands[index] = 0.6 * rng.normal(size=shape)
    feeds = []
    if pick(draw, False, False, True):
        operands[4] = np.array(each(draw, batch, 0, steps), np.int32)
        feeds = [4] if pick(draw, False, True) else []
    there = [i for i in shapes if operands[i] is not None]
    # Relevance goes to the input and the initial states only: one of them is data.
    carrying = pick(draw, *(i for i in there if i in (0, 5, 6)))
    data = sorted(draw(st.sets(st.sampled_from(there)), label="data") | {carrying})
    count = pick(draw, 1, 2, 3 if op == "LSTM" else 2)
    read = sorted(draw(st.sets(st.integers(0, count - 1), min_size=1), label="outputs that are read"))
    flat = [helper.make_node("Flatten", [f"y{i}"], [f"flat{i}"], axis=0) for i in read]
    return Case(
        op,
        operands,
        data,
        feeds,
        attributes,
        outputs=count,
        bodies=[*flat, helper.make_node("Concat", [f"flat{i}" for i in read], ["y"], axis=1)],
        step=1e-6,
        tolerance=1e-6,
        # onnxruntime has no kernels for batches first.
        deployed=layout == 0 and not any((op, i % len(DEFAULTS[op]), n) in UNLIKE for i, n in enumerate(names)),
    )


def _activations(draw: DrawFn, op: str, directions: int, attributes: dict[str, Any]) -> list[str]:
    """Mostly the defaults. An alpha and a beta is given to all that have one: of some the runtimes' defaults differ."""
    if pick(draw, True, False):
        return []
    names = [pick(draw, *FUNCTIONS) for _ in range(directions * len(DEFAULTS[op]))]
    attributes["activations"] = names
    for index, kind in ((1, "alpha"), (2, "beta")):
        count = sum(FUNCTIONS[n][index] is not None for n in names)
        if count:
            attributes[f"activation_{kind}"] = [pick(draw, 0.375, 0.75, 0.875) for _ in range(count)]
    return names
