"""Columns of the tables that the attributes of a tree operator hold, as arrays."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir

from onnxlrp.trees.forest import LEAF, MODES, Array
from onnxlrp.trees.held_columns import HeldColumns, is_stand_in

_COLUMN = "onnxlrp.column"
"""Key under which an attribute's `meta` holds its column."""
_NUMBERS = {name: number for number, name in enumerate(MODES)}


def is_ensemble(node: ir.Node) -> bool:
    """Decide whether a node is an ensemble of trees."""
    return node.domain == "ai.onnx.ml" and node.op_type.startswith("TreeEnsemble")


def attach(model: ir.Model, held: HeldColumns) -> None:
    """Attach the held columns to the attributes that stand in for them; a pass that serialises the model and reads it
    again loses them."""
    for node in model.graph.all_nodes() if held else ():
        for attribute in node.attributes.values() if is_ensemble(node) else ():
            column = None if attribute.is_ref() else held.of(ir.serde.serialize_attribute(attribute))
            if column is not None:
                attribute.meta[_COLUMN] = column


def forget(attributes: Mapping[str, ir.Attr]) -> None:
    """Drop the numbers of held columns, which are hundreds of megabytes, once the forest has been built from them."""
    for attribute in attributes.values():
        held = attribute.meta.get(_COLUMN)
        if held is not None:
            held.values = None


def column(attributes: Mapping[str, ir.Attr], name: str) -> Array | None:
    """Read a column of the ensemble's table, [n]; None if there is no such attribute. Names of modes become their
    numbers in `MODES`."""
    attribute = attributes.get(name)
    if attribute is None:
        return None
    held = attribute.meta.get(_COLUMN)
    if held is not None:
        return held.array
    if attribute.type == ir.AttributeType.TENSOR:
        return attribute.as_tensor().numpy().reshape(-1)
    if attribute.type == ir.AttributeType.STRINGS:
        return np.array([_NUMBERS.get(text, LEAF) for text in attribute.as_strings()], np.int8)
    assert not is_stand_in(attribute.value), f"{name} has lost its column"
    return np.asarray(attribute.value, np.float64 if attribute.type == ir.AttributeType.FLOATS else np.int64)
