"""Explanations in the form that shap's plots take."""

from __future__ import annotations

from typing import Any

import numpy as np

from onnxlrp.errors import InputError
from onnxlrp.extras import optional
from onnxlrp.printable import escaped
from onnxlrp.runtime.explanation import Explanation
from onnxlrp.runtime.reduced_inputs import laid_out
from onnxlrp.view.explanation_table import counts, flat, is_wide, parts_of, wide_names


def to_shap(explanation: Explanation) -> Any:
    """Make a `shap.Explanation`; see `Explanation.to_shap`."""
    shap = optional("shap", "to_shap()")
    if explanation.relevance_indices:
        raise InputError("shap's plots add relevance up to the score, and this model keeps the largest relevance only")
    explanation = laid_out(explanation)
    samples, targets = counts(explanation)
    if is_wide(explanation):
        values, data, names = _features(explanation)
        numbers, shown = _with_codes(data)
        about = {"data": numbers, "display_data": shown, "feature_names": names}
        return shap.Explanation(_targets_last(values, samples, targets), _base(explanation, samples, targets), **about)
    if len(explanation.relevance) != 1:
        shapes = ", ".join(f"{escaped(n)} {list(v.shape)}" for n, v in explanation.relevance.items())
        raise InputError(
            f"shap explains one array, or features, but {shapes} are explained: convert with inputs=[NAME]"
        )
    (name,) = explanation.relevance
    part = parts_of(explanation)[name]
    base = _base(explanation, samples, targets)
    if name in explanation.tokens and targets == 1:
        return _texts(shap, explanation, name, part.relevance, base)
    values = _targets_last(part.relevance, samples, targets)
    return shap.Explanation(values, base, None if part.value is None else part.value[::targets])


def _features(explanation: Explanation) -> tuple[np.ndarray, np.ndarray | None, list[str]]:
    """Join all inputs side by side: relevance and values [rows, features], and the names of the features."""
    parts = parts_of(explanation)
    blocks = {name: flat(part.relevance) for name, part in parts.items()}
    named = wide_names(explanation, {name: block.shape[1] for name, block in blocks.items()})
    values = [None if p.value is None else p.value.reshape(blocks[n].shape) for n, p in parts.items()]
    known = [value for value in values if value is not None]
    data = None
    if len(known) == len(values):
        is_mixed = len({value.dtype.kind in "OUS" for value in known}) > 1
        data = np.concatenate([value.astype(object) if is_mixed else value for value in known], axis=1)
        data = data[:: counts(explanation)[1]]
    names = [feature for names in named.values() for feature in names]
    return np.concatenate([block.astype(np.float64) for block in blocks.values()], axis=1), data, names


def _with_codes(data: np.ndarray | None) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Number the words of each column in the order of the alphabet, because some plots take numbers only; the second
    array holds the words themselves, None if there are none."""
    if data is None or data.dtype.kind not in "OUS":
        return data, None
    numbers = np.empty(data.shape, np.float64)
    for index, column in enumerate(data.T):
        is_word = any(isinstance(cell, str) for cell in column)
        numbers[:, index] = (
            np.unique(column.astype(str), return_inverse=True)[1] if is_word else column.astype(np.float64)
        )
    return numbers, data


def _targets_last(rows: np.ndarray, samples: int, targets: int) -> np.ndarray:
    """Move the targets to the last axis, as shap has them: [samples · targets, ...] to [samples, ..., targets]."""
    return rows if targets == 1 else np.moveaxis(rows.reshape(samples, targets, *rows.shape[1:]), 1, -1)


def _base(explanation: Explanation, samples: int, targets: int) -> np.ndarray:
    """Give each sample its base value; relevance without one is counted from 0."""
    base = explanation.base_value
    shape = (samples,) if targets == 1 else (samples, targets)
    return np.zeros(shape) if base is None else np.reshape(base, shape)


def _texts(shap: Any, explanation: Explanation, name: str, relevance: np.ndarray, base: np.ndarray) -> Any:
    """Make an explanation of texts, whose lengths may differ: without padding, the tokens in the place of the data."""
    rows = explanation.tokens[name]
    texts = [rows[index if len(rows) > 1 else 0] for index in range(len(relevance))]
    used = [np.array(one.used, bool) for one in texts]
    values, data = np.empty(len(texts), object), np.empty(len(texts), object)
    for index, (one, kept) in enumerate(zip(texts, used, strict=True)):
        values[index] = relevance[index].reshape(-1)[kept].astype(np.float64)
        data[index] = np.array([f"{token} " for token in one.names], dtype=object)[kept]
    return shap.Explanation(values, base, data)
