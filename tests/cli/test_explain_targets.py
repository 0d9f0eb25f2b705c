"""`onnxlrp explain`: classes by name, several classes of one sample, places in pictures, folders of pictures."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from onnxlrp.cli.given_files import names_of_classes
from onnxlrp.runtime import Explainer, Results
from onnxlrp.runtime.reading import open_model
from tests.cli.test_commands import DIGITS, MODELS, WINE, call, refused

RNG = np.random.default_rng(0)


@pytest.fixture
def folder(tmp_path):
    """Two pictures, 64 x 32, in sub-folders, and a text that is no picture."""
    for name, colour in (("cats/a.png", "red"), ("dogs/b.png", "blue")):
        (tmp_path / name).parent.mkdir()
        Image.new("RGB", (64, 32), colour).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no picture")
    return tmp_path


def model(path, segments=False, fixed=False, **metadata):
    """A convolution over pictures 16 x 16: scores of 3 classes for the picture, or for cells of 4 x 4 pixels."""
    nodes = [helper.make_node("Conv", ["x", "w"], ["h"], strides=[4, 4])]
    nodes += [helper.make_node("GlobalAveragePool", ["h"], ["p"]), helper.make_node("Flatten", ["p"], ["y"])]
    n = 1 if fixed else "N"
    y = ("h", [n, 3, 4, 4]) if segments else ("y", [n, 3])
    graph = helper.make_graph(
        nodes[:1] if segments else nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [n, 3, 16, 16])],
        [helper.make_tensor_value_info(y[0], TensorProto.FLOAT, y[1])],
        [numpy_helper.from_array(RNG.normal(size=(3, 3, 4, 4)).astype(np.float32), "w")],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    for key, value in metadata.items():
        proto.metadata_props.add(key=key, value=value)
    onnx.save(proto, path)
    return path


def classifier(path):
    """A linear classifier of rows of three columns, with a label output."""
    nodes = [
        helper.make_node(
            "LinearClassifier",
            ["x"],
            ["label", "scores"],
            domain="ai.onnx.ml",
            coefficients=[1.0, 0.0, 0.5, 0.0, 1.0, -0.5],
            intercepts=[0.0, 0.0],
            classlabels_strings=["leaves", "stays"],
            post_transform="NONE",
        )
    ]
    graph = helper.make_graph(
        nodes,
        "rows",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3])],
        [
            helper.make_tensor_value_info("label", TensorProto.STRING, ["N"]),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", 2]),
        ],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return path


def explained(*words):
    return json.loads(call("explain", *words, "--json").stdout)["samples"]


def unwrapped(result):
    return " ".join(result.stderr.replace("│", " ").split())


@pytest.mark.parametrize(
    "metadata", [{"names": "{0: 'cat', 1: 'dog', 2: 'red fox'}"}, {"id2label": '["cat", "dog", "red fox"]'}]
)
def test_classes_by_the_models_own_names(folder, metadata):
    net = model(folder / "net.onnx", **metadata)
    (sample,) = explained(net, "--input", f"x={folder / 'cats' / 'a.png'}", "--class", "Red  FOX")
    assert (sample["target"], sample["label"]) == (2, "red fox")
    wrong = call("explain", net, "--input", f"x={folder / 'cats'}", "--class", "dogs", status=2)
    assert "(did you mean 'dog'?); the classes are cat, dog, red fox" in unwrapped(wrong)
    call("convert", net, "-o", folder / "net.lrp.onnx")
    assert Explainer(folder / "net.lrp.onnx").class_names == ("cat", "dog", "red fox")


def test_names_from_a_label_output(tmp_path):
    """The labels of a classifier are known once it is converted."""
    net = classifier(tmp_path / "net.onnx")
    (tmp_path / "rows.csv").write_text("1,2,3\n")
    (sample,) = explained(net, "--input", f"x={tmp_path / 'rows.csv'}", "--target", "stays")
    assert (sample["target"], sample["label"]) == (1, "stays")
    wrong = call("explain", net, "--input", f"x={tmp_path / 'rows.csv'}", "--target", "stay", status=2)
    assert "(did you mean 'stays'?); the classes are leaves, stays" in unwrapped(wrong)


def test_names_from_files(folder):
    net, picture = model(folder / "net.onnx"), f"x={folder / 'cats'}"
    words = ("explain", net, "--input", picture, "--class", "cat")
    assert "does not name its classes" in unwrapped(call(*words, status=2))
    (folder / "labels.txt").write_text("cat, tom cat\ndog\nfox")
    assert explained(net, "--input", picture, "--class", "tom cat")[0]["target"] == 0
    (folder / "labels.txt").write_text("cat\ndog")  # too few: they belong to another model
    assert "does not name its classes" in unwrapped(call(*words, status=2))
    (folder / "config.json").write_text('{"id2label": {"0": "cat", "1": "dog", "2": "fox"}}')
    assert explained(net, "--input", picture, "--class", "fox")[0]["label"] == "fox"


def test_several_classes_of_one_sample(folder):
    net, picture = model(folder / "net.onnx"), f"x={folder / 'cats'}"
    samples = explained(net, "--input", picture, "--target", "2", "--target", "0")
    assert [(one["index"], one["target"]) for one in samples] == [(0, 2), (0, 0)]
    call("convert", net, "-o", folder / "net.lrp.onnx")
    words = ("explain", folder / "net.lrp.onnx", "--input", picture, "--target", "2", "--target", "0")
    assert "convert its source with --targets 2" in unwrapped(call(*words, status=2))


def test_a_class_a_sample(folder):
    net = model(folder / "net.onnx")
    samples = explained(net, "--input", f"x={folder}", "--target", "2", "--target", "0")
    assert [(one["index"], one["target"]) for one in samples] == [(0, 2), (1, 0)]


def test_a_model_that_takes_one_sample_at_a_time(folder):
    two = model(folder / "fixed.onnx", fixed=True), folder / "out.npz"
    assert len(explained(two[0], "--input", f"x={folder}", "-o", two[1])) == 2
    with np.load(two[1]) as content:
        assert content["x_relevance"].shape == (2, 3, 16, 16) and content["score"].shape == (2,)


def test_folders_of_pictures(folder):
    net = model(folder / "net.onnx")
    result = call("explain", net, "--input", f"x={folder}", "-o", folder / "results")
    assert "no pictures: net.onnx, notes.txt" in result.stderr
    results = Results(folder / "results")
    assert results["folder"].tolist() == ["cats", "dogs"]
    assert [name.rsplit("/", 1)[1] for name in results["file"]] == ["a.png", "b.png"]
    (folder / "empty").mkdir()
    (folder / "empty" / "notes.txt").write_text("")
    assert "holds no picture" in refused("explain", net, "--input", f"x={folder / 'empty'}")


@pytest.mark.parametrize(
    ("words", "element"),
    [(["--at", "63,31", "--class", "1"], [1, 3, 3]), (["--at", "20,0", "--class", "0"], [0, 0, 1])],
)
def test_a_pixel(folder, words, element):
    net = model(folder / "net.onnx", segments=True)
    assert explained(net, "--input", f"x={folder / 'cats'}", *words)[0]["target"] == element


def test_boxes_and_masks_of_a_map(folder):
    net, mask = model(folder / "net.onnx", segments=True), Image.new("L", (64, 32))
    mask.paste(255, (0, 0, 16, 8))
    mask.save(folder / "mask.png")
    np.save(folder / "mask.npy", np.asarray(mask) / 255)
    totals = [
        explained(net, "--input", f"x={folder / 'cats'}", "--class", "1", *words)[0]["relevance"]["x"]
        for words in (["--box", "0,0,16,8"], ["--mask", folder / "mask.png"], ["--mask", folder / "mask.npy"])
    ]
    assert totals == [pytest.approx(totals[0])] * 3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--at", "1"], "is not 2 numbers with commas, such as 120,80"),
        (["--box", "1,2,3"], "is not 4 numbers"),
        (["--at", "1,1", "--element", "0,0,0"], "--at does: give one"),
        (["--element", "0,0,0", "--target", "1"], "--target has nothing to choose"),
        (["--at", "1,1", "-o", "results"], "one file of results"),
        (["--target", " "], "a class is a number or a name"),
    ],
)
def test_options_that_do_not_go_together(folder, words, message):
    net = model(folder / "net.onnx", segments=True)
    assert message in unwrapped(call("explain", net, "--input", f"x={folder / 'cats'}", *words, status=2))


def test_the_scale_of_pixels_is_said(folder):
    words = ("explain", model(folder / "net.onnx"), "--input", f"x={folder / 'cats'}")
    assert "nothing in the model says how its pixels were scaled" in call(*words).stderr
    assert "go in as" not in call(*words, "--preprocess", "unit").stderr
    assert "MEAN/STD count in pixels of 0 to 1" in unwrapped(call(*words, "--preprocess", "127/128", status=2))


def test_an_interruption_says_that_the_same_command_goes_on(folder, monkeypatch):
    net, seen = model(folder / "net.onnx"), []

    def interrupted(self, *args, **options):
        seen.append(1)
        if len(seen) == 2:
            raise KeyboardInterrupt
        return compute(self, *args, **options)

    compute = Explainer.compute
    monkeypatch.setattr(Explainer, "compute", interrupted)
    words = ("explain", net, "--input", f"x={folder}", "-o", folder / "results", "--batch-size", "1")
    result = call(*words, status=130)
    assert "stopped: 1 samples are in" in result.stderr and "the same command goes on from there" in result.stderr
    assert "wrote 2 samples" in call(*words).stdout


def test_one_sample_in_a_folder_says_how_to_get_a_file(folder):
    words = ("explain", model(folder / "net.onnx"), "--input", f"x={folder / 'cats'}", "-o", folder / "results")
    assert "-o NAME.png" in call(*words).stdout


def test_a_format_that_cannot_be_written_is_refused_before_the_model_runs(folder, monkeypatch):
    monkeypatch.setattr(Explainer, "compute", None)
    assert "a .npy holds one array" in _refused_early(monkeypatch, folder)


def _refused_early(monkeypatch, folder):
    nodes = [helper.make_node("Add", ["a", "b"], ["y"])]
    shapes = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 2]) for name in ("a", "b", "y")]
    graph = helper.make_graph(nodes, "net", shapes[:2], shapes[2:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), folder / "two.onnx")
    np.save(folder / "rows.npy", np.ones((1, 2), np.float32))
    rows = [f"--input={name}={folder / 'rows.npy'}" for name in "ab"]
    return refused("explain", folder / "two.onnx", *rows, "-o", folder / "out.npy")


def test_probabilities_of_a_zip_map_are_in_the_file(tmp_path):
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["y"]),
        helper.make_node("ZipMap", ["y"], ["p"], domain="ai.onnx.ml", classlabels_strings=["no", "yes"]),
    ]
    kinds = helper.make_map_type_proto(TensorProto.STRING, helper.make_tensor_type_proto(TensorProto.FLOAT, []))
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 2])],
        [onnx.ValueInfoProto(name="p", type=helper.make_sequence_type_proto(kinds))],
        [numpy_helper.from_array(np.eye(2, dtype=np.float32), "w")],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), tmp_path / "net.onnx")
    np.save(tmp_path / "x.npy", np.array([[1, 3], [2, 1]], np.float32))
    words = (tmp_path / "net.onnx", "--input", f"x={tmp_path / 'x.npy'}", "-o", tmp_path / "out.npz", "--class", "yes")
    assert [one["label"] for one in explained(*words)] == ["yes", "yes"]
    with np.load(tmp_path / "out.npz") as content:
        assert content["p"].tolist() == [[1, 3], [2, 1]] and content["p_classes"].tolist() == ["no", "yes"]
        assert content["score"].tolist() == [3, 1]


def test_a_detector_or_a_map_names_the_options_for_a_place(folder):
    net = model(folder / "net.onnx", segments=True)
    assert "--at X,Y, --box or --mask" in call("explain", net, "--input", f"x={folder / 'cats'}", status=3).stderr


def test_an_explained_model_without_the_usual_suffix(folder):
    net = model(folder / "net.onnx")
    assert "suffix .onnx" in call("convert", net, "-o", folder / "explained").stderr
    assert "suffix" not in call("convert", net, "-o", folder / "explained.onnx").stderr


def test_names_of_bundled_models():
    assert names_of_classes(None, open_model(WINE), WINE)[0]
    assert names_of_classes(None, open_model(DIGITS), DIGITS) == ()
    efficient = MODELS / "efficientnet_lite0" / "efficientnet_lite0.onnx"
    assert names_of_classes(None, open_model(efficient), efficient)[967] == "espresso"
