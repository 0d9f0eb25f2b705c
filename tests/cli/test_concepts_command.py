"""`onnxlrp concepts`, and `onnxlrp convert --concept`; tests/peers/test_clusters.py has `onnxlrp clusters`."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest
from PIL import Image
from typer.testing import CliRunner

import onnxlrp
from onnxlrp.cli import app
from tests.concepts import marked
from tests.emit.test_concept_masks import X, network


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with a model, a folder of pictures for it, and the same pictures as an array."""
    monkeypatch.chdir(tmp_path)
    onnx.save(marked.model(), "net.onnx")
    images = marked.pictures(90, np.arange(90) % 3 == 0)
    np.save("images.npy", images)
    (tmp_path / "pictures").mkdir()
    for index, image in enumerate(images[:8]):
        Image.fromarray((image[0] * 8).round().astype(np.uint8)).save(tmp_path / "pictures" / f"{index}.png")
    return tmp_path


def run(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def test_concepts_of_a_prediction(place):
    pytest.importorskip("matplotlib")
    words = ("concepts", "net.onnx", "--data", "pictures", "--input", "pictures/3.png", "--layer", "r", "-o", "out")
    result = run(*words, "--references", 2)
    assert result.exit_code == 0, result.output
    assert "1 channels of r, by their part in “class 0”" in result.stdout
    assert "wrote out/concepts.png" in result.stdout and (place / "out" / "concepts.png").stat().st_size > 5000
    ranking = json.loads((place / "out" / "concepts.json").read_text())["ranking"]
    assert ranking[0]["channel"] == 0 and len(ranking[0]["by_activation"]) == 2
    assert ranking[0]["by_relevance"][0]["name"].endswith(".png")
    assert run(*words).exit_code == 2  # nothing is overwritten
    assert run(*words, "--force").exit_code == 0


def test_concepts_of_a_class_as_json(place):
    result = run("concepts", "net.onnx", "--data", "image=images.npy", "--target", 0, "--json")
    assert result.exit_code == 0, result.output
    content = json.loads(result.stdout)
    assert (content["layer"], content["samples"], content["target"], content["written"]) == ("c", 90, 0, [])
    assert content["ranking"][0]["share"] == pytest.approx(1)


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["--data", "pictures", "--target", "1"], 3, "no sample is explained for class 1"),
        (["--data", "pictures", "--layer", "rr"], 3, "no inner value 'rr' (did you mean 'r'?)"),
        (["--data", "pictures", "--input", "pictures"], 3, "--input is one sample, and there are 8"),
        ([], 2, "give a folder of samples"),
        (["--data", "pictures", "--data", "image=images.npy"], 2, "name the input of each, or of none"),
    ],
)
def test_wrong_usage_of_concepts(place, words, status, message):
    result = run("concepts", "net.onnx", *words)
    assert result.exit_code == status and message in " ".join(result.stderr.replace("│", " ").split()), result.output


def test_a_map_of_chosen_channels(place):
    onnx.save(network("float"), "cnn.onnx")
    x = X[:1].astype(np.float32)
    np.save("x.npy", x)
    words = ("explain", "cnn.onnx", "--input", "x.npy", "--target", 1, "--composite", "epsilon")
    result = run(*words, "--channel", "b=1,4", "--channel", "e=0", "-o", "map.npz")
    assert result.exit_code == 0, result.output
    explainer = onnxlrp.Explainer(onnxlrp.convert("cnn.onnx", "epsilon", concepts=["b", "e"]))
    want = explainer(x, target=1, channels={"b": [1, 4], "e": 0}).relevance["x"]
    np.testing.assert_allclose(np.load("map.npz")["x_relevance"], want, atol=1e-7)
    assert run(*words, "--channel", "b=x").exit_code == 2
    assert run(*words, "--channel", "b=9").exit_code == 3
    assert run(*words, "--channel", "b=1", "-o", "folder").exit_code == 0
    assert (place / "folder").is_dir()


def test_convert_names_the_masks(place):
    onnx.save(network("float"), "cnn.onnx")
    result = run("convert", "cnn.onnx", "-o", "cnn.lrp.onnx", "--concept", "b", "--values-at", "e")
    assert result.exit_code == 0, result.output
    assert "channels of 'b' are chosen by input 'b_mask'" in result.stdout
    face = onnxlrp.Explainer("cnn.lrp.onnx").interface
    assert (face.mask_inputs, face.mask_axes, face.mask_sample_axes) == ({"b": "b_mask"}, {"b": 1}, {"b": 0})
    assert face.values_at == {"e": "e_value"}
