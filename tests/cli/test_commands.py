"""The command line on small real models: what it writes, prints and answers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest
from PIL import Image
from typer.testing import CliRunner

from onnxlrp import composites
from onnxlrp.cli import app
from onnxlrp.runtime import Results
from onnxlrp.view import saving

MODELS = Path(__file__).parents[2] / "models"
DIGITS = MODELS / "digits_cnn" / "digits_cnn.torchscript.onnx"
CANCER = MODELS / "breast_cancer_mlp" / "breast_cancer_mlp.onnx"
WINE = MODELS / "wine_mlp" / "wine_mlp.onnx"


def call(*words, status=0):
    """Runs a command in this process; its result after a check of the exit status and that nothing leaked."""
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == status, result.output
    assert "Traceback" not in result.output
    return result


def refused(*words, defect=False):
    """stderr of a command that cannot use its model or data: a message of at most a screen that was meant."""
    result = call(*words, status=3)
    assert result.stderr.startswith("error: ") and len(result.stderr.splitlines()) <= 24
    assert ("unexpected" in result.stderr) == defect
    return result.stderr


@pytest.fixture(scope="module")
def explained(tmp_path_factory):
    path = tmp_path_factory.mktemp("explained") / "digits.lrp.onnx"
    call("convert", DIGITS, "-o", path, "--ledger")
    return path


@pytest.fixture
def digit(tmp_path):
    """One digit as .npy."""
    path = tmp_path / "digit.npy"
    np.save(path, np.load(MODELS / "digits_cnn" / "samples.npz")["image"][:1])
    return path


@pytest.fixture
def samples(tmp_path):
    """Three patients as .csv with a header."""
    path = tmp_path / "samples.csv"
    rows = np.load(MODELS / "breast_cancer_mlp" / "samples.npz")["features"][:3]
    names = (MODELS / "breast_cancer_mlp" / "features.txt").read_text().splitlines()
    np.savetxt(path, rows, delimiter=",", header=",".join(names), comments="")
    return path


def one_node(operator, domain=""):
    """y = operator(x), on float [N, 3]."""
    head = '<ir_version: 8, opset_import: ["": 17, "my.domain": 1]> g (float[N, 3] x) => (float[N, 3] y)'
    model = onnx.parser.parse_model(f"{head} {{ y = {operator} (x) }}")
    model.graph.node[0].domain, model.graph.node[0].name = domain, "the_node"
    return model


# convert


def test_convert_writes_a_model_and_says_so(tmp_path):
    out = tmp_path / "out.onnx"
    result = call("convert", DIGITS, "-o", out, "--composite", "epsilon_plus")
    assert "image_relevance" in result.stdout and str(out) in result.stdout
    model = onnx.load(out)
    assert [value.name for value in model.graph.output] == ["logits", "image_relevance"]
    assert [path.name for path in tmp_path.iterdir()] == ["out.onnx"]


def test_convert_options_reach_the_model(tmp_path):
    out = tmp_path / "out.onnx"
    options = ["--rule", "Conv=Gamma(gamma=0.1)", "--output", "logits", "--input", "image", "--ledger"]
    result = call("convert", DIGITS, "-o", out, "--target", "weights", "--target-input", "required", *options, "--json")
    content = json.loads(result.stdout)
    assert content["interface"]["target"] == "weights" and content["interface"]["required"]
    assert content["interface"]["ledger"] == "relevance_ledger"
    assert any("Gamma" in row["rule"] for row in content["plan"])
    assert content["written"] == str(out)


def test_nothing_is_overwritten_without_force(tmp_path):
    out = tmp_path / "out.onnx"
    out.write_text("precious")
    assert "--force" in call("convert", DIGITS, "-o", out, status=2).stderr
    assert out.read_text() == "precious"
    call("convert", DIGITS, "-o", out, "--force")
    assert onnx.load(out).graph.output


def test_a_failure_leaves_what_was_there(tmp_path):
    out, bad = tmp_path / "out.onnx", tmp_path / "bad.onnx"
    out.write_text("precious")
    bad.write_text("no model")
    refused("convert", bad, "-o", out, "--force")
    assert out.read_text() == "precious" and len(list(tmp_path.iterdir())) == 2


def test_the_source_is_never_overwritten(tmp_path):
    model = tmp_path / "model.onnx"
    model.write_bytes(DIGITS.read_bytes())
    call("convert", model, "-o", model, "--force", status=2)
    assert model.read_bytes() == DIGITS.read_bytes()


@pytest.mark.parametrize(
    "words",
    [
        ["convert", DIGITS],
        ["convert", DIGITS, "-o", "OUT", "--composite", "no_such_composite"],
        ["convert", DIGITS, "-o", "OUT", "--rule", "Conv"],
        ["convert", DIGITS, "-o", "OUT", "--rule", "Conv=NoSuchRule"],
        ["convert", DIGITS, "-o", "OUT", "--rule", "Conv=AlphaBeta(3, 1)"],
        ["convert", DIGITS, "-o", "OUT", "--target", "nonsense"],
        ["convert", DIGITS, "-o", "no/such/folder/out.onnx"],
        ["convert", DIGITS, "-o", "."],
        ["inspect"],
        ["inspect", DIGITS, "--no-such-option"],
        ["explain", DIGITS],
        ["explain", DIGITS, "--input", "digit"],
        ["explain", DIGITS, "--input", "image=digit.npy", "-o", "out.bmp"],
        ["explain", DIGITS, "--input", f"image={DIGITS.parent / 'samples.npz'}", "--target", "three"],
        ["explain", DIGITS, "--input", "image=digit.npy", "--preprocess", "nonsense"],
        ["check", DIGITS, "--input", "image"],
        ["nonsense"],
    ],
)
def test_wrong_usage(tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    assert call(*words, status=2).stderr
    assert list(tmp_path.iterdir()) == []


# bad models and bad data


def cyclic():
    model = one_node("Relu")
    model.graph.node[0].input[0] = "z"
    model.graph.node.append(onnx.helper.make_node("Relu", ["y"], ["z"], name="back"))
    return model


def no_float_output():
    model = one_node("Relu")
    model.graph.node.append(onnx.helper.make_node("Cast", ["y"], ["i"], to=onnx.TensorProto.INT64))
    model.graph.output[0].CopyFrom(onnx.helper.make_tensor_value_info("i", onnx.TensorProto.INT64, ["N", 3]))
    return model


def external_data_missing():
    model = one_node("Relu")
    model.graph.node[0].op_type = "Add"
    model.graph.node[0].input.append("w")
    tensor = onnx.numpy_helper.from_array(np.ones(3, np.float32), "w")
    onnx.external_data_helper.set_external_data(tensor, "weights.bin")
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    model.graph.initializer.append(tensor)
    return model


BAD_MODELS = {
    "truncated": (lambda: DIGITS.read_bytes()[:-1000], "cut"),
    "text": (lambda: b"this is a text file, not a model\n" * 10, "bad.onnx"),
    "empty file": (lambda: b"", "no graph"),
    "empty graph": (lambda: onnx.helper.make_model(onnx.helper.make_graph([], "g", [], [])), "no nodes"),
    "cycle": (cyclic, "cycle"),
    "unknown operator": (lambda: one_node("NoSuchOperator"), "NoSuchOperator"),
    "custom operator": (lambda: one_node("MyOp", "my.domain"), "my.domain::MyOp"),
    "no float output": (no_float_output, "floating-point"),
    "external data missing": (external_data_missing, "weights.bin"),
}


@pytest.mark.parametrize("command", ["convert", "inspect", "explain", "check"])
@pytest.mark.parametrize("kind", BAD_MODELS)
def test_bad_models(tmp_path, kind, command):
    make, words = BAD_MODELS[kind]
    content = make()
    model = tmp_path / "bad.onnx"
    model.write_bytes(content if isinstance(content, bytes) else content.SerializeToString())
    np.save(tmp_path / "x.npy", np.ones((1, 3), np.float32))
    before = sorted(tmp_path.iterdir())
    rest = {
        "convert": ["-o", tmp_path / "out.onnx"],
        "inspect": [],
        "explain": ["--input", f"x={tmp_path / 'x.npy'}", "-o", tmp_path / "out.npz"],
        "check": [],
    }
    result = call(command, model, *rest[command], status=3)
    assert "error: " in result.stderr and len(result.stderr.splitlines()) <= 24
    assert "unexpected" not in result.stderr
    if command in ("convert", "inspect"):
        assert words in result.stderr
    assert sorted(tmp_path.iterdir()) == before


def test_a_model_that_is_not_there(tmp_path):
    assert "nothing.onnx" in refused("inspect", tmp_path / "nothing.onnx")
    assert "nothing.onnx" in refused("explain", tmp_path / "nothing.onnx", "--input", "x=x.npy")


def test_names_that_do_not_exist(tmp_path, digit):
    assert "nonsense" in refused("convert", DIGITS, "-o", tmp_path / "o.onnx", "--output", "nonsense")
    assert "nonsense" in refused("convert", DIGITS, "-o", tmp_path / "o.onnx", "--input", "nonsense")
    message = refused("explain", DIGITS, "--input", f"imgae={digit}")
    assert "did you mean 'image'" in message and "float32 [N, 1, 8, 8]" in message


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((1, 1, 8, 9), np.float32), "axis 3 must be 8, not 9"),
        (np.zeros((1, 8, 8), np.float32), "array[None]"),
        (np.zeros((1, 1, 8, 8)), "float64"),
        (np.zeros((1, 1, 8, 8), np.int64), "int64"),
    ],
)
@pytest.mark.parametrize("command", ["explain", "check"])
def test_arrays_that_do_not_fit(tmp_path, explained, array, words, command):
    path = tmp_path / "array.npy"
    np.save(path, array)
    for model in (DIGITS, explained):
        assert words in refused(command, model, "--input", f"image={path}")


def test_files_that_cannot_be_used(tmp_path, explained):
    path = tmp_path / "cat.jpg"
    path.write_bytes(b"\xff\xd8\xff\xe0 no picture")
    out = tmp_path / "out.png"
    assert "cat.jpg" in refused("explain", explained, "--input", f"image={path}", "-o", out)
    assert "no file" in refused("explain", explained, "--input", f"image={tmp_path / 'nothing.npy'}", "-o", out)
    path = tmp_path / "broken.npz"
    path.write_bytes(b"PK\x03\x04")
    assert "broken.npz" in refused("explain", explained, "--input", f"image={path}", "-o", out)
    assert not out.exists()


def test_targets_that_do_not_exist(explained, digit):
    assert "classes 0 to 9" in refused("explain", explained, "--input", f"image={digit}", "--target", "10")


def test_inspect_says_what_the_default_stands_for():
    assert call("inspect", DIGITS).stdout.startswith("auto (convolutions, no attention: ")
    assert json.loads(call("inspect", DIGITS, "--composite", "epsilon", "--json").stdout)["composite"] == "epsilon"


def test_inspect_suggests_a_composite():
    told = " ".join(call("inspect", DIGITS, "--composite", "epsilon").stdout.split())
    assert "epsilon: For tables, series" in told
    assert "suggested: auto, because the model has convolutions" in told
    suggested = json.loads(call("inspect", DIGITS, "--json").stdout)["suggested"]
    assert suggested["composite"] == "auto" and "γ" in suggested["why"]


def test_a_composite_file_that_cannot_be_used(tmp_path):
    path = tmp_path / "broken.toml"
    path.write_text("composite =")
    assert "broken.toml" in refused("inspect", DIGITS, "--composite", path)


def test_a_composite_without_its_bounds():
    result = call("inspect", DIGITS, "--composite", "epsilon_gamma_box", status=2)
    message = " ".join(result.stderr.replace("│", " ").split())
    assert "epsilon_gamma_box(low, high, gamma=0.25, activations='offset', trees='shapley'" in message


def test_nan_is_a_warning(tmp_path, explained, digit):
    array = np.load(digit)
    array[0, 0, 0, 0] = np.nan
    np.save(digit, array)
    result = call("explain", explained, "--input", f"image={digit}")
    assert result.stderr.startswith("warning: ") and result.stderr.count("\n") == 1


def test_tracebacks_only_with_debug(tmp_path):
    result = CliRunner().invoke(app, ["inspect", str(tmp_path / "nothing.onnx"), "--debug"])
    assert result.exit_code == 3 and "Traceback" in result.stderr


def test_defects_are_one_line_too(monkeypatch):
    from onnxlrp.operators import registry

    def broken():
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(registry, "table", broken)
    assert "unexpected ZeroDivisionError: oops" in refused("operators", defect=True)


# inspect


def test_inspect_shows_the_plan():
    result = call("inspect", DIGITS, "--composite", "epsilon_plus_flat")
    assert all(word in result.stdout for word in ("node", "operator", "rule", "why", "Conv", "Flat"))
    rows = json.loads(call("inspect", DIGITS, "--json").stdout)
    assert rows["unsupported"] == [] and {"node", "operator", "rule", "why"} == set(rows["plan"][0])


def test_inspect_names_what_is_not_supported(tmp_path):
    path = tmp_path / "custom.onnx"
    onnx.save(one_node("MyOp", "my.domain"), path)
    result = call("inspect", path, status=3)
    assert "my.domain::MyOp" in result.stderr and "the_node" in result.stderr
    result = call("inspect", path, "--json", status=3)
    assert len(json.loads(result.stdout)["unsupported"]) == 1


# explain


def test_explain_an_explained_model(tmp_path, explained, digit):
    out = tmp_path / "out.png"
    result = call("explain", explained, "--input", f"image={digit}", "-o", out)
    assert "class" in result.stdout and str(out) in result.stdout
    assert Image.open(out).width > 1000


def test_explain_converts_first(tmp_path, digit):
    out = tmp_path / "out.npz"
    call("explain", DIGITS, "--input", f"image={digit}", "--composite", "epsilon", "--target", "3", "-o", out)
    with np.load(out) as archive:
        assert archive["image_relevance"].shape == (1, 1, 8, 8) and archive["target"].tolist() == [3]


def test_zeros_are_meant(tmp_path):
    """A blank picture gets none: no value, no share."""
    np.save(tmp_path / "blank.npy", np.zeros((1, 1, 8, 8), np.float32))
    result = call("explain", DIGITS, "--composite", "epsilon", "--input", f"image={tmp_path / 'blank.npy'}")
    assert "note: relevance is 0 everywhere, although the score is not. Inputs of value 0 get no share" in result.stderr


@pytest.mark.slow
def test_as_a_module():
    result = subprocess.run([sys.executable, "-m", "onnxlrp", "--help"], capture_output=True, text=True)
    assert result.returncode == 0 and "explain" in result.stdout


def test_conversion_options_are_refused_for_an_explained_model(explained, digit):
    call("explain", explained, "--input", f"image={digit}", "--composite", "epsilon", status=2)


def test_explain_pictures_as_a_batch(tmp_path, explained):
    files = []
    for number in range(2):
        path = tmp_path / f"{number}.png"
        Image.effect_noise((20, 20), 80).save(path)
        files += ["--input", f"image={path}"]
    result = call("explain", explained, *files, "--preprocess", "unit", "--target", "3", "--target", "4", "--json")
    samples = json.loads(result.stdout)["samples"]
    assert [sample["target"] for sample in samples] == [3, 4]
    assert all(sample["relevance"]["image"] is not None for sample in samples)


def test_explain_a_table(tmp_path, samples):
    out = tmp_path / "out.csv"
    result = call("explain", CANCER, "--input", f"features={samples}", "-o", out)
    assert "mean radius" in result.stdout or "worst" in result.stdout
    lines = out.read_text().splitlines()
    assert len(lines) == 4 and ",mean radius,mean radius_relevance," in lines[0]


def test_explain_labels(tmp_path):
    rows = np.load(MODELS / "wine_mlp" / "samples.npz")["features"][:2]
    np.save(tmp_path / "rows.npy", rows)
    labels = MODELS / "wine_mlp" / "labels.txt"
    result = call("explain", WINE, "--input", f"features={tmp_path / 'rows.npy'}", "--labels", labels, "--json")
    samples = json.loads(result.stdout)["samples"]
    assert all(sample["label"] in labels.read_text().splitlines() for sample in samples)
    assert len(samples[0]["features"]) == 10


# check


@pytest.mark.parametrize("model", [DIGITS, CANCER, WINE], ids=lambda path: path.parent.name)
def test_check_small_models(model):
    result = call("check", model)
    assert "equal" in result.stdout and "absorbed by biases" in result.stdout
    content = json.loads(call("check", model, "--json").stdout)
    assert content["problems"] == [] and all(output["ok"] for output in content["outputs"])
    assert content["conservation"]["ok"]


def test_check_finds_a_size_that_the_model_runs_on(tmp_path):
    """One sample only, whatever it declares."""
    proto = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["" : 17]>
    main (float[N, L] x) => (float[K, 3] y) {
        shape = Constant <value: tensor = int64[2] {1, 8}> ()
        row = Reshape (x, shape)
        y = MatMul (row, w)
    }""")
    proto.graph.initializer.append(onnx.numpy_helper.from_array(np.eye(8, 3, dtype=np.float32), "w"))
    onnx.save(proto, tmp_path / "one.onnx")
    assert "equal" in call("check", tmp_path / "one.onnx").stdout


def test_check_with_data_and_composites(digit):
    for composite in ("epsilon_plus_flat", "gradient"):
        result = call("check", DIGITS, "--input", f"image={digit}", "--composite", composite)
        assert ("nothing to say of conservation" in result.stdout) == (composite == "gradient")


def test_check_an_explained_model(explained):
    assert "run check on its source" in call("check", explained).stdout


def test_check_fails_where_outputs_differ(monkeypatch):
    from onnxlrp.runtime import checking

    monkeypatch.setattr(checking, "_difference", lambda left, right: 0.5)
    assert "output 'logits' differs by 0.5" in call("check", DIGITS, status=4).stderr


# the rest


def test_operators():
    assert "Conv" in call("operators").stdout
    rows = json.loads(call("operators", "--json").stdout)
    assert {"operator", "domain", "kind", "summary", "since"} == set(rows[0]) and len(rows) > 50


def test_composites():
    """Those of users' own are in the list, and in the message for a name that is none."""
    composites.register("our_own", composites.Epsilon(1e-3))
    try:
        assert "our_own" in call("composites").stdout
        rows = json.loads(call("composites", "--json").stdout)
        assert (
            all(row["good_for"].startswith("For ") for row in rows[:-1])
            and "take it first" in call("composites").stdout
        )
        assert rows[0]["composite"].startswith("auto(") and rows[-1]["purpose"] == "Epsilon(epsilon=0.001)"
        assert "our_own" in call("inspect", DIGITS, "--composite", "their_own", status=2).stderr
        assert json.loads(call("inspect", DIGITS, "--composite", "our_own", "--json").stdout)["plan"]
    finally:
        composites.unregister("our_own")


def test_help_names_every_format():
    words = call("explain", "--help").stdout.replace(",", " ").split()
    missing = saving.FORMATS.keys() - {word.removesuffix(".") for word in words}
    assert not missing, f"the help of -o in cli/explaining.py does not name {', '.join(missing)}"


@pytest.mark.parametrize("command", ["demo", "convert", "inspect", "explain", "check", "operators", "composites"])
def test_help_has_an_example(command):
    assert f"Example: onnxlrp {command}" in call(command, "--help").stdout


@pytest.mark.slow
def test_real_processes_are_clean(tmp_path):
    """No stray line on stderr, no traceback, the right status, in the process that users start."""

    def start(*words):
        command = [sys.executable, "-m", "onnxlrp", *map(str, words)]
        environment = {**os.environ, "PYTHONPATH": str(MODELS.parent)}
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)

    good = start("check", DIGITS)
    assert good.returncode == 0 and good.stderr == ""
    bad = start("explain", DIGITS, "--input", "image=nothing.npy")
    assert bad.returncode == 3 and bad.stdout == "" and bad.stderr.startswith("error: ")


def test_what_is_missing_and_the_version():
    call("convert", DIGITS, status=2)
    assert call("--version").stdout.startswith("onnxlrp ")


# elements


@pytest.fixture
def boxes(tmp_path):
    """A detector in small, `found` [N, 2, 3], as a file, and two pictures for it."""
    text = """<ir_version: 8, opset_import: ["": 17]> detect (float[N, 4] x) => (float[N, 2, 3] found) {
        h = MatMul (x, w)
        shape = Constant <value_ints = [-1, 2, 3]> ()
        found = Reshape (h, shape)
    }"""
    model, weight = onnx.parser.parse_model(text), np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)
    model.graph.initializer.append(onnx.numpy_helper.from_array(weight, "w"))
    onnx.save(model, tmp_path / "boxes.onnx")
    np.save(tmp_path / "x.npy", np.arange(1, 9, dtype=np.float32).reshape(2, 4))
    return tmp_path / "boxes.onnx", f"x={tmp_path / 'x.npy'}"


def test_explain_an_element(boxes, tmp_path):
    model, given = boxes
    result = json.loads(call("explain", model, "--input", given, "--element", "1,2", "--json").stdout)
    assert [sample["target"] for sample in result["samples"]] == [[1, 2], [1, 2]]
    shown = call("explain", model, "--input", given, "--element", "1,2", "--element", "0,1").stdout
    assert "element" in shown and "1, 2" in shown and "0, 1" in shown
    made = tmp_path / "made.onnx"
    call("convert", model, "-o", made, "--target", "element", "--composite", "epsilon")
    plain = json.loads(call("explain", made, "--input", given, "--json").stdout)
    best = ",".join(map(str, plain["samples"][0]["target"]))
    again = json.loads(call("explain", made, "--input", given, "--element", best, "--json").stdout)
    assert again["samples"][0] == plain["samples"][0]
    call("explain", made, "--input", given, "--element", "1,2", "-o", tmp_path / "all")
    np.testing.assert_array_equal(Results(tmp_path / "all")["target"], [[1, 2], [1, 2]])


def test_elements_that_cannot_be_meant(boxes, explained, digit, tmp_path):
    model, given = boxes
    assert "element 1, 3: axis 2 of 'found' has 3 elements" in refused(
        "explain", model, "--input", given, "--element", "1,3"
    )
    for wrong in (["--element", "1,x"], ["--element", "1,2", "--element", "1"], ["--element", "1,2", "--target", 3]):
        assert "--element" in call("explain", model, "--input", given, *wrong, status=2).stderr
    assert "--element" in call("explain", explained, "--input", f"image={digit}", "--element", "3", status=2).stderr
    assert "--element INDICES" in refused("explain", model, "--input", given)


# many samples


def test_explain_a_folder_into_a_folder(explained, tmp_path, digit):
    """Every picture of a folder, in batches; the same command finds it done, another target is refused."""
    pictures, out = tmp_path / "pictures", tmp_path / "out"
    pictures.mkdir()
    for index in range(3):
        Image.new("L", (28, 28), 80 * index).save(pictures / f"{index}.png")
    words = ["explain", explained, "--input", f"image={pictures}", "--preprocess", "raw", "-o", out, "--batch-size", 2]
    assert "wrote 3 samples" in call(*words).stdout
    results = Results(out)
    alone = tmp_path / "alone.npz"
    call("explain", explained, "--input", f"image={pictures / '*.png'}", "-o", alone)
    with np.load(alone) as expected:
        assert {*expected.files} - {"image_preprocess", "onnxlrp.record"} <= {*results}  # map.json has it
        np.testing.assert_allclose(results["image_relevance"], expected["image_relevance"], rtol=1e-4, atol=1e-6)
    about = {"written": str(out), "samples": 3, "batch_size": 2, "cautions": []}
    assert json.loads(call(*words, "--json").stdout) == about
    assert "a target" in refused(*words, "--target", 1)
    assert "--batch-size" in call(*words[:-4], "--batch-size", 2, status=2).stderr
