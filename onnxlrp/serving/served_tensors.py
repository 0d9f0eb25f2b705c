"""Inputs and outputs of an explained model as onnxruntime, and so a server that runs it, sees them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

from onnxlrp.errors import InputError
from onnxlrp.runtime.reading import ModelFile

TYPES = {
    "bool": "BOOL",
    "uint8": "UINT8",
    "uint16": "UINT16",
    "uint32": "UINT32",
    "uint64": "UINT64",
    "int8": "INT8",
    "int16": "INT16",
    "int32": "INT32",
    "int64": "INT64",
    "float16": "FP16",
    "float": "FP32",
    "double": "FP64",
    "string": "STRING",
}
"""Names of element types in Triton, by onnxruntime's. Its onnxruntime backend takes no others, such as bfloat16."""


@dataclasses.dataclass(frozen=True)
class ServedTensor:
    """One input or output that a server offers."""

    name: str
    datatype: str
    """Element type as Triton names it, such as "FP32"."""
    shape: tuple[int, ...]
    """Size of each axis; -1 for one that is open."""
    optional: bool = False
    """True for an input that has a default in the file."""
    symbol: str | None = None
    """Symbol of axis 0 if the file names it."""

    @property
    def is_open(self) -> bool:
        """True if the tensor has a first axis of any size."""
        return self.shape[:1] == (-1,)


@dataclasses.dataclass(frozen=True)
class ServedTensors:
    """All inputs and outputs of a model."""

    inputs: tuple[ServedTensor, ...]
    outputs: tuple[ServedTensor, ...]

    @property
    def optional(self) -> tuple[ServedTensor, ...]:
        """Inputs that have a default."""
        return tuple(one for one in self.inputs if one.optional)

    def without_optional(self) -> ServedTensors:
        """Leave out the inputs that have a default, so that it holds in every request."""
        return dataclasses.replace(self, inputs=tuple(one for one in self.inputs if not one.optional))


def served_tensors(session: Any, opened: ModelFile) -> ServedTensors:
    """List what a session of onnxruntime takes and returns.

    A server compares its configuration with the shapes that the session has inferred, not with those that the file
    declares. Raises InputError if a value is no tensor, has no known rank, or has a type that Triton does not serve.
    """
    declared = {**opened.inputs, **opened.added, **opened.outputs}
    ranked = {name for name, spec in declared.items() if spec.shape is not None}

    def read(values: Iterable[Any], optional: bool = False) -> list[ServedTensor]:
        return [_tensor(value, optional, value.name in ranked) for value in values]

    defaults = read(session.get_overridable_initializers(), optional=True)
    inputs = {one.name: one for one in [*read(session.get_inputs()), *defaults]}
    in_order = [inputs[name] for name in {**opened.inputs, **opened.added} if name in inputs]
    return ServedTensors(tuple(in_order), tuple(read(session.get_outputs())))


def _tensor(value: Any, optional: bool, is_ranked: bool) -> ServedTensor:
    element = value.type.removeprefix("tensor(").removesuffix(")")
    if not value.type.startswith("tensor("):
        raise InputError(
            f"{value.name!r} is {value.type}, and Triton serves tensors only: export the source without it, such as "
            "with skl2onnx's option zipmap=False, and convert it again"
        )
    if element not in TYPES:
        raise InputError(f"{value.name!r} holds {element}, which Triton does not take: cast it in the source")
    if not value.shape and not is_ranked:
        raise InputError(
            f"the number of axes of {value.name!r} is not declared, and a server must know it: declare its shape in "
            "the source and convert it again"
        )
    shape = tuple(size if isinstance(size, int) else -1 for size in value.shape)
    first = value.shape[0] if value.shape else None
    return ServedTensor(value.name, TYPES[element], shape, optional, first if isinstance(first, str) else None)
