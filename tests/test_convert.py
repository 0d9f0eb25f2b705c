"""What `convert` promises: names, declarations, metadata, bytes, sizes, options. The arithmetic is tested elsewhere."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import onnxlrp
from onnxlrp.errors import InputError, NothingToExplainError, OnnxLrpError, TargetError, UnsupportedOperatorError
from onnxlrp.rules import Epsilon, Gamma, ZPlus
from tests import bundled
from tests.source.nets import IMAGE, SCORES, dense, explain, image, info, interface, model, network, run, weights

ROOT = Path(__file__).parents[1]
W = weights()


# ---------------------------------------------------------------------------------------------------- the emitted file


def test_inputs_and_outputs_keep_name_order_type_and_shape():
    source, explained = network(), onnxlrp.convert(network(), output="y").to_proto()
    assert list(explained.graph.input)[:1] == list(source.graph.input)
    assert list(explained.graph.output)[:2] == list(source.graph.output)
    assert [v.name for v in explained.graph.input] == ["x", "target"]
    assert [v.name for v in explained.graph.output] == ["y", "p", "x_relevance"]
    relevance = explained.graph.output[2].type.tensor_type
    assert relevance == source.graph.input[0].type.tensor_type


def test_versions():
    explained = onnxlrp.convert(network(13, 8)).to_proto()
    assert explained.ir_version <= 10
    assert {o.domain: o.version for o in explained.opset_import} == {"": 21}
    onnx.checker.check_model(explained, full_check=True)


def test_names_that_are_taken():
    """`_1` is appended, and the metadata holds the names really used."""
    taken = dense(
        [("x", ["N", 4]), ("target", ["N", 4]), ("x_relevance", ["N", 4])], ["y", "target_1", "relevance_ledger"]
    )
    proto = onnxlrp.convert(taken, ledger=True).to_proto()
    said = interface(proto)
    assert said.target_input == "target_2"
    assert said.relevance == {
        "x": "x_relevance_1",
        "target": "target_relevance",
        "x_relevance": "x_relevance_relevance",
    }
    assert said.ledger == "relevance_ledger_1"
    assert {*said.relevance.values(), said.ledger} <= {o.name for o in proto.graph.output}
    feeds = {n: np.ones((2, 4), np.float32) for n in ("x", "target", "x_relevance")}
    assert len(run(proto, feeds)) == 7


def test_names_that_bodies_use_are_taken():
    """A body's `target` would hide the model's."""
    body = helper.make_graph(
        [helper.make_node("MatMul", ["target", "w"], ["x_relevance"]), helper.make_node("Identity", ["go"], ["on"])],
        "body",
        [info("i", [], TensorProto.INT64), info("go", [], TensorProto.BOOL), info("target", [1, 3])],
        [info("on", [], TensorProto.BOOL), info("x_relevance", [1, 3])],
    )
    tensors = {"w": np.eye(3, dtype=np.float32) + 1, "trips": np.array(2), "go": np.array(True)}
    proto = onnxlrp.convert(
        model(
            [helper.make_node("Loop", ["trips", "go", "x"], ["y"], body=body)],
            [info("x", [1, 3])],
            [info("y", [1, 3])],
            tensors,
        )
    ).to_proto()
    said = interface(proto)
    assert said.target_input == "target_1"
    assert said.relevance == {"x": "x_relevance_1"}


def test_inner_names_do_not_clash():
    """The source may use the very names that our builder gives to its nodes."""
    nodes = [
        helper.make_node("Gemm", ["x", "v"], ["lrp.Mul_1"], "lrp/Mul_node_1"),
        helper.make_node("Relu", ["lrp.Mul_1"], ["y"], "lrp/constant_0"),
    ]
    proto = model(nodes, [info("x", ["N", 4])], SCORES, {"v": W["v"]})
    explained = onnxlrp.convert(proto, "epsilon_plus", ledger=True).to_proto()
    onnx.checker.check_model(explained, full_check=True)
    names = [o for n in explained.graph.node for o in n.output] + [t.name for t in explained.graph.initializer]
    assert len(names) == len(set(names))


def test_metadata(tmp_path):
    path = tmp_path / "net.onnx"
    path.write_bytes(network().SerializeToString())
    explained = onnxlrp.convert(path, "epsilon_plus", rules=[("conv", "Gamma(0.1)")], output="p").to_proto()
    said = interface(explained)
    assert said.version == onnxlrp.__version__
    assert said.composite == "epsilon_plus"
    assert said.output == "p"
    assert said.rules == ("conv=Gamma(gamma=0.1)",)
    assert said.source_sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (said.target, said.targets, said.batch_axis, said.class_axis) == ("class", 1, 0, 1)
    rules = [p.value for n in explained.graph.node for p in n.metadata_props if p.key == "onnxlrp.rule"]
    assert any("conv" in rule and "Gamma" in rule for rule in rules)
    proto = network()
    digest = hashlib.sha256(proto.SerializeToString(deterministic=True)).hexdigest()
    assert interface(onnxlrp.convert(proto).to_proto()).source_sha256 == digest


def test_the_sources_metadata_stays():
    proto = network()
    helper.set_model_props(proto, {"author": "someone"})
    proto.producer_name = "a trainer"
    explained = onnxlrp.convert(proto).to_proto()
    assert {p.key: p.value for p in explained.metadata_props}["author"] == "someone"
    assert explained.producer_name == "a trainer"


@pytest.mark.slow
def test_the_same_call_gives_the_same_bytes(tmp_path):
    """In one process, and in another with another hash seed."""
    options = {"composite": "epsilon_plus_flat", "ledger": True, "output": "y"}
    first, second = (onnxlrp.convert(network(), **options).to_proto() for _ in range(2))
    assert first.SerializeToString(deterministic=True) == second.SerializeToString(deterministic=True)
    path = tmp_path / "net.onnx"
    path.write_bytes(network().SerializeToString(deterministic=True))
    call = "onnxlrp.convert(sys.argv[1], 'epsilon_plus_flat', ledger=True, output='y')"
    code = f"import sys, onnxlrp; {call}.save(sys.argv[2])"
    out = tmp_path / "out.onnx"
    # Of this process the seed is drawn, or given: the other's must be another one.
    seed = "1" if os.environ.get("PYTHONHASHSEED") == "77" else "77"
    environment = {**os.environ, "PYTHONHASHSEED": seed}
    subprocess.run([sys.executable, "-c", code, path, out], check=True, cwd=ROOT, env=environment)
    assert out.read_bytes() == first.SerializeToString(deterministic=True)


@pytest.mark.parametrize(
    ("path", "composite"),
    bundled.pairs(["auto", "epsilon_alpha2_beta1_flat"], ["auto"]),
    ids=lambda v: v if isinstance(v, str) else v.stem,
)
def test_size_of_the_file(path, composite, tmp_path):
    onnxlrp.convert(path, composite, **bundled.options(path)).save(tmp_path / "out.onnx")
    assert (tmp_path / "out.onnx").stat().st_size <= 1.1 * path.stat().st_size + 1e6


# ---------------------------------------------------------------------------------------------------- what is explained


def test_several_inputs_and_outputs():
    proto = dense([("a", ["N", 4]), ("b", ["N", 4])], ["y", "z"])
    explained = onnxlrp.convert(proto, "epsilon")
    assert set(explained.interface.relevance) == {"a", "b"}
    assert explained.interface.output == "y"
    assert any("'y'" in note and "z" in note for note in explained.notes)
    feeds = {n: np.random.default_rng(i).normal(size=(2, 4)).astype(np.float32) for i, n in enumerate("ab")}
    both = run(explained.to_proto(), feeds)
    only = run(onnxlrp.convert(proto, "epsilon", inputs=["b"]).to_proto(), feeds)
    assert "a_relevance" not in only
    np.testing.assert_allclose(only["b_relevance"], both["b_relevance"], rtol=1e-5)
    twice = run(onnxlrp.convert(proto, "epsilon", output="z").to_proto(), feeds)
    np.testing.assert_allclose(twice["a_relevance"], 2 * both["a_relevance"], rtol=1e-4)


def test_inputs_that_relevance_does_not_reach():
    """Left out by default, an error where they are named."""
    nodes = [helper.make_node("Gemm", ["x", "v"], ["y"]), helper.make_node("Relu", ["z"], ["other"])]
    proto = model(nodes, [info("x", ["N", 4]), info("z", ["N", 4])], [*SCORES, info("other", ["N", 4])], {"v": W["v"]})
    assert set(onnxlrp.convert(proto).interface.relevance) == {"x"}
    with pytest.raises(NothingToExplainError, match="z"):
        onnxlrp.convert(proto, inputs=["x", "z"])
    with pytest.raises(NothingToExplainError):
        onnxlrp.convert(proto, inputs=["z"])


def test_relevance_at():
    """Of inner values, in their shapes; conserved from one to the next."""
    explained = onnxlrp.convert(network(), "epsilon", output="y", relevance_at=["h1", "h3"])
    assert explained.interface.relevance_at == {"h1": "h1_relevance", "h3": "h3_relevance"}
    outputs = run(explained.to_proto(), image())
    assert outputs["h1_relevance"].shape == (2, 4, 6, 6)
    np.testing.assert_allclose(
        outputs["h1_relevance"].sum((1, 2, 3)), outputs["h3_relevance"].sum((1, 2, 3)), rtol=1e-3
    )


@pytest.mark.parametrize(("name", "message"), [("nonsense", "nonsense"), ("p", "p")])
def test_relevance_at_errors(name, message):
    """A name that does not exist, or a value off the path."""
    with pytest.raises(InputError, match=message):
        onnxlrp.convert(network(), "epsilon", output="y", relevance_at=[name])


def test_relevance_at_what_was_folded():
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["h"], "conv"),
        helper.make_node("Add", ["h", "shift"], ["a"]),
        helper.make_node("GlobalAveragePool", ["a"], ["g"]),
        helper.make_node("Flatten", ["g"], ["y"]),
    ]
    constants = {"w": W["w"][:3], "shift": np.ones((3, 1, 1), np.float32)}
    with pytest.raises(InputError, match=r"h.*conv"):
        onnxlrp.convert(model(nodes, IMAGE, SCORES, constants), relevance_at=["h"])


# ------------------------------------------------------------------------------------------------ rules and overrides


def rules_of(**options) -> dict[str, str]:
    """Step -> rule."""
    return {row.node: row.rule for row in onnxlrp.convert(network(), "epsilon", output="y", **options).plan.rows()}


PATTERNS = {"name": "conv", "glob": "con*", "operator": "Conv", "predicate": lambda step: step.operator == "Conv"}


@pytest.mark.parametrize("pattern", PATTERNS.values(), ids=PATTERNS)
def test_overrides(pattern):
    """By name, glob, operator or predicate; as an object or as text."""
    for rule in (Gamma(0.1), "Gamma(0.1)"):
        found = rules_of(rules=[(pattern, rule)])
        assert found["conv"] == "Gamma(gamma=0.1)"
        assert found["dense"] == "Epsilon"


def test_the_first_match_wins():
    found = rules_of(rules=[("conv", ZPlus()), ("*", Epsilon(0.5))])
    assert found["conv"] == "ZPlus"
    assert found["dense"] == "Epsilon(epsilon=0.5)"


@pytest.mark.parametrize(
    "rules", [[("no_such_node", ZPlus())], [("LSTM", ZPlus())], [("conv", ZPlus()), ("conv", Epsilon())]]
)
def test_overrides_that_match_nothing(rules):
    with pytest.raises(InputError, match=rules[-1][0]):
        rules_of(rules=rules)


def test_overrides_that_cannot_be():
    with pytest.raises(InputError, match="pattern"):
        rules_of(rules=[(3, ZPlus())])
    with pytest.raises(InputError, match="gradient"):
        onnxlrp.convert(network(), "gradient", rules=[("conv", ZPlus())])


def test_toml(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('composite = "epsilon_plus"\n[[rules]]\nmatch = "conv"\nrule = "AlphaBeta(2, 1)"\n')
    for source in (path, str(path)):
        explained = onnxlrp.convert(network(), source, output="y")
        found = {row.node: row.rule for row in explained.plan.rows()}
        assert found["conv"].startswith("AlphaBeta")
        assert found["dense"] == "Epsilon"
    # What the caller says goes first.
    path.write_text('composite = "epsilon_plus"\n[[rules]]\nmatch = "*"\nrule = "AlphaBeta(2, 1)"\n')
    explained = onnxlrp.convert(network(), path, rules=[("conv", "Gamma")], output="y")
    assert {row.node: row.rule for row in explained.plan.rows()}["conv"] == "Gamma"


@pytest.mark.parametrize(
    "text",
    [
        "composite = ",
        'composite = "no_such"',
        "[[rules]]\nmatch = 'conv'",
        "colour = 'red'",
        "rules = 3",
        "[[rules]]\nmatch = 'conv'\nrule = 'Nope'",
    ],
)
def test_bad_toml(tmp_path, text):
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(InputError):
        onnxlrp.convert(network(), path)


# ---------------------------------------------------------------------------------------------------- other options


def unsupported() -> onnx.ModelProto:
    """Two branches, one of them through an operator that nobody knows."""
    nodes = [
        helper.make_node("Gemm", ["x", "v"], ["a"], "dense"),
        helper.make_node("Odd", ["x"], ["o"], "odd", domain="my.domain"),
        helper.make_node("Gemm", ["o", "v"], ["b"], "second"),
        helper.make_node("Add", ["a", "b"], ["y"], "sum"),
    ]
    values = [info("o", ["N", 4])]
    return model(
        nodes,
        [info("x", ["N", 4])],
        SCORES,
        {"v": W["v"]},
        opsets=[helper.make_opsetid("my.domain", 1)],
        value_info=values,
    )


def test_unsupported_operators_stop_relevance_on_request():
    with pytest.raises(UnsupportedOperatorError) as error:
        onnxlrp.convert(unsupported())
    assert error.value.nodes == ("odd",)
    explained = onnxlrp.convert(unsupported(), on_unsupported="stop")
    assert any("odd" in stop for stop in explained.plan.stopped)
    assert "odd" in str(explained.plan), "the plan says so"
    assert set(explained.interface.relevance) == {"x"}


@pytest.mark.parametrize("precision", ["float32", "model"])
def test_half_precision(precision):
    """The relevance part of a float16 model computes in float32, on request in float16; its outputs are float32."""
    half = {k: v.astype(np.float16) for k, v in W.items()}
    proto = network()
    del proto.graph.initializer[:]
    proto.graph.initializer.extend(onnx.numpy_helper.from_array(v, k) for k, v in half.items())
    for value in (*proto.graph.input, *proto.graph.output):
        value.type.tensor_type.elem_type = TensorProto.FLOAT16
    explained = onnxlrp.convert(proto, "epsilon", output="y", precision=precision).to_proto()
    assert (
        next(o for o in explained.graph.output if o.name == "x_relevance").type.tensor_type.elem_type
        == TensorProto.FLOAT
    )
    x = {"x": image()["x"].astype(np.float16)}
    outputs, source = run(explained, x), run(proto, x)
    np.testing.assert_allclose(outputs["y"].astype(float), source["y"].astype(float), rtol=2e-3, atol=2e-3)
    assert outputs["x_relevance"].dtype == np.float32
    wide = explain(network())["x_relevance"]
    assert np.linalg.norm(outputs["x_relevance"] - wide) < 0.2 * np.linalg.norm(wide)


def test_double_precision_stays():
    proto = dense()
    proto.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(W["v"].astype(np.float64), "v"))
    for value in (*proto.graph.input, *proto.graph.output):
        value.type.tensor_type.elem_type = TensorProto.DOUBLE
    outputs = run(onnxlrp.convert(proto, "epsilon").to_proto(), {"x": np.ones((2, 4))})
    assert outputs["x_relevance"].dtype == np.float64


@pytest.mark.parametrize("composite", ["gradient", "gradient_x_input", "deconvnet", "guided_backprop", "beta_smooth"])
def test_gradients_have_no_ledger(composite):
    with pytest.raises(InputError, match="ledger"):
        onnxlrp.convert(network(), composite, ledger=True)


@pytest.mark.parametrize(
    "options",
    [
        {"target": "nonsense"},
        {"initial": "two"},
        {"on_unsupported": "ignore"},
        {"precision": "float8"},
        {"target_input": "maybe"},
        {"targets": 0},
        {"targets": 2, "target": "weights"},
        {"targets": 2, "target_input": "none"},
    ],
    ids=str,
)
def test_options_that_cannot_be(options):
    with pytest.raises(InputError):
        onnxlrp.convert(network(), output="y", **options)


def external(folder: Path) -> Path:
    path = folder / "net.onnx"
    onnx.save_model(network(), path, save_as_external_data=True, location="net.weights", size_threshold=0)
    return path


def test_share_weights(tmp_path):
    """Beside the source the file refers to its weights; without them it holds them."""
    explained = onnxlrp.convert(external(tmp_path), "epsilon", output="y")
    explained.save(tmp_path / "shared.onnx", share_weights=True)
    explained.save(tmp_path / "whole.onnx")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["net.onnx", "net.weights", "shared.onnx", "whole.onnx"]
    shared = onnx.load(tmp_path / "shared.onnx", load_external_data=False)
    assert {e.value for t in shared.graph.initializer for e in t.external_data if e.key == "location"} == {
        "net.weights"
    }
    outputs = [run(onnx.load(tmp_path / name), image())["x_relevance"] for name in ("shared.onnx", "whole.onnx")]
    np.testing.assert_array_equal(*outputs)


def test_share_weights_only_where_it_works(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    explained = onnxlrp.convert(external(tmp_path))
    with pytest.raises(InputError, match=r"net\.weights"):
        explained.save(tmp_path / "elsewhere" / "out.onnx", share_weights=True)
    with pytest.raises(InputError, match="inside"):
        onnxlrp.convert(network()).save(tmp_path / "out.onnx", share_weights=True)
    assert not (tmp_path / "out.onnx").exists()


def test_every_error_is_ours():
    """One base class to catch."""
    for error in (InputError, TargetError, NothingToExplainError, UnsupportedOperatorError):
        assert issubclass(error, OnnxLrpError)


def test_inspect_converts_nothing():
    plan = onnxlrp.inspect(unsupported(), "epsilon")
    assert plan.unsupported_nodes == ["odd"]
    assert [row.node for row in plan.rows()] == ["sum", "second", "dense"]
    graph = plan.graph
    assert graph.has_edge("score", "sum")
    assert graph.has_edge("dense", "x")
    assert {"output", "input"} <= set(graph.get_edge_data("sum", "dense")[0])


def test_parallel_edges_of_the_plan():
    """x · x hands relevance twice."""
    nodes = [helper.make_node("Gemm", ["x", "v"], ["h"], "dense"), helper.make_node("Add", ["h", "h"], ["y"], "sum")]
    plan = onnxlrp.inspect(model(nodes, [info("x", ["N", 4])], SCORES, {"v": W["v"]}), "epsilon")
    assert plan.graph.number_of_edges("sum", "dense") == 2
