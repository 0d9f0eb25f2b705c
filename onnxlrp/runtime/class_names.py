"""Names of a model's classes: from the model itself, or from a file beside it; and the class that a name stands for."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx

from onnxlrp.errors import InputError, TargetError
from onnxlrp.near_names import did_you_mean
from onnxlrp.printable import escaped, listed

if TYPE_CHECKING:
    from onnxlrp.runtime.reading import ModelFile

KEYS = ("id2label", "names", "class_names", "classes", "labels")
"""Entries of `metadata_props` in which exporters name the classes: a list, or a dictionary from the class to its
name."""
_FEW = 20
"""Number of classes up to which an error lists them all."""
_LONGEST = 1 << 20
_PAIR = re.compile(r"""(\d+)\s*:\s*(?:'([^'\\]*)'|"([^"\\]*)")""")


def of_model(metadata: Mapping[str, str], graph: onnx.GraphProto) -> tuple[str, ...]:
    """Read the names that a file gives to its classes, in a ZipMap, its metadata, or its only classifier; empty if it
    names none."""
    for node in graph.node:
        if node.op_type == "ZipMap":
            labels = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
            words = [word.decode("utf-8", "replace") for word in labels.get("classlabels_strings", ())]
            return tuple(words or map(str, labels.get("classlabels_int64s", ())))
    found = (_listed(metadata[key]) for key in KEYS if key in metadata)
    return next((names for names in found if names), ()) or _of_classifier(graph)


def _of_classifier(graph: onnx.GraphProto) -> tuple[str, ...]:
    """Read the labels of the only operator that classifies; empty if they are numbers, or if there are several."""
    labels = [a.strings for node in graph.node for a in node.attribute if a.name == "classlabels_strings"]
    return tuple(word.decode("utf-8", "replace") for word in labels[0]) if len(labels) == 1 else ()


def beside(model: Any) -> tuple[str, ...]:
    """Read the names of the classes from `config.json` (its `id2label`) or `labels.txt` beside a model's file; empty if
    there is no such file, or if it cannot be read."""
    if not isinstance(model, (str, Path)):
        return ()
    folder = Path(model).parent
    try:
        if (folder / "config.json").is_file():
            config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
            if names := _ordered(config.get("id2label")) if isinstance(config, dict) else ():
                return names
        return tuple(read_labels(folder / "labels.txt")) if (folder / "labels.txt").is_file() else ()
    except (OSError, ValueError, RecursionError, InputError):
        return ()


def read_labels(path: Path) -> list[str]:
    """Read the names of the classes from a file, one a line."""
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"'{escaped(path)}' is not text in UTF-8") from error


def class_of(name: str, names: Sequence[str]) -> int:
    """Find the class that a name stands for; capital letters do not count, and one of several names with commas will
    do ("tabby" for "tabby, tabby cat").

    Raises TargetError if no class, or more than one, is called so.
    """
    wanted = " ".join(name.split()).casefold()
    whole = [index for index, one in enumerate(names) if one.strip().casefold() == wanted]
    parts = [n for n, one in enumerate(names) if wanted in (part.strip().casefold() for part in one.split(","))]
    found = whole or parts
    if len(found) == 1:
        return found[0]
    if found:
        raise TargetError(f"{len(found)} classes are called {name!r:.80}: {', '.join(map(str, found))}; give a number")
    if not names:
        raise TargetError(f"class {name!r:.80}: the model does not name its classes; give a number, or --labels FILE")
    known = f"the classes are {listed(names)}" if len(names) <= _FEW else f"there are {len(names)} classes"
    raise TargetError(f"no class is called {name!r:.80}{_nearest(wanted, names)}; {known}")


def _nearest(wanted: str, names: Sequence[str]) -> str:
    """Suggest the classes whose names hold a word, or else the one that resembles it most; `wanted` is in small
    letters."""
    word = re.compile(rf"\b{re.escape(wanted)}\b")
    holders = [one for one in names if wanted and word.search(one.casefold())]
    if 1 < len(holders) <= _FEW:
        return f" (did you mean one of: {listed(holders)}?)"
    every = [*names, *(part.strip() for one in names if "," in one for part in one.split(","))]
    return f" (did you mean {holders[0]!r:.80}?)" if len(holders) == 1 else did_you_mean(wanted, every)


def classes_of(target: Any, names: Callable[[], Sequence[str]]) -> Any:
    """Replace names of classes by their numbers, in a target that is a name or holds names; others are returned as they
    are. `names` is called only if there is a name."""
    if isinstance(target, str):
        return class_of(target, names())
    if isinstance(target, (list, tuple)) and any(isinstance(one, (str, list, tuple)) for one in target):
        return [classes_of(one, names) for one in target]
    if hasattr(target, "to_numpy"):  # a series of pandas or polars
        target = target.to_numpy()
    if isinstance(target, np.ndarray) and target.dtype.kind in "UOT":
        return classes_of(target.tolist(), names)
    return target


def of_explained(file: ModelFile) -> tuple[str, ...]:
    """Collect the names of an explained model's classes: those of its label output, of the file, or of a file beside
    it, if they are as many as the classes; empty if nothing names them."""
    interface = file.interface
    assert interface is not None
    given = tuple(map(str, interface.labels)) or file.class_names
    axis, shape = interface.class_axis, interface.output_shape
    return _fitting(given, shape, axis) or _fitting(beside(file.home), shape, axis)


def of_source(file: ModelFile, path: Path) -> tuple[str, ...]:
    """Collect the names of the classes of a model that is not explained yet, as far as they are as many as those of an
    output [N, classes]."""
    shapes = [spec.shape for spec in file.outputs.values() if spec.shape is not None and len(spec.shape) >= 2]
    for names in (file.class_names, beside(path)):
        if not shapes or any(_fitting(names, shape, 1) for shape in shapes):
            return names
    return ()


def _fitting(names: Sequence[str], shape: Sequence[int | str | None] | None, axis: int | None) -> tuple[str, ...]:
    """Return the names if they are as many as the classes, or if the number of classes is not known; else none."""
    size = shape[axis] if shape is not None and axis is not None and axis < len(shape) else None
    return tuple(names) if not isinstance(size, int) or size == len(names) else ()


def _listed(text: str) -> tuple[str, ...]:
    """Read a list or dictionary of names, as JSON or as Python writes it."""
    if len(text) > _LONGEST:
        return ()
    try:
        return _ordered(json.loads(text))
    except (ValueError, RecursionError):
        pairs = {int(number): first or second for number, first, second in _PAIR.findall(text)}
        return _ordered(pairs) if text.lstrip()[:1] == "{" else ()


def _ordered(content: Any) -> tuple[str, ...]:
    """Bring names into the order of their classes; empty unless the classes are 0, 1, 2, …"""
    if isinstance(content, list) and all(isinstance(one, str) for one in content):
        return tuple(content)
    if not isinstance(content, dict):
        return ()
    try:
        numbered = {int(number): str(name) for number, name in content.items()}
    except (TypeError, ValueError):
        return ()
    return tuple(numbered[n] for n in range(len(numbered))) if {*numbered} == {*range(len(numbered))} else ()
