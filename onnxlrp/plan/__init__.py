"""Turn the graph around: from the explained score to the inputs, every step with its rule and the reason."""

from onnxlrp.plan.narrow import single_score
from onnxlrp.plan.planner import make_plan
from onnxlrp.plan.steps import Overrides, Plan, PlanRow, Step, StepKind

__all__ = ["Overrides", "Plan", "PlanRow", "Step", "StepKind", "make_plan", "single_score"]
