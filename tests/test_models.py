"""The bundled models: outputs unchanged, ledgers closed, and the pictures say what a person sees."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from PIL import Image

import onnxlrp
from tests.bundled import MODELS, options, pairs

MINILM = MODELS / "minilm_similarity"
COMPOSITES = ["auto", "epsilon", "epsilon_plus_flat", "epsilon_gamma_box(low=-300, high=300)", "epsilon_alpha2_beta1"]


def feeds(path: Path) -> dict[str, np.ndarray]:
    samples = path.parent / "samples.npz"
    if samples.exists():
        with np.load(samples) as archive:
            return {name: archive[name] for name in archive.files if name != "labels"}
    pictures = [MODELS / "pictures" / f"{name}.png" for name in ("coffee", "camera")]
    return {"image": np.stack([np.asarray(Image.open(p), np.float32).transpose(2, 0, 1) for p in pictures])}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "composite"), pairs(COMPOSITES, ["auto"]), ids=lambda v: v if isinstance(v, str) else v.stem
)
def test_the_ledger_closes_and_the_outputs_stay(path, composite):
    inputs = feeds(path)
    explanation = onnxlrp.Explainer(onnxlrp.convert(path, composite, ledger=True, **options(path)))(inputs)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for output, expected in zip(session.get_outputs(), session.run(None, inputs), strict=True):
        if isinstance(expected, np.ndarray) and expected.dtype.kind == "f":
            size = np.abs(expected).max()
            np.testing.assert_allclose(explanation.outputs[output.name], expected, rtol=1e-5, atol=1e-5 * size)
    table = explanation.ledger.values.astype(np.float64)
    arrived = sum(float(np.abs(r).sum()) for r in explanation.relevance.values())
    # The contract's bound is 1e-3 of Σ|R| at each step; the ledger holds signed sums, so its largest stands in.
    size = np.maximum(np.abs(table).max(1), arrived)
    open_by = np.abs(table[:, 0] - table[:, 1:].sum(1)) / size
    worst = int(open_by.argmax())
    assert open_by[worst] <= 1e-3, (explanation.ledger.names[worst], table[worst])
    total = sum(float(r.sum(dtype=np.float64)) for r in explanation.relevance.values())
    assert abs(table[0, 0] - total - table[:, 2:].sum()) <= 1e-3 * size.max()


def test_a_scaler_is_the_difference_and_quotient_that_it_computes():
    folder = MODELS / "diabetes_regression"
    inputs = feeds(folder / "diabetes_regression.onnx")
    found = [
        onnxlrp.Explainer(onnxlrp.convert(folder / f"diabetes_regression{which}.onnx", "epsilon"))(inputs)
        for which in ("", ".scaler")
    ]
    ours, theirs = (f.relevance["features"] for f in found)
    np.testing.assert_allclose(ours, theirs, atol=1e-4 * np.abs(theirs).max())


def test_the_two_exports_of_one_network_have_one_explanation():
    paths = [MODELS / "digits_cnn" / f"digits_cnn.{exporter}.onnx" for exporter in ("torchscript", "dynamo")]
    inputs = feeds(paths[0])
    first, second = (onnxlrp.Explainer(onnxlrp.convert(p, "epsilon_plus_flat"))(inputs) for p in paths)
    np.testing.assert_allclose(first.relevance["image"], second.relevance["image"], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("picture", "names", "box"),
    [("coffee", {"espresso", "cup"}, (60, 0, 200, 220)), ("camera", {"tripod"}, (90, 30, 224, 200))],
)
def test_the_heatmap_lies_on_the_thing(picture, names, box):
    """Rows from–to and columns from–to hold more than their share of the positive relevance."""
    folder = MODELS / "efficientnet_lite0"
    image = np.asarray(Image.open(MODELS / "pictures" / f"{picture}.png"), np.float32).transpose(2, 0, 1)[None]
    explained = onnxlrp.convert(folder / "efficientnet_lite0.onnx", "epsilon_plus")
    explanation = onnxlrp.Explainer(explained)({"image": image})
    label = (folder / "labels.txt").read_text().splitlines()[int(explanation.target[0])]
    assert label in names
    heat = explanation.relevance["image"][0].sum(0).clip(min=0)
    top, left, bottom, right = box
    inside = heat[top:bottom, left:right].sum() / heat.sum()
    area = (bottom - top) * (right - left) / heat.size
    assert inside > 1.2 * area


@pytest.fixture(scope="module", params=["attn_lrp", "cp_lrp"])
def similarity(request):
    """Two sentences as text -> similarity and relevance."""
    if not (MINILM / "minilm_similarity.onnx").exists():
        pytest.skip("this model is not kept here: python tools/make_models/minilm_similarity.py makes it")
    explained = onnxlrp.convert(MINILM / "minilm_similarity.onnx", request.param, ledger=True)
    return onnxlrp.Explainer(explained, tokenizer=MINILM / "tokenizer.json")


@pytest.mark.parametrize(
    ("first", "second", "alike"),
    [
        ("The cat sleeps on the warm windowsill.", "A kitten is napping in the sun.", {"cat", "kitten"}),
        ("A man is playing a guitar.", "Someone strums an instrument.", {"guitar", "instrument"}),
        ("The bank raised its interest rates.", "We had a picnic on the bank of the river.", {"bank"}),
    ],
)
def test_what_makes_two_sentences_alike(similarity, first, second, alike):
    """The words that mean the same have the most relevance, in each of the two."""
    explanation = similarity({"first": [first], "second": [second]})
    for name, (row,) in explanation.tokens.items():
        relevance = explanation.relevance[name][0]
        assert row.names[int(relevance.argmax())] in alike
        assert relevance.sum() > 0


def test_padding_between_sentences_has_no_part(similarity):
    """Not a bit of relevance, and the rest is as it is without it."""
    first = ["A cat.", "The bank raised its interest rates, and borrowing money has become more expensive."]
    second = ["A kitten is napping in the sun.", "Rates went up."]
    both, alone = similarity({"first": first, "second": second}), similarity({"first": first[:1], "second": second[:1]})
    for name, rows in both.tokens.items():
        used = np.array([row.used for row in rows])
        assert not used.all() and not both.relevance[name][~used].any()
        np.testing.assert_allclose(both.relevance[name][0][used[0]], alone.relevance[name][0], atol=1e-6)
    np.testing.assert_allclose(both.outputs["similarity"][:1], alone.outputs["similarity"], atol=1e-6)


def test_unlike_sentences_have_little_relevance(similarity):
    explanation = similarity({"first": ["A man is playing a guitar."], "second": ["The stock market fell sharply."]})
    assert abs(explanation.score[0]) < 0.1
    assert all(np.abs(relevance).max() < 0.05 for relevance in explanation.relevance.values())
