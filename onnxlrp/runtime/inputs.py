"""Specifications of a model's inputs and outputs, and the check that arrays fit them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx

from onnxlrp.errors import InputError
from onnxlrp.near_names import did_you_mean
from onnxlrp.printable import escaped, shape_text
from onnxlrp.runtime.pixel_scales import PixelScale
from onnxlrp.runtime.values import as_mapping, to_array, type_of
from onnxlrp.strings import as_strings


@dataclasses.dataclass(frozen=True)
class TensorSpec:
    """Name, type and shape of an input or output, as the model's file declares them."""

    name: str
    dtype: np.dtype | None
    """Element type (`object` for strings); None for sequences and maps, which are no tensors."""
    shape: tuple[int | str | None, ...] | None
    """Size of each axis: a number, a symbol, or None if unknown; None as a whole if not even the rank is declared."""
    optional: bool = False
    """True if the model has a default for it."""
    pixels: PixelScale | None = dataclasses.field(default=None, repr=False, compare=False)
    """Scale of the pixels that the model's first steps tell of an input that is a picture; None if they tell none."""

    def __str__(self) -> str:
        return f"{type_name(self.dtype)} {shape_text(self.shape)}"

    @classmethod
    def of(cls, value: onnx.ValueInfoProto, optional: bool = False) -> TensorSpec:
        """Read the declaration of a value in a graph."""
        if not value.type.HasField("tensor_type"):
            return cls(value.name, None, None, optional)
        tensor = value.type.tensor_type
        dtype = None
        if tensor.elem_type != onnx.TensorProto.UNDEFINED:
            dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type))
        if not tensor.HasField("shape"):
            return cls(value.name, dtype, None, optional)
        shape: list[int | str | None] = []
        for dimension in tensor.shape.dim:
            if dimension.HasField("dim_value") and dimension.dim_value >= 0:
                shape.append(dimension.dim_value)
            else:
                shape.append(dimension.dim_param or None)
        return cls(value.name, dtype, tuple(shape), optional)


def type_name(dtype: np.dtype | None) -> str:
    """Name an element type for an error message."""
    if dtype is None:
        return "a value that is no tensor"
    return "string" if dtype.kind in "OUST" else str(dtype)


def check(inputs: Mapping[str, Any], specs: Mapping[str, TensorSpec]) -> dict[str, Any]:
    """Check all inputs of a call, and return them as arrays that the session takes.

    Lists and numbers become arrays of the right type; arrays are never converted, because a silent cast changes what is
    explained. Raises InputError if one is missing, unknown, of another type or of another shape.
    """
    inputs = as_mapping(inputs)
    unknown = [name for name in inputs if name not in specs]
    if unknown:
        raise InputError(_unknown(unknown, specs))
    missing = [spec for spec in specs.values() if spec.name not in inputs and not spec.optional]
    if missing:
        wanted = "\n".join(f"  {escaped(spec.name)}: {spec}" for spec in missing)
        raise InputError(f"the model needs a value for each of these inputs too:\n{wanted}")
    return {name: check_one(value, specs[name]) for name, value in inputs.items()}


def check_one(value: Any, spec: TensorSpec) -> Any:
    """Check one input and return it as the session takes it; see `check`."""
    if spec.dtype is None:
        return value
    array = to_array(value, spec.name, spec, spec.dtype)
    is_text = spec.dtype.kind == "O"
    convertible = not is_text and array.dtype.kind in "biuf"
    if (array.dtype.kind not in "OUST") if is_text else (array.dtype != spec.dtype):
        raise InputError(
            f"input {spec.name!r} takes {spec}, but the array is {_described(array)}"
            + (f": convert it with array.astype('{spec.dtype}')" if convertible else "")
        )
    problem = _shape_problem(array.shape, spec.shape)
    if problem:
        raise InputError(f"input {spec.name!r} takes {spec}, but the array is {_described(array)}: {problem}")
    return as_strings(array, spec.name) if is_text else array


def check_names(feeds: Mapping[str, Any], specs: Mapping[str, TensorSpec]) -> None:
    """Raise InputError if sizes differ that have the same name in the model's file.

    onnxruntime minds only if the two values happen to share memory, which depends on the model; so call this only after
    a run has failed.
    """
    first: dict[str, tuple[str, int]] = {}
    for name, value in feeds.items():
        pairs = zip(specs[name].shape or (), np.shape(value), strict=False) if isinstance(value, np.ndarray) else ()
        for symbol, size in pairs:
            if not isinstance(symbol, str):
                continue
            other, known = first.setdefault(symbol, (name, size))
            if size != known:
                raise InputError(
                    f"the model's file gives a size of '{other}' and one of {name!r} the same name, {symbol}, but they "
                    f"are {known} and {size}: give both the same size, or rename one in the source and convert again"
                )


def _described(array: np.ndarray) -> str:
    return f"{type_of(array, type_name(array.dtype))} {shape_text(array.shape)}"


def _unknown(names: list[Any], specs: Mapping[str, TensorSpec]) -> str:
    known = "\n".join(f"  {escaped(spec.name)}: {spec}" for spec in specs.values())
    many = ", ".join(f"{name!r:.80}" for name in names)
    return f"the model has no input {many}{did_you_mean(names[0], specs)}; it takes\n{known}"


def _shape_problem(actual: tuple[int, ...], declared: tuple[int | str | None, ...] | None) -> str:
    """Say what is wrong with a shape and how to mend it; empty if it fits."""
    if declared is None or _fits(actual, declared):
        return ""
    if _fits((1, *actual), declared):
        return "add the batch axis with array[None]"
    if len(actual) != len(declared):
        return f"it must have {len(declared)} axes, not {len(actual)}"
    wrong = [
        f"axis {axis} must be {want}, not {have}"
        for axis, (have, want) in enumerate(zip(actual, declared, strict=True))
        if isinstance(want, int) and want != have
    ]
    hint = ""
    if len(actual) == 4:
        for order in ((0, 3, 1, 2), (0, 2, 3, 1)):
            if _fits(tuple(actual[axis] for axis in order), declared):
                hint = f"; the axes fit in another order: array.transpose{order}"
    return "; ".join(wrong) + hint


def _fits(actual: tuple[int, ...], declared: tuple[int | str | None, ...]) -> bool:
    return len(actual) == len(declared) and all(
        not isinstance(want, int) or want == have for have, want in zip(actual, declared, strict=True)
    )
