"""Everything that a program must know to run an explained file: what to feed, of which size, and what to fetch."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

from onnxlrp.errors import InputError, InvalidModelError
from onnxlrp.interface import Interface
from onnxlrp.printable import shape_text
from onnxlrp.runtime.files import picture_layout
from onnxlrp.runtime.inputs import TensorSpec, type_name
from onnxlrp.runtime.reading import ModelFile
from onnxlrp.targets import TARGETS
from onnxlrp.targets.kind import PREDICTED

_SIDE, _LENGTH = 224, 8
"""Sizes of unknown sides of pictures, and of other unknown axes."""


@dataclasses.dataclass(frozen=True)
class FedInput:
    """An input of the file, with the array that a program begins with."""

    name: str
    type: str
    """Name of the element type as numpy has it, or "string"."""
    declared: str
    """Declared shape, such as `[N, 3, 224, 224]`."""
    sizes: tuple[int, ...]
    """Sizes for one sample."""
    fill: int
    """Number that fills the array."""
    meaning: str
    """Purpose of an input that onnxlrp added; "" for one of the source's own."""
    optional: bool

    @property
    def about(self) -> str:
        """Declared shape and purpose, for a comment."""
        return f"{self.declared}: {self.meaning or 'your data'}"

    @property
    def count(self) -> int:
        """Number of elements."""
        return math.prod(self.sizes)


@dataclasses.dataclass(frozen=True)
class Program:
    """Everything that the snippets of all languages are written from."""

    path: str
    """Name of the file, as the program opens it."""
    inputs: tuple[FedInput, ...]
    outputs: tuple[str, ...]
    """Outputs to fetch: the explained one and all relevance."""
    relevance: str
    """Output whose relevance the program prints."""
    relevance_sizes: tuple[int, ...] | None
    """Its shape for the arrays that the program begins with; None if the file does not tell it."""
    relevance_type: str
    """Its element type as numpy has it."""

    @property
    def required(self) -> tuple[FedInput, ...]:
        """Inputs that a program must feed."""
        return tuple(one for one in self.inputs if not one.optional)

    @property
    def hidden(self) -> tuple[FedInput, ...]:
        """Optional inputs, which some runtimes cannot be fed."""
        return tuple(one for one in self.inputs if one.optional)


def program_of(file: ModelFile, path: str) -> Program:
    """Read what a program needs from an explained file.

    Raises InvalidModelError for a model that onnxlrp did not write, and InputError for an input that is no tensor.
    """
    face = file.interface
    if face is None:
        raise InvalidModelError(
            f"{file.place} is not an explained model; write one with\n  onnxlrp convert MODEL -o OUT.onnx"
        )
    sizes: dict[str, int] = {}
    own = [_fed(spec, sizes, _LENGTH, "", 0) for spec in file.inputs.values() if not spec.optional]
    masks = {name: (f"a mask of the channels of {value}", 1) for value, name in face.mask_inputs.items()}
    meanings = {**_meanings(face, not face.required), **masks}
    # What is added is broadcast, so that one entry does where the size is not that of an input.
    added = [_fed(spec, sizes, 1, *meanings.get(name, ("may be left out", 1))) for name, spec in file.added.items()]
    scores = file.outputs.get(file.explained)
    visible = [file.explained] if scores is not None and scores.dtype is not None else []
    relevance = [*face.relevance.values(), *face.relevance_at.values()]
    outputs = (*visible, *relevance, *face.relevance_indices.values(), *filter(None, [face.interactions]))
    shown = relevance[0]
    spec = file.outputs[shown]
    return Program(path, (*own, *added), outputs, shown, _known(spec, sizes), type_name(spec.dtype))


def _known(spec: TensorSpec, sizes: Mapping[str, int]) -> tuple[int, ...] | None:
    """Read the shape of an output once the sizes of symbols are chosen."""
    found = [size if isinstance(size, int) else sizes.get(size or "") for size in spec.shape or (None,)]
    known = [size for size in found if size]
    return tuple(known) if len(known) == len(found) else None


def _meanings(face: Interface, optional: bool) -> Mapping[str, tuple[str, int]]:
    """Say for each added input what it is for, and which number stands for its default."""
    kind, out = TARGETS[face.target], " or left out" if optional else ""
    found = {
        "target": (f"{kind.explains} for each sample; {PREDICTED}{out}: {kind.by_default}", PREDICTED),
        "position": (f"position of the token to explain; {PREDICTED}{out}: the last", PREDICTED),
        "weights": (f"weights of the scores; 1{out}: all alike", 1),
    }
    named = {name: found[argument] for argument, name in face.added_inputs.items() if argument in found}
    if face.explain_input is not None:
        named[face.explain_input] = (f"true{out}: relevance too; false: the model's own outputs alone", 1)
    for explained, name in face.reference_inputs.items():
        named[name] = (f"reference that '{explained}' is compared with; left out: 0", 0)
    return named


def _fed(spec: TensorSpec, sizes: dict[str, int], length: int, meaning: str, fill: int) -> FedInput:
    """Describe an input; `length` is that of axes whose size is not known."""
    if spec.dtype is None or spec.shape is None or spec.dtype.kind == "V":
        kind = "of unknown shape" if spec.dtype is not None and spec.dtype.kind != "V" else type_name(spec.dtype)
        raise InputError(f"input '{spec.name}' is {kind}, which no snippet can feed")
    shape = tuple(_size(spec, axis, sizes, length) for axis in range(len(spec.shape)))
    return FedInput(spec.name, type_name(spec.dtype), shape_text(spec.shape), shape, fill, meaning, spec.optional)


def _size(spec: TensorSpec, axis: int, sizes: dict[str, int], length: int) -> int:
    """Choose the size of an axis for one sample; a symbol has one size everywhere."""
    size = (spec.shape or ())[axis]
    if isinstance(size, int):
        return max(size, 1)  # skl2onnx declares 0 samples
    side = picture_layout(spec) is not None and axis in _sides(spec)
    guess = 1 if axis == 0 else _SIDE if side and length > 1 else length
    return guess if size is None else sizes.setdefault(size, guess)


def _sides(spec: TensorSpec) -> Sequence[int]:
    layout = picture_layout(spec) or ""
    return [axis for axis, letter in enumerate(layout) if letter in "HW"]
