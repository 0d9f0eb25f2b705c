"""The public names: what they are, that their help describes every parameter, and that their examples run."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import re
import subprocess
import sys
import types
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

import onnxlrp
from onnxlrp import composites, errors, interface, rules
from onnxlrp.runtime.explainer import Explainer
from onnxlrp.runtime.explanation import Explanation
from tests.emit import test_rolled_out

MODULES = (onnxlrp, composites, errors, interface, rules)
CALLS = (
    onnxlrp.convert,
    onnxlrp.inspect,
    onnxlrp.Explained.save,
    Explainer,
    Explainer.__call__,
    Explainer.map,
    Explanation.plot,
    Explanation.reasons,
    Explanation.save,
    Explanation.to_frame,
    Explanation.to_shap,
    Explanation.to_xarray,
    onnxlrp.clusters_of,
    onnxlrp.concepts_of,
    onnxlrp.contrastive,
    onnxlrp.covers_of,
    onnxlrp.evaluate,
    onnxlrp.explain,
    onnxlrp.report,
    onnxlrp.tune,
    onnxlrp.with_covers,
    onnxlrp.operator,
    onnxlrp.stopping_operator,
    onnxlrp.unregister_operator,
    composites.register,
    *rules.RULES.values(),
    *composites.COMPOSITES.values(),
)
DATA = (
    onnxlrp.Difference,
    onnxlrp.Evaluation,
    onnxlrp.Explained,
    Explanation,
    onnxlrp.Figure,
    onnxlrp.Plan,
    onnxlrp.Step,
    onnxlrp.Interface,
    onnxlrp.Ledger,
    onnxlrp.Tuning,
    onnxlrp.TuningCandidate,
)

NEEDS = {
    "Explanation.to_frame": "pandas",
    "Explanation.to_shap": "shap",
    "Explanation.to_xarray": "xarray",
    "explain": "skl2onnx",
    "clusters_of": "sklearn",
    "Clusters": "sklearn",
    "ConceptStudy": "matplotlib",
}
"""Packages that examples need and that the plain tests do not install."""


def _examples(thing: Any) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", inspect.getdoc(thing) or "", re.MULTILINE | re.DOTALL)


def _public() -> list[Any]:
    """Every object that a public module names, and the methods of its classes, each once."""
    found = [onnxlrp]
    for module in MODULES:
        for name in module.__all__:
            thing = getattr(module, name)
            methods = [m for k, m in vars(thing).items() if k[0] != "_"] if inspect.isclass(thing) else []
            found += [thing, *methods]
    return [thing for thing in dict.fromkeys(t for t in found if callable(t) or t is onnxlrp) if _examples(thing)]


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with what the examples name: a model, the same explained, a tree ensemble, pictures."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    nodes = [
        helper.make_node("Conv", ["image", "kernel"], ["c"], "/layer4/conv"),
        helper.make_node("Relu", ["c"], ["r"], "/layer4/relu"),
        helper.make_node("Flatten", ["r"], ["f"], "/flatten"),
        helper.make_node("Gemm", ["f", "weight"], ["logits"], "/head/gemm"),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, 8, 8])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 3])
    weights = {"kernel": random.normal(size=(4, 3, 3, 3)), "weight": random.normal(size=(144, 3))}
    tensors = [numpy_helper.from_array(v.astype(np.float32), k) for k, v in weights.items()]
    graph = helper.make_graph(nodes, "net", [image], [logits], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    Path("model.onnx").write_bytes(model.SerializeToString())
    onnxlrp.convert("model.onnx", composite="epsilon_plus").save("model.lrp.onnx")
    node = {"nodes_treeids": [0] * 3, "nodes_nodeids": [0, 1, 2], "nodes_featureids": [0] * 3}
    node |= {"nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF"], "nodes_values": [0.5, 0.0, 0.0]}
    node |= {"nodes_truenodeids": [1, 0, 0], "nodes_falsenodeids": [2, 0, 0]}
    leaf = {"target_treeids": [0, 0], "target_nodeids": [1, 2], "target_ids": [0, 0], "target_weights": [1.0, 2.0]}
    forest = helper.make_node("TreeEnsembleRegressor", ["x"], ["y"], domain="ai.onnx.ml", n_targets=1, **node, **leaf)
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["N", 1]) for n in "xy"]
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("ai.onnx.ml", 3)]
    graph = helper.make_graph([forest], "forest", ends[:1], ends[1:])
    Path("forest.onnx").write_bytes(helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString())
    attending = test_rolled_out.model(f"{test_rolled_out.TWO} {test_rolled_out.HEAD.format(z='z')}")
    Path("transformer.onnx").write_bytes(attending.SerializeToString())
    Path("pictures").mkdir()
    for index in range(3):
        Image.fromarray(random.integers(0, 256, (8, 8, 3), np.uint8)).save(f"pictures/{index}.png")
    return tmp_path


@pytest.mark.parametrize("thing", _public(), ids=lambda thing: getattr(thing, "__qualname__", "onnxlrp"))
def test_examples_run(thing, place, recwarn):
    """All examples of a docstring are one program; it may use what the fixture made, `x`, two samples, `samples`,
    eight of them, and `forest`, which has the attributes of scikit-learn's tree."""
    warnings.simplefilter("ignore", errors.ExplanationWarning)
    if getattr(thing, "__qualname__", "") in NEEDS:
        pytest.importorskip(NEEDS[thing.__qualname__])
    x = np.random.default_rng(1).uniform(size=(2, 3, 8, 8)).astype(np.float32)
    names: dict[str, Any] = {"onnxlrp": onnxlrp, "np": np, "x": x, "explainer": Explainer("model.lrp.onnx")}
    names["samples"] = np.concatenate([x, x / 2, 1 - x, x[::-1]])
    columns = {"weighted_n_node_samples": [10, 6, 4], "feature": [0, 0, 0], "threshold": [0.5, 0, 0]}
    tree = types.SimpleNamespace(**columns, children_left=[1, -1, -1], children_right=[2, -1, -1])
    names["forest"] = types.SimpleNamespace(tree_=tree)
    names |= vars(rules) if getattr(thing, "__module__", "") == rules.__name__ else {}
    try:
        exec(compile("\n".join(_examples(thing)), "example", "exec"), names)
    finally:
        for domain, name in list(onnxlrp.operators.own._OWN):
            onnxlrp.unregister_operator(name, domain)


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.__qualname__)
def test_help_describes_every_parameter_and_has_an_example(call: Callable[..., Any]):
    text = inspect.getdoc(call) or ""
    parameters = [p for p in inspect.signature(call).parameters if p not in ("self", *_SHARED)]
    described = {name for line in re.findall(r"^(\w[\w, ]*)$", text, re.MULTILINE) for name in line.split(", ")}
    assert not {*parameters} - described, f"{call.__qualname__} does not describe {sorted({*parameters} - described)}"
    assert _examples(call), f"{call.__qualname__} has no example"


_SHARED = (
    *("epsilon", "relative", "zero_params", "stabiliser", "activations", "trees"),
    *("halves", "over_patches", "clamps"),
)
"""Parameters of every rule and every composite, which the base class describes."""


@pytest.mark.parametrize("base", [rules.Rule, composites.Composite])
def test_base_classes_describe_what_all_share(base):
    text = inspect.getdoc(base) or ""
    for field in dataclasses.fields(base):
        assert re.search(rf"^{field.name}$", text, re.MULTILINE), f"{base.__name__} does not describe {field.name}"


@pytest.mark.parametrize("data", DATA, ids=lambda data: data.__name__)
def test_results_describe_every_field(data):
    """Each public field is followed by a sentence, which editors and the source show."""
    source = inspect.getsource(data)
    for field in dataclasses.fields(data):
        if not field.name.startswith("_"):
            line = re.search(rf'^    {field.name}: [^\n]*(\n    \S[^\n]*)?\n    """', source, re.MULTILINE)
            assert line, f"{data.__name__}.{field.name} is not described"


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_all_names_what_is_public(module):
    """Every name exists; whatever a module itself defines without an underscore is named."""
    assert len({*module.__all__}) == len(module.__all__)
    for name in module.__all__:
        assert hasattr(module, name), name
    made = {n: v for n, v in vars(module).items() if inspect.isclass(v) or inspect.isfunction(v)}
    own = {n for n, v in made.items() if v.__module__ == module.__name__ and n[0] != "_"}
    assert not own - {*module.__all__}


def test_help_of_convert_is_that_of_the_function():
    """There is a module of the same name."""
    code = "import pydoc; print(pydoc.render_doc('onnxlrp.convert', renderer=pydoc.plaintext))"
    text = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "function convert in onnxlrp" in text and "Add relevance outputs to a model" in text


def test_types_are_shipped():
    """Type checkers read the package's annotations: the marker lies in the package, and nothing leaves it out."""
    assert (Path(onnxlrp.__file__).parent / "py.typed").read_bytes() == b""


def test_types_and_the_models_of_the_demo_are_in_the_wheel(tmp_path):
    pytest.importorskip("hatchling", reason="builds a wheel")
    build = "import sys; from hatchling.build import build_wheel; print(build_wheel(sys.argv[1]))"
    root = Path(__file__).parents[1]
    subprocess.run([sys.executable, "-c", build, str(tmp_path)], cwd=root, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "onnxlrp/py.typed" in names
    models = {name.split("/")[2] for name in names if name.startswith("onnxlrp/_models/")}
    assert models == {"efficientnet_lite0", "licences", "pictures"}  # what `onnxlrp demo` shows, not the test models


def test_modules_import_alone():
    for module in MODULES:
        assert importlib.import_module(module.__name__) is module
