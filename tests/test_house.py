"""The house: who imports whom, and what it takes to add an operator, a rule, a composite, a target or a view."""

from __future__ import annotations

import ast
import dataclasses
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import networkx as nx
import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun
from typer.testing import CliRunner

import onnxlrp
from onnxlrp import composites, rules, targets
from onnxlrp.cli import app
from onnxlrp.errors import InputError, NothingToExplainError, TargetError
from onnxlrp.interface import Interface
from onnxlrp.operators import registry
from onnxlrp.rules import ONE, PLUS, SAME, Gamma, Pass, Rule, Share, Term, ZPlus
from onnxlrp.targets.kind import Axes, Seed, TargetKind
from onnxlrp.targets.seeder import Seeder
from onnxlrp.view import saving

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "onnxlrp"
LINE = ("source", "analysis", "plan", "emit", "finish", "explained", "convert")
"""The pipeline: each may import what stands to its left, and the leaves."""
LEAVES = (
    "graph",
    "operators",
    "reductions",
    "rule_language",
    "rules",
    "composites",
    "memory",
    "collector",
    "errors",
    "interface",
    "printable",
    "reprs",
    "array_hashes",
    "file_hashes",
    "recorded_options",
    "rule_overrides",
    "external_data",
    "opening",
    "replacing",
    "drafts",
    "late_names",
    "foreign_files",
    "argument_checks",
    "near_names",
    "profiles",
    "extras",
    "notebook_html",
    "strings",
    "targets",
    "trees",
    "wire",
    "written_calls",
    "_version",
)
LEAF_IMPORTS = {
    "graph": {"errors", "profiles", "reprs"},
    "operators": {"graph", "errors", "near_names", "memory", "profiles", "reprs", "trees"},
    "trees": {"graph", "errors", "memory", "reprs", "wire"},
    "late_names": {"near_names"},
    "wire": set(),
    "written_calls": {"errors", "near_names"},
    "reductions": {"errors", "near_names"},
    "rule_language": set(),
    "rules": {"rule_language", "errors", "reprs", "written_calls"},
    "composites": {"rules", "errors", "near_names", "reprs", "written_calls"},
    "memory": {"errors"},
    "collector": set(),
    "printable": set(),
    "reprs": {"printable"},
    "errors": {"printable"},
    "interface": {"reprs"},
    "array_hashes": set(),
    "file_hashes": set(),
    "recorded_options": {"array_hashes"},
    "rule_overrides": {"rules", "errors"},
    "external_data": {"errors", "printable"},
    "extras": {"errors"},
    "argument_checks": {"errors", "near_names"},
    "near_names": set(),
    "profiles": {"errors", "near_names"},
    "notebook_html": {"printable"},
    "foreign_files": set(),
    "opening": {"errors", "external_data", "foreign_files", "trees"},
    "replacing": {"errors", "interface", "external_data"},
    "drafts": {"replacing"},
    "strings": {"errors"},
    "targets": {"errors", "graph", "interface", "near_names", "printable"},
    "_version": set(),
}
RUNNING = {
    "runtime": {
        "errors",
        "interface",
        "array_hashes",
        "file_hashes",
        "external_data",
        "opening",
        "drafts",
        "near_names",
        "extras",
        "notebook_html",
        "printable",
        "reductions",
        "reprs",
        "strings",
        "targets",
        "_version",
    },
    "view": {
        "runtime",
        "errors",
        "file_hashes",
        "extras",
        "near_names",
        "notebook_html",
        "interface",
        "drafts",
        "printable",
        "reprs",
    },
    # Adapters to other libraries use what a program of a user's would; no other room imports them.
    "integrations": {"convert", "composites", "runtime", "view", "errors", "extras", "trees"},
    # Records are verified by converting and running again; only the face and the command line import them.
    "records": {
        "convert",
        "explained",
        "runtime",
        "view",
        "errors",
        "interface",
        "array_hashes",
        "file_hashes",
        "recorded_options",
        "rule_overrides",
        "extras",
        "late_names",
        "printable",
    },
    # Evaluation converts and runs; only the face and the command line import it.
    "evaluation": {
        "convert",
        "explained",
        "plan",
        "composites",
        "rules",
        "runtime",
        "errors",
        "interface",
        "drafts",
        "extras",
        "near_names",
        "notebook_html",
        "printable",
        "reprs",
        "targets",
        "_version",
    },
    # Studies of concepts convert, run and draw; only the face and the command line import them.
    "concepts": {
        "convert",
        "plan",
        "composites",
        "runtime",
        "view",
        "errors",
        "interface",
        "drafts",
        "extras",
        "near_names",
        "printable",
        "reprs",
    },
    # Reports put together what evaluation, runtime and view know; only the face and the command line import them.
    "reporting": {
        "convert",
        "explained",
        "evaluation",
        "plan",
        "composites",
        "runtime",
        "view",
        "errors",
        "file_hashes",
        "interface",
        "drafts",
        "extras",
        "printable",
        "_version",
    },
    # Folders for model servers; only the command line imports it.
    "serving": {"runtime", "errors", "drafts", "printable", "_version"},
}
SHOWS_ITSELF = {"explanation.py", "explainer.py", "results.py"}
"""Files of `runtime` that import `view` where they are asked to show or write themselves."""


def allowed(room: str) -> set[str]:
    """What a room may import besides itself."""
    if room in LINE:
        # Conversion runs its own result where it is asked to check it.
        checks = {"runtime"} if room == "convert" else set()
        return {*LINE[: LINE.index(room)], *LEAVES, *checks}
    return {**LEAF_IMPORTS, **RUNNING}[room]


def imports(path: Path) -> Iterator[str]:
    """The rooms that a file imports, when it is loaded or later; not what only a type checker reads."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            node.body = []
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative imports hide who imports whom"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        yield from (name.split(".")[1] for name in names if name.startswith("onnxlrp."))


def rooms() -> dict[str, list[Path]]:
    """Every room with its files: folders, and modules of the package itself."""
    found = {p.name: sorted(p.rglob("*.py")) for p in PACKAGE.iterdir() if p.is_dir() and list(p.rglob("*.py"))}
    found.update({p.stem: [p] for p in PACKAGE.glob("*.py")})
    return found


def module_name(path: Path) -> str:
    """The dotted name of a file of the package."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def modules(path: Path) -> Iterator[str]:
    """The modules of the package that a file imports."""
    known = {
        ".".join(p.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for p in PACKAGE.rglob("*.py")
    }
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            node.body = []
        if isinstance(node, (ast.FunctionDef, ast.Lambda)):
            node.body = []  # type: ignore[assignment]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module in known:
            inside = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name if name in known else str(node.module) for name in inside)


def test_no_import_goes_round_in_a_circle():
    """Imports that a file makes as it is loaded. A package that imports its own files is no circle."""
    graph = nx.DiGraph()
    for path in PACKAGE.rglob("*.py"):
        name = module_name(path)
        graph.add_edges_from((name, other) for other in modules(path) if not other.startswith(f"{name}."))
    assert nx.is_directed_acyclic_graph(graph), nx.find_cycle(graph)


@pytest.mark.parametrize("room", [*LINE, *LEAVES, *RUNNING])
def test_who_imports_whom(room):
    for path in rooms()[room]:
        shows = {"view"} if room == "runtime" and path.name in SHOWS_ITSELF else set()
        strangers = set(imports(path)) - {room} - allowed(room) - shows
        assert not strangers, f"{path.relative_to(ROOT)} imports {', '.join(sorted(strangers))}"


def test_every_room_has_its_place():
    """A new folder or module must say where it stands. The command line and the demo stand above all."""
    assert set(rooms()) == {*LINE, *LEAVES, *RUNNING, "__init__", "__main__", "cli", "demo"}


def test_importing_the_package_loads_no_runtime():
    """`convert` works where no onnxruntime is installed."""
    code = "import sys, onnxlrp, onnxlrp.cli; sys.exit('onnxruntime' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_the_page_on_architecture_names_every_folder():
    """Its table of rooms is the map of the house."""
    text = (ROOT / "docs" / "architecture.md").read_text().split("## Rooms")[1].split("\n## ")[0]
    folders = [room for room, files in rooms().items() if files[0].parent != PACKAGE]
    assert folders
    for folder in folders:
        assert f"`{folder}/`" in text, f"docs/architecture.md does not say what onnxlrp/{folder} is for"


def test_the_top_level_holds_what_it_may():
    """Programs that tests run leave files where they run; none of these may be committed."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("this is no checkout of git")
    names = {line.split("/")[0] for line in listed.stdout.splitlines()}
    allowed = {"pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md", "mkdocs.yml"}
    folders = {"onnxlrp", "tests", "models", "tools", "docs", "findings"}
    assert {name for name in names if not name.startswith(".")} == allowed | folders


def test_tests_lie_where_the_package_does():
    """A folder of tests is named after a room or a module of the package, unless its tests span several.

    Each is a package, so that files in two folders may have one name."""
    spanning = {"exactness", "oracle", "peers", "robustness", "tools"}
    folders = {path.parent for path in (ROOT / "tests").rglob("*.py")} - {ROOT / "tests"}
    assert {folder.relative_to(ROOT / "tests").parts[0] for folder in folders} <= spanning | set(rooms())
    assert not [folder for folder in folders if not (folder / "__init__.py").exists()]


def test_rules_and_composites_can_be_imported_where_their_kin_are():
    """`onnxlrp.rules` and `onnxlrp.composites` export all that have a name."""
    for module, named in ((rules, rules.RULES), (composites, composites.COMPOSITES)):
        missing = {one.__name__ for one in named.values()} - set(module.__all__)
        assert not missing, f"{module.__name__} does not list {', '.join(missing)} in __all__"


# ---------------------------------------------------------------------------------------------------- adding things


class Lead(TargetKind):
    """A made-up kind of target: the lead of the first class over the last. There is nothing to choose."""

    name = "lead"
    explains = by_default = "the lead of the first class over the last"

    def layout(self, score: ir.Value, inputs: Sequence[ir.Value], name: str) -> Axes:
        return Axes(batch=0, classes=1)

    def seed(self, seeder: Seeder, axes: Axes) -> Seed:
        op = seeder.op
        return Seed(op.Expand(op.constant(np.array([1, 0, -1]), seeder.dtype), op.shape(seeder.question.score)))


def test_a_made_up_target(monkeypatch, tmp_path):
    """Emission, `Explainer` and the command line know it by the list of kinds."""
    monkeypatch.setitem(targets.TARGETS, "lead", Lead())
    onnxlrp.convert(network(), "lrp0", target="lead").save(tmp_path / "lead.onnx")
    explainer = onnxlrp.Explainer(tmp_path / "lead.onnx")
    x = {"x": np.random.default_rng(3).normal(size=(6, 4))}
    weights = onnxlrp.Explainer(onnxlrp.convert(network(), "lrp0", target="weights"))
    wanted = weights(x, weights=[1, 0, -1]).relevance["x"]
    np.testing.assert_allclose(explainer(x).relevance["x"], wanted, atol=1e-12)
    with pytest.raises(TargetError, match=r"the lead of .*, it takes no target: convert it with target=.class."):
        explainer(x, target=1)
    with pytest.raises(InputError, match="targets above 1 need another target than 'lead'"):
        onnxlrp.convert(network(), "lrp0", target="lead", targets=2)


def test_a_made_up_view(monkeypatch, tmp_path):
    """One function and its suffix: the command line writes it, whole or not at all, and names it."""

    def as_markdown(material: saving.Material, draft: Path) -> None:
        rows = material.explanation.relevance["x"]
        draft.write_text("".join(f"| {' | '.join(f'{value:.2f}' for value in row)} |\n" for row in rows))

    monkeypatch.setitem(saving.FORMATS, ".md", as_markdown)
    onnxlrp.convert(network(), "lrp0").save(tmp_path / "net.lrp.onnx")
    np.save(tmp_path / "x.npy", np.eye(2, 4))
    words = ("explain", tmp_path / "net.lrp.onnx", "--input", f"x={tmp_path / 'x.npy'}", "-o")
    result = CliRunner().invoke(app, [*map(str, words), str(tmp_path / "r.md")])
    assert result.exit_code == 0, result.output
    assert (tmp_path / "r.md").read_text().count("|") == 10
    refused = CliRunner().invoke(app, [*map(str, words), str(tmp_path / "r.bmp")])
    assert refused.exit_code == 2 and ".md" in refused.stderr


class Backwards(OpRun):
    """my.domain::Backwards: the last axis the other way round, doubled."""

    op_domain = "my.domain"

    def _run(self, x):
        return (2 * x[..., ::-1],)


@pytest.fixture
def backwards():
    """The operator's one short function, taken out again afterwards."""

    @onnxlrp.operator("Backwards", domain="my.domain")
    def transpose(op, call, operand, r):
        """The same again: it is its own transpose."""
        return op.Mul(op.Slice(r, op.ints([-1]), op.ints([-(2**31)]), op.ints([-1]), op.ints([-1])), 2.0)

    yield transpose
    onnxlrp.unregister_operator("Backwards", "my.domain")


def network(domain: str = "") -> onnx.ModelProto:
    """Two dense layers with a ReLU between them, and the custom operator where a domain is given."""
    rng = np.random.default_rng(2)
    nodes = [helper.make_node("Gemm", ["x", "w", "b"], ["h"]), helper.make_node("Relu", ["h"], ["a"])]
    if domain:
        nodes.append(helper.make_node("Backwards", ["a"], ["c"], domain=domain))
    nodes.append(helper.make_node("Gemm", ["c" if domain else "a", "v"], ["y"]))
    weights = {"w": rng.normal(size=(4, 5)), "b": rng.normal(size=5), "v": rng.normal(size=(5, 3))}
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.DOUBLE, ["N", 4])],
        [helper.make_tensor_value_info("y", TensorProto.DOUBLE, ["N", 3])],
        [onnx.numpy_helper.from_array(v, k) for k, v in weights.items()],
        value_info=[helper.make_tensor_value_info("c", TensorProto.DOUBLE, ["N", 5])] if domain else [],
    )
    opsets = [helper.make_opsetid("", 21), *([helper.make_opsetid(domain, 1)] if domain else [])]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def outputs(explained: onnxlrp.Explained) -> dict[str, np.ndarray]:
    proto = explained.to_proto()
    evaluator = ReferenceEvaluator(proto, new_ops=[Backwards])
    values = evaluator.run(None, {"x": np.random.default_rng(3).normal(size=(6, 4))})
    return dict(zip([o.name for o in proto.graph.output], values, strict=True))


@pytest.mark.parametrize("ledger", [False, True])
def test_a_made_up_operator(backwards, ledger):
    explained = onnxlrp.convert(network("my.domain"), "epsilon", ledger=ledger)
    assert any(step.operator == "Backwards" and step.why for step in explained.plan.steps)
    values = outputs(explained)
    without_bias = values["x_relevance"].sum()
    if ledger:
        table = values["relevance_ledger"]
        np.testing.assert_allclose(table[:, 0], table[:, 1:].sum(1), atol=1e-9)
        np.testing.assert_allclose(table[0, 0], without_bias + table[:, 2:].sum(), atol=1e-9)
    gradient = outputs(onnxlrp.convert(network("my.domain"), "gradient"))["x_relevance"]
    plain = outputs(onnxlrp.convert(network("my.domain"), "lrp0"))["x_relevance"]
    x = np.random.default_rng(3).normal(size=(6, 4))
    np.testing.assert_allclose(plain, gradient * x, atol=1e-12)


def test_without_its_handler_it_is_refused():
    with pytest.raises(onnxlrp.errors.UnsupportedOperatorError, match=r"my\.domain::Backwards"):
        onnxlrp.convert(network("my.domain"), "epsilon")


def test_two_handlers_for_one_operator_are_a_mistake(backwards):
    with pytest.raises(InputError, match=r"my\.domain::Backwards.*unregister_operator"):
        onnxlrp.operator("Backwards", domain="my.domain")(backwards)
    with pytest.raises(InputError, match=r"two handlers for ai\.onnx::Conv: onnxlrp brings one along"):
        onnxlrp.operator("Conv", domain="ai.onnx")(backwards)


@pytest.fixture
def written_out():
    """The same operator, written out in ONNX's own as the model is read."""

    @onnxlrp.operator("Backwards", domain="my.domain", kind="decomposed")
    def write_out(op, call):
        """Written out: a slice, doubled."""
        x = call.operand(0)
        return [op.Mul(op.Slice(x, op.ints([-1]), op.ints([-(2**31)]), op.ints([-1]), op.ints([-1])), 2.0)]

    yield write_out
    onnxlrp.unregister_operator("Backwards", "my.domain")


def test_a_made_up_operator_that_is_written_out(written_out):
    """The explained model needs nothing of its domain any more, and every rule goes through what it is made of."""
    plain = onnxlrp.convert(network("my.domain"), "lrp0")
    assert [o.domain for o in plain.to_proto().opset_import] == [""]
    assert {step.operator for step in plain.plan.steps} >= {"Slice", "Mul"}
    x = np.random.default_rng(3).normal(size=(6, 4))
    source = ReferenceEvaluator(network("my.domain"), new_ops=[Backwards])
    np.testing.assert_allclose(outputs(plain)["y"], source.run(None, {"x": x})[0], atol=1e-12)
    gradient = outputs(onnxlrp.convert(network("my.domain"), "gradient"))["x_relevance"]
    np.testing.assert_allclose(outputs(plain)["x_relevance"], gradient * x, atol=1e-12)


@pytest.fixture
def stopping():
    """The same operator, at which relevance ends."""
    onnxlrp.stopping_operator("Backwards", domain="my.domain", reason="a secret")
    yield
    onnxlrp.unregister_operator("Backwards", "my.domain")


def test_a_made_up_operator_at_which_relevance_ends(stopping):
    with pytest.raises(NothingToExplainError, match="a secret"):
        onnxlrp.convert(network("my.domain"), "epsilon")


def test_registering_and_taking_out():
    """A second `unregister_operator`, one of an operator that onnxlrp brings along, kinds and options that are none."""
    onnxlrp.operator("Mine", domain="my.domain", when=lambda node: True)(lambda op, call, operand, r: r)
    onnxlrp.operator("Mine", domain="my.domain")(lambda op, call, operand, r: r)
    assert [row.domain for row in registry.table() if row.operator == "Mine"] == ["my.domain"]
    onnxlrp.unregister_operator("Mine", "my.domain")
    assert not registry.is_known("my.domain", "Mine")
    for name, domain in (("Mine", "my.domain"), ("Conv", "")):
        with pytest.raises(InputError, match=name):
            onnxlrp.unregister_operator(name, domain)
    with pytest.raises(InputError, match=r"kind is one of .*stopping_operator"):
        onnxlrp.operator("Mine", kind="stop")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="no option 'colour'; there are: operands, "):
        onnxlrp.operator("Mine", colour="blue")
    with pytest.raises(InputError, match=r"linearity is one of product, sum, .*, not 'joint'"):
        onnxlrp.operator("Mine", linearity="joint")


@dataclasses.dataclass(frozen=True)
class Evenly(Rule):
    """A made-up rule: half as ε, half evenly over the inputs. It names no operator."""

    def shares(self) -> tuple[Share, ...]:
        return (Share((Term(SAME, SAME, SAME),), 0.5), Share((Term(ONE, ONE),), 0.5))


@dataclasses.dataclass(frozen=True)
class Eager(Rule):
    """A made-up rule of one term: positive inputs, all weights."""

    def shares(self) -> tuple[Share, ...]:
        return (Share((Term(PLUS, SAME),)),)


def test_a_made_up_rule():
    """It works on layers of any kind, and what it drops or its biases take is in the ledger."""
    explained = onnxlrp.convert(network(), "epsilon", rules=[("Gemm", Evenly())], ledger=True)
    assert [step.rule for step in explained.plan.steps if step.layer] == [Evenly(), Evenly()]
    values = outputs(explained)
    table = values["relevance_ledger"]
    np.testing.assert_allclose(table[:, 0], table[:, 1:].sum(1), atol=1e-9)
    np.testing.assert_allclose(table[0, 0], values["y"].max(1).sum(), rtol=1e-6)
    np.testing.assert_allclose(table[0, 0], values["x_relevance"].sum() + table[:, 2:].sum(), atol=1e-9)
    assert np.isfinite(outputs(onnxlrp.convert(network(), "epsilon", rules=[("Gemm", Eager())]))["x_relevance"]).all()


@dataclasses.dataclass(frozen=True)
class Halves(composites.Composite):
    """A made-up composite: one rule for dense layers, another for all others."""

    gamma: float = 0.5

    def layer(self, role: composites.Role) -> tuple[Rule, str]:
        return (Gamma(self.gamma), "dense") if role.kind == "dense" else (Evenly(), "any other layer")


@pytest.fixture
def named():
    """A class, an object and an object with overrides under names of their own."""
    made = {"halves": Halves, "quarter": Halves(0.25), "over": composites.Overridden(Halves(), (("Gemm", Evenly()),))}
    for name, composite in made.items():
        composites.register(name, composite)
    yield
    for name in made:
        composites.unregister(name)


@pytest.mark.parametrize(
    ("text", "rule"),
    [("halves", Gamma(0.5)), ("halves(gamma=2)", Gamma(2)), ("quarter", Gamma(0.25)), ("over", Evenly())],
)
def test_a_made_up_composite_by_name(named, text, rule):
    assert [s.rule for s in onnxlrp.inspect(network(), text).steps if s.layer] == [rule, rule]
    assert text.partition("(")[0] in {row.composite.partition("(")[0] for row in composites.table()}


def test_a_made_up_composite_in_a_file(named, tmp_path):
    """The file's own rules are tried first, then those of the composite that it names."""
    file = tmp_path / "ours.toml"
    file.write_text('composite = "over"\n[[rules]]\nmatch = "y"\nrule = "ZPlus"\n')
    assert composites.parse(file) == composites.Overridden(Halves(), (("y", ZPlus()), ("Gemm", Evenly())))


def test_names_of_composites(named):
    """Names that are taken or are none, things that are no composite, and names that nobody registered."""
    for name, composite in (("auto", Halves), ("halves", Halves), ("a b", Halves), ("thing", Gamma(0.5))):
        with pytest.raises(InputError):
            composites.register(name, composite)
    with pytest.raises(InputError, match="no composite 'auto' was registered; there are: halves, quarter, over"):
        composites.unregister("auto")
    with pytest.raises(InputError, match="halves"):
        onnxlrp.inspect(network(), "thing")
    with pytest.raises(InputError, match=r"write halves\("):
        onnxlrp.inspect(network(), "halves(beta=1)")


def test_relevance_of_a_sum_of_two_is_not_passed():
    """Each of two operands would get all of it."""
    node = helper.make_node("Add", ["a", "x"], ["y"], "sum")
    double = helper.make_node("Mul", ["x", "two"], ["a"], "double")
    ends = [helper.make_tensor_value_info(n, TensorProto.DOUBLE, ["N", 4]) for n in "xy"]
    two = [onnx.numpy_helper.from_array(np.full(4, 2.0), "two")]
    graph = helper.make_graph([double, node], "residual", ends[:1], ends[1:], two)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    with pytest.raises(InputError, match="no step on the path takes the override for 'Add'"):
        onnxlrp.convert(model, "epsilon", rules=[("Add", Pass())])
    assert onnxlrp.inspect(model, "epsilon", rules=[("Mul", Pass())]).steps[-1].rule == Pass()


def test_a_made_up_rule_by_hand():
    """Of the last layer, checked with dense matrices."""
    explained = onnxlrp.convert(network(), "epsilon", rules=[("Gemm", Evenly())], relevance_at=["a"])
    values = outputs(explained)
    interface = Interface.from_metadata({p.key: p.value for p in explained.to_proto().metadata_props})
    assert interface is not None
    weights = {t.name: onnx.numpy_helper.to_array(t) for t in network().graph.initializer}
    x = np.random.default_rng(3).normal(size=(6, 4))
    a = np.maximum(x @ weights["w"] + weights["b"], 0)
    y = a @ weights["v"]
    seed = np.where(y == y.max(1, keepdims=True), y, 0)
    epsilon = y + np.where(y >= 0, 1e-6, -1e-6)
    expected = 0.5 * a * ((seed / epsilon) @ weights["v"].T)
    expected += 0.5 * (seed / (5 + 1e-6)) @ np.ones((3, 5))
    np.testing.assert_allclose(values[interface.relevance_at["a"]], expected, atol=1e-12)
