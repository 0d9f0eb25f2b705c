"""Sampling, resizing and pooling by norms: relevance by its formula, a ledger that closes, and the odd cases."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

import onnxlrp
from onnxlrp.errors import NothingToExplainError, UnsupportedOperatorError
from onnxlrp.interface import Interface
from tests.operators.case import Array, Case, check, onnxruntime, reference
from tests.operators.draws import DRAWS
from tests.oracle.tape import stabilised

RNG = np.random.default_rng(11)


def ints(*values: int) -> Array:
    return np.array(values, np.int64)


def relevance(case: Case, weights: Array, composite: str = "epsilon") -> Array:
    """Of operand 0, for relevance `weights` at the output; its ledger must close."""
    model = onnxlrp.convert(case.model(), composite, target="weights", initial="one", ledger=True).to_proto()
    out = reference(model)({**case.inputs(), "y_weights": weights})
    interface = Interface.from_metadata({m.key: m.value for m in model.metadata_props})
    assert interface is not None and not any(interface.marked)
    table = np.asarray(out[interface.ledger], np.float64)
    arrives, *rest = table.T
    np.testing.assert_allclose(arrives, sum(rest), atol=1e-6 * np.abs(table).max())
    np.testing.assert_allclose(arrives.sum(), weights.sum(), rtol=1e-6)
    return out["x0_relevance"]


def affine(case: Case) -> tuple[Array, Array]:
    """A and b of `y = A·x + b`, operand 0 flattened."""
    run, feeds = reference(case.model()), case.inputs()
    x = feeds["x0"]
    b = run({**feeds, "x0": np.zeros_like(x)})["y"].reshape(-1)
    rows = [run({**feeds, "x0": unit.reshape(x.shape)})["y"].reshape(-1) - b for unit in np.eye(x.size)]
    return np.array(rows).T, b


GRID = RNG.uniform(-1.4, 1.4, size=(2, 3, 4, 2))
PICTURE = RNG.normal(size=(2, 2, 4, 5))
REGIONS = np.array([[0.31, 0.23, 3.17, 2.43], [1.03, -0.81, 4.63, 3.07], [2.27, 1.13, 2.91, 1.47]])
OFFSETS = RNG.uniform(-1.2, 1.2, size=(2, 2 * 4 * 2, 3, 4))
KERNEL, MASK = RNG.normal(size=(2, 1, 2, 2)), RNG.uniform(size=(2, 2 * 4, 3, 4))
NORM = {
    "bilinear": Case("GridSample", [PICTURE, GRID]),
    "bicubic": Case("GridSample", [PICTURE, GRID], attributes={"mode": "cubic", "padding_mode": "reflection"}),
    "average": Case("RoiAlign", [PICTURE, REGIONS, ints(0, 1, 1)], attributes={"output_height": 2, "output_width": 3}),
    "columns": Case("Col2Im", [RNG.normal(size=(2, 8, 12)), ints(4, 5), ints(2, 2)]),
    "crop": Case(
        "Resize",
        [PICTURE, np.array([0, 0, 0.2, -0.1, 1, 1, 0.9, 0.7]), None, ints(2, 2, 3, 7)],
        attributes={
            "mode": "linear",
            "coordinate_transformation_mode": "tf_crop_and_resize",
            "extrapolation_value": 0.5,
        },
    ),
    "proportion": Case(
        "Resize",
        [PICTURE, None, None, ints(7, 6)],
        attributes={"mode": "cubic", "axes": [2, 3], "keep_aspect_ratio_policy": "not_larger"},
    ),
}


@pytest.mark.parametrize("name", NORM)
def test_sums_share_by_contribution(name):
    """Norm: `x·Aᵀ(R/s(A·x + b))`."""
    case = NORM[name]
    a, b = affine(case)
    x = case.inputs()["x0"]
    shape = reference(case.model())(case.inputs())["y"].shape
    weights = RNG.normal(size=shape)
    share = weights.reshape(-1) / stabilised(a @ x.reshape(-1) + b)
    expected = (x.reshape(-1) * (a.T @ share)).reshape(x.shape)
    np.testing.assert_allclose(relevance(case, weights), expected, rtol=1e-8, atol=1e-8 * np.abs(expected).max())


@pytest.mark.parametrize("mask", [MASK, MASK - 0.5], ids=["positive", "any sign"])
@pytest.mark.parametrize("composite", ["epsilon", "epsilon_plus"])
def test_a_deformable_convolution_is_a_layer(composite, mask):
    """ε, and z⁺ with the weights' signs, at the positions that the offsets give; offsets and mask get nothing."""
    bias = RNG.normal(size=2)
    attributes = {"group": 2, "offset_group": 2}
    case = Case("DeformConv", [PICTURE, KERNEL, OFFSETS, bias, mask], (0, 2), attributes=attributes)
    weights = RNG.normal(size=(2, 2, 3, 4))

    def matrix(kernel: Array) -> Array:
        return affine(Case("DeformConv", [PICTURE, kernel, OFFSETS, None, mask], (0,), attributes=attributes))[0]

    x, plain = PICTURE.reshape(-1), matrix(KERNEL)
    shift = np.broadcast_to(bias[None, :, None, None], weights.shape).reshape(-1)
    if composite == "epsilon":
        expected = x * (plain.T @ (weights.reshape(-1) / stabilised(plain @ x + shift)))
    else:
        up, down = matrix(np.maximum(KERNEL, 0)), matrix(np.minimum(KERNEL, 0))
        d = up @ np.maximum(x, 0) + down @ np.minimum(x, 0) + np.maximum(shift, 0)
        share = weights.reshape(-1) / stabilised(d)
        expected = np.maximum(x, 0) * (up.T @ share) + np.minimum(x, 0) * (down.T @ share)
    model = onnxlrp.convert(case.model(), composite, target="weights", initial="one")
    assert list(model.interface.relevance) == ["x0"]
    found = relevance(case, weights, composite)
    np.testing.assert_allclose(found.reshape(-1), expected, rtol=1e-8, atol=1e-8 * np.abs(expected).max())


@pytest.mark.parametrize("p", [1, 2, 3])
@pytest.mark.parametrize("name", ["LpPool", "GlobalLpPool"])
def test_norms_share_by_power(name, p):
    """In proportion to |x|^p: `|x|^p·Aᵀ(R/(y + ε)^p)`, A the sum over each window; nothing is divided by a dead one."""
    x = RNG.normal(size=(2, 2, 5, 6))
    x[0, 0] = 0
    attributes = {} if name == "GlobalLpPool" else {"kernel_shape": [3, 2], "strides": [2, 1], "pads": [1, 0, 0, 1]}
    case = Case(name, [x], attributes={"p": p, **attributes})
    y = reference(case.model())(case.inputs())["y"]
    weights = RNG.normal(size=y.shape)
    sums = Case(name, [x], attributes={"p": 1, **attributes})
    run = reference(sums.model())
    a = np.array([run({"x0": unit.reshape(x.shape)})["y"].reshape(-1) for unit in np.eye(x.size)]).T
    expected = np.abs(x) ** p * (a.T @ (weights / (y + 1e-6) ** p).reshape(-1)).reshape(x.shape)
    np.testing.assert_allclose(relevance(case, weights), expected, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("p", [1, 2, 3])
def test_a_dead_window_has_no_slope(p):
    case = Case("LpPool", [np.zeros((1, 1, 4))], attributes={"p": p, "kernel_shape": [2]})
    model = onnxlrp.convert(case.model(), "gradient", target="weights").to_proto()
    assert not reference(model)({**case.inputs(), "y_weights": np.ones((1, 1, 3))})["x0_relevance"].any()


MOVED = {
    "nearest": Case("GridSample", [PICTURE, GRID / 1.5], attributes={"mode": "nearest"}),
    "unpooled": Case(
        "MaxUnpool",
        [PICTURE, RNG.permutation(320)[:80].reshape(2, 2, 4, 5)],
        attributes={"kernel_shape": [2, 2], "strides": [2, 2]},
    ),
    "padded": Case("CenterCropPad", [PICTURE, ints(2, 3, 3, 8)]),
    "blocks": Case(
        "Resize",
        [PICTURE, None, None, ints(7, 6)],
        attributes={"axes": [2, 3], "keep_aspect_ratio_policy": "not_larger"},
    ),
}


@pytest.mark.parametrize("name", MOVED)
def test_what_is_moved_takes_its_relevance_along(name):
    case = MOVED[name]
    a, b = affine(case)
    assert not b.any() and a.sum(1).max() == 1
    weights = RNG.normal(size=reference(case.model())(case.inputs())["y"].shape)
    filled = np.where(a.any(1).reshape(weights.shape), weights, 0)
    model = onnxlrp.convert(case.model(), "epsilon", target="weights", initial="one").to_proto()
    found = reference(model)({**case.inputs(), "y_weights": weights})["x0_relevance"]
    np.testing.assert_allclose(found.reshape(-1), a.T @ filled.reshape(-1), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("op", "mode"), [("MaxRoiPool", None), ("RoiAlign", "max")])
def test_of_a_region_the_winner_takes_all(op, mode):
    """All relevance of an output goes to one element: the largest, or the one whose weighted value is largest."""
    x = np.abs(PICTURE) + 1
    if op == "MaxRoiPool":
        operands = [x, np.concatenate([[[0], [1], [1]], REGIONS], axis=1)]
        attributes: dict = {"pooled_shape": [2, 2]}
    else:
        operands, attributes = [x, REGIONS, ints(0, 1, 1)], {"output_height": 2, "output_width": 2, "mode": "max"}
    case = Case(op, operands, attributes=attributes)
    for index in np.ndindex(3, 2, 2, 2):
        weights = np.zeros((3, 2, 2, 2))
        weights[index] = 1
        model = onnxlrp.convert(case.model(), "lrp0", target="weights", initial="one").to_proto()
        out = reference(model)({**case.inputs(), "y_weights": weights})
        found = out["x0_relevance"]
        assert (found != 0).sum() == 1
        np.testing.assert_allclose(found.sum(), 1)
        if op == "MaxRoiPool":
            assert x[found != 0] == out["y"][index]


# --------------------------------------------------------------------------------------------- derivatives by position

SMOOTH = {"step": 1e-6, "tolerance": 1e-4}


@pytest.mark.parametrize("aligned", [0, 1])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("mode", ["linear", "cubic"])
def test_by_the_grid(mode, padding, aligned):
    """Inside, outside and mirrored more than once."""
    grid = RNG.uniform(-4, 4, size=(2, 5, 6, 2))
    attributes = {"mode": mode, "padding_mode": padding, "align_corners": aligned}
    check(Case("GridSample", [PICTURE, grid], (0, 1), attributes=attributes, deployed=False, **SMOOTH), dynamic=True)


@pytest.mark.parametrize("mode", ["avg", "max"])
@pytest.mark.parametrize("coordinates", ["half_pixel", "output_half_pixel"])
@pytest.mark.parametrize("ratio", [0, 2])
def test_by_the_regions(mode, coordinates, ratio):
    attributes = {"output_height": 2, "output_width": 3, "sampling_ratio": ratio, "spatial_scale": 0.8, "mode": mode}
    case = Case("RoiAlign", [PICTURE, REGIONS, ints(0, 1, 1)], (0, 1), attributes=attributes, **SMOOTH)
    case.attributes = {**attributes, "coordinate_transformation_mode": coordinates}
    check(case, dynamic=False)


@pytest.mark.parametrize("ratio", [1, 2])
@pytest.mark.parametrize("columns", [(1.5, 5.5), (1.5, 9.5), (1.3, 4.9)])
def test_by_regions_of_which_corners_without_weight_win(columns, ratio):
    """Elements below 0 lose to corners of weight 0, many of which are equal where samples lie on elements, outside of
    the picture or clamped at its edge: the derivative is that from the right."""
    regions = np.array([[columns[0], -1.75, columns[1], 1.3], [columns[0], 1.2, columns[1], 7.4]])
    attributes = {"output_height": 2, "output_width": 2, "sampling_ratio": ratio, "mode": "max"}
    case = Case("RoiAlign", [-np.abs(PICTURE), regions, ints(0, 1)], (1,), attributes=attributes)
    run, weights = reference(case.model()), RNG.normal(size=(2, 2, 2, 2))
    model = onnxlrp.convert(case.model(), "gradient", target="weights").to_proto()
    found = reference(model)({**case.inputs(), "y_weights": weights})["x1_relevance"]
    for place in np.ndindex(regions.shape):
        moved = regions.copy()
        moved[place] += 1e-6
        change = run({"x1": moved})["y"] - run({"x1": regions})["y"]
        np.testing.assert_allclose(found[place], (change * weights).sum() / 1e-6, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("mode", "outside"), [("linear", 0), ("cubic", 0), ("cubic", 1)])
@pytest.mark.parametrize("sizes", [(3, 6), (1, 2)])
def test_by_the_region_that_is_resized(mode, sizes, outside):
    attributes = {
        "mode": mode,
        "coordinate_transformation_mode": "tf_crop_and_resize",
        "axes": [3, 2],
        "exclude_outside": outside,
    }
    region = np.array([0.13, -0.21, 0.83, 0.71])
    check(Case("Resize", [PICTURE, region, None, ints(*sizes)], (0, 1), attributes=attributes, **SMOOTH), dynamic=True)


# ---------------------------------------------------------------------------------------------------- the odd cases


@pytest.mark.slow
@pytest.mark.parametrize("name", ["AffineGrid", "CenterCropPad"])
@settings(deadline=None, derandomize=True, max_examples=40, database=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_written_out(name, data):
    case = data.draw(st.one_of([draw() for draw in DRAWS[name]]))
    check(case, dynamic=data.draw(st.booleans(), label="dynamic"))


@pytest.mark.parametrize("mode", ["avg", "max"])
@pytest.mark.parametrize("composite", ["gradient", "epsilon"])
def test_a_picture_without_regions(mode, composite):
    case = Case("RoiAlign", [PICTURE, np.zeros((0, 4)), ints()], (0, 1), feeds=(2,), attributes={"mode": mode})
    explained = onnxlrp.convert(case.model(True, np.float32), composite, target="weights").to_proto()
    out = onnxruntime(explained)({**case.inputs(np.float32), "y_weights": np.ones((1, 1, 1, 1), np.float32)})
    assert out["x0_relevance"].shape == PICTURE.shape and not out["x0_relevance"].any()
    assert composite == "epsilon" or out["x1_relevance"].shape == (0, 4)


@pytest.mark.parametrize("larger", [0, 1])
def test_unpooling_into_a_larger_shape_in_either_runtime(larger):
    """onnx counts places in the shape that the pool implies, onnxruntime in the given one."""
    x, places = np.arange(1.0, 5).reshape(1, 1, 2, 2), ints(5, 7, 13, 15).reshape(1, 1, 2, 2)
    shape = ints(1, 1, 4 + larger, 4 + larger)
    case = Case("MaxUnpool", [x, places, shape], feeds=(2,), attributes={"kernel_shape": [2, 2], "strides": [2, 2]})
    for run, kind in ((reference, np.float64), (onnxruntime, np.float32)):
        explained = run(onnxlrp.convert(case.model(floating=kind), "gradient", target="weights").to_proto())
        weights = RNG.normal(size=shape).astype(kind)
        out = explained({**case.inputs(kind), "y_weights": weights})
        expected = [weights[out["y"] == value][0] for value in range(1, 5)]
        np.testing.assert_array_equal(out["x0_relevance"].reshape(-1), expected)


def test_of_elements_unpooled_to_one_place_the_last_is_there():
    places = ints(5, 5, 5, 15).reshape(1, 1, 2, 2)
    case = Case("MaxUnpool", [np.ones((1, 1, 2, 2)), places], attributes={"kernel_shape": [2, 2], "strides": [2, 2]})
    model = onnxlrp.convert(case.model(), "epsilon", target="weights", initial="one").to_proto()
    out = reference(model)({**case.inputs(), "y_weights": np.arange(16.0).reshape(1, 1, 4, 4)})
    np.testing.assert_array_equal(out["x0_relevance"].reshape(-1), [0, 0, 5, 15])


def test_space_to_depth_in_either_order():
    """CRD of opset 28, undone by DepthToSpace in the same order."""
    for mode in ("DCR", "CRD"):
        case = Case("SpaceToDepth", [PICTURE[..., :4]], attributes={"blocksize": 2, "mode": mode}, opset=28)
        check(Case(**{**vars(case), "deployed": False}), dynamic=False)


@pytest.mark.parametrize(("opset", "scales"), [(7, "attribute"), (9, "input")])
def test_upsample_of_old_files(opset, scales):
    """Lifted to a Resize when it is read: every element's copies add up."""
    attributes = {"scales": [1.0, 1.0, 2.0, 3.0]} if scales == "attribute" else {}
    names = ["x"] if scales == "attribute" else ["x", "scales"]
    node = helper.make_node("Upsample", names, ["y"], mode="nearest", **attributes)
    constants = [helper.make_tensor("scales", TensorProto.FLOAT, [4], [1, 1, 2, 3])][: len(names) - 1]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2, 2, 3])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2, 4, 9])
    model = helper.make_model(
        helper.make_graph([node], "old", [x], [y], constants),
        opset_imports=[helper.make_opsetid("", opset)],
        ir_version=6,
    )
    weights = RNG.normal(size=(1, 2, 4, 9)).astype(np.float32)
    out = onnxruntime(onnxlrp.convert(model, "gradient", target="weights").to_proto())(
        {"x": np.ones((1, 2, 2, 3), np.float32), "y_weights": weights}
    )
    np.testing.assert_allclose(out["x_relevance"], weights.reshape(1, 2, 2, 2, 3, 3).sum((3, 5)), rtol=1e-5, atol=1e-6)


def test_resize_counts_axes_from_the_end():
    case = Case("Resize", [PICTURE, None, None, ints(6, 9)], attributes={"axes": [-2, -1], "mode": "linear"})
    plain = Case("Resize", [PICTURE, None, None, ints(6, 9)], attributes={"axes": [2, 3], "mode": "linear"})
    weights = RNG.normal(size=(2, 2, 6, 9)).astype(np.float32)
    found = [
        onnxruntime(onnxlrp.convert(c.model(floating=np.float32), "gradient", target="weights").to_proto())(
            {**c.inputs(np.float32), "y_weights": weights}
        )["x0_relevance"]
        for c in (case, plain)
    ]
    np.testing.assert_allclose(*found, rtol=1e-6)


def test_an_antialias_in_proportion_is_refused():
    attributes = {"axes": [2, 3], "mode": "linear", "antialias": 1, "keep_aspect_ratio_policy": "not_larger"}
    case = Case("Resize", [PICTURE, None, None, ints(3, 3)], attributes=attributes)
    with pytest.raises(UnsupportedOperatorError, match="antialias"):
        onnxlrp.convert(case.model(), "gradient", target="weights")


def test_a_grid_alone_carries_no_relevance():
    """Where is not what: relevance stops, gradients do not."""
    case = Case("GridSample", [PICTURE, GRID], data=(1,))
    with pytest.raises(NothingToExplainError, match="where or how much"):
        onnxlrp.convert(case.model(), "epsilon", target="weights")
    assert onnxlrp.convert(case.model(), "gradient", target="weights")


@pytest.mark.parametrize("mode", ["bilinear", "linear"])
def test_either_opset_names_the_modes(mode):
    opset = 16 if mode == "bilinear" else 21
    run = []
    for name, version in ((mode, opset), ("linear", 21)):
        case = Case("GridSample", [PICTURE, GRID], attributes={"mode": name}, opset=version)
        model: onnx.ModelProto = onnxlrp.convert(
            case.model(floating=np.float32), "gradient", target="weights"
        ).to_proto()
        weights = np.ones((2, 2, 3, 4), np.float32)
        run.append(onnxruntime(model)({**case.inputs(np.float32), "y_weights": weights})["x0_relevance"])
    np.testing.assert_allclose(*run, rtol=1e-6)


def test_roi_align_of_opset_10_has_no_half_pixel():
    attributes = {"output_height": 2, "output_width": 2, "sampling_ratio": 2}
    run = []
    for opset, more in ((10, {}), (21, {"coordinate_transformation_mode": "output_half_pixel"})):
        case = Case("RoiAlign", [PICTURE, REGIONS, ints(0, 1, 1)], attributes={**attributes, **more}, opset=opset)
        model = onnxlrp.convert(case.model(floating=np.float32), "gradient", target="weights").to_proto()
        weights = np.ones((3, 2, 2, 2), np.float32)
        run.append(onnxruntime(model)({**case.inputs(np.float32), "y_weights": weights})["x0_relevance"])
    np.testing.assert_allclose(*run, rtol=1e-6)
