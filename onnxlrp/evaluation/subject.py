"""The subject of a measurement: a model, samples, the explained scores, and what is removed from the samples."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from onnxlrp.convert import convert
from onnxlrp.evaluation.arguments_of_evaluate import find_tokenizer, mask_token_of
from onnxlrp.evaluation.baselines import Baseline, make_baseline
from onnxlrp.evaluation.evaluated_data import EvaluatedData, read_data
from onnxlrp.evaluation.explaining_batches import ChosenScores, choose
from onnxlrp.evaluation.explanation_methods import ByComposite
from onnxlrp.evaluation.removal import Advance, Removal
from onnxlrp.evaluation.score_model import ScoreModel
from onnxlrp.evaluation.units import Units, make_units
from onnxlrp.plan import Plan
from onnxlrp.runtime.explainer import Explainer


@dataclasses.dataclass(frozen=True, eq=False)
class Subject:
    """Everything that all explanations of a measurement have in common."""

    model: Any
    """Model to convert."""
    options: Mapping[str, Any]
    """Arguments of `convert`."""
    plan: Plan
    """Plan of the default composite."""
    sha256: str
    """Hash of the model, as an explained file names it."""
    score: ScoreModel
    data: EvaluatedData
    chosen: ChosenScores
    units: Units
    baseline: Baseline
    providers: Sequence[Any] | None

    def removal(self, advance: Advance) -> Removal:
        """Make a removal that has computed nothing yet."""
        places = self.chosen.places(self.score, self.data)
        return Removal(self.score, self.data, self.units, self.baseline, places, advance)

    def by_composite(self, name: str, composite: Any, *, ledger: bool = True) -> ByComposite:
        """Return the explanations of these samples by a composite."""
        parts = self.score, self.data, self.chosen
        return ByComposite(name, composite, self.model, self.options, *parts, self.providers, ledger)

    def taking(self, rows: np.ndarray) -> Subject:
        """Return a copy that holds some of the samples only."""
        parts: dict[str, Any] = {"data": self.data, "chosen": self.chosen}
        parts |= {"units": self.units, "baseline": self.baseline}
        return dataclasses.replace(self, **{name: part.taking(rows) for name, part in parts.items()})


def subject_of(given: Mapping[str, Any]) -> Subject:
    """Prepare the subject from the arguments of `onnxlrp.evaluate` or `onnxlrp.tune`, by their names."""
    return prepare_subject(**{name: given[name] for name in inspect.signature(prepare_subject).parameters})


def prepare_subject(
    model: Any,
    data: Any,
    *,
    output: str | None,
    inputs: Sequence[str] | None,
    explain_probability: bool,
    background: Any,
    target_kind: str,
    target: Any,
    position: Any,
    units: Any,
    unit_size: int | None,
    baseline: Any,
    mask_token: int | None,
    batch_size: int | None,
    providers: Sequence[Any] | None,
    tokenizer: Any,
    preprocess: str,
    seed: int,
) -> Subject:
    """Read model and data, choose the scores, and decide what is removed, as `onnxlrp.evaluate` describes it."""
    options: dict[str, Any] = {
        "output": output,
        "inputs": inputs,
        "explain_probability": explain_probability,
        "background": background,
        "target": target_kind,
    }
    first = convert(model, **options)
    tokenizer = find_tokenizer(tokenizer, model)
    explainer = Explainer(first, providers, tokenizer)
    samples = read_data(explainer, data, batch_size, preprocess)
    parts = make_units(samples, units, unit_size)
    return Subject(
        model=model,
        options=options,
        plan=first.plan,
        sha256=first.interface.source_sha256,
        score=ScoreModel.of(first, providers),
        data=samples,
        chosen=choose(explainer, samples, target, position),
        units=parts,
        baseline=make_baseline(samples, parts, baseline, mask_token_of(mask_token, tokenizer), seed),
        providers=providers,
    )
