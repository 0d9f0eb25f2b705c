"""Contrastive targets: weights that explain what speaks for one class more than for others."""

from __future__ import annotations

from typing import Any

import numpy as np

from onnxlrp.errors import TargetError


def contrastive(target: Any, classes: int, against: Any = None) -> np.ndarray:
    """Make weights that compare a class with others, for a model that was converted with `target="weights"`.

    They explain the lead of the class's score over the mean of the others, z_t − mean z_a: relevance that all of them
    share cancels (after Gu, Yang and Tresp 2018, Understanding Individual Decisions of CNNs via Contrastive
    Backpropagation).

    Parameters
    ----------
    target
        The class, from 0, or one for each sample [N].
    classes
        The number of classes of the explained output.
    against
        The class or classes to compare it with. Default: all others.

    Returns
    -------
    numpy.ndarray
        Float32 [N, classes]: 1 at the target, −1/k at each of the k other classes, 0 elsewhere.

    Raises
    ------
    TargetError
        A class does not exist, or is compared with itself.

    Examples
    --------
    ```python
    explainer = onnxlrp.Explainer(onnxlrp.convert("model.onnx", target="weights"))
    explanation = explainer({"image": x}, weights=onnxlrp.contrastive(1, classes=3))
    ```
    """
    targets = _classes(target, classes, "target")
    rivals = np.arange(classes) if against is None else np.unique(_classes(against, classes, "against"))
    negative = np.zeros((len(targets), classes))
    negative[:, rivals] = 1.0
    rows = np.arange(len(targets))
    if against is not None and negative[rows, targets].any():
        raise TargetError(f"class {targets[negative[rows, targets] > 0][0]} is compared with itself")
    negative[rows, targets] = 0.0
    count = negative.sum(1, keepdims=True)
    if not count.all():
        raise TargetError("there is one class only, and no other to compare it with")
    weights = -negative / count
    weights[rows, targets] = 1.0
    return np.asarray(weights, np.float32)


def _classes(given: Any, classes: int, name: str) -> np.ndarray:
    array = np.atleast_1d(np.asarray(given))
    if array.dtype.kind not in "iu" or array.ndim != 1 or not array.size:
        raise TargetError(f"{name} must be a class or a list of classes, not {given!r:.80}")
    if array.min() < 0 or array.max() >= classes:
        raise TargetError(f"{name} {given!r:.80}: the classes are 0 to {classes - 1}")
    return array
