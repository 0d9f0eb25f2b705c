"""Files that commands read: samples, names of classes, masks, weights and a reference."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from onnxlrp.errors import InputError
from onnxlrp.replacing import files_of
from onnxlrp.runtime import class_names, files
from onnxlrp.runtime.cli_inputs import CliInputs, Data, load
from onnxlrp.runtime.inputs import TensorSpec
from onnxlrp.runtime.reading import ModelFile, open_model
from onnxlrp.runtime.samples import expand, is_picture_file
from onnxlrp.view import terminal


def files_read(model: Path, given: CliInputs, others: Sequence[Path]) -> list[Path]:
    """List every file that `explain` reads: the model's, the inputs', and `others`."""
    paths = [*files_of(model), *others]
    for _, path in given.inputs:
        with contextlib.suppress(InputError):  # a bad path is reported when it is read
            paths += expand(path)
    return paths


def load_given(model: Path, given: CliInputs, how: files.Preprocess) -> Data:
    """Read files and texts into the arrays that a model takes."""
    with terminal.progress(f"reading {model}"):
        opened = open_model(model)
        return load(given, opened.inputs, how, model, opened.columns)


def read_reference(given: CliInputs, data: Data, preprocess: files.Preprocess) -> Mapping[str, Any] | None:
    """Read the files of a reference, as those of samples are read; None if there are none."""
    named = dict.fromkeys(name for name, _ in given.inputs)
    specs = {name: data.specs[name] for name in named if name in data.specs}
    return load(given, specs if len(specs) == len(named) else data.specs, preprocess).arrays if given else None


def tell_pixels(given: CliInputs, specs: Mapping[str, TensorSpec], how: files.Preprocess) -> None:
    """Say how the pixels of pictures are scaled, unless `--preprocess` says it."""
    pictures = {name for name, path in given.inputs if is_picture_file(path) or path.is_dir()}
    for name, spec in specs.items():
        is_scaled = spec.dtype is not None and spec.dtype.kind == "f" and files.picture_layout(spec) is not None
        if pictures & {name, ""} and how.automatic and is_scaled:
            terminal.tell("note", files.pixels_in_words(spec))


def read_mask(path: Path) -> np.ndarray:
    """Read weights of pixels from a .npy file, or from a picture: 1 where it is white."""
    if path.suffix.lower() in (".npy", ".npz"):
        array = read_array(path, "mask")
    else:
        grey = TensorSpec("mask", np.dtype(np.float32), (1, 1, None, None))
        array = files.load(path, grey, files.PREPROCESS["unit"]).array
    return array.reshape(array.shape[-2:]) if array.ndim > 2 and array.size == np.prod(array.shape[-2:]) else array


def read_weights(path: Path | None) -> np.ndarray | None:
    """Read the weights of a weighted target from a .npy file."""
    return None if path is None else read_array(path, "weights")


def read_array(path: Path, name: str, dtype: type[np.generic] = np.float32) -> np.ndarray:
    """Read an array from a .npy, .npz or .csv file; errors call it by `name`."""
    return files.load(path, TensorSpec(name, np.dtype(dtype), None)).array


def names_of_classes(labels: Path | None, opened: ModelFile, model: Path) -> Sequence[str]:
    """Read the names of the classes from a file of labels, else from the model, or from a file beside it."""
    if labels is not None:
        return class_names.read_labels(labels)
    return class_names.of_explained(opened) if opened.interface is not None else class_names.of_source(opened, model)


def names_of_labels(model: Any) -> Sequence[str]:
    """Read the names of the classes off the label output of a model that was just converted; empty if its labels are
    numbers, or if it is the path of an explained model."""
    labels = () if isinstance(model, Path) else model.interface.labels
    return [label for label in labels if isinstance(label, str)]
