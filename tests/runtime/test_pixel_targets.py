"""Places in a picture: the element or the weights of the output that a point, a box or a mask means."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import onnxlrp
from onnxlrp.errors import TargetError
from onnxlrp.runtime import output_maps
from onnxlrp.runtime.output_boxes import OutputBoxes

RNG = np.random.default_rng(0)
PICTURE = RNG.normal(size=(1, 3, 32, 64)).astype(np.float32)  # 64 wide, 32 high


def segmentation(last: bool = False):
    """Scores of 5 classes for each cell of 4 x 4 pixels: [N, 5, 8, 16], or [N, 8, 16, 5]."""
    nodes = [helper.make_node("Conv", ["x", "w"], ["h"], strides=[4, 4])]
    nodes.append(helper.make_node("Transpose", ["h"], ["y"], perm=[0, 2, 3, 1] if last else [0, 1, 2, 3]))
    shape = ["N", 8, 16, 5] if last else ["N", 5, 8, 16]
    return build(nodes, {"y": shape}, w=RNG.normal(size=(5, 3, 4, 4)))


def build(nodes, outputs, **weights):
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 32, 64])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
        [numpy_helper.from_array(np.asarray(value, np.float32), name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def explainer(proto, target="element", **options):
    return onnxlrp.Explainer(onnxlrp.convert(proto, "epsilon", target=target, **options))


def test_a_pixel_of_the_original_picture():
    run = explainer(segmentation())
    explanation = run({"x": PICTURE}, target=3, at=(640, 100), picture_size=(1280, 320))
    assert explanation.target.tolist() == [[3, 2, 8]]
    relevant = np.abs(explanation.relevance["x"][0]).sum(0) > 0
    assert relevant[8:12, 32:36].all() and relevant.sum() == 16


def test_the_class_that_is_predicted_there():
    explanation = explainer(segmentation())({"x": PICTURE}, at=(63, 31))
    scores = explanation.outputs["y"][0, :, 7, 15]
    assert explanation.target.tolist() == [[int(scores.argmax()), 7, 15]]


def test_the_place_is_known_to_figures():
    ((place,),) = explainer(segmentation(True))({"x": PICTURE}, target=3, at=(16, 8)).legend.places
    assert (place.words, place.mark, place.of_class) == ("at (16, 8)", "point", 3)
    assert place.edges == (0.25, 0.25, 0.25, 0.25)
    ((place,),) = explainer(segmentation(), "weights")({"x": PICTURE}, target=2, box=(8, 4, 16, 12)).legend.places
    assert (place.words, place.mark, place.of_class) == ("in the box (8, 4, 16, 12)", "box", 2)
    ((place,),) = explainer(segmentation(), "weights")({"x": PICTURE}, mask=np.ones((4, 4))).legend.places
    assert (place.words, place.mark) == ("in the mask", "none")
    assert explainer(segmentation())({"x": PICTURE}, target=[[3, 2, 8]]).legend.places == ()


def test_classes_along_the_last_axis():
    run = explainer(segmentation(last=True))
    assert run({"x": PICTURE}, target=1, at=(0, 31)).target.tolist() == [[7, 0, 1]]


def test_a_box_of_a_map_is_its_largest_cell_or_a_sum_of_cells():
    box, proto = (8, 4, 16, 12), segmentation()
    explanation = explainer(proto)({"x": PICTURE}, target=2, box=box)
    cells = explanation.outputs["y"][0, 2, 1:3, 2:4]
    assert explanation.score[0] == cells.max()
    relevance = explainer(proto, "weights")({"x": PICTURE}, target=2, box=box).relevance["x"]
    assert relevance.sum() == pytest.approx(cells.sum(), rel=1e-3)


def test_a_mask_of_any_size_weights_the_cells():
    proto, mask = segmentation(), np.zeros((320, 640))
    mask[40:120, 80:160] = 1
    relevance = explainer(proto, "weights")({"x": PICTURE}, target=2, mask=mask).relevance["x"]
    scores = explainer(proto)({"x": PICTURE}).outputs["y"]
    assert relevance.sum() == pytest.approx(scores[0, 2, 1:3, 2:4].sum(), rel=1e-3)
    with pytest.raises(TargetError, match="0 everywhere"):
        explainer(proto, "weights")({"x": PICTURE}, mask=0 * mask)


def test_a_place_a_sample():
    two = np.concatenate([PICTURE, -PICTURE])
    explanation = explainer(segmentation())({"x": two}, target=[0, 4], at=[(0, 0), (63, 31)])
    assert explanation.target.tolist() == [[0, 0, 0], [4, 7, 15]]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"at": (64, 0)}, "outside the picture of 64 x 32"),
        ({"box": (8, 4, 8, 12)}, "left, top, right, bottom"),
        ({"at": (1, 2, 3)}, "at is 2 numbers"),
        ({"at": "here"}, "at must be numbers"),
        ({"at": (1, 1), "box": (1, 1, 2, 2)}, "one of at, box and mask"),
        ({"at": (1, 1), "target": 5}, "classes 0 to 4"),
        ({"at": (1, 1), "weights": 1.0}, "weights, or a place"),
        ({"mask": -np.ones((4, 4))}, "the mask is positive nowhere"),
        ({"at": [(1, 1)] * 3}, "one for each; not"),
        ({"at": (1, 1), "position": 0}, "give position, or a place"),
    ],
)
def test_mistakes(options, words):
    with pytest.raises(TargetError, match=words):
        explainer(segmentation())({"x": PICTURE}, **options)


def test_a_model_that_was_converted_for_classes():
    pooled = [helper.make_node("GlobalAveragePool", ["x"], ["p"]), helper.make_node("Flatten", ["p"], ["y"])]
    with pytest.raises(TargetError, match='needs target="element"'):
        explainer(build(pooled, {"y": ["N", 3]}), "class")({"x": PICTURE}, at=(1, 1))


CENTRES = np.array([[16, 16, 8, 8], [40, 16, 12, 10], [40.2, 16, 12, 10], *[[60, 30, 2, 2]] * 9])
SCORES = np.array([[0.1, 0.9], [0.3, 0.2], [0.8, 0.7], *[[1, 1]] * 9])


def detector(transposed: bool, objectness: bool = False):
    """Twelve boxes whose numbers are constants plus nothing of the picture: [N, 12, 7] or [N, 6, 12]."""
    numbers = np.concatenate([CENTRES, *([np.ones((12, 1))] if objectness else []), SCORES], axis=1)
    numbers = numbers.T if transposed else numbers
    nodes = [
        helper.make_node("GlobalAveragePool", ["x"], ["p"]),
        helper.make_node("ReduceMean", ["p"], ["m"], axes=[1, 2], keepdims=0),
        helper.make_node("Mul", ["m", "nothing"], ["z"]),
        helper.make_node("Unsqueeze", ["z", "axis"], ["u"]),
        helper.make_node("Add", ["u", "numbers"], ["y"]),
    ]
    proto = build(nodes, {"y": ["N", *numbers.shape]}, nothing=[0.0], numbers=numbers)
    proto.graph.initializer.append(numpy_helper.from_array(np.array([1]), "axis"))
    return proto


@pytest.mark.filterwarnings("ignore::onnxlrp.errors.ExplanationWarning")  # constants have no relevance
@pytest.mark.parametrize(("transposed", "objectness"), [(True, False), (False, True)])
def test_the_best_of_the_boxes_that_overlap(transposed, objectness):
    run = explainer(detector(transposed, objectness))
    first = 5 if objectness else 4
    for options, wanted in (
        ({"box": (34, 11, 46, 21)}, (2, 0)),  # the third overlaps a little less than the second, and scores higher
        ({"box": (69, 22, 92, 42), "picture_size": (128, 64), "target": 1}, (2, 1)),
        ({"at": (16, 16)}, (0, 1)),
        ({"at": (16, 16), "target": 0}, (0, 0)),
    ):
        number, of_class = wanted
        place = [number, first + of_class]
        assert run({"x": PICTURE}, **options).target.tolist() == [place[::-1] if transposed else place]
    with pytest.raises(TargetError, match="no box of the model lies there"):
        run({"x": PICTURE}, at=(1, 1))


def test_boxes_of_an_output_of_their_own():
    edges = np.array([[[0.1, 0.1, 0.3, 0.3], [0.5, 0.5, 0.9, 0.9]]])
    scores = np.array([[[1.0, 2, 3], [6, 5, 4]]])
    boxes = OutputBoxes.find(scores, {"scores": scores, "boxes": edges}, (64, 32))
    assert boxes.overlaps(0, (0.5, 0.5, 0.9, 0.9)).tolist() == [0, pytest.approx(1)]
    assert boxes.element(1, 2) == [1, 2]


def test_boxes_with_the_number_of_their_class():
    rows = np.array([[[0, 0, 9, 9, 0.5, 3], [10, 10, 20, 20, 0.9, 17]] * 5])
    boxes = OutputBoxes.find(rows, {}, (64, 32))
    assert boxes.scores(0)[:2].tolist() == [[0.5], [0.9]] and boxes.element(1, 0) == [1, 4]


def test_what_is_neither_map_nor_boxes():
    assert output_maps.find(np.zeros((1, 40, 8, 80)), (64, 32)) is None
    assert OutputBoxes.find(np.zeros((1, 5)), {}, (64, 32)) is None
    with pytest.raises(TargetError, match="no map over the picture"):
        explainer(
            build([helper.make_node("Flatten", ["x"], ["y"])], {"y": ["N", 6144]}),
        )({"x": PICTURE}, at=(1, 1))


def every_pixel(width):
    """One score a pixel of a picture of 3 x `width` pixels: [N, 2, 3, width]."""
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"])],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 3, width])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 2, 3, width])],
        [numpy_helper.from_array(RNG.normal(size=(2, 3, 1, 1)).astype(np.float32), "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_no_pixel_is_missed_by_rounding():
    """29 / 100 * 100 is less than 29, and 7 / 100 * 100 is more than 7."""
    picture = RNG.normal(size=(100, 3, 3, 100)).astype(np.float32)
    points = [(x, 1) for x in range(100)]
    found = explainer(every_pixel(100))(picture, target=0, at=points).target
    np.testing.assert_array_equal(found, [[0, 1, x] for x in range(100)])
    boxes = [(x, 0, x + 1, 1) for x in range(100)]
    relevance = explainer(every_pixel(100), "weights")(picture, target=0, box=boxes).relevance["x"]
    np.testing.assert_array_equal(np.abs(relevance).sum((1, 2)) > 0, np.eye(100, dtype=bool))


def test_classes_of_a_place_with_several_targets():
    run = explainer(segmentation(), targets=2)
    two = np.concatenate([PICTURE, -PICTURE])
    found = run({"x": two}, target=[0, 3], at=[(0, 0), (63, 31)]).target
    assert found.tolist() == [[[0, 0, 0], [3, 0, 0]], [[0, 7, 15], [3, 7, 15]]]
    found = run({"x": two}, target=[[0, 3], [1, 2]], at=(63, 31)).target
    assert found[:, :, 0].tolist() == [[0, 3], [1, 2]]
    with pytest.raises(TargetError, match="target is 2 classes"):
        run({"x": two}, at=(63, 31))


def test_features_of_tokens_are_no_boxes():
    assert OutputBoxes.find(RNG.normal(size=(1, 50, 20)), {}, (64, 32)) is None
