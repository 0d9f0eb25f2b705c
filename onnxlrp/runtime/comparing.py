"""References that the samples of a call are compared with."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from onnxlrp.errors import InputError
from onnxlrp.interface import Interface
from onnxlrp.printable import listed, shape_text
from onnxlrp.runtime import inputs as arrays
from onnxlrp.runtime.files import Preprocess, picture_layout
from onnxlrp.runtime.given_values import by_name, load_values
from onnxlrp.runtime.inputs import TensorSpec
from onnxlrp.runtime.named_columns import table_in


def read_references(
    value: Any,
    interface: Interface,
    specs: Mapping[str, TensorSpec],
    columns: Mapping[str, tuple[str, ...]],
    feeds: Mapping[str, Any],
    how: Preprocess,
    ids: str | Sequence[str] = (),
) -> dict[str, np.ndarray]:
    """Read a reference in any form that samples have, and check that it fits the samples `feeds`.

    Columns in `ids`, which identify the samples, may be there or not.

    Raises InputError for a model that takes none, and for one that does not fit.
    """
    if not interface.reference_inputs:
        raise InputError(
            f"this model ({interface.composite}) takes no reference: convert it with "
            "composite=\"deep_lift(baseline='input')\""
        )
    compared = {name: _one_or_all(specs[name]) for name in interface.reference_inputs}
    others = [name for name in value if name in specs and name not in compared] if isinstance(value, Mapping) else []
    if others:
        raise InputError(
            f"{listed(others)} has no reference, because it is not explained: it keeps the samples' values"
        )
    given = load_values(by_name(value, compared, columns, _ids_of(value, ids)), compared, how)
    found = arrays.check(given.inputs, compared)
    for name, reference in found.items():
        have, want = np.shape(reference), np.shape(feeds[name])
        if len(have) != len(want) or any(a not in (1, b) for a, b in zip(have, want, strict=True)):
            raise InputError(
                f"the reference of {name!r} is {shape_text(have)}, and the samples are {shape_text(want)}: give one "
                "reference, or one for each sample"
            )
    return found


def _one_or_all(spec: TensorSpec) -> TensorSpec:
    """Leave the number of samples open where the model fixes it: one reference may be for all of them."""
    shape = spec.shape
    if not shape or not (picture_layout(spec) or "N").startswith("N"):
        return spec
    return dataclasses.replace(spec, shape=(None, *shape[1:]))


def _ids_of(value: Any, ids: str | Sequence[str]) -> list[str]:
    """List the identifiers among the columns of a reference that is a table."""
    table = table_in(value)
    names: Collection[str] = value if table is None and isinstance(value, Mapping) else table.columns if table else ()
    return [name for name in ((ids,) if isinstance(ids, str) else ids) if name in names]


def reference_feeds(
    interface: Interface, references: Mapping[str, np.ndarray], added: Mapping[str, TensorSpec]
) -> dict[str, np.ndarray]:
    """Make the arrays for the inputs that take references; 0 where there is none and the file has no default."""
    feeds = {}
    for name, where in interface.reference_inputs.items():
        spec = added[where]
        if name in references:
            feeds[where] = references[name]
        elif not spec.optional and spec.shape is not None:
            feeds[where] = np.zeros([1] * len(spec.shape), spec.dtype)
    return feeds
