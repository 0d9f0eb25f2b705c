"""Growth of conversion times with the size of models: `python -m tools.growth` prints a table (`--nodes` sets the
size).

Every kind of graph is converted at a size and at twice the size. Times are those of the processor, of one thread; the
least of some tries is taken, because a busy machine only ever adds to it. Linear growth is a ratio of 2, and quadratic
growth one of 4; the exit status is 1 where a ratio is above `--most`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import onnx
from onnx import helper, numpy_helper

import onnxlrp

Node = onnx.NodeProto


def _model(nodes: list[Node], output: str, shape: tuple[int, int], weights: dict, **options) -> onnx.ModelProto:
    """Make a model of float vectors; `shape` holds the lengths of the input and of the output."""
    ends = [
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["N", size])
        for name, size in zip(("x", output), shape, strict=True)
    ]
    tensors = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "growth", ends[:1], ends[1:], tensors)
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("local", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10, **options)


def _following(operators: list[tuple[str, ...]], count: int, weights: dict, size: int = 8) -> onnx.ModelProto:
    """Make nodes one after another; each operator is given with its further operands."""
    nodes, last = [], "x"
    for index in range(count):
        operator, *others = operators[index % len(operators)]
        operands = [last, *(name.format(index=index, x=last) for name in others)]
        last = f"v{index}"
        nodes.append(helper.make_node(operator, operands, [last]))
    return _model(nodes, last, (size, size), weights)


def chain(count: int) -> onnx.ModelProto:
    """Make Relu and products with one constant in turn."""
    return _following([("Mul", "c"), ("Relu",)], count, {"c": np.full(8, 1.01, np.float32)})


def own_constants(count: int) -> onnx.ModelProto:
    """Make products and sums in turn, each with a constant of its own."""
    weights = {f"c{i}": np.full(8, 1 + i / count, np.float32) for i in range(count)}
    return _following([("Mul", "c{index}"), ("Add", "c{index}")], count, weights)


def residual(count: int) -> onnx.ModelProto:
    """Make a Relu and the sum of it and its operand, over and over."""
    nodes, last = [], "x"
    for index in range(count // 2):
        nodes.append(helper.make_node("Relu", [last], [f"r{index}"]))
        nodes.append(helper.make_node("Add", [last, f"r{index}"], [f"v{index}"]))
        last = f"v{index}"
    return _model(nodes, last, (8, 8), {})


def _side(count: int) -> tuple[list[Node], list[str]]:
    names = [f"v{index}" for index in range(count)]
    return [helper.make_node(("Neg", "Relu")[i % 2], ["x"], [name]) for i, name in enumerate(names)], names


def added(count: int) -> onnx.ModelProto:
    """Make nodes side by side, added up by one Sum."""
    nodes, names = _side(count)
    return _model([*nodes, helper.make_node("Sum", names, ["y"])], "y", (8, 8), {})


def joined(count: int) -> onnx.ModelProto:
    """Make nodes side by side, joined by one Concat."""
    nodes, names = _side(count)
    return _model([*nodes, helper.make_node("Concat", names, ["y"], axis=1)], "y", (2, 2 * count), {})


def parted(count: int) -> onnx.ModelProto:
    """Make one Split, a Relu of each part, and one Concat."""
    parts, ends = [f"s{i}" for i in range(count)], [f"r{i}" for i in range(count)]
    nodes = [helper.make_node("Split", ["x"], parts, axis=1, num_outputs=count)]
    nodes += [helper.make_node("Relu", [a], [b]) for a, b in zip(parts, ends, strict=True)]
    nodes.append(helper.make_node("Concat", ends, ["y"], axis=1))
    return _model(nodes, "y", (2 * count, 2 * count), {})


def layers(count: int) -> onnx.ModelProto:
    """Make small dense layers."""
    rng = np.random.default_rng(0)
    weights = {f"w{index}": rng.normal(size=(4, 4)).astype(np.float32) for index in range(count)}
    return _following([("MatMul", "w{index}")], count, weights, size=4)


def functions(count: int) -> onnx.ModelProto:
    """Make local functions that each call another one twice.

    The nodes number the power of two below `count`, and half as many more.
    """
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("local", 1)]
    depth, made = int(np.log2(count)), []
    for level in range(depth):
        calls = [("Neg", "", "a", "b"), ("Relu", "", "b", "c")]
        if level:
            calls = [(f"F{level - 1}", "local", "a", "b"), (f"F{level - 1}", "local", "b", "c")]
        nodes = [helper.make_node(name, [x], [y], domain=domain) for name, domain, x, y in calls]
        made.append(helper.make_function("local", f"F{level}", ["a"], ["c"], nodes, opsets))
    call = helper.make_node(f"F{depth - 1}", ["x"], ["y"], domain="local")
    return _model([call], "y", (8, 8), {}, functions=made)


KINDS: dict[str, tuple[Callable[[int], onnx.ModelProto], float]] = {
    "chain": (chain, 1),
    "constants of their own": (own_constants, 1),
    "residual": (residual, 1),
    "side by side, Sum": (added, 1),
    "side by side, Concat": (joined, 0.5),
    "Split to Concat": (parted, 0.25),
    "dense layers": (layers, 0.5),
    "functions": (functions, 1),
}
"""Kinds of graph, each with its share of the requested number of nodes."""


def seconds(model: onnx.ModelProto, tries: int) -> float:
    """Measure the processor time of a conversion."""
    found = []
    for _ in range(tries):
        start = time.process_time()
        onnxlrp.convert(model)
        found.append(time.process_time() - start)
    return min(found)


def row(name: str, nodes: int, tries: int) -> float:
    """Convert one kind of graph at a size and at twice the size, print the times, and return their ratio."""
    make, share = KINDS[name]
    count = int(nodes * share)
    one, two = (seconds(make(n), tries) for n in (count, 2 * count))
    print(f"| {name:22} | {count:,} | {one:.2f} | {two:.2f} | {two / one:.2f} |", flush=True)
    return two / one


def main(given: list[str] | None = None) -> int:
    """Print the table, and return the exit status."""
    parser = argparse.ArgumentParser("python -m tools.growth", description=__doc__)
    parser.add_argument("--nodes", type=int, default=5000)
    parser.add_argument("--tries", type=int, default=2)
    parser.add_argument("--most", type=float, default=float("inf"), help="the largest ratio that is no fault")
    parser.add_argument("kinds", nargs="*", help="the beginning of a kind's name; all where none is given")
    options = parser.parse_args(given)
    onnxlrp.convert(chain(10))  # does the work that is needed once per process
    print(f"| {'graph':22} | nodes | seconds | twice as many | ratio |\n|---|--:|--:|--:|--:|")
    names = [name for name in KINDS if not options.kinds or name.startswith(tuple(options.kinds))]
    ratios = [row(name, options.nodes, options.tries) for name in names]
    return int(max(ratios, default=0) > options.most)


if __name__ == "__main__":
    raise SystemExit(main())
