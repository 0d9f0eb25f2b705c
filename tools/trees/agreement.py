"""Agreement with SHAP where a file holds no covers: `python -m tools.trees agreement` prints the table.

True values are shap's, path-dependent, with the covers that the trainer counted. Beside them stand the relevance of the
file as it is (the threshold grid), with `background=` of 500 training rows, and by halves along the path, which is what
onnxlrp's first edition gave for such a file. A row's rank correlation is Spearman's, over its features; the top feature
is the one of the largest absolute value.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
import onnx
from scipy import stats

import onnxlrp
from tools.trees.datasets import TASKS, Array, Task
from tools.trees.trainers import TRAINERS, Trained

BACKGROUND = 500
WAYS = ("grid", "background", "halves")


def relevance(trained: Trained, task: Task, way: str) -> tuple[Array, Array | None]:
    """Explain the predicted class of every row in one of `WAYS`: relevance [rows, features] and the classes."""
    model, options = trained.proto, {}
    if way == "background":
        options["background"] = task.train[:BACKGROUND]
    composite = "auto"
    if way == "halves":
        model, composite = onnxlrp.with_covers(model, halves(model)), onnxlrp.composites.Auto(trees="path")
    explanation = onnxlrp.Explainer(onnxlrp.convert(model, composite, **options))({"X": task.rows})
    classes = explanation.target.reshape(-1) if task.classes else None
    return explanation.relevance["X"], classes


def halves(model: onnx.ModelProto) -> list[dict[int, float]]:
    """Give every node half of its parent's cover."""
    (node,) = (n for n in model.graph.node if n.op_type.startswith("TreeEnsemble"))
    given = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    children: dict[int, dict[int, tuple[int, int]]] = {}
    lists = ("nodes_treeids", "nodes_nodeids", "nodes_truenodeids", "nodes_falsenodeids", "nodes_modes")
    for tree, number, yes, no, mode in zip(*(given[name] for name in lists), strict=True):
        children.setdefault(tree, {})[number] = () if mode == b"LEAF" else (yes, no)  # type: ignore[assignment]
    return [_halved(tree) for tree in children.values()]


def _halved(children: dict[int, tuple[int, int]]) -> dict[int, float]:
    (root,) = set(children) - {child for pair in children.values() for child in pair}
    covers, waiting = {root: 1.0}, [root]
    while waiting:
        number = waiting.pop()
        for child in children[number]:
            covers[child] = covers[number] / 2
            waiting.append(child)
    return covers


def figures(found: Array, true: Array) -> tuple[float, float, float]:
    """Return the mean rank correlation a row, the same of absolute values, and the share of equal top features."""
    signed = np.mean([stats.spearmanr(a, b).statistic for a, b in zip(found, true, strict=True)])
    size = np.mean([stats.spearmanr(a, b).statistic for a, b in zip(abs(found), abs(true), strict=True)])
    return float(signed), float(size), float((abs(found).argmax(1) == abs(true).argmax(1)).mean())


def main(given: list[str] | None = None) -> int:
    """Print the table, a line for each set and trainer, and the means."""
    parser = argparse.ArgumentParser("python -m tools.trees agreement", description=__doc__)
    parser.add_argument("--ways", nargs="*", choices=WAYS, default=WAYS)
    parser.add_argument("--sets", nargs="*", choices=list(TASKS), default=list(TASKS))
    chosen = parser.parse_args(given)
    print(f"| set | trainer |{''.join(f' {way} | top |' for way in chosen.ways)}")
    print(f"|---|---|{'--:|--:|' * len(chosen.ways)}")
    rows = []
    for name in chosen.sets:
        task = TASKS[name]()
        for trainer, train in TRAINERS.items():
            rows.append(row(task, train, chosen.ways))
            print(f"| {name} | {trainer} |{cells(rows[-1])}", flush=True)
    print(f"| mean | |{cells(np.mean(rows, 0))}")
    return 0


def row(task: Task, train: Callable[[Task], Trained], ways: list[str]) -> Array:
    """Measure one set and trainer: the figures of every way, [ways, 3]."""
    trained = train(task)
    found = {way: relevance(trained, task, way) for way in ways}
    classes = next(iter(found.values()))[1]
    true = trained.shapley(task.rows, classes)
    return np.array([figures(values, true) for values, _ in found.values()])


def cells(row: Array) -> str:
    """Write the figures of a row as cells of the table."""
    return "".join(f" {signed:.3f} | {100 * top:.0f} % |" for signed, _, top in row)


if __name__ == "__main__":
    raise SystemExit(main())
