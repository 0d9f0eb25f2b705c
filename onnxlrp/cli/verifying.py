"""`onnxlrp verify` and `onnxlrp audit`, which read files of results."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from onnxlrp.cli import command_options as opt
from onnxlrp.cli.application import FOUND, guarded
from onnxlrp.cli.arguments import files_and_texts, print_json, references_of, usage
from onnxlrp.view import terminal


@guarded
def verify(
    record: Annotated[Path, typer.Argument(metavar="RECORD", help="A file of results, or the .record.json beside it.")],
    model: Annotated[
        Path | None,
        typer.Option("--model", metavar="FILE", help="The source (default: the one with its hash beside RECORD)."),
    ] = None,
    input: opt.Files = [],
    text: opt.Texts = [],
    tokenizer: opt.TokenizerFile = None,
    reference: opt.References = [],
    id: opt.Ids = [],
    background: opt.BackgroundFile = None,
    tolerance: Annotated[
        float | None,
        typer.Option(
            min=0,
            metavar="X",
            help="Largest difference relative to the largest relevance (default: equal bits where version, platform "
            "and provider are the same, else 0.001).",
        ),
    ] = None,
    no_run: Annotated[bool, typer.Option("--no-run", help="Build the model again, but do not run it.")] = False,
    as_json: opt.Json = False,
    debug: opt.Debug = False,
) -> None:
    """Build and run a recorded explanation again, and say what of its record holds."""
    from onnxlrp.records.verify import verify as verify_record

    given: Any = files_and_texts(input, text, tokenizer, id)
    options: dict[str, Any] = {"background": background, "tolerance": tolerance, "run": not no_run}
    compared = references_of(reference) or None
    with terminal.progress(f"verifying {record}"):
        verification = verify_record(record, model, given or None, reference=compared, **options)
    if as_json:
        print_json(verification.to_json())
    else:
        for finding in verification.findings:
            terminal.say(str(finding))
    if not verification.ok:
        count = len(verification.problems)
        terminal.tell("error", f"{count} of {len(verification.findings)} statements do not hold or were not checked")
        terminal.tell("more", "onnxlrp help record")
        raise typer.Exit(FOUND)


@guarded
def audit(
    results: Annotated[
        Path, typer.Argument(metavar="RESULTS", help="A folder or a file of many explanations.", show_default=False)
    ],
    baseline: Annotated[
        Path | None, typer.Option("--baseline", metavar="FOLDER", help="Explanations to compare with, folder or file.")
    ] = None,
    bound: Annotated[
        float, typer.Option(metavar="X", help="Least nDCG of a ranking that counts as the same, 0 to 1.")
    ] = 0.9,
    top: Annotated[int, typer.Option(min=1, metavar="N", help="Features to show, the most relevant first.")] = 20,
    as_json: opt.Json = False,
    debug: opt.Debug = False,
) -> None:
    """Rank features by their mean absolute relevance over many explanations, and measure the drift of the ranking."""
    from onnxlrp.records.audit import audit as audit_results
    from onnxlrp.view import tables

    usage(_bound, bound, "--bound")
    with terminal.progress(f"reading {results}"):
        done = audit_results(results, baseline, bound=bound)
    if as_json:
        print_json(done.to_json())
    else:
        terminal.show(tables.audit_table(done.features[:top], done.rows, done.baseline_rows))
        if len(done.features) > top:
            terminal.say(f"and {len(done.features) - top:,} more; --top N shows N, --json all")
        for note in done.notes:
            terminal.tell("note", note)
        if done.verdict and not done.drifted:
            terminal.say(done.verdict)
    if done.drifted:
        terminal.tell("error", done.verdict)
        terminal.tell("more", "onnxlrp help drift")
        raise typer.Exit(FOUND)


def _bound(bound: float) -> float:
    from onnxlrp.errors import InputError

    if not 0 <= bound <= 1:
        raise InputError(f"{bound:g} is no number from 0 to 1")
    return bound
