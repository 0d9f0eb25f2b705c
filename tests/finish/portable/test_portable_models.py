"""The bundled models under the portable profile: the relevance of the default file, and none of what runtimes lack."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx.reference import ReferenceEvaluator

import onnxlrp
from onnxlrp.graph.provenance import RULE
from tests.bundled import FILES, options
from tests.test_models import feeds

LARGE = {"efficientnet_lite0", "minilm_similarity"}
COMPOSITES = ["auto", "epsilon", "epsilon_plus", "gradient"]
CASES = [
    pytest.param(
        path, name, marks=[pytest.mark.slow] if path.parent.name in LARGE or name not in COMPOSITES[:2] else []
    )
    for path in FILES
    for name in (COMPOSITES[:1] if path.parent.name in LARGE else COMPOSITES)
]


def run(model: onnx.ModelProto, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_outputs()]
    return {name: as_array(value) for name, value in zip(names, session.run(names, inputs), strict=True)}


def as_array(value) -> np.ndarray:
    """A tensor, or the scores of a ZipMap's maps, a row for each sample."""
    return np.array([list(row.values()) for row in value], np.float32) if isinstance(value, list) else value


def given(path: Path, model: onnx.ModelProto, samples: int = 2) -> dict[str, np.ndarray]:
    """Two samples, and the predicted class or the largest element as target."""
    inputs = {name: array[:samples] for name, array in feeds(path).items()}
    for value in model.graph.input:
        if value.name not in inputs:
            shape = [1, *(d.dim_value for d in value.type.tensor_type.shape.dim[1:])]
            inputs[value.name] = np.full(shape, -1, np.int64)
    return inputs


def nodes(graph: onnx.GraphProto, depth: int = 0) -> Iterator[tuple[onnx.NodeProto, int]]:
    for node in graph.node:
        yield node, depth
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from nodes(attribute.g, depth + 1)


def is_relevance(node: onnx.NodeProto) -> bool:
    return any(entry.key == RULE for entry in node.metadata_props)


def read_from_around(node: onnx.NodeProto) -> set[str]:
    (body,) = [a.g for a in node.attribute if a.type == onnx.AttributeProto.GRAPH]
    inside = {v.name for v in (*body.input, *body.initializer)} | {o for n, _ in nodes(body) for o in n.output}
    return {name for n, _ in nodes(body) for name in n.input if name} - inside


def banned(model: onnx.ModelProto) -> list[str]:
    """Everything in a model that some runtime lacks or gets wrong."""
    found = [f"opset {o.version}" for o in model.opset_import if o.domain == "" and o.version > 17]
    own = {d.dim_param for v in model.graph.input for d in v.type.tensor_type.shape.dim if d.dim_param}
    own |= {d.dim_param for v in model.graph.output for d in v.type.tensor_type.shape.dim if d.dim_param}
    for value in model.graph.value_info:
        invented = {d.dim_param for d in value.type.tensor_type.shape.dim if d.dim_param} - own
        found += [f"{value.name} has the size {name}" for name in invented]
    fixed = {t.name for t in model.graph.initializer}
    found += [f"{v.name} has a default" for v in model.graph.input if v.name in fixed]
    readers: dict[str, set[tuple[str, int, int]]] = {}
    for node, _ in nodes(model.graph):
        what = f"{node.op_type} {node.name}"
        attributes = {a.name: a for a in node.attribute}
        if "allowzero" in attributes or node.op_type == "ZipMap":
            found.append(what)
        for index, name in enumerate(node.input):
            if node.op_type in ("Conv", "ConvTranspose", "Gemm", "MatMul") and name in fixed and index < 2:
                turned = attributes["transB"].i if "transB" in attributes and index else 0
                readers.setdefault(name, set()).add((node.op_type, index, turned))
        if not is_relevance(node):
            continue
        if node.op_type in ("GatherND", "GreaterOrEqual", "LessOrEqual", "NonZero"):
            found.append(what)
        if node.op_type == "MaxPool" and len(node.output) > 1:
            found.append(f"{what} gives indices")
        if node.op_type == "ReduceSum" and len(node.input) > 1 and node.input[1] not in fixed:
            constants = {o for n, _ in nodes(model.graph) if n.op_type == "Constant" for o in n.output}
            inner = {t.name for n, _ in nodes(model.graph) for a in n.attribute for t in a.g.initializer}
            found += [f"{what} has open axes"] if node.input[1] not in constants | inner else []
        if node.op_type in ("Scan", "Loop"):
            found += [f"{what} reads {name}" for name in read_from_around(node)]
    return [*found, *(f"{name} is read as {ways}" for name, ways in readers.items() if len(ways) > 1)]


@pytest.mark.parametrize(("path", "composite"), CASES, ids=lambda v: v if isinstance(v, str) else v.stem)
def test_a_portable_file_gives_the_relevance_of_the_default_one(path, composite):
    plain = onnxlrp.convert(path, composite, target_input="required", **options(path)).to_proto()
    explained = onnxlrp.convert(path, composite, profile="portable", **options(path))
    portable = explained.to_proto()
    onnx.checker.check_model(portable)
    assert not banned(portable)
    inputs = given(path, portable)
    assert {v.name for v in portable.graph.input} == {v.name for v in plain.graph.input}
    expected, found = run(plain, inputs), run(portable, inputs)
    assert expected.keys() == found.keys()
    for name, array in expected.items():
        if array.dtype.kind == "f":
            scale = np.abs(array).max()
            np.testing.assert_allclose(found[name], array, rtol=1e-5, atol=2e-5 * scale, err_msg=name)
        else:
            np.testing.assert_array_equal(found[name], array)


SMALL = [path for path in FILES if path.stat().st_size < 20_000 and "dynamo" not in path.name]


@pytest.mark.parametrize("path", SMALL, ids=lambda path: path.stem)
def test_the_reference_evaluator_runs_a_portable_file(path):
    portable = onnxlrp.convert(path, "epsilon", profile="portable", **options(path)).to_proto()
    inputs = given(path, portable)
    expected = run(portable, inputs)
    found = dict(zip(expected, ReferenceEvaluator(portable).run(list(expected), inputs), strict=True))
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, rtol=1e-3, atol=1e-4 * np.abs(array).max(), err_msg=name)
