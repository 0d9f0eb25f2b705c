"""A user's program that mypy checks as `mypy --strict` does (pyproject.toml says so); nothing runs it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

import onnxlrp
from onnxlrp.composites import Composite, EpsilonPlus, Role
from onnxlrp.rules import Epsilon, Gamma, Rule, ZPlus


class Ours(Composite):
    """A composite of the user's own."""

    def layer(self, role: Role) -> tuple[Rule, str]:
        return (ZPlus() if role.kind == "convolution" else Epsilon()), role.kind


def convert(path: Path) -> onnxlrp.Explained:
    """Convert with an override, read the plan, save."""
    plan: onnxlrp.Plan = onnxlrp.inspect(path, EpsilonPlus(), rules=[("/head/*", Gamma(0.1)), ("Conv", "ZPlus")])
    steps: list[onnxlrp.Step] = plan.steps
    rows: list[onnxlrp.PlanRow] = plan.rows()
    print(len(steps), [row.why for row in rows], plan.unsupported)
    rules: list[tuple[Callable[[onnxlrp.Step], bool], Rule]] = [(lambda step: step.operator == "Conv", ZPlus())]
    explained = onnxlrp.convert(path, Ours(), rules=rules, ledger=True, relevance_at=["a"], check=True)
    comparison: onnxlrp.Comparison | None = explained.comparison
    print(comparison.text if comparison is not None else explained.interface.relevance)
    explained.save("model.lrp.onnx", share_weights=False)
    return explained


def explain(explained: onnxlrp.Explained, x: np.ndarray) -> dict[str, np.ndarray]:
    """Explain one batch and many."""
    explainer = onnxlrp.Explainer(explained, providers=["CPUExecutionProvider"])
    face: onnxlrp.Interface = explainer.interface
    explanation: onnxlrp.Explanation = explainer({"x": x}, target=[1, 2])
    ledger: onnxlrp.Ledger | None = explanation.ledger
    totals: dict[str, float] = {} if ledger is None else ledger.totals
    sums = [float(one.relevance["x"].sum()) for one in explainer.map({"x": x}, 2)]
    results: onnxlrp.Results = explainer.map({"x": x}, 2, to="results")
    weights: np.ndarray = onnxlrp.contrastive(1, classes=3)
    reasons: list[tuple[onnxlrp.Reason, ...]] = explanation.reasons(top=2, against=True)
    print(reasons[0][0].column, explanation.to_frame("polars"), explainer(Path("rows.csv"), ids="customer").ids)
    explanation.plot("bars", samples=0, top=5).savefig("bars.png")
    print(face.output, totals, sums, results["x_relevance"].shape, weights.shape)
    return explanation.relevance


def mistakes(explained: onnxlrp.Explained) -> None:
    """The checker finds these: mypy reports an ignored line that has no error."""
    onnxlrp.convert("model.onnx", compsite="epsilon")  # type: ignore[call-arg]
    onnxlrp.convert("model.onnx", target="klass")  # type: ignore[arg-type]
    onnxlrp.convert("model.onnx", rules=[("Conv", 3)])  # type: ignore[list-item]
    onnxlrp.explain(explained, 3, idz="customer").reasons("four")  # type: ignore[arg-type]
    explained.save(3)  # type: ignore[arg-type]
    onnxlrp.composites.register("ours", "epsilon")  # type: ignore[arg-type]
    onnxlrp.operator("Mine", kind="stop")  # type: ignore[arg-type]


def evaluate(path: Path, x: np.ndarray) -> str | None:
    """Measure two composites and an explanation of one's own."""
    found: onnxlrp.Evaluation = onnxlrp.evaluate(path, {"x": x}, ["auto", EpsilonPlus()], explanations={"own": x})
    figure: onnxlrp.Figure = found.figure("auto", "area")
    difference: onnxlrp.Difference = found.difference("auto", "own")
    print(figure.mean, figure.low, figure.high, found.to_dict()["units"])
    return difference.better


def tune(path: Path, x: np.ndarray) -> onnxlrp.Explained:
    """Tune, compare, write the rules, and convert with them."""
    tuning: onnxlrp.Tuning = onnxlrp.tune(path, {"x": x}, ["epsilon", EpsilonPlus()], budget=20, held_out=[0, 1])
    candidates: tuple[onnxlrp.TuningCandidate, ...] = tuning.candidates
    difference: onnxlrp.Difference = tuning.difference(tuning.best_preset)
    print(tuning.name, tuning.auto_stays, candidates[0].area, difference.better, tuning.to_dict()["toml"])
    tuning.save("rules.toml")
    return onnxlrp.convert(path, tuning.composite)
