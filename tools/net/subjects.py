"""Models to convert: bundled ones, the oracle's networks and a few others, each with every composite and option."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import AttributeProto, GraphProto, TensorProto, numpy_helper

from onnxlrp.composites import parse
from tests.operators.node_cases import collect
from tests.operators.test_control_flow import BRANCH, LOOP, SCAN
from tests.operators.test_control_flow import model as of_text
from tests.oracle.half import in_type
from tests.oracle.half_nets import attention
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
VARIED = ("residual", "mixer")
OPTIONS: tuple[dict[str, Any], ...] = (
    {"target": "weights"},
    {"targets": 3},
    {"initial": "one"},
    {"relevance_at": ["v0"]},
)
"""Options that the VARIED networks are converted with as well, by a composite of each kind."""
LARGE = 1 << 20
"""Bytes above which a model is left out of quick runs."""
SAMPLES = 3
TOLERANCES = {"reference": 1e-12, "onnxruntime": 1e-4}
"""Allowed gap, as a share of the largest entry, by what runs the model: the reference evaluator in float64, or
onnxruntime in float32, where another order of sums moves relevance by more than the last digits."""


@dataclasses.dataclass(frozen=True)
class Subject:
    """A model and its inputs."""

    name: str
    model: onnx.ModelProto | Path
    feeds: dict[str, np.ndarray] | None
    """Inputs; None if only the operators are compared."""
    runner: str = "reference"
    composites: tuple[str, ...] = COMPOSITES
    options: tuple[dict[str, Any], ...] = ()
    """Options that are tried besides none."""

    @property
    def large(self) -> bool:
        return isinstance(self.model, Path) and self.model.stat().st_size > LARGE


@dataclasses.dataclass(frozen=True)
class Row:
    """A conversion: model, composite and options."""

    subject: Subject
    composite: str
    options: dict[str, Any]

    @property
    def name(self) -> str:
        """Name of subject, composite and options; "ledger" comes last."""
        options = sorted(f"{name}={value}".replace(" ", "") for name, value in self.options.items() if name != "ledger")
        options += ["ledger"] if self.options["ledger"] else []
        return " ".join([self.subject.name, self.composite.replace(" ", ""), *options])


def rows(*, quick: bool = False, folder: Path | None = None, nodes: bool = False) -> Iterator[Row]:
    """Yield all rows; `quick` leaves out large models and most composites.

    `folder` adds its ONNX files, `nodes` adds ONNX's node cases.
    """
    more = files(folder) if folder is not None else iter(())
    cases = node_cases() if nodes else iter(())
    for subject in (*zoo(), *others(), *bundled(), *more, *cases):
        if not (quick and subject.large):
            for composite, options in _conversions(subject, quick):
                yield Row(subject, composite, options)


def _conversions(subject: Subject, quick: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield composites and options of a subject, each without a ledger and, except for gradients, with one."""
    for composite in subject.composites:
        if quick and composite not in QUICK:
            continue
        varied = subject.options if composite in ("epsilon", "gradient") else ()
        for options in ({}, *varied):
            yield composite, {**options, "ledger": False}
            if parse(composite).seed != "gradient":
                yield composite, {**options, "ledger": True}


def zoo() -> Iterator[Subject]:
    """Yield the networks of the exactness tests, in float64."""
    for name, make in NETS.items():
        net = make()
        yield Subject(name, net.model(), net.feeds(SAMPLES), options=OPTIONS if name in VARIED else ())


def others() -> Iterator[Subject]:
    """Yield models that the zoo lacks: attention, bodies of If, Loop and Scan, and half precision."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 3))
    yield Subject("attention", in_double(attention()), {"x": rng.normal(size=(SAMPLES, 5, 8))})
    for name, text, feeds in (
        ("loop", LOOP, {"x": x, "n": np.array(3)}),
        ("scan", SCAN, {"x": x, "s": rng.normal(size=(3, 2, 3))}),
        ("branch", BRANCH, {"x": x, "c": np.array(True)}),
    ):
        yield Subject(name, of_text(text), feeds)
    half = in_type(NETS["residual"]().model(), TensorProto.FLOAT16)
    yield Subject("residual-float16", half, None, options=({"precision": "model"},))


def node_cases() -> Iterator[Subject]:
    """Yield ONNX's own node cases, for their operators alone: every operator, by its rule and by its gradient."""
    for case in collect():
        if not case.name.endswith("_expanded"):
            yield Subject(case.name, case.model, None, composites=("epsilon_plus", "gradient"))


def bundled() -> Iterator[Subject]:
    """Yield the models of this repository as they are, and in float64 if their operators compute in it."""
    for path in sorted((ROOT / "models").glob("*/*.onnx")):
        feeds = _samples(path)
        options = ({"target": "element"},) if path.stem == "coins_unet" else ()  # a map of scores has no class
        yield Subject(path.stem, path, feeds, "onnxruntime", options=options)
        if feeds is not None and path.stat().st_size <= LARGE:
            model = onnx.load(path)
            if all(node.domain in ("", "ai.onnx") for node in model.graph.node):
                double = {k: v.astype(np.float64) if v.dtype == np.float32 else v for k, v in feeds.items()}
                yield Subject(f"{path.stem}-float64", in_double(model), double)


def files(folder: Path) -> Iterator[Subject]:
    """Yield every ONNX file of a folder, for its operators alone."""
    for path in sorted(folder.resolve().glob("*.onnx")):
        yield Subject(path.stem, path, None)


def _samples(path: Path) -> dict[str, np.ndarray] | None:
    """Read samples that lie beside a model, or make seeded pictures; None for a model of other inputs."""
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
