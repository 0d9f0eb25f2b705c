"""One element of an output is explained as weights that are 1 there and 0 elsewhere would have it."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto
from onnx.reference import ReferenceEvaluator

import onnxlrp
from onnxlrp import Explainer
from onnxlrp.errors import InputError, TargetError
from onnxlrp.interface import Interface
from tests.operators.case import onnxruntime
from tests.targets.outputs import SHAPES, build, data, detector, one_sample, segmentation, sequence, series

OPTIONS: list[dict] = [
    {},
    {"initial": "one"},
    {"composite": "gradient"},
    {"explain_probability": True},
    {"composite": "epsilon_plus", "ledger": True},
    {"composite": "deep_taylor"},
]


def reference(proto: onnx.ModelProto):
    evaluator = ReferenceEvaluator(proto)
    names = [o.name for o in proto.graph.output]
    return lambda feeds: dict(zip(names, evaluator.run(None, feeds), strict=True))


def interface(proto: onnx.ModelProto) -> Interface:
    found = Interface.from_metadata({p.key: p.value for p in proto.metadata_props})
    assert found is not None
    return found


def converted(model: onnx.ModelProto, target: str, composite: str = "epsilon", **options) -> onnx.ModelProto:
    return onnxlrp.convert(model, composite, target=target, **options).to_proto()


def one_hot(output: np.ndarray, elements: np.ndarray, batch: bool) -> np.ndarray:
    """1 at an element of each sample."""
    weights = np.zeros_like(output if batch else output[None])
    for row, element in enumerate(np.broadcast_to(elements, (len(weights), elements.shape[-1]))):
        weights[(row, *element)] = 1
    return weights if batch else weights[0]


def largest(output: np.ndarray, batch: bool) -> np.ndarray:
    rows = output if batch else output[None]
    return np.array([np.unravel_index(row.argmax(), row.shape) for row in rows])


def elements_of(output: np.ndarray, batch: bool, seed: int = 2) -> np.ndarray:
    """Different elements, one of each sample."""
    rows = output if batch else output[None]
    rng = np.random.default_rng(seed)
    return np.array([[rng.integers(size) for size in rows.shape[1:]] for _ in rows])


@pytest.mark.parametrize(("runtime", "dtype", "error"), [(onnxruntime, "float32", 1e-5), (reference, "float64", 1e-12)])
@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("name", SHAPES)
def test_an_element_is_a_weight_of_one(name, options, runtime, dtype, error):
    model, feeds = SHAPES[name][0](dtype=dtype), data(name, dtype)
    batch = name != "one sample"
    protos = [converted(model, kind, **options) for kind in ("element", "weights")]
    element, weights = map(runtime, protos)
    port, plain = interface(protos[0]).output, element(feeds)
    chosen = elements_of(plain[port], batch)
    for given, meant in ((chosen, chosen), (chosen[:1], chosen[:1]), (None, largest(plain[port], batch))):
        found = element({**feeds, **({} if given is None else {f"{port}_element": given})})
        wanted = weights({**feeds, f"{port}_weights": one_hot(plain[port], meant, batch)})
        for output, value in wanted.items():
            np.testing.assert_allclose(found[output], value, rtol=error, atol=error, err_msg=output)
    (key,) = (o for o in plain if o.endswith("_relevance"))
    assert np.any(found[key]) or (options.get("composite"), name) == ("deep_taylor", "one sample")  # a negative score


@pytest.mark.parametrize(("runtime", "dtype"), [(onnxruntime, "float32"), (reference, "float64")])
@pytest.mark.parametrize("name", SHAPES)
def test_several_elements_at_once(name, runtime, dtype):
    """Each as if it had been asked alone; the default of a row is the largest."""
    model, feeds = SHAPES[name][0](dtype=dtype), data(name, dtype)
    batch = name != "one sample"
    together = converted(model, "element", targets=3, ledger=True)
    port, one = interface(together).output, runtime(converted(model, "element"))
    plain = one(feeds)
    asked = np.stack([elements_of(plain[port], batch, seed) for seed in (2, 3, 4)], axis=1)
    asked[0, 1] = -1
    found = runtime(together)({**feeds, f"{port}_element": asked})
    key = f"{next(iter(feeds))}_relevance"
    for k in range(3):
        alone = one({**feeds, f"{port}_element": asked[:, k]})[key]
        np.testing.assert_allclose(found[key][:, k], alone, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["detector", "segmentation", "series"])
def test_half_precision(name):
    """Within float16's rounding of what weights give."""
    model, feeds = SHAPES[name][0](dtype="float16"), data(name, "float16")
    protos = [converted(model, kind, precision="model") for kind in ("element", "weights")]
    element, weights = map(onnxruntime, protos)
    port = interface(protos[0]).output
    chosen = elements_of(element(feeds)[port], True)
    found = element({**feeds, f"{port}_element": chosen})
    wanted = weights({**feeds, f"{port}_weights": one_hot(found[port], chosen, True)})
    for output, value in wanted.items():
        np.testing.assert_allclose(found[output], value, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("element", [(7, 0), (0, 16), (0, -1), (-1, 3), (-2, -2), (2**62, 2), (6, 2**40)])
def test_no_relevance_outside_the_output(element):
    """The graph explains nothing there, and does not take one index's excess for another's; `Explainer` refuses."""
    explained = onnxlrp.convert(detector(), "epsilon", target="element")
    feeds = data("detector")
    assert not onnxruntime(explained.to_proto())({**feeds, "found_element": np.array([element])})[
        "image_relevance"
    ].any()
    with pytest.raises(TargetError, match=f"element {element[0]}, {element[1]}"):
        Explainer(explained)(feeds, target=element)


def test_the_declared_input():
    """int64 [N, indices], default −1s, after the batch axis of the output; the name is free in the source."""
    proto = converted(segmentation(), "element")
    port = next(v for v in proto.graph.input if v.name == "masks_element")
    assert port.type.tensor_type.elem_type == TensorProto.INT64
    assert [d.dim_param or d.dim_value for d in port.type.tensor_type.shape.dim] == ["N", 3]
    default = next(t for t in proto.graph.initializer if t.name == "masks_element")
    np.testing.assert_array_equal(onnx.numpy_helper.to_array(default), [[-1, -1, -1]])
    onnx.checker.check_model(proto, full_check=True)
    said = interface(proto)
    assert (said.target, said.target_input, said.batch_axis, said.class_axis) == ("element", "masks_element", 0, None)


def test_required_and_none():
    feeds, port = data("detector"), "found_element"
    plain = onnxruntime(converted(detector(), "element"))(feeds)
    required = converted(detector(), "element", target_input="required")
    assert port not in {t.name for t in required.graph.initializer}
    np.testing.assert_array_equal(Explainer(required)(feeds).relevance["image"], plain["image_relevance"])
    none = converted(detector(), "element", target_input="none")
    assert [v.name for v in none.graph.input] == ["image"]
    explanation = Explainer(none)(feeds)
    np.testing.assert_array_equal(explanation.relevance["image"], plain["image_relevance"])
    np.testing.assert_array_equal(explanation.target, largest(plain["found"], True))
    with pytest.raises(TargetError, match="always explains the largest element"):
        Explainer(none)(feeds, target=(0, 0))
    with pytest.raises(InputError):
        onnxlrp.convert(detector(), target="element", targets=2, target_input="none")


@pytest.mark.parametrize("targets", [1, 2])
def test_no_elements_at_all(targets):
    """A detector finds no boxes: nothing is explained, and the model still runs."""
    text = """<ir_version: 10, opset_import: ["": 21]> detect (float[N, 3] x) => (float[N, M, 3] boxes) {
        likely = ReduceMax <keepdims = 0> (x)
        half = Constant <value_float = 0.5> ()
        more = Greater (likely, half)
        count = Cast <to = 7> (more)
        one = Constant <value_ints = [1]> ()
        repeats = Reshape (count, one)
        rows = Unsqueeze (x, one)
        ones = Constant <value_ints = [1, 1, 1]> ()
        start = Constant <value_ints = [0]> ()
        some = Slice (rows, start, repeats, one)
        boxes = MatMul (some, w)
    }"""
    proto = onnx.parser.parse_model(text)
    proto.graph.initializer.append(onnx.numpy_helper.from_array(np.eye(3, dtype=np.float32), "w"))
    explainer = Explainer(onnxlrp.convert(proto, "epsilon", target="element", targets=targets))
    x = np.array([[0.1, 0.4, 0.2], [0.7, 0.1, 0.2]], np.float32)
    some, none = explainer({"x": x}), explainer({"x": x * 0.1})
    assert some.outputs["boxes"].shape == (2, 1, 3) and none.outputs["boxes"].shape == (2, 0, 3)
    np.testing.assert_array_equal(np.reshape(some.target, (2, targets, 2))[:, 0], [[0, 1], [0, 0]])
    assert not none.relevance["x"].any() and (none.target == -1).all() and not none.score.any()


def test_what_was_explained():
    """`Explainer` takes the indices as its target, once or a sample, and says which were meant and their score."""
    feeds, explainer = data("segmentation"), Explainer(onnxlrp.convert(segmentation(), "epsilon", target="element"))
    plain = explainer(feeds)
    masks = plain.outputs["masks"]
    np.testing.assert_array_equal(plain.target, largest(masks, True))
    np.testing.assert_array_equal(plain.score, masks.reshape(3, -1).max(1))
    one = explainer(feeds, target=(2, 0, 4))
    np.testing.assert_array_equal(one.target, [[2, 0, 4]] * 3)
    np.testing.assert_array_equal(one.score, masks[:, 2, 0, 4])
    each = explainer(feeds, target=[[2, 0, 4], [-1, -1, -1], [0, 3, 0]])
    np.testing.assert_array_equal(each.target, [[2, 0, 4], largest(masks, True)[1], [0, 3, 0]])
    np.testing.assert_array_equal(each.relevance["image"][1], plain.relevance["image"][1])


@pytest.mark.parametrize("target", [3, (1, 2), [[1, 2, 3]] * 2, [[[1, 2, 3]]], (1.0, 2.0, 3.0), "cat", []])
def test_targets_of_another_shape(target):
    explainer = Explainer(onnxlrp.convert(segmentation(), "epsilon", target="element"))
    with pytest.raises(TargetError):
        explainer(data("segmentation"), target=target)


def test_a_number_is_enough_where_there_is_one_index():
    feeds, explainer = data("series"), Explainer(onnxlrp.convert(series(), "epsilon", target="element"))
    by_class = Explainer(onnxlrp.convert(series(), "epsilon"))
    for target in (None, 4):
        found, wanted = explainer(feeds, target), by_class(feeds, target)
        np.testing.assert_array_equal(found.relevance["past"], wanted.relevance["past"])
        np.testing.assert_array_equal(found.target[:, 0], wanted.target)
    alone = Explainer(onnxlrp.convert(one_sample(), "epsilon", target="element"))(data("one sample"), target=2)
    assert alone.target.tolist() == [[2]] and alone.score.shape == (1,)


def test_many_batches_each_with_its_elements():
    feeds, explainer = data("detector"), Explainer(onnxlrp.convert(detector(), "epsilon", target="element"))
    for target in ((4, 11), [[4, 11], [5, 0], [-1, -1]]):
        whole = explainer(feeds, target=target)
        parts = list(explainer.map(feeds, batch_size=2, target=target))
        np.testing.assert_array_equal(np.concatenate([part.target for part in parts]), whole.target)
        relevance = np.concatenate([part.relevance["image"] for part in parts])
        np.testing.assert_allclose(relevance, whole.relevance["image"], rtol=1e-5, atol=1e-6)


def test_weights_and_positions_are_not_for_elements():
    feeds, explainer = data("detector"), Explainer(onnxlrp.convert(detector(), "epsilon", target="element"))
    with pytest.raises(TargetError, match=r'explains an element, it takes no weights: .*target="weights"'):
        explainer(feeds, weights=np.ones((1, 7, 16)))
    with pytest.raises(TargetError, match="position"):
        explainer(feeds, position=3)


def test_one_score_has_no_elements():
    text = (
        "s (FLOAT[N, 3] x) => (FLOAT[N] y) { a = Constant <value_ints = [1]> () y = ReduceSum <keepdims = 0> (x, a) }"
    )
    with pytest.raises(TargetError, match='target="class"'):
        onnxlrp.convert(build(text), target="element")


def test_higher_ranks_name_what_there_is():
    with pytest.raises(TargetError, match=r'"token".*"element".*"weights"'):
        onnxlrp.convert(segmentation())
    with pytest.raises(TargetError, match=r'"element".*"weights"'):
        onnxlrp.convert(segmentation(), target="token")
    assert onnxlrp.convert(sequence(), target="element").interface.output_shape == ("N", "T", 6)


@pytest.mark.parametrize("targets", [1, 2])
@pytest.mark.parametrize("composite", ["epsilon", "gradient"])
def test_no_samples(composite, targets):
    explainer = Explainer(onnxlrp.convert(segmentation(), composite, target="element", targets=targets))
    explanation = explainer(np.zeros((0, 2, 4, 5), np.float32))
    assert explanation.relevance["image"].shape == (0, *[2][: targets - 1], 2, 4, 5)
    assert explanation.target.shape == (0, *[2][: targets - 1], 3)
