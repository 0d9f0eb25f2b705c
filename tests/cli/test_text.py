"""Text on the command line, on small models of token ids."""

from __future__ import annotations

import json
import shutil

import numpy as np
import onnx
import onnx.parser
import pytest

import onnxlrp
from onnxlrp.runtime import Results
from onnxlrp.view.page import page
from onnxlrp.view.summary import summarise
from tests.cli.test_commands import call, refused

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "great", "bad", "film", "##s", "."]
CLASSIFIER = """
<ir_version: 10, opset_import: ["": 17]>
film (int64[N, {length}] input_ids, int64[N, {length}] attention_mask) => (float[N, 2] logits) {{
  states = Gather (TABLE, input_ids)
  mask = Cast <to = 1> (attention_mask)
  axis = Constant <value_ints = [2]> ()
  column = Unsqueeze (mask, axis)
  kept = Mul (states, column)
  tokens = Constant <value_ints = [1]> ()
  total = ReduceSum <keepdims = 0> (kept, tokens)
  logits = MatMul (total, HEAD)
}}
"""
# Each position sees the sum of what came before it.
LANGUAGE_MODEL = """
<ir_version: 10, opset_import: ["": 17]>
lm (int64[N, T] input_ids) => (float[N, T, 10] logits) {
  states = Gather (TABLE, input_ids)
  axis = Constant <value_int = 1> ()
  seen = CumSum (states, axis)
  logits = MatMul (seen, HEAD)
}
"""


def written(path, text, classes):
    model = onnx.parser.parse_model(text)
    rng = np.random.default_rng(5)
    for name, shape in (("TABLE", (10, 4)), ("HEAD", (4, classes))):
        model.graph.initializer.append(onnx.numpy_helper.from_array(rng.normal(size=shape).astype(np.float32), name))
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path


@pytest.fixture
def vocabulary(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join(PIECES) + "\n")
    return path


@pytest.fixture
def classifier(tmp_path, vocabulary):
    """With its vocabulary beside it."""
    return written(tmp_path / "film.onnx", CLASSIFIER.format(length="T"), 2)


@pytest.fixture
def language_model(tmp_path, vocabulary):
    return written(tmp_path / "lm.onnx", LANGUAGE_MODEL, 10)


def test_a_text_is_explained(classifier, tmp_path):
    out = tmp_path / "out.html"
    result = call("explain", classifier, "--text", "input_ids=A great film.", "-o", out)
    assert "[CLS] A great film. [SEP]" in result.stdout and "Σ relevance" in result.stdout
    assert "[CLS]</span>" in out.read_text(encoding="utf-8")
    content = json.loads(call("explain", classifier, "--text", "input_ids=A great film.", "--json").stdout)
    (sample,) = content["samples"]
    texts = sample["texts"]["input_ids"]
    assert [piece["text"] for piece in texts] == ["[CLS]", "A", "great", "film", ".", "[SEP]"]
    assert sum(piece["relevance"] for piece in texts) == pytest.approx(sample["score"], rel=1e-4)


def test_words_add_up(classifier):
    tokens, words = (
        json.loads(call("explain", classifier, "--text", "input_ids=Bad films.", "--json", *more).stdout)["samples"][0]
        for more in ([], ["--words"])
    )
    assert [piece["text"] for piece in tokens["texts"]["input_ids"]][2:4] == ["film", "s"]
    film = words["texts"]["input_ids"][2]
    parts = [piece["relevance"] for piece in tokens["texts"]["input_ids"][2:4]]
    assert film["text"] == "films" and film["relevance"] == pytest.approx(sum(parts))


def test_a_file_of_texts_is_a_batch_and_padding_is_hidden(classifier, tmp_path):
    (tmp_path / "films.txt").write_text("A great film.\n\nBad\n")
    alone = call("explain", classifier, "--text", "input_ids=Bad", "--json")
    both = call("explain", classifier, "--input", f"input_ids={tmp_path / 'films.txt'}", "--json")
    samples = json.loads(both.stdout)["samples"]
    assert [len(sample["texts"]["input_ids"]) for sample in samples] == [6, 3]
    assert samples[1]["score"] == pytest.approx(json.loads(alone.stdout)["samples"][0]["score"])
    assert "[PAD]" not in both.stdout


def test_ids_in_a_text_file_stay_ids(classifier, tmp_path):
    (tmp_path / "ids.txt").write_text("2 4 5 3\n")
    (tmp_path / "mask.txt").write_text("1 1 1 1\n")
    ids, mask = f"input_ids={tmp_path / 'ids.txt'}", f"attention_mask={tmp_path / 'mask.txt'}"
    assert "[CLS] a great [SEP]" in call("explain", classifier, "--input", ids, "--input", mask).stdout
    result = call("explain", classifier, "--input", ids, "--tokenizer", tmp_path / "vocab.txt")
    assert "[CLS] 2 4 5 3 [SEP]" in result.stdout  # a tokenizer that is asked for reads numbers as words


def test_the_tokenizer_may_lie_elsewhere(classifier, vocabulary, tmp_path):
    (tmp_path / "other").mkdir()
    moved = shutil.copy(classifier, tmp_path / "other")
    words = ["--text", "input_ids=a bad film"]
    message = refused("explain", moved, *words)
    assert "--tokenizer" in message and "vocab.txt" in message
    assert "[CLS] a bad film [SEP]" in call("explain", moved, *words, "--tokenizer", vocabulary).stdout
    explained = tmp_path / "other" / "film.lrp.onnx"
    call("convert", moved, "-o", explained)
    assert "[CLS] a bad film [SEP]" in call("explain", explained, *words, "--tokenizer", vocabulary).stdout


def test_check_takes_texts(classifier):
    result = call("check", classifier, "--text", "input_ids=a bad film")
    assert "random" not in result.stdout and "equal" in result.stdout


def test_a_language_model_explains_the_last_token(language_model):
    """Of each text, not the padding behind it; what comes after a position has no relevance there."""
    words = ["--text", "input_ids=a great film", "--text", "input_ids=bad"]
    last, same, first = (
        json.loads(call("explain", language_model, *words, *more, "--json").stdout)["samples"]
        for more in (["--position", "-1"], ["--position", "4", "--position", "2"], ["--position", "1"])
    )
    assert [sample["position"] for sample in same] == [4, 2] and last[0]["score"] == same[0]["score"]
    assert [sample["position"] for sample in first] == [1, 1]
    assert first[0]["label"] == PIECES[first[0]["target"]]
    relevance = [piece["relevance"] for piece in first[0]["texts"]["input_ids"]]
    assert relevance[2:] == [0, 0, 0] and all(relevance[:2])
    assert [piece["marked"] for piece in first[0]["texts"]["input_ids"]] == [False, True, False, False, False]


def test_a_language_model_without_a_position_says_so(language_model):
    assert "--position" in refused("explain", language_model, "--text", "input_ids=bad")


def test_weights_of_many_scores(language_model, tmp_path):
    weights = np.zeros((1, 3, 10), np.float32)
    weights[0, 1, 4] = 1
    np.save(tmp_path / "weights.npy", weights)
    words = ["--text", "input_ids=bad", "--weights", tmp_path / "weights.npy", "--json"]
    (sample,) = json.loads(call("explain", language_model, *words).stdout)["samples"]
    relevance = [piece["relevance"] for piece in sample["texts"]["input_ids"]]
    assert relevance[0] and relevance[1] and not relevance[2]


def test_a_language_model_that_is_explained_already(language_model, tmp_path):
    explained = tmp_path / "lm.lrp.onnx"
    call("convert", language_model, "-o", explained, "--target", "token")
    words = ["--text", "input_ids=a great film", "--text", "input_ids=bad", "--json"]
    samples = json.loads(call("explain", explained, *words).stdout)["samples"]
    assert [sample["position"] for sample in samples] == [4, 2]
    done = onnxlrp.Explainer(explained)({"input_ids": ["a great film", "bad"]})
    assert done.position.tolist() == [4, 2]


def test_from_python(classifier, vocabulary):
    explainer = onnxlrp.Explainer(onnxlrp.convert(classifier), tokenizer=vocabulary)
    done = explainer({"input_ids": ["A great film.", "bad"]})
    assert done.tokens["input_ids"][1].names[:3] == ("[CLS]", "bad", "[SEP]")
    assert not done.relevance["input_ids"][1, 3:].any()
    assert "great</span>" in page(summarise(done, {}), "Relevance")
    ids = np.array([[2, 5, 3]])
    done = explainer({"input_ids": ids, "attention_mask": np.ones_like(ids)})
    assert done.tokens["input_ids"][0].names == ("[CLS]", "great", "[SEP]")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--text", "ids=a film"], "no input 'ids'"),
        (["--text", "input_ids=a film", "--input", "input_ids=ids.npy"], "given twice"),
        (["--text", "input_ids=a film", "--tokenizer", "film.onnx"], "film.onnx"),
        (["--text", "input_ids=a film", "--tokenizer", "nothing.json"], "nothing.json"),
        (["--input", "input_ids=table.csv"], "tokenizer"),
        (["--input", "input_ids=latin.txt"], "UTF-8"),
        (["--input", "input_ids=empty.txt"], "empty.txt"),
    ],
)
def test_what_cannot_be_used(classifier, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    np.save("ids.npy", np.array([[2, 4, 3]]))
    (tmp_path / "table.csv").write_text("1,2\na,film\n")
    (tmp_path / "latin.txt").write_bytes("café".encode("latin-1"))
    (tmp_path / "empty.txt").write_text("")
    assert message in refused("explain", classifier, *words)
    assert not (tmp_path / "out.png").exists()


def test_a_text_longer_than_the_model(tmp_path, vocabulary):
    model = written(tmp_path / "short.onnx", CLASSIFIER.format(length=5), 2)
    assert "[CLS] bad [SEP]" in call("explain", model, "--text", "input_ids=bad").stdout
    assert "has 6 tokens, but the model takes 5" in refused("explain", model, "--text", "input_ids=A great film.")


def test_a_text_for_a_picture(tmp_path):
    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["": 17]> g (float[N, 3] x) => (float[N, 3] y) { y = Relu (x) }'
    )
    onnx.save(model, tmp_path / "x.onnx")
    assert "'x' takes float32 [N, 3]" in refused("explain", tmp_path / "x.onnx", "--text", "x=a film")


def test_without_the_tokenizers_package(classifier, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "tokenizers", None)
    assert "onnxlrp[text]" in refused("explain", classifier, "--text", "input_ids=a film")


@pytest.mark.parametrize("words", [["--text", "input_ids"], ["--text", "=a film"], []])
def test_wrong_usage(classifier, words):
    call("explain", classifier, *words, status=2)


def test_many_texts_go_to_a_folder(classifier, tmp_path):
    """Padded batch by batch, with their tokens; from Python, too."""
    (tmp_path / "films.txt").write_text("A great film.\nBad\nA bad film\n")
    words = ["explain", classifier, "--input", f"input_ids={tmp_path / 'films.txt'}", "--batch-size", 2]
    call(*words, "-o", tmp_path / "out")
    batches = list(Results(tmp_path / "out").batches())
    assert [batch["input_ids_relevance"].shape for batch in batches] == [(2, 6), (1, 5)]
    assert batches[1]["input_ids_tokens"].tolist() == [["[CLS]", "a", "bad", "film", "[SEP]"]]
    explainer = onnxlrp.Explainer(onnxlrp.convert(classifier), tokenizer=tmp_path / "vocab.txt")
    one, two = explainer.map({"input_ids": ["A great film.", "Bad", "A bad film"]}, 2)
    np.testing.assert_array_equal(one.relevance["input_ids"], batches[0]["input_ids_relevance"])
    np.testing.assert_array_equal(two.relevance["input_ids"], batches[1]["input_ids_relevance"])
    assert [len(row.names) for row in one.tokens["input_ids"]] == [6, 6]


def test_texts_are_evaluated_by_token(classifier, vocabulary, language_model):
    """The vocabulary's mask token replaces tokens; padding is none. Without one, id 0 does, and that is said."""
    vocabulary.write_text("\n".join([*PIECES[:-1], "[MASK]"]) + "\n")
    texts = ("--text", "input_ids=A great film", "--text", "input_ids=bad")
    shown = json.loads(call("evaluate", classifier, *texts, "--composite", "epsilon", "--json").stdout)
    assert (shown["units"], shown["unit_count"], shown["baseline"], shown["samples"]) == ("tokens", 5, "token 9", 2)
    assert {one["explanation"] for one in shown["figures"]} >= {"epsilon", "random", "occlusion"}
    found = onnxlrp.evaluate(classifier, {"input_ids": ["A great film", "bad"]}, "epsilon", measures="complexity")
    assert (found.unit_count, found.baseline) == (5, "token 9")
    vocabulary.write_text("\n".join(PIECES) + "\n")
    words = ("--position", "-1", "--composite", "epsilon", "--measure", "perturbation", "--json")
    shown = json.loads(call("evaluate", language_model, "--text", "input_ids=A great film.", *words).stdout)
    assert shown["baseline"] == "token 0 (no mask token is known)" and shown["score"] == "logits"
