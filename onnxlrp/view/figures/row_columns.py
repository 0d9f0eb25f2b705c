"""Columns of tables as figures show them: names, values and relevance of one row or of all."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from onnxlrp.printable import escaped
from onnxlrp.view.figures.scene import Scene
from onnxlrp.view.number_words import value_words


@dataclasses.dataclass(frozen=True, eq=False)
class ShownRows:
    """Rows of one or several inputs of columns, side by side."""

    names: list[str]
    relevance: np.ndarray
    """Relevance [rows, columns]."""
    values: list[Any]
    """Values of each column, [rows], numbers or words; None where they are not known."""

    def label(self, column: int, row: int) -> str:
        """Write a column with its value in a row: `age = 31`."""
        values = self.values[column]
        if values is None:
            return self.names[column]
        value = values[row]
        words = escaped(value) if isinstance(value, (str, bytes)) else value_words(value)
        return f"{self.names[column]} = {words if len(words) <= 24 else words[:23] + '…'}"


def shown_rows(scene: Scene, names: Sequence[str], k: int = 0) -> ShownRows:
    """Collect the columns of inputs, for one target."""
    columns: list[str] = []
    values: list[Any] = []
    blocks = []
    for name in names:
        block = np.stack([scene.relevance(name, row, k).reshape(-1) for row in range(scene.samples)])
        known = list(scene.explanation.columns.get(name, ()))
        if len(known) != block.shape[1]:
            known = [name] if block.shape[1] == 1 else [f"{name}[{index}]" for index in range(block.shape[1])]
        columns += [escaped(one) for one in known]
        blocks.append(block)
        values += _values(scene, name, block.shape)
    return ShownRows(columns, np.concatenate(blocks, axis=1).astype(np.float64), values)


def _values(scene: Scene, name: str, shape: tuple[int, ...]) -> list[Any]:
    if name not in scene.inputs or np.size(scene.inputs[name]) != shape[0] * shape[1]:
        return [None] * shape[1]
    return list(np.asarray(scene.inputs[name]).reshape(shape).T)


def most_relevant(amounts: np.ndarray, top: int) -> tuple[list[int], list[int]]:
    """Choose the `top` columns of the largest amounts, largest first, and list the others; one column is never left
    alone among the others."""
    order = np.argsort(-np.nan_to_num(np.abs(amounts)), kind="stable").tolist()
    shown = order if len(order) <= top + 1 else order[:top]
    return shown, order[len(shown) :]
