"""Family of a model, by the operators that relevance passes."""

from __future__ import annotations

from typing import Literal

from onnxlrp.plan.steps import Plan, every_step

Family = Literal["trees", "attention", "convolutions", "dense"]
_REASONS: dict[Family, str] = {
    "trees": "the model is a tree ensemble, whose exact Shapley values every composite gives",
    "attention": "the model has attention, and auto decides by what it reads, such as text or patches of a picture, "
    "whether its weights get a share",
    "convolutions": "the model has convolutions, in which γ keeps both signs and suppresses the noise of ε",
    "dense": "the model has neither convolutions nor attention, so that ε loses little: auto stands for epsilon here",
}


def model_family(plan: Plan) -> Family:
    """Decide which family a model belongs to; dense and recurrent models are "dense"."""
    operators = {step.operator for step in every_step(plan.steps)}
    if any("TreeEnsemble" in operator for operator in operators):
        return "trees"
    if "Softmax" in operators or any("Attention" in operator for operator in operators):
        return "attention"
    return "convolutions" if "Conv" in operators else "dense"


def suggested_composite(plan: Plan) -> tuple[str, str]:
    """Name the composite to take first for a model, and the reason in words.

    On fifteen trained models of every family no preset was better than `auto` by more than chance (page *choosing*).
    """
    return "auto", _REASONS[model_family(plan)]
