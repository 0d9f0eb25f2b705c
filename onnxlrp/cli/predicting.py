"""`onnxlrp explain --no-explain`: the predictions of a model that computes relevance on demand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

from onnxlrp.cli.arguments import print_json
from onnxlrp.cli.explained_samples import chosen_targets
from onnxlrp.runtime import Explainer
from onnxlrp.runtime.cli_inputs import Data
from onnxlrp.runtime.joined import join
from onnxlrp.view import explanation_json, terminal


def check_predicts(opened: Any, model: Path, out: Path | None, others: Mapping[str, object]) -> None:
    """Refuse, as wrong usage, a model without a switch, a file of relevance, and options about relevance."""
    hint = "--no-explain"
    if opened.interface is None or opened.interface.explain_input is None:
        raise typer.BadParameter(
            f"'{model}' was not converted with --on-demand, so it cannot leave relevance out", param_hint=hint
        )
    if out is not None and out.suffix:
        raise typer.BadParameter(
            f"there is no relevance to write to '{out}': -o DIR writes outputs, --json prints them", param_hint=hint
        )
    given = [name for name, value in others.items() if value]
    if given:
        raise typer.BadParameter("it is about relevance, and --no-explain computes none", param_hint=given[0])


def predict(model: Any, data: Data, asked: Mapping[str, Any], providers: Sequence[str], as_json: bool) -> None:
    """Run a model without relevance, and print its target and score for each sample; as JSON its outputs too."""
    explainer = Explainer(model, providers=list(providers) or None)
    chosen = chosen_targets(asked)
    with terminal.progress("running the model"):
        if data.batch_size is None:
            explanation = explainer(data.arrays, **chosen, explain=False)
        else:
            explanation = join(list(explainer.map(data.arrays, **chosen, explain=False)))
    if as_json:
        about = {name: getattr(explanation, name) for name in ("target", "score", "outputs")}
        print_json(explanation_json.plain(about))
    else:
        for line in str(explanation).splitlines():
            terminal.say(line)
