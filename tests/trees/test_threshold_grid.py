"""The threshold grid against an enumeration of its cells, and by hand where the answer can be seen."""

from __future__ import annotations

import numpy as np
import pytest

from onnxlrp.trees.forest import LEAF, Forest
from onnxlrp.trees.forest import MODES as LISTED
from tests.oracle import threshold_grid as grid
from tests.oracle.trees import Branch, Leaf

LEQ, LT, GTE, GT, EQ, NEQ = range(6)
MODES = {
    "cuts": (LEQ,),
    "all cuts": (LEQ, LT, GTE, GT),
    "equality": (EQ,),
    "equalities": (EQ, NEQ),
    "mixed": (LEQ, EQ),
    "all": (LEQ, LT, GTE, GT, EQ, NEQ),
}


def forest(nodes: list[tuple], roots: list[int] = [0], **fields) -> Forest:  # noqa: B006
    """Build a forest from its nodes: (mode, feature, threshold, true branch, false branch), or () for a leaf."""
    filled = [n or (LEAF, 0, 0.0, i, i) for i, n in enumerate(nodes)]
    mode, feature, threshold, yes, no = (np.array(column) for column in zip(*filled, strict=True))
    size = len(nodes)
    fields = {"hit_rates": np.full(size, np.nan), "double": True, **fields}
    return Forest(
        roots=np.array(roots),
        feature=feature,
        mode=mode,
        threshold=threshold.astype(float),
        yes=yes,
        no=no,
        missing=np.zeros(size, bool),
        values=np.zeros((size, 1)),
        has_weight=np.zeros((size, 1), bool),
        aggregate="SUM",
        base=np.zeros(0),
        first=np.zeros(size),
        whole=np.zeros(size, bool),
        **fields,
    )


def drawn(rng: np.random.Generator, modes: tuple[int, ...], several_parents: bool) -> Forest:
    """Draw trees level by level over two features and a few thresholds; some branches join where that is asked."""
    nodes: list[tuple] = []
    roots = [0, 1]
    frontier = [0, 1]
    nodes = [(), ()]
    for _ in range(rng.integers(1, 6)):
        after: list[int] = []
        for at in frontier:
            if at > 1 and rng.random() < 0.2:
                continue
            branches = []
            for _ in range(2):
                if several_parents and after and rng.random() < 0.3:
                    branches.append(int(rng.choice(after)))
                else:
                    nodes.append(())
                    after.append(len(nodes) - 1)
                    branches.append(len(nodes) - 1)
            nodes[at] = (int(rng.choice(modes)), int(rng.integers(2)), float(rng.integers(4)), *branches)
        frontier = after[:12]
    return forest(nodes, roots)


@pytest.mark.parametrize("several_parents", [False, True], ids=["trees", "joined"])
@pytest.mark.parametrize("modes", MODES.values(), ids=MODES.keys())
def test_against_an_enumeration_of_cells(modes, several_parents):
    rng = np.random.default_rng(len(modes))
    for _ in range(60):
        check(drawn(rng, modes, several_parents))


def check(trees: Forest) -> None:
    """Compare the shares of all nodes that are reached and distinguish samples."""
    nodes = [
        Leaf({}) if m == LEAF else Branch(LISTED[m], int(f), float(t), False, None)
        for m, f, t in zip(trees.mode, trees.feature, trees.threshold, strict=True)
    ]
    for node, yes, no in zip(nodes, trees.yes, trees.no, strict=True):
        if isinstance(node, Branch):
            node.yes, node.no = nodes[yes], nodes[no]
    expected = grid.shares([nodes[r] for r in trees.roots])
    known = [i for i, node in enumerate(nodes) if node in expected and trees.yes[i] != trees.no[i]]
    np.testing.assert_allclose(trees.share[known], [expected[nodes[i]] for i in known], atol=1e-12)


def test_chains_of_equalities_with_one_branch():
    """The branch has the cells of all constants of its chain, and what follows the chain has the others."""
    rng = np.random.default_rng(3)
    for _ in range(60):
        length = int(rng.integers(1, 5))
        nodes: list[tuple] = [(EQ, 0, float(rng.integers(6)), length, i + 1) for i in range(length - 1)]
        nodes.append((EQ, 0, float(rng.integers(6)), length, length + 1))
        for _ in range(2):
            modes = (EQ, NEQ, LEQ) if rng.random() < 0.5 else (EQ,)
            leaves = length + 2, length + 3
            nodes.append((int(rng.choice(modes)), 0, float(rng.integers(6)), *leaves))
        check(forest([*nodes, (LEQ, 0, 2.5, length + 4, length + 5), (EQ, 0, 3.0, length + 4, length + 5), (), ()]))


def test_cells_of_one_feature_by_hand():
    """Thresholds 1, 2, 3: four cells. The root leaves two on its true side, of which one lies below 1."""
    trees = forest([(LEQ, 0, 2.0, 1, 2), (LEQ, 0, 1.0, 3, 4), (LEQ, 0, 3.0, 3, 4), (), ()])
    np.testing.assert_allclose(trees.share[:3], [0.5, 0.5, 0.5])
    again = forest([(LEQ, 0, 2.0, 1, 2), (LEQ, 0, 2.0, 3, 4), (GT, 0, 1.0, 3, 4), (), ()])
    np.testing.assert_allclose(again.share[:3], [2 / 3, 1.0, 1.0])


def test_equality_counts_the_constants_and_one_other():
    trees = forest([(EQ, 0, 1.0, 3, 1), (EQ, 0, 2.0, 3, 2), (EQ, 0, 2.0, 3, 4), (), ()])
    np.testing.assert_allclose(trees.share[:3], [1 / 3, 1 / 2, 0])


def test_thresholds_that_single_precision_does_not_distinguish_are_one():
    nodes = [(LEQ, 0, 1.0, 1, 2), (LEQ, 0, 1.0 + 1e-12, 3, 4), (LEQ, 0, 5.0, 3, 4), (), ()]
    assert forest(nodes, double=False).share[0] == 1 / 3
    assert forest(nodes, double=True).share[0] == 1 / 4


def test_nothing_lies_beyond_an_infinity():
    trees = forest([(LEQ, 0, np.inf, 1, 2), (LT, 0, -np.inf, 2, 3), (), ()])
    np.testing.assert_allclose(trees.share[:2], [1, 0])


def test_a_comparison_with_nan_is_never_passed():
    trees = forest([(LEQ, 0, np.nan, 1, 2), (LEQ, 0, 1.0, 3, 3), (NEQ, 0, np.nan, 3, 4), (), (LEQ, 0, 2.0, 3, 5), ()])
    np.testing.assert_allclose(trees.share[[0, 2, 4]], [0, 1, 1 / 2])


def test_hit_rates_come_first_and_the_grid_fills_what_they_leave_open():
    nodes = [(LEQ, 0, 2.0, 1, 2), (LEQ, 0, 1.0, 3, 4), (LEQ, 0, 3.0, 5, 6), (), (), (), ()]
    rates = np.array([10.0, 0.0, 10.0, 0.0, 0.0, 4.0, 6.0])
    trees = forest(nodes, hit_rates=rates)
    np.testing.assert_allclose(trees.share[:3], [0, 0.5, 0.4])
    assert trees.share_source == "the file's hit rates"
    assert forest(nodes, hit_rates=np.ones(7)).share_source == "the threshold grid"


def test_rates_of_a_branch_that_two_comparisons_share():
    """The true branch of both is one node: 6 samples, of which 4 come from the first comparison."""
    nodes = [(EQ, 0, 1.0, 2, 1), (EQ, 0, 2.0, 2, 3), (LEQ, 1, 0.0, 3, 4), (), ()]
    trees = forest(nodes, hit_rates=np.array([10.0, 6.0, 6.0, 4.0, 6.0]))
    np.testing.assert_allclose(trees.share[:1], [0.4])


def test_counts_of_rows_come_before_hit_rates():
    nodes = [(LEQ, 0, 2.0, 1, 2), (LEQ, 0, 1.0, 3, 4), (LEQ, 0, 3.0, 3, 4), (), ()]
    taken = np.array([[5, 0], [1, 4], [0, 0], [0, 0], [0, 0]])
    trees = forest(nodes, hit_rates=np.arange(5.0), taken=taken)
    np.testing.assert_allclose(trees.share[:3], [5.5 / 6, 0.2, 0.5])
    assert trees.share_source == "the background's 5 rows"


def test_the_grid_counts_as_one_row_more_where_all_rows_take_one_branch():
    """Four cells, of which 2 lie below 2; none of these lies above 2, and so the false branch of that stays empty."""
    nodes = [(LEQ, 0, 2.0, 1, 2), (LEQ, 0, 2.0, 3, 4), (LEQ, 0, 3.0, 3, 4), (), (), (LEQ, 0, 1.0, 3, 4)]
    taken = np.array([[4, 3], [4, 0], [0, 3], [0, 0], [0, 0], [0, 7]])
    trees = forest(nodes, roots=[0, 5], taken=taken)
    np.testing.assert_allclose(trees.share[[0, 1, 2, 5]], [4 / 7, 1, 0.5 / 4, 0.25 / 8])
    split = forest(nodes, roots=[0, 5], taken=np.maximum(taken, 1))
    np.testing.assert_allclose(split.share[[0, 1, 2, 5]], [4 / 7, 4 / 5, 1 / 4, 1 / 8])


def test_a_large_forest_is_counted_level_by_level():
    """Quick enough for a forest of some 100,000 nodes: far under a second."""
    rng = np.random.default_rng(0)
    count, depth = 200, 8
    size = 2 ** (depth + 1) - 1
    inner = range(size // 2)
    one = [(LEQ, int(rng.integers(30)), float(rng.normal()), 2 * i + 1, 2 * i + 2) for i in inner]
    base = forest([*one, *[()] * (size - len(one))])
    offsets = np.repeat(np.arange(count) * size, size)
    tiled = {n: np.tile(getattr(base, n), count) for n in ("mode", "feature", "hit_rates", "missing", "first", "whole")}
    trees = Forest(
        roots=np.arange(count) * size,
        threshold=rng.normal(size=count * size),
        yes=np.tile(base.yes, count) + offsets,
        no=np.tile(base.no, count) + offsets,
        values=np.zeros((count * size, 1)),
        has_weight=np.zeros((count * size, 1), bool),
        aggregate="SUM",
        base=np.zeros(0),
        **tiled,
    )
    share = trees.share
    assert ((share >= 0) & (share <= 1)).all()
