"""Explanations as data frames and as labelled arrays, in the types of the libraries that users have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from onnxlrp.errors import InputError
from onnxlrp.extras import optional
from onnxlrp.near_names import did_you_mean
from onnxlrp.runtime.explanation import Explanation
from onnxlrp.view.explanation_table import table_of

LIBRARIES = ("pandas", "polars")


def to_frame(explanation: Explanation, library: str) -> Any:
    """Make a data frame of an explanation; see `Explanation.to_frame`."""
    if library not in LIBRARIES:
        near = did_you_mean(library, LIBRARIES)
        raise InputError(f"{library!r:.80} is no library of data frames: it is {' or '.join(LIBRARIES)}{near}")
    frames = optional(library, "to_frame()")
    table = table_of(explanation)
    if library == "polars":
        return frames.DataFrame(
            {name: column.tolist() if column.dtype.kind == "O" else column for name, column in table.items()}
        )
    return frames.DataFrame(table)


def to_xarray(explanation: Explanation) -> Any:
    """Make a dataset of an explanation; see `Explanation.to_xarray`."""
    xarray = optional("xarray", "to_xarray()")
    found = {}
    for name, relevance in explanation.relevance.items():
        given: Any = explanation.originals.get(name)
        if hasattr(given, "dims") and given.shape == relevance.shape:
            found[name] = given.copy(data=relevance)
        else:
            axes = [f"{name}_axis_{axis}" for axis in range(1, relevance.ndim)]
            found[name] = xarray.DataArray(relevance, dims=["sample", *axes][: relevance.ndim])
    for name, places in explanation.relevance_indices.items():
        found[f"{name}_indices"] = xarray.DataArray(places, dims=found[name].dims)
    return xarray.Dataset({name: _told_apart(name, found) for name in found})


def _told_apart(name: str, arrays: Mapping[str, Any]) -> Any:
    """Rename axes and coordinates of an array that others have too, with other values, to `name_axis`: in a dataset,
    they would be made equal by filling gaps."""
    array = arrays[name]
    others = [one for other, one in arrays.items() if other != name]
    keys = dict.fromkeys([*array.dims, *array.coords])
    clashing = [key for key in keys if key in arrays or any(_differs(array, one, key) for one in others)]
    return array.rename({key: f"{name}_{key}" for key in clashing})


def _differs(array: Any, other: Any, key: Any) -> bool:
    return (key in other.dims or key in other.coords) and not array[key].equals(other[key])
