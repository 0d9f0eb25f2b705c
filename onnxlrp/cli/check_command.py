"""`onnxlrp check`, which compares a model with its source."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from onnxlrp.cli import command_options as opt
from onnxlrp.cli.application import FOUND, guarded
from onnxlrp.cli.arguments import conversion, files_and_texts, print_json, usage
from onnxlrp.cli.converting import convert_with_ledger
from onnxlrp.printable import escaped
from onnxlrp.view import terminal


@guarded
def check(
    model: opt.Model,
    input: opt.Files = [],
    text: opt.Texts = [],
    tokenizer: opt.TokenizerFile = None,
    preprocess: opt.Preprocessing = "auto",
    composite: opt.Composite = "auto",
    rule: opt.Rules = [],
    output: opt.OutputName = None,
    target: opt.TargetKind = "class",
    seed: Annotated[int, typer.Option(help="Seed of the random inputs, if none are given.")] = 0,
    provider: opt.Providers = [],
    as_json: opt.Json = False,
    debug: opt.Debug = False,
) -> None:
    """Run source and explained model, compare their outputs, and show whether and where relevance is lost."""
    from onnxlrp.cli.checked_model import check as check_model
    from onnxlrp.cli.checked_model import checked_json, show_checked
    from onnxlrp.records.find_source import source_beside
    from onnxlrp.runtime.cli_inputs import load
    from onnxlrp.runtime.files import Preprocess
    from onnxlrp.runtime.reading import ModelFile, open_model
    from onnxlrp.view.explanation_json import cautions_json

    how = usage(Preprocess.parse, preprocess, "--preprocess")
    given = files_and_texts(input, text, tokenizer)
    options = conversion(composite, rule, output, [])
    opened = open_model(model)
    arrays = load(given, opened.inputs, how, model, opened.columns).arrays if given else None
    made: Any = model
    source: ModelFile | None
    if opened.interface is None:
        source, made = opened, convert_with_ledger(model, **options, target=target)
    elif (source := source_beside(model, opened.interface)) is not None:
        terminal.tell("note", f"compared with {escaped(source.place)}, which has the hash of this model's source")
    with terminal.progress("running both models"), terminal.cautions_heard() as cautions:
        checked = check_model(source, made, arrays, provider, seed)
    if as_json:
        print_json({**checked_json(checked), "cautions": cautions_json(cautions)})
    else:
        show_checked(checked, is_random=not given)
    if checked.problems:
        terminal.tell("error", "\n".join(checked.problems))
        raise typer.Exit(FOUND)
