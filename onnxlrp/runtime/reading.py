"""Opening of a model's file: its declarations and its description, without the external data of its weights."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx

from onnxlrp import external_data
from onnxlrp.errors import InvalidModelError
from onnxlrp.file_hashes import FileMark, name_in, sha256_of
from onnxlrp.interface import Interface
from onnxlrp.opening import opened
from onnxlrp.runtime import class_names, column_names, description_check, pixel_scales
from onnxlrp.runtime.files import picture_layout
from onnxlrp.runtime.inputs import TensorSpec
from onnxlrp.runtime.model_alone import model_alone


@dataclasses.dataclass(frozen=True, eq=False)
class ModelFile:
    """A model that onnxruntime can load, and its declarations."""

    source: str | bytes
    """Source for a session: a path, or the bytes of the model."""
    inputs: dict[str, TensorSpec]
    """Inputs of the model itself."""
    added: dict[str, TensorSpec]
    """Inputs that onnxlrp added: target, position, weights, references, masks."""
    outputs: dict[str, TensorSpec]
    """Outputs in the order of the file, relevance included."""
    interface: Interface | None
    """Description of what onnxlrp added; None if onnxlrp did not write the model."""
    explained: str
    """Name of the output that shows the explained scores; empty if nothing is explained."""
    weights: tuple[str, ...] = ()
    """Names of the files beside the model that hold weights."""
    halves: bool = False
    """True if the model computes in float16 or bfloat16, whatever the types of its inputs and outputs."""
    columns: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    """Names of the columns of inputs, as far as the file's metadata has them."""
    class_names: tuple[str, ...] = ()
    """Names of the classes, as far as the file says them."""
    origin: Path | None = None
    """File that the model was converted from; labels and a tokenizer may lie beside it."""
    folder: Any = None
    """Handle that keeps a temporary folder alive as long as the model is in use."""
    marks: Mapping[str, FileMark] = dataclasses.field(default_factory=dict)
    """Marks of the model's file, by the name "", and of its weights' files; empty for a model in memory."""

    def sha256(self) -> str:
        """Return the SHA-256 of the model's content, including weights in files of their own."""
        if isinstance(self.source, bytes):
            return hashlib.sha256(self.source).hexdigest()
        hashes = [one for one in self.hashes.values() if one is not None]
        if len(hashes) < 1 + len(self.weights):  # a file has changed since the model was opened
            hashes = self._hashes_now()
        return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()

    def _hashes_now(self) -> list[str]:
        """Hash the model's file and those of its weights as they are now."""
        path = Path(str(self.source))
        try:
            return [sha256_of(one) for one in (path, *(path.parent / name for name in self.weights))]
        except OSError as error:
            raise InvalidModelError(f"'{error.filename}' cannot be read: {error.strerror}") from error

    @functools.cached_property
    def hashes(self) -> dict[str, str | None]:
        """SHA-256 of the model's file, by the name "", and of its weights' files; None for one that has changed since
        the model was opened."""
        if isinstance(self.source, bytes):
            return {"": hashlib.sha256(self.source).hexdigest()}
        return {name: mark.sha256() for name, mark in self.marks.items()}

    @property
    def home(self) -> Path | str | None:
        """File beside which labels and a tokenizer are looked for; None for a model in memory."""
        return self.origin or (self.source if isinstance(self.source, str) else None)

    @property
    def place(self) -> str:
        """Name of the model in messages."""
        return f"'{self.source}'" if isinstance(self.source, str) else "the model"


def open_model(model: Any) -> ModelFile:
    """Open a path, bytes, an `onnx.ModelProto` or the result of `onnxlrp.convert`.

    Raises InvalidModelError if there is no such file, or if it is no model.
    """
    if hasattr(model, "to_proto") and hasattr(model, "save"):
        return _from_explained(model)
    given = opened(model)
    if given is None:
        raise InvalidModelError(
            f"a {type(model).__name__} is no model: give a path, bytes, an onnx.ModelProto or the result of "
            "onnxlrp.convert"
        )
    if given.content is None:
        return _from_proto(given.proto)
    return _described(given.proto, given.content if given.file is None else str(given.file))


def _with_pixels(spec: TensorSpec, graph: onnx.GraphProto) -> TensorSpec:
    """Add the scale of the pixels to the declaration of a floating-point input that is a picture."""
    if spec.dtype is None or spec.dtype.kind != "f" or picture_layout(spec) is None:
        return spec
    return dataclasses.replace(spec, pixels=pixel_scales.of_input(graph, spec.name))


def _has_halves(graph: onnx.GraphProto) -> bool:
    """Decide whether a graph holds weights of 16 bits, or casts to them."""
    halves = (onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16)
    casts = (a.i for n in graph.node if n.op_type == "Cast" for a in n.attribute if a.name == "to")
    return any(kind in halves for kind in (*(t.data_type for t in graph.initializer), *casts))


def _described(proto: onnx.ModelProto, source: str | bytes) -> ModelFile:
    """Read the model's declarations. Raises InvalidModelError if its description of itself is damaged."""
    place = f"'{source}'" if isinstance(source, str) else "the model"
    defaults = {tensor.name for tensor in proto.graph.initializer}
    defaults |= {tensor.values.name for tensor in proto.graph.sparse_initializer}
    inputs = {value.name: TensorSpec.of(value, value.name in defaults) for value in proto.graph.input}
    outputs = {value.name: TensorSpec.of(value) for value in proto.graph.output}
    names: set[str] = set()
    explained = ""
    metadata = {entry.key: entry.value for entry in proto.metadata_props}
    try:
        interface = Interface.from_metadata(metadata)
        if interface is not None:
            names = {*interface.names_of_added_inputs}
            explained = _explained_output(proto.graph, interface.output)
            description_check.check(interface, explained, inputs, outputs)
    except ValueError as error:
        raise description_check.damaged(place, error) from error
    alone = model_alone(proto.graph, None if interface is None else interface.explain_input)
    own = {name: _with_pixels(spec, alone) for name, spec in inputs.items() if name not in names}
    weights = tuple(sorted({t.entry("location") or "" for t in external_data.tensors(proto) if t.is_external}))
    return ModelFile(
        source=source,
        inputs=own,
        added={name: spec for name, spec in inputs.items() if name in names},
        outputs=outputs,
        interface=interface,
        halves=_has_halves(proto.graph) or _has_halves(alone),
        explained=explained,
        columns=column_names.of_metadata(metadata, own),
        class_names=class_names.of_model(metadata, alone),
        weights=weights,
        marks=_marks(source, weights) if isinstance(source, str) else {},
    )


def _marks(source: str, weights: Sequence[str]) -> dict[str, FileMark]:
    """Mark the model's file and the files of its weights, each of these by its place in the model's folder."""
    folder = Path(source).parent
    paths = [folder / name for name in weights]
    return {"": FileMark.of(Path(source)), **{name_in(path, folder): FileMark.of(path) for path in paths}}


def _explained_output(graph: onnx.GraphProto, name: str) -> str:
    """Name the output that shows the scores: the scores themselves, or, if they are no output, that of the ZipMap which
    they feed."""
    if name not in {value.name for value in graph.output}:
        for node in graph.node:
            if node.op_type == "ZipMap" and list(node.input) == [name] and node.output:
                return node.output[0]
    return name


def _from_proto(proto: onnx.ModelProto) -> ModelFile:
    try:
        return _described(proto, proto.SerializeToString())
    except ValueError as error:  # protobuf's limit; EncodeError is a ValueError in some versions only
        raise InvalidModelError(
            "a ModelProto past 2 GB cannot be run from memory: save it and give its path"
        ) from error


def _from_explained(explained: Any) -> ModelFile:
    """Open a conversion's result from memory if protobuf can hold it, else through a temporary folder."""
    origin = getattr(explained, "origin", None)  # whatever has `to_proto` and `save` is taken for a conversion's result
    try:
        proto = explained.to_proto()
        return dataclasses.replace(_described(proto, proto.SerializeToString()), origin=origin)
    except Exception:  # past 2 GB; any other error is raised again by saving
        folder = tempfile.TemporaryDirectory(prefix="onnxlrp-")
        path = Path(folder.name) / "model.onnx"
        explained.save(path)
        return dataclasses.replace(open_model(path), folder=folder, origin=origin)
