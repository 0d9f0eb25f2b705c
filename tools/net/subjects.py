"""What is converted: the bundled models, the oracle's networks, and every composite, with and without a ledger."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import AttributeProto, GraphProto, TensorProto, numpy_helper

from onnxlrp.composites import parse
from tests.oracle.zoo import NETS
from tools.net.revision import ROOT

COMPOSITES = (
    "auto",
    "lrp0",
    "epsilon",
    "epsilon_gamma_box(low=-300, high=300)",
    "epsilon_plus",
    "epsilon_plus_flat",
    "epsilon_alpha2_beta1",
    "epsilon_alpha2_beta1_flat",
    "vgg_overview(low=-300, high=300)",
    "deep_taylor",
    "deep_taylor(low=-300, high=300)",
    "excitation_backprop",
    "attn_lrp",
    "attn_lrp(gamma=0.25)",
    "cp_lrp",
    "gradient",
    "gradient_x_input",
    "deconvnet",
    "guided_backprop",
    "beta_smooth",
)
QUICK = ("auto", "epsilon", COMPOSITES[3], "epsilon_alpha2_beta1", "attn_lrp", "gradient")
LARGE = 1 << 20
"""Models of more bytes are left out of quick runs."""
SAMPLES = 3
TOLERANCES = {"reference": 1e-12, "onnxruntime": 1e-4}
"""Allowed gap, as a share of the largest entry, by what runs the model: the reference evaluator in float64, or
onnxruntime in float32, where another order of sums moves relevance by more than the last digits."""


@dataclasses.dataclass(frozen=True)
class Subject:
    """One model and what it is run with."""

    name: str
    model: onnx.ModelProto | Path
    feeds: dict[str, np.ndarray] | None
    """Inputs; None where the operators alone are compared."""
    runner: str = "reference"
    composites: tuple[str, ...] = COMPOSITES

    @property
    def large(self) -> bool:
        return isinstance(self.model, Path) and self.model.stat().st_size > LARGE


@dataclasses.dataclass(frozen=True)
class Row:
    """One conversion."""

    subject: Subject
    composite: str
    options: dict[str, Any]

    @property
    def name(self) -> str:
        return " ".join(
            [self.subject.name, self.composite.replace(" ", ""), *(k for k, v in self.options.items() if v)]
        )


def rows(*, quick: bool = False, folder: Path | None = None) -> Iterator[Row]:
    """All rows; `quick`: without large models, and with few composites. `folder`: its ONNX files too."""
    more = files(folder) if folder is not None else iter(())
    for subject in (*zoo(), *bundled(), *more):
        if quick and subject.large:
            continue
        for composite in subject.composites:
            if quick and composite not in QUICK:
                continue
            yield Row(subject, composite, {"ledger": False})
            if parse(composite).seed != "gradient":
                yield Row(subject, composite, {"ledger": True})


def zoo() -> Iterator[Subject]:
    """The networks of the exactness tests, in float64."""
    for name, make in NETS.items():
        net = make()
        yield Subject(name, net.model(), net.feeds(SAMPLES))


def bundled() -> Iterator[Subject]:
    """The models of this repository as they are, and in float64 where their operators compute in it."""
    for path in sorted((ROOT / "models").glob("*/*.onnx")):
        feeds = _samples(path)
        yield Subject(path.stem, path, feeds, "onnxruntime")
        if feeds is not None and path.stat().st_size <= LARGE:
            model = onnx.load(path)
            if all(node.domain in ("", "ai.onnx") for node in model.graph.node):
                double = {k: v.astype(np.float64) if v.dtype == np.float32 else v for k, v in feeds.items()}
                yield Subject(f"{path.stem}-float64", in_double(model), double)


def files(folder: Path) -> Iterator[Subject]:
    """Every ONNX file of a folder, for its operators alone."""
    for path in sorted(folder.resolve().glob("*.onnx")):
        yield Subject(path.stem, path, None)


def _samples(path: Path) -> dict[str, np.ndarray] | None:
    """Samples that lie beside a model, or seeded pictures; None for a model of other inputs."""
    archive = path.parent / "samples.npz"
    if archive.exists() and "minilm" not in path.stem:
        with np.load(archive) as found:
            return {name: found[name][:SAMPLES] for name in found.files if name != "labels"}
    given = onnx.load(path, load_external_data=False).graph.input
    if len(given) != 1 or given[0].type.tensor_type.elem_type != TensorProto.FLOAT:
        return None
    sizes = [d.dim_value or 1 for d in given[0].type.tensor_type.shape.dim]
    return {given[0].name: np.random.default_rng(0).uniform(0, 255, sizes).astype(np.float32)}


# -------------------------------------------------------------------------------------------------------------- double


def in_double(model: onnx.ModelProto) -> onnx.ModelProto:
    """Copy a float32 model into float64: weights, constants, casts and declared types."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    _double_graph(copy.graph)
    return copy


def _double_graph(graph: GraphProto) -> None:
    for tensor in graph.initializer:
        _double_tensor(tensor)
    for value in (*graph.input, *graph.output, *graph.value_info):
        if value.type.tensor_type.elem_type == TensorProto.FLOAT:
            value.type.tensor_type.elem_type = TensorProto.DOUBLE
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == AttributeProto.TENSOR:
                _double_tensor(attribute.t)
            elif attribute.type == AttributeProto.GRAPH:
                _double_graph(attribute.g)
            elif node.op_type == "Cast" and attribute.name == "to" and attribute.i == TensorProto.FLOAT:
                attribute.i = TensorProto.DOUBLE


def _double_tensor(tensor: TensorProto) -> None:
    if tensor.data_type == TensorProto.FLOAT:
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float64), tensor.name))
