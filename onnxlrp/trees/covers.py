"""Covers that the caller gives: the number of training samples that reached each node of a tree ensemble.

ONNX files rarely hold them, and the expectation of a node is then the plain mean of its two children. Where the trained
model still knows them, they are stored as the nodes' hit rates, which is ONNX's own attribute for them:

```python
covers = [tree.tree_.weighted_n_node_samples for tree in forest.estimators_]         # scikit-learn
explained = onnxlrp.convert(with_covers(model, covers))
```
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from onnx import helper

from onnxlrp.errors import InputError

_OPERATORS = ("TreeEnsembleRegressor", "TreeEnsembleClassifier")
Covers = Sequence[Sequence[float] | Mapping[int, float] | np.ndarray]


def with_covers(model: onnx.ModelProto, covers: Covers, node: str | None = None) -> onnx.ModelProto:
    """Return a copy of the model whose tree ensemble knows how many training samples reached each node.

    Parameters
    ----------
    model
        The model; it is not changed.
    covers
        For each tree, in the order in which the model lists them, the number of samples at each node: a sequence or an
        array by node number, or a mapping from it.
    node
        The name of the ensemble's node. Default: the only ensemble.

    Raises
    ------
    InputError
        The model does not have one such ensemble, or the covers do not fit its trees.

    Examples
    --------
    ```python
    import onnx

    # scikit-learn: covers = [tree.tree_.weighted_n_node_samples for tree in forest.estimators_]
    model = onnxlrp.with_covers(onnx.load("forest.onnx"), covers=[[10, 6, 4]])
    explained = onnxlrp.convert(model)
    ```
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    found = [n for n in copy.graph.node if n.op_type in _OPERATORS and node in (None, n.name)]
    if len(found) != 1:
        names = ", ".join(repr(n.name) for n in found) or "none"
        raise InputError(f"covers are for one TreeEnsembleRegressor or TreeEnsembleClassifier; the model has {names}")
    (ensemble,) = found
    given = {a.name: list(a.ints) for a in ensemble.attribute if a.name in ("nodes_treeids", "nodes_nodeids")}
    trees = {tree: i for i, tree in enumerate(dict.fromkeys(given["nodes_treeids"]))}
    if len(trees) != len(covers):
        raise InputError(f"covers: {len(covers)} trees are given, but the model has {len(trees)}")
    hit_rates = []
    for tree, number in zip(given["nodes_treeids"], given["nodes_nodeids"], strict=True):
        try:
            hit_rates.append(float(covers[trees[tree]][number]))
        except (IndexError, KeyError) as e:
            raise InputError(f"covers: node {number} of tree {tree} has no cover") from e
    kept = [a for a in ensemble.attribute if not a.name.startswith("nodes_hitrates")]
    del ensemble.attribute[:]
    ensemble.attribute.extend([*kept, helper.make_attribute("nodes_hitrates", hit_rates)])
    return copy
