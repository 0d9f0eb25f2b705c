"""Gradients at several points against the gradient itself, taken at each point by itself."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import numpy_helper

import onnxlrp
from onnxlrp import composites
from onnxlrp.errors import InputError, NothingToExplainError
from tests.oracle.compare import Explained

Array = np.ndarray
RNG = np.random.default_rng(5)
X = RNG.normal(size=(3, 2, 5, 4))
NODES, WEIGHTS = np.polynomial.legendre.leggauss(4)
PICTURE = """c = Conv<pads=[1, 1, 1, 1]>(x, w, b) d = Relu(c) p = MaxPool<kernel_shape=[2, 2]>(d)
    f = Sigmoid(p) g = GlobalAveragePool(f) h = Flatten(g) y = MatMul(h, v)"""
SHAPES = {"w": (4, 2, 3, 3), "b": (4,), "v": (4, 3)}


def model(body: str, shapes: dict[str, tuple[int, ...]], x: str = "double[N, 2, 5, 4] x", y: str = "double[N, 3] y"):
    proto = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["": 21]> g ({x}) => ({y}) {{ {body} }}')
    rng = np.random.default_rng(3)
    proto.graph.initializer.extend(numpy_helper.from_array(rng.normal(size=s), name) for name, s in shapes.items())
    return proto


def integrated(
    proto: onnx.ModelProto, feeds: dict[str, Array], baseline: Array | float = 0.0, **extra
) -> dict[str, Array]:
    """Integrated gradients of the inputs `feeds` with four nodes, of a given target."""
    gradient, found = Explained(proto, composite="gradient"), {name: np.zeros_like(x) for name, x in feeds.items()}
    for node, weight in zip(NODES, WEIGHTS, strict=True):
        point = {name: baseline + (1 + node) / 2 * (x - baseline) for name, x in feeds.items()}
        for name, g in gradient.relevance(point, **extra).items():
            found[name] += weight / 2 * g
    return {name: found[name] * (x - baseline) for name, x in feeds.items()}


def close(ours: Array, theirs: Array) -> None:
    assert np.abs(theirs).max() > 0
    np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize(
    ("text", "baseline"),
    [
        ("0", 0.0),
        ("0.5", 0.5),
        ("[0.5, -1.0]", np.array([0.5, -1.0]).reshape(1, 2, 1, 1)),
        ("[[[[1.0, 0.0, 2.0, 3.0]]]]", np.array([1.0, 0.0, 2.0, 3.0])),
    ],
)
def test_integrated_gradients(text, baseline):
    proto = model(PICTURE, SHAPES)
    ours = Explained(proto, composite=f"integrated_gradients(steps=4, baseline={text})")
    close(ours.relevance({"x": X}, target=[1])["x"], integrated(proto, {"x": X}, baseline, target=[1])["x"])


def test_the_predicted_class_is_that_of_the_input():
    """It is chosen once: at the points another class may be the largest."""
    proto = model("m = MatMul(x, v) s = Mul(m, m) y = Add(s, k)", {"v": (2, 3), "k": (3,)}, "double[N, 2] x")
    x = RNG.normal(size=(40, 2)) * 2
    ours = Explained(proto, composite="integrated_gradients(steps=4)")
    found = ours.run({"x": x})
    chosen = found["y"].argmax(1)
    points = [Explained(proto, composite="gradient").run({"x": (1 + n) / 2 * x})["y"].argmax(1) for n in NODES]
    assert any((point != chosen).any() for point in points)
    close(found["x_relevance"], integrated(proto, {"x": x}, target=chosen)["x"])


@pytest.mark.parametrize("options", [{"target": "weights"}, {"targets": 2}, {"target_input": "none"}], ids=str)
def test_targets_of_every_kind(options):
    proto = model(PICTURE, SHAPES)
    ours = Explained(proto, composite="integrated_gradients(steps=4)", **options)
    classes = [integrated(proto, {"x": X}, target=[k])["x"] for k in range(3)]
    if "targets" in options:
        close(ours.relevance({"x": X}, target=[[2, 0]])["x"], np.stack([classes[2], classes[0]], 1))
    elif "target" in options:
        found = ours.relevance({"x": X}, weights=np.array([[1.0, 2.0, -1.0]]))["x"]
        close(found, classes[0] + 2 * classes[1] - classes[2])
    else:
        found = ours.run({"x": X})
        predicted = found["y"].argmax(1)
        close(found["x_relevance"], np.stack([classes[k][i] for i, k in enumerate(predicted)]))


def test_one_token_of_a_sequence():
    """The last product is taken for one position and class alone, which are those of the input."""
    proto = model("a = Tanh(x) b = MatMul(a, w) c = Tanh(b) y = MatMul(c, v)", {"w": (4, 5), "v": (5, 7)},
                  "double[N, T, 4] x", "double[N, T, 7] y")  # fmt: skip
    x, gradient = RNG.normal(size=(2, 3, 4)), np.zeros((2, 3, 4))
    plain = Explained(proto, composite="gradient", target="token")
    for node, weight in zip(NODES, WEIGHTS, strict=True):
        gradient += weight / 2 * plain.relevance({"x": (1 + node) / 2 * x}, target=[4], position=[1])["x"]
    ours = Explained(proto, composite="integrated_gradients(steps=4)", target="token")
    close(ours.relevance({"x": x}, target=[4], position=[1])["x"], gradient * x)


def test_several_inputs_and_one_that_stays():
    """All explained inputs move together; others keep their value."""
    body = "a = MatMul(x, w) c = Mul(a, z) d = Tanh(c) y = Mul(d, t)"
    inputs = "double[N, 3] x, double[N, 3] z, double[N, 3] t"
    proto = model(body, {"w": (3, 3)}, inputs)
    feeds = {name: RNG.normal(size=(2, 3)) for name in "xzt"}
    ours = Explained(proto, composite="integrated_gradients(steps=4)").relevance(feeds, target=[1])
    theirs = integrated(proto, feeds, target=[1])
    for name in "xzt":
        close(ours[name], theirs[name])
    gradient, found = Explained(proto, composite="gradient", inputs=["x"]), np.zeros((2, 3))
    for node, weight in zip(NODES, WEIGHTS, strict=True):
        point = {**feeds, "x": (1 + node) / 2 * feeds["x"]}
        found += weight / 2 * gradient.relevance(point, target=[1])["x"]
    ours = Explained(proto, composite="integrated_gradients(steps=4)", inputs=["x"]).relevance(feeds, target=[1])
    close(ours["x"], found * feeds["x"])


def test_a_linear_model():
    """The gradient depends on no point: nothing is left to copy into the body."""
    proto = model("y = MatMul(x, v)", {"v": (2, 3)}, "double[N, 2] x")
    x = RNG.normal(size=(4, 2))
    ours = Explained(proto, composite="integrated_gradients(steps=4)").relevance({"x": x}, target=[2])["x"]
    close(ours, x * numpy_helper.to_array(proto.graph.initializer[0])[:, 2])


CONTROL = """trips = Constant<value_int=3>() more = Constant<value = bool {1}>()
    last, all = Loop<body = body (int64 i, bool going, double[N, 2] state)
        => (bool goes, double[N, 2] next, double[N, 2] out) {
            goes = Identity(going) a = MatMul(state, w) b = Tanh(a) next = Add(b, x) out = Mul(next, next)
        }>(trips, more, x)
    s = ReduceSum<keepdims=0>(all, zero) t = Add(s, last) y = MatMul(t, v)"""


def test_a_model_with_a_loop():
    """In onnxruntime: onnx's evaluator appends what a Loop stacks along axis 0."""
    proto = model(CONTROL, {"w": (2, 2), "v": (2, 3)}, "double[N, 2] x")
    proto.graph.initializer.append(numpy_helper.from_array(np.array([0]), "zero"))
    x, found = RNG.normal(size=(4, 2)), np.zeros((4, 2))
    gradient = onnxlrp.Explainer(onnxlrp.convert(proto, "gradient"))
    for node, weight in zip(NODES, WEIGHTS, strict=True):
        found += weight / 2 * gradient({"x": (1 + node) / 2 * x}, target=2).relevance["x"]
    ours = onnxlrp.Explainer(onnxlrp.convert(proto, "integrated_gradients(steps=4)"))({"x": x}, target=2)
    close(ours.relevance["x"], found * x)


def single(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The model in single precision."""
    for value in (*proto.graph.input, *proto.graph.output):
        value.type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    for tensor in proto.graph.initializer:
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), tensor.name))
    return proto


@pytest.mark.parametrize("targets", [1, 2])
def test_onnxruntime_runs_the_file(targets):
    explained = onnxlrp.convert(single(model(PICTURE, SHAPES)), "integrated_gradients(steps=4)", targets=targets)
    target = 1 if targets == 1 else [[1, 2]]
    found = onnxlrp.Explainer(explained)({"x": X.astype(np.float32)}, target=target).relevance["x"]
    theirs = [integrated(model(PICTURE, SHAPES), {"x": X}, target=[k])["x"] for k in (1, 2)]
    wanted = theirs[0] if targets == 1 else np.stack(theirs, 1)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-6)


def test_a_picture_of_a_fixed_batch():
    proto = model(PICTURE, SHAPES, "double[1, 2, 5, 4] x", "double[1, 3] y")
    ours = Explained(proto, composite="integrated_gradients(steps=4)").relevance({"x": X[:1]}, target=[0])["x"]
    close(ours, integrated(proto, {"x": X[:1]}, target=[0])["x"])


def test_the_file_stays_small():
    """Weights are stored once, and the model's own pass is not repeated in the main graph."""
    source = model(
        "a = MatMul(x, w) b = Tanh(a) y = MatMul(b, v)", {"w": (2, 40000), "v": (40000, 3)}, "double[N, 2] x"
    )
    explained = onnxlrp.convert(source, "integrated_gradients").to_proto()
    assert explained.ByteSize() < source.ByteSize() + 20_000
    assert [n.op_type for n in explained.graph.node].count("Tanh") == 1


@pytest.mark.parametrize("targets", [1, 2])
def test_smooth_grad(targets):
    """The noise of each input is drawn from one generator, one input after another, and added to every sample."""
    proto = model("a = MatMul(x, w) c = Mul(a, z) y = Tanh(c)", {"w": (2, 3)}, "double[N, 2] x, double[N, 3] z")
    feeds, generator = {"x": RNG.normal(size=(4, 2)), "z": RNG.normal(size=(4, 3))}, np.random.default_rng(7)
    noises = {name: generator.normal(scale=0.2, size=(5, x.shape[1])) for name, x in feeds.items()}
    gradient, found = Explained(proto, composite="gradient", targets=targets), {"x": 0.0, "z": 0.0}
    target = [1] if targets == 1 else [[1, 2]]
    for k in range(5):
        point = {name: x + noises[name][k] for name, x in feeds.items()}
        for name, g in gradient.relevance(point, target=target).items():
            found[name] += g / 5
    ours = Explained(proto, composite="smooth_grad(5, 0.2, 7)", targets=targets).relevance(feeds, target=target)
    for name in "xz":
        close(ours[name], found[name])


def test_the_same_noise_in_every_file():
    files = [onnxlrp.convert(model(PICTURE, SHAPES), text).to_proto().SerializeToString() for text in
             ("smooth_grad", "smooth_grad", "smooth_grad(noise_seed=1)")]  # fmt: skip
    assert files[0] == files[1] != files[2]


# ------------------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("integrated_gradients(steps=0)", "steps is a whole number of at least 1, not 0"),
        ("integrated_gradients(steps=2.5)", "steps is a whole number of at least 1, not 2.5"),
        ("smooth_grad(samples=0)", "samples is a whole number of at least 1, not 0"),
        ("smooth_grad(sigma=0)", "sigma is a finite number above 0, not 0"),
        ("smooth_grad(sigma='a')", "sigma is a finite number above 0, not 'a'"),
        ("smooth_grad(noise_seed=-1)", "noise_seed is a whole number of at least 0, not -1"),
        ("integrated_gradients(baseline='a')", "baseline is a number or an array of numbers"),
        ("integrated_gradients(baseline=1e999)", "baseline must be finite"),
    ],
)
def test_options_without_a_meaning(text, said):
    with pytest.raises(InputError, match=said):
        composites.parse(text)


def test_a_baseline_of_another_shape():
    with pytest.raises(InputError, match=r"a baseline of shape \(1, 1, 1, 3\) cannot be broadcast to the input 'x'"):
        onnxlrp.convert(model(PICTURE, SHAPES), "integrated_gradients(baseline=[1, 2, 3])")


def test_inner_values_and_ledgers():
    with pytest.raises(InputError, match="explains inputs alone, and 'd' is an inner value"):
        onnxlrp.convert(model(PICTURE, SHAPES), "integrated_gradients", relevance_at=["d"])
    with pytest.raises(InputError, match="is a gradient: it has no conservation ledger"):
        onnxlrp.convert(model(PICTURE, SHAPES), "integrated_gradients", ledger=True)


def test_whole_numbers_have_no_points_between_them():
    body = "f = Cast<to=11>(i) a = Add(f, x) b = Tanh(a) y = MatMul(b, v)"
    proto = model(body, {"v": (2, 3)}, "int32[N, 2] i, double[N, 2] x")
    explained = onnxlrp.convert(proto, "integrated_gradients")
    assert list(explained.interface.relevance) == ["x"]
    assert any("the input 'i' is INT32" in note for note in explained.notes)
    with pytest.raises(NothingToExplainError, match="reaches none of the inputs: the input 'i' is INT32"):
        onnxlrp.convert(proto, "integrated_gradients", inputs=["i"])


def test_the_plan_says_what_runs():
    plan = str(onnxlrp.inspect(model(PICTURE, SHAPES), "integrated_gradients(steps=50)"))
    assert "model and gradient run at 50 points between the baseline and the input" in plan
    assert "run at 16 points, the input plus noise" in str(onnxlrp.inspect(model(PICTURE, SHAPES), "smooth_grad"))


@pytest.mark.parametrize(
    "text",
    [
        "integrated_gradients",
        "integrated_gradients(steps=50, baseline=[0.5, 1.0])",
        "smooth_grad(sigma=0.2, noise_seed=3)",
    ],
)
def test_texts_and_files_are_read_again(text, tmp_path):
    assert str(composites.parse(text)) == text
    (tmp_path / "own.toml").write_text(f'composite = "{text}"')
    overridden = composites.parse(tmp_path / "own.toml")
    assert isinstance(overridden, composites.Overridden) and str(overridden.base) == text


TEXT = """e = Gather(table, ids) m = MatMul(e, w) t = Tanh(m) s = ReduceMean<keepdims=0>(t, one) y = MatMul(s, v)"""
TEXT_SHAPES = {"table": (9, 5), "w": (5, 6), "v": (6, 3)}
IDS = RNG.integers(0, 9, size=(3, 7))


def text(ids: str = "int64[N, T] ids", body: str = TEXT) -> onnx.ModelProto:
    proto = model(body, TEXT_SHAPES, ids)
    proto.graph.initializer.append(numpy_helper.from_array(np.array([1]), "one"))
    return proto


def embedded(proto: onnx.ModelProto) -> tuple[onnx.ModelProto, Array]:
    """The rest of a model of ids, whose input is their embedding, and the table."""
    tables = {t.name: numpy_helper.to_array(t) for t in proto.graph.initializer}
    return text("double[N, T, 5] e", TEXT.partition(") ")[2]), tables["table"]


@pytest.mark.parametrize("baseline", [0, 4])
def test_ids_move_by_their_embeddings(baseline):
    rest, table = embedded(text())
    ours = Explained(text(), composite=f"integrated_gradients(steps=4, baseline={baseline})")
    theirs = integrated(rest, {"e": table[IDS]}, table[baseline], target=[1])["e"].sum(-1)
    close(ours.relevance({"ids": IDS}, target=[1])["ids"], theirs)


def test_several_targets_of_ids():
    one = [
        Explained(text(), composite="integrated_gradients(steps=4)").relevance({"ids": IDS}, target=[k]) for k in (2, 0)
    ]
    several = Explained(text(), composite="integrated_gradients(steps=4)", targets=2)
    close(several.relevance({"ids": IDS}, target=[[2, 0]])["ids"], np.stack([found["ids"] for found in one], 1))


def test_noise_on_embeddings_whose_length_is_open():
    """The file holds noise for 128 tokens, of which a text reads the first."""
    rest, table = embedded(text())
    ours = Explained(text(), composite="smooth_grad(samples=3, sigma=0.5)").relevance({"ids": IDS}, target=[1])["ids"]
    noise = np.random.default_rng(0).normal(scale=0.5, size=(3, 128, 5))[:, :7]
    gradient = Explained(rest, composite="gradient")
    theirs = sum(gradient.relevance({"e": table[IDS] + n}, target=[1])["e"].sum(-1) for n in noise) / 3
    close(ours, theirs)


def test_noise_begins_again_after_a_block():
    proto = model(
        "m = MatMul(x, w) t = Tanh(m) s = ReduceMean<keepdims=0>(t, one) y = MatMul(s, v)",
        {"w": (5, 6), "v": (6, 3)},
        "double[N, T, 5] x",
    )
    proto.graph.initializer.append(numpy_helper.from_array(np.array([1]), "one"))
    x = RNG.normal(size=(2, 300, 5))
    ours = Explained(proto, composite="smooth_grad(samples=2, sigma=0.5)").relevance({"x": x}, target=[1])["x"]
    noise = np.random.default_rng(0).normal(scale=0.5, size=(2, 128, 5))[:, np.arange(300) % 128]
    gradient = Explained(proto, composite="gradient")
    close(ours, sum(gradient.relevance({"x": x + n}, target=[1])["x"] for n in noise) / 2)


def test_ids_and_numbers_move_together():
    body = TEXT.replace("y = MatMul(s, v)", "r = Mul(s, z) y = MatMul(r, v)")
    proto = text("int64[N, T] ids, double[N, 6] z", body)
    z = RNG.normal(size=(3, 6))
    ours = Explained(proto, composite="integrated_gradients(steps=4)").relevance({"ids": IDS, "z": z}, target=[1])
    rest, table = text("double[N, T, 5] e, double[N, 6] z", body.partition(") ")[2]), embedded(text())[1]
    gradient, found = Explained(rest, composite="gradient"), {"e": 0.0, "z": 0.0}
    for node, weight in zip(NODES, WEIGHTS, strict=True):
        point = {"e": table[0] + (1 + node) / 2 * (table[IDS] - table[0]), "z": (1 + node) / 2 * z}
        for name, g in gradient.relevance(point, target=[1]).items():
            found[name] = found[name] + weight / 2 * g
    close(ours["ids"], ((table[IDS] - table[0]) * found["e"]).sum(-1))
    close(ours["z"], z * found["z"])


@pytest.mark.parametrize("baseline", ["9", "0.5", "-1"])
def test_a_baseline_of_ids_is_an_id(baseline):
    with pytest.raises(InputError, match="the baseline of 'ids' is an id of its table"):
        onnxlrp.convert(text(), f"integrated_gradients(baseline={baseline})")
