"""Attention rollout against its formula in numpy, from the attention weights that the model computes."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import numpy_helper

import onnxlrp
from onnxlrp import composites
from onnxlrp.errors import InputError
from tests.emit.test_enlarged_map import enlarged
from tests.oracle.compare import Explained

Array = np.ndarray
RNG = np.random.default_rng(5)
INTEGERS = {
    "heads": [0, 0, 2, 2],
    "flat": [0, 0, 4],
    "merged": [-1, 5, 2],
    "unmerged": [-1, 2, 5, 2],
    "zero": [0],
    "one": [1],
    "five": [5],
    "rows": [0, 4, 9],
    "first": 0,
}
HEAD = "c = Gather<axis=1>({z}, first) y = MatMul(c, v)"


def block(x: str, z: str, mask: str = "") -> str:
    """A block of two heads of two features, with a residual and a ReLU."""
    added = f"{z}m = Add({z}s, {mask})" if mask else f"{z}m = Identity({z}s)"
    split = " ".join(
        f"{z}{p}1 = MatMul({x}, {p}) {z}{p}2 = Reshape({z}{p}1, heads) {z}{p} = Transpose<perm=[0, 2, 1, 3]>({z}{p}2)"
        for p in "qku"
    )
    return f"""{split} {z}t = Transpose<perm=[0, 1, 3, 2]>({z}k) {z}s = MatMul({z}q, {z}t) {added}
        {z}a = Softmax<axis=-1>({z}m) {z}o = MatMul({z}a, {z}u) {z}p = Transpose<perm=[0, 2, 1, 3]>({z}o)
        {z}f = Reshape({z}p, flat) {z}r = Add({z}f, {x}) {z} = Relu({z}r)"""


TWO = f"{block('x', 'h')} {block('h', 'z')}"
FLOATS = "double[N, 5, 4] x"
X = RNG.normal(size=(3, 5, 4))


def model(body: str, x: str = FLOATS, y: str = "double[N, 3] y", **shapes: tuple[int, ...]) -> onnx.ModelProto:
    proto = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["": 21]> g ({x}) => ({y}) {{ {body} }}')
    rng, sizes = np.random.default_rng(3), {**dict.fromkeys("qku", (4, 4)), "v": (4, 3), **shapes}
    used = {name for node in proto.graph.node for name in node.input}
    arrays = {n: rng.normal(size=s) for n, s in sizes.items()} | {n: np.array(v) for n, v in INTEGERS.items()}
    proto.graph.initializer.extend(numpy_helper.from_array(a, n) for n, a in arrays.items() if n in used)
    return proto


def weights(proto: onnx.ModelProto, feeds: dict[str, Array], *names: str) -> list[Array]:
    """Attention weights [N, heads, rows, tokens], which the model itself computes."""
    shown = onnx.shape_inference.infer_shapes(proto)
    shown.graph.output.extend(v for v in shown.graph.value_info if v.name in names)
    outputs = Explained(shown, composite="gradient").run(feeds)
    return [outputs[name] for name in names]


def rolled(matrices: list[Array], rows: Array, heads: str = "mean", residual: float = 0.5) -> Array:
    """Abnar & Zuidema: the product of the blocks' matrices, in the mean of some rows."""
    product = np.eye(matrices[0].shape[-1])
    for matrix in matrices:
        fused = getattr(matrix, heads)(1) * (1 - residual) + residual * np.eye(matrix.shape[-1])
        product = fused / fused.sum(-1, keepdims=True) @ product
    return np.einsum("r,nrt->nt", rows / rows.sum(), product)


def close(ours: Array, theirs: Array) -> None:
    np.testing.assert_allclose(ours, np.broadcast_to(theirs, ours.shape), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("head", "rows"),
    [
        (HEAD, [1, 0, 0, 0, 0]),
        ("m = ReduceMean<keepdims=0>({z}, one) y = MatMul(m, v)", [1, 1, 1, 1, 1]),
        ("c = Slice({z}, one, five, one, one) m = ReduceSum<keepdims=0>(c, one) y = MatMul(m, v)", [0, 1, 1, 1, 1]),
    ],
    ids=["the first token", "the mean", "all but the first"],
)
def test_two_blocks(head, rows):
    """Every feature of a token holds its weight for the rows that the score reads."""
    proto = model(f"{TWO} {head.format(z='z')}")
    ours = Explained(proto, composite="attention_rollout").relevance({"x": X}, target=[1])["x"]
    close(ours, rolled(weights(proto, {"x": X}, "ha", "za"), np.array(rows))[..., None])
    np.testing.assert_allclose(ours[..., 0].sum(1), 1)


@pytest.mark.parametrize("heads", ["mean", "max", "min"])
@pytest.mark.parametrize("residual", [0.0, 0.3])
def test_arguments(heads, residual):
    proto = model(f"{TWO} {HEAD.format(z='z')}")
    name = f"attention_rollout(heads={heads!r}, residual={residual})"
    ours = Explained(proto, composite=name).relevance({"x": X}, target=[1])["x"]
    close(ours, rolled(weights(proto, {"x": X}, "ha", "za"), np.eye(5)[0], heads, residual)[..., None])


def test_ids_and_a_mask():
    """A token that is masked has the weight 0; an id holds its token's weight."""
    body = f"""x = Gather(table, ids) f = Cast<to=11>(mask) n = Sub(f, unit) w = Mul(n, large) r = Unsqueeze(w, places)
        {block("x", "h", "r")} {block("h", "z", "r")} {HEAD.format(z="z")}"""
    proto = model(body, "int64[N, T] ids, int64[N, T] mask", table=(9, 4))
    known = {"unit": np.array(1.0), "large": np.array(1e300), "places": np.array([1, 2])}
    proto.graph.initializer.extend(numpy_helper.from_array(a, n) for n, a in known.items())
    feeds = {"ids": RNG.integers(0, 9, size=(3, 6)), "mask": np.ones((3, 6), np.int64)}
    feeds["mask"][1, 4:] = 0
    ours = Explained(proto, composite="attention_rollout").relevance(feeds, target=[1])
    assert list(ours) == ["ids"]
    close(ours["ids"], rolled(weights(proto, feeds, "ha", "za"), np.eye(6)[0]))
    assert not ours["ids"][1, 4:].any() and ours["ids"].all(1).tolist() == [True, False, True]


def test_a_picture_in_patches():
    """The map of the patches, without the class token, is enlarged to the picture."""
    body = f"""p = Conv<strides=[4, 4]>(i, k4) f = Reshape(p, rows) t = Transpose<perm=[0, 2, 1]>(f)
        s = Shape<end=1>(i) e = Concat<axis=0>(s, ends) c1 = Expand(cls, e) x = Concat<axis=1>(c1, t)
        {TWO} {HEAD.format(z="z")}"""
    proto = model(body, "double[N, 2, 12, 12] i", k4=(4, 2, 4, 4), cls=(1, 1, 4))
    proto.graph.initializer.append(numpy_helper.from_array(np.array([1, 4]), "ends"))
    feeds = {"i": RNG.normal(size=(3, 2, 12, 12))}
    ours = Explained(proto, composite="attention_rollout").relevance(feeds, target=[1])["i"]
    found = rolled(weights(proto, feeds, "ha", "za"), np.eye(10)[0])[:, 1:].reshape(3, 3, 3)
    close(ours, enlarged(enlarged(found, 1, 12), 2, 12)[:, None])


def test_two_inputs_one_below_the_other():
    """Each gets the weights of its own samples."""
    body = f"""p = Pad(b, ends, , places) x = Concat<axis=0>(a, p) {TWO} c = Gather<axis=1>(z, first)
        d, e = Split<axis=0, num_outputs=2>(c) m = Mul(d, e) y = MatMul(m, v)"""
    proto = model(body, "double[N, 5, 4] a, double[N, 3, 4] b")
    known = {"ends": np.array([0, 2]), "places": np.array([1])}
    proto.graph.initializer.extend(numpy_helper.from_array(a, n) for n, a in known.items())
    feeds = {"a": X, "b": X[:, :3] + 1}
    ours = Explained(proto, composite="attention_rollout").relevance(feeds, target=[1])
    found = rolled(weights(proto, feeds, "ha", "za"), np.eye(5)[0])
    close(ours["a"], found[:3, :, None])
    close(ours["b"], found[3:, :3, None])


def test_heads_that_are_merged_with_samples():
    body = f"""{
        " ".join(
            f"{p}1 = MatMul(x, {p}) {p}2 = Reshape({p}1, heads) {p}3 = Transpose<perm=[0, 2, 1, 3]>({p}2)"
            f" {p}4 = Reshape({p}3, merged)"
            for p in "qku"
        )
    } t = Transpose<perm=[0, 2, 1]>(k4) s = MatMul(q4, t)
        a = Softmax<axis=-1>(s) o = MatMul(a, u4) b = Reshape(o, unmerged) w = Transpose<perm=[0, 2, 1, 3]>(b)
        f = Reshape(w, flat) z = Add(f, x) {HEAD.format(z="z")}"""
    proto = model(body)
    ours = Explained(proto, composite="attention_rollout").relevance({"x": X}, target=[1])["x"]
    (found,) = weights(proto, {"x": X}, "a")
    close(ours, rolled([found.reshape(3, 2, 5, 5)], np.eye(5)[0])[..., None])


def test_a_single_head_and_a_sample_without_an_axis():
    body = f"""s1 = Squeeze(x, zero) q1 = MatMul(s1, q) k1 = MatMul(s1, k) u1 = MatMul(s1, u) t = Transpose(k1)
        s = MatMul(q1, t) a = Softmax(s) o = MatMul(a, u1) r = Add(o, s1) z = Unsqueeze(r, zero) {HEAD.format(z="z")}"""
    proto = model(body, "double[1, 5, 4] x", "double[1, 3] y")
    ours = Explained(proto, composite="attention_rollout").relevance({"x": X[:1]}, target=[1])["x"]
    (found,) = weights(proto, {"x": X[:1]}, "a")
    close(ours, rolled([found[None, None]], np.eye(5)[0])[..., None])


def test_scores_at_every_token():
    """The row of the position that is asked about."""
    proto = model(f"{TWO} y = MatMul(z, v)", y="double[N, 5, 3] y")
    ours = Explained(proto, composite="attention_rollout", target="token")
    close(
        ours.relevance({"x": X}, target=[1], position=[3])["x"],
        rolled(weights_of_tokens(proto), np.eye(5)[3])[..., None],
    )


def weights_of_tokens(proto: onnx.ModelProto) -> list[Array]:
    return weights(model(f"{TWO} {HEAD.format(z='z')}"), {"x": X}, "ha", "za")


def test_several_targets():
    """All classes read the same rows."""
    proto = model(f"{TWO} {HEAD.format(z='z')}")
    ours = Explained(proto, composite="attention_rollout", targets=2).relevance({"x": X}, target=[[0, 2]])["x"]
    one = Explained(proto, composite="attention_rollout").relevance({"x": X})["x"]
    close(ours, one[:, None])


def test_a_probability_is_explained_by_its_logit():
    """The gradient of a softmax at one class of 1.0 would be 0 at every row."""
    body = f"{TWO} {HEAD.format(z='z').replace('y =', 'l =')} b = Mul(l, large) y = Softmax(b)"
    proto = model(body)
    proto.graph.initializer.append(numpy_helper.from_array(np.array(1e5), "large"))
    ours = Explained(proto, composite="attention_rollout").relevance({"x": X})["x"]
    np.testing.assert_allclose(ours[..., 0].sum(1), 1)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("z = Relu(x) c = Gather<axis=1>(z, first) y = MatMul(c, v)", "no softmax that is multiplied with values"),
        (
            f"{TWO} j = Concat<axis=1>(x, z) {block('j', 'e')} {HEAD.format(z='e')}",
            "does not weigh tokens that lie along whole",
        ),
        (f"{block('x', 'h')} {block('x', 'z')} w = Add(h, z) {HEAD.format(z='w')}", "stand side by side"),
        (f"{block('x', 'h')} e = Concat<axis=1>(cls, h) {block('e', 'z')} {HEAD.format(z='z')}", "are not those of"),
    ],
    ids=["no attention", "two sequences", "side by side", "a class token that comes late"],
)
def test_models_that_have_no_rollout(body, said):
    x = "double[1, 5, 4] x"
    with pytest.raises(InputError, match=said):
        onnxlrp.convert(model(body, x, "double[1, 3] y", cls=(1, 1, 4)), "attention_rollout")


def test_attention_to_another_sequence():
    body = f"""q1 = MatMul(x, q) k1 = MatMul(w, k) u1 = MatMul(w, u) t = Transpose<perm=[0, 2, 1]>(k1) s = MatMul(q1, t)
        a = Softmax(s) z = MatMul(a, u1) {HEAD.format(z="z")}"""
    with pytest.raises(InputError, match="does not weigh tokens that lie along whole axes of 'x'"):
        onnxlrp.convert(model(body, f"{FLOATS}, double[N, 7, 4] w"), "attention_rollout")


def test_onnxruntime_runs_the_file():
    proto = model(f"{TWO} {HEAD.format(z='z')}")
    ours = onnxlrp.Explainer(onnxlrp.convert(proto, "attention_rollout"))({"x": X}, target=2).relevance["x"]
    close(ours, Explained(proto, composite="attention_rollout").relevance({"x": X}, target=[2])["x"])


def test_the_plan_says_what_is_rolled_out():
    plan = onnxlrp.inspect(model(f"{TWO} {HEAD.format(z='z')}"), "attention_rollout")
    assert "the map is the product over 2 attention blocks of the mean of the heads, with the share 0.5" in str(plan)
    assert "Softmax" not in [row.operator for row in plan.rows()]


@pytest.mark.parametrize("text", ["attention_rollout", "attention_rollout(heads='max', residual=0.3)"])
def test_texts_are_read_again(text):
    assert str(composites.parse(text)) == text


@pytest.mark.parametrize("text", ["heads='sum'", "residual=1", "residual=-0.1", "residual='x'"])
def test_arguments_are_checked(text):
    with pytest.raises(InputError, match=r"heads is|residual is"):
        composites.parse(f"attention_rollout({text})")
