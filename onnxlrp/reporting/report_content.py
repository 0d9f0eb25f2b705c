"""Everything that a report shows, before it is written as a page."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from onnxlrp.evaluation.evaluation_result import Evaluation
from onnxlrp.interface import Interface
from onnxlrp.plan import Plan
from onnxlrp.runtime.cautions import Caution
from onnxlrp.runtime.explanation import Explanation


@dataclasses.dataclass(frozen=True, eq=False)
class ComparedExplanation:
    """The explanation of the samples by one composite."""

    name: str
    """The composite as it was asked for."""
    purpose: str
    """Sentence that says what the composite is for; empty if none is known."""
    plan: Plan
    interface: Interface
    explanation: Explanation
    cautions: Sequence[Caution]


@dataclasses.dataclass(frozen=True, eq=False)
class ReportContent:
    """Everything that a report shows."""

    model: str
    """Name of the model's file."""
    compared: Sequence[ComparedExplanation]
    """Explanations of the same samples; the first one's plan and graph are shown."""
    shown: int
    """Number of samples that are shown."""
    labels: Sequence[str]
    """Names of the classes; empty if none are known."""
    evaluation: Evaluation | None
    """Perturbation curves of the explanations; None if they were not asked for, or could not be computed."""
    notes: Sequence[str]
    """Sentences about what was left out."""

    @property
    def first(self) -> ComparedExplanation:
        """The explanation whose plan and graph are shown."""
        return self.compared[0]
