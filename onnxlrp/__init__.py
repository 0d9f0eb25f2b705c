"""Relevance for deployed models: turns an ONNX file into the same model with its explanation as further outputs.

Convert a model once, anywhere; run the result in any ONNX runtime, or in `Explainer`:

```python
import onnxlrp

explained = onnxlrp.convert("model.onnx", composite="epsilon_plus")
explained.save("model.lrp.onnx")

explainer = onnxlrp.Explainer("model.lrp.onnx")
explanation = explainer({"image": x})
explanation.relevance["image"]  # numpy, in the shape of x
```

- `convert` adds relevance outputs to a model and returns an `Explained`; `inspect` returns the `Plan` alone.
- `Explainer` runs an explained model and returns an `Explanation`, or `Results` in a folder for many samples.
- `explain` explains a trained estimator of scikit-learn, XGBoost, LightGBM or CatBoost in one call.
- `evaluate` measures explanations on your own model and data, and returns an `Evaluation`.
- `tune` searches for the rules that explain best there, and returns a `Tuning`, whose composite file `convert` reads.
- `concepts_of` studies what channels of an inner value stand for, and returns a `ConceptStudy`.
- `clusters_of` looks for samples that are explained unlike the rest of their class, and returns `Clusters`.
- `report` writes a page about a model and a few samples: explanations side by side, plan, graph and warnings.
- `onnxlrp.rules` holds the rules for layers; the composites in `onnxlrp.composites` choose a rule for each layer.
- `operator`, `stopping_operator` and `unregister_operator` teach onnxlrp operators of your own.
- `contrastive` makes weights that compare a class with others; `with_covers` tells a tree ensemble its sample counts,
  which `covers_of` reads from the trained model.
- `onnxlrp.errors` holds every error and warning.

A call's help, such as `help(onnxlrp.convert)`, describes every parameter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnxlrp import late_names
from onnxlrp._version import __version__

if TYPE_CHECKING:
    from onnxlrp import composites, errors, rules
    from onnxlrp.concepts.cluster_report import Cluster, Clusters
    from onnxlrp.concepts.concept_study import ConceptStudy, RankedChannel
    from onnxlrp.concepts.find_clusters import clusters_of
    from onnxlrp.concepts.region_shares import RegionShares
    from onnxlrp.concepts.study_concepts import concepts_of
    from onnxlrp.convert import convert, inspect
    from onnxlrp.evaluation.evaluate_model import evaluate
    from onnxlrp.evaluation.evaluation_result import Difference, Evaluation, Figure
    from onnxlrp.evaluation.tune_model import tune
    from onnxlrp.evaluation.tuning_result import Tuning, TuningCandidate
    from onnxlrp.explained import Explained
    from onnxlrp.integrations.explain_estimator import explain
    from onnxlrp.interface import Interface
    from onnxlrp.operators.own import operator, stopping_operator, unregister_operator
    from onnxlrp.plan.steps import Plan, PlanRow, Step
    from onnxlrp.reporting.make_report import report
    from onnxlrp.runtime.checking import Comparison
    from onnxlrp.runtime.contrast import contrastive
    from onnxlrp.runtime.explainer import Explainer
    from onnxlrp.runtime.explanation import Explanation
    from onnxlrp.runtime.ledger_table import Ledger
    from onnxlrp.runtime.results import Results
    from onnxlrp.trees.covers import with_covers
    from onnxlrp.trees.trainer_covers import covers_of
    from onnxlrp.view.reasons import Reason

__all__ = [
    "Cluster",
    "Clusters",
    "Comparison",
    "ConceptStudy",
    "Difference",
    "Evaluation",
    "Explained",
    "Explainer",
    "Explanation",
    "Figure",
    "Interface",
    "Ledger",
    "Plan",
    "PlanRow",
    "RankedChannel",
    "Reason",
    "RegionShares",
    "Results",
    "Step",
    "Tuning",
    "TuningCandidate",
    "__version__",
    "clusters_of",
    "composites",
    "concepts_of",
    "contrastive",
    "convert",
    "covers_of",
    "errors",
    "evaluate",
    "explain",
    "inspect",
    "operator",
    "report",
    "rules",
    "stopping_operator",
    "tune",
    "unregister_operator",
    "with_covers",
]

_HOMES = {
    "Cluster": "concepts.cluster_report",
    "Clusters": "concepts.cluster_report",
    "Comparison": "runtime.checking",
    "ConceptStudy": "concepts.concept_study",
    "Difference": "evaluation.evaluation_result",
    "Evaluation": "evaluation.evaluation_result",
    "Explained": "explained",
    "Explainer": "runtime.explainer",
    "Explanation": "runtime.explanation",
    "Figure": "evaluation.evaluation_result",
    "Interface": "interface",
    "Ledger": "runtime.ledger_table",
    "Plan": "plan.steps",
    "PlanRow": "plan.steps",
    "RankedChannel": "concepts.concept_study",
    "Reason": "view.reasons",
    "RegionShares": "concepts.region_shares",
    "Results": "runtime.results",
    "Step": "plan.steps",
    "Tuning": "evaluation.tuning_result",
    "TuningCandidate": "evaluation.tuning_result",
    "clusters_of": "concepts.find_clusters",
    "concepts_of": "concepts.study_concepts",
    "contrastive": "runtime.contrast",
    "convert": "convert",
    "covers_of": "trees.trainer_covers",
    "evaluate": "evaluation.evaluate_model",
    "explain": "integrations.explain_estimator",
    "inspect": "convert",
    "operator": "operators.own",
    "report": "reporting.make_report",
    "stopping_operator": "operators.own",
    "tune": "evaluation.tune_model",
    "unregister_operator": "operators.own",
    "with_covers": "trees.covers",
}
"""Module of each public name, which is imported at the first use of a name."""


late_names.install(__name__, _HOMES)
