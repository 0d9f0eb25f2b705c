"""Explanation of many samples by `onnxlrp explain`, written batch by batch to a folder."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from onnxlrp import runtime
from onnxlrp.cli.arguments import print_json
from onnxlrp.cli.explained_samples import chosen_targets
from onnxlrp.errors import InputError
from onnxlrp.runtime import Explainer, text
from onnxlrp.runtime.cli_inputs import CliInputs
from onnxlrp.runtime.unnamed_files import spread
from onnxlrp.view import terminal
from onnxlrp.view.explanation_json import cautions_json


def explain_folder(
    model: Any,
    source: Path,
    given: CliInputs,
    asked: Mapping[str, Any],
    names: Sequence[str],
    as_json: bool,
    **options: Any,
) -> None:
    """Explain samples batch by batch, write the results to a folder, and print what was written.

    `source` is the model's file, or the file that it was converted from; `names` are those of providers, and `options`
    those of `Explainer.map`.
    """
    with terminal.cautions_heard() as cautions:
        results = _explain_many(model, source, given, asked, names, **options)
    if as_json:
        about = {"written": str(options["to"]), "samples": results.done, "batch_size": results.batch_size}
        print_json({**about, "cautions": cautions_json(cautions)})
    else:
        _show(results)


def _explain_many(
    model: Any, source: Path, given: CliInputs, asked: Mapping[str, Any], names: Sequence[str], **options: Any
) -> runtime.Results:
    explainer = Explainer(model, list(names) or None, given.tokenizer or text.beside(source))
    found = spread(given.inputs, explainer.inputs, explainer.columns, given.ids)
    inputs: dict[str, Any] = {}
    for name, value in (*found.files, *given.texts):
        inputs.setdefault(name, []).append(value)
    mixed = [name for name, _ in given.texts if name in dict(given.inputs)]
    if mixed:
        raise InputError(f"input {mixed[0]!r} is given as --input and as --text: for a folder of results, one of them")
    chosen = chosen_targets(asked)
    whole = dataclasses.replace(found.table, inputs={**inputs, **found.table.inputs})
    try:
        return explainer.map(whole, **chosen, **options, progress=True)
    except KeyboardInterrupt:
        folder = options["to"]
        done = runtime.Results(folder).done if (Path(folder) / "map.json").exists() else 0
        terminal.tell("stopped", f"{done} samples are in '{folder}'; the same command goes on from there")
        raise


def _show(results: runtime.Results) -> None:
    """Print the names and shapes of the arrays that were written."""
    terminal.say(f"wrote {results.done} samples to {results.folder}, a batch a file:")
    if results.samples == 1:
        terminal.say("  (a name without suffix is a folder; -o NAME.png, .html, .csv, .json or .npz writes one file)")
    for name, array in next(results.batches()).items():
        terminal.say(f"  {name} {array.dtype} {list(array.shape)}")
