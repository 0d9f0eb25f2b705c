"""Command line: `onnxlrp demo | convert | inspect | explain | check | operators | composites`."""

from __future__ import annotations

import dataclasses
import functools
import json
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, ParamSpec

import typer

from onnxlrp._version import __version__
from onnxlrp.errors import DefectError, InputError, OnnxLrpError, OutputsChangedError, TargetError
from onnxlrp.printable import escaped, escaped_json, escaped_lines
from onnxlrp.replacing import check_replaceable, files_of
from onnxlrp.targets import TARGETS, kind_named
from onnxlrp.view import terminal

app = typer.Typer(
    name="onnxlrp",
    help="Turn any ONNX model into an explained ONNX model: relevance (LRP) as further outputs.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
P = ParamSpec("P")
UNUSABLE = 3
"""Exit status if the model or the data cannot be used. (Status 2, wrong usage, is typer's own.)"""
FOUND = 4
"""Exit status if a check found something."""

Model = Annotated[Path, typer.Argument(metavar="MODEL", help="An ONNX file.", show_default=False)]
Composite = Annotated[
    str, typer.Option(metavar="NAME|FILE", help="Choice of rules: a name, NAME(option=value, ...) or a TOML file.")
]
Rules = Annotated[
    list[str], typer.Option("--rule", metavar="PATTERN=RULE", help="Override, first match wins: 'Conv=Gamma(0.1)'.")
]
OutputName = Annotated[str | None, typer.Option("--output", metavar="NAME", help="The output to explain.")]
InputNames = Annotated[list[str], typer.Option("--input", metavar="NAME", help="An input to explain (default: all).")]
Files = Annotated[
    list[str],
    typer.Option(
        "--input",
        metavar="NAME=FILE",
        help="Picture, .npy, .npz, .csv or text, a folder or a pattern such as 'pictures/*.png'; several files "
        "of a name make a batch.",
    ),
]
Texts = Annotated[
    list[str],
    typer.Option(
        "--text", metavar="NAME=TEXT", help="A text for an input of token ids; several of a name make a batch."
    ),
]
TokenizerFile = Annotated[
    Path | None,
    typer.Option(
        "--tokenizer",
        metavar="FILE",
        help="tokenizer.json or vocab.txt, for --text and .txt files (default: the one beside MODEL).",
    ),
]
Preprocessing = Annotated[
    str,
    typer.Option(
        metavar="HOW",
        help="Pixels of pictures for a float input: raw (0 to 255), unit (0 to 1), signed (-1 to 1), imagenet, or "
        "MEAN/STD for pixels of 0 to 1, such as 0.5,0.5,0.5/0.25,0.25,0.25.",
    ),
]
Providers = Annotated[
    list[str], typer.Option("--provider", metavar="NAME", help="onnxruntime provider (default: CUDA, else the CPU).")
]
TargetKind = Annotated[
    str,
    typer.Option(
        metavar="|".join(TARGETS),
        callback=lambda name: _usage(kind_named, name, "--target").name,
        help="Kind of target to explain.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for a program.")]
Force = Annotated[bool, typer.Option("--force", help="Overwrite existing files.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


def guarded(command: Callable[P, None]) -> Callable[P, None]:
    """Report every error of a command as a message and an exit status, never as a traceback."""

    @functools.wraps(command)
    def run(*args: P.args, **options: P.kwargs) -> None:
        debug = bool(options.get("debug"))
        with terminal.plain_warnings(debug):
            try:
                command(*args, **options)
            except typer.BadParameter as error:
                error.message = escaped_lines(error.message)
                raise
            except (typer.Exit, typer.Abort, BrokenPipeError):
                raise
            except OutputsChangedError as error:
                terminal.tell_error(_not_equal(error), debug)
                raise typer.Exit(FOUND) from error
            except (OnnxLrpError, OSError) as error:
                terminal.tell_error(error, debug)
            except Exception as error:
                terminal.tell_error(_defect(error), debug)
            else:
                return
        raise typer.Exit(UNUSABLE)

    return run


def _defect(error: Exception) -> DefectError:
    """Wrap an error that nobody foresaw in a DefectError, with its traceback."""
    defect = DefectError(error)
    defect.__cause__ = error
    return defect


def _not_equal(error: OutputsChangedError) -> OutputsChangedError:
    """Add to the error what the user can do."""
    return OutputsChangedError(
        f"{error}\nThis is a defect of onnxlrp, so nothing was written; --no-check writes the model all the same."
    )


def _show_version(wanted: bool) -> None:
    if wanted:
        terminal.say(f"onnxlrp {__version__}")
        raise typer.Exit


@app.callback()
def onnxlrp(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Turn any ONNX model into an explained ONNX model: relevance (LRP) as further outputs."""


@app.command(epilog="Example: onnxlrp demo my-folder")
@guarded
def demo(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to write to.")] = Path("onnxlrp-demo"),
    as_json: Json = False,
    force: Force = False,
    debug: Debug = False,
) -> None:
    """Convert and explain the bundled real model on the bundled real pictures."""
    from onnxlrp import demo as demonstration

    paths = [folder / name for name in demonstration.FILES]
    _refuse_overwriting(paths, force, demonstration.files_read, "DIR", makes_folder=True)
    with terminal.progress("opening the model", demonstration.STEPS) as step:
        done = demonstration.run(folder, step)
    if as_json:
        _print_json(dataclasses.asdict(done))
    else:
        demonstration.show(done)


@app.command(
    epilog="Example: onnxlrp convert model.onnx -o model.lrp.onnx --composite epsilon_plus; "
    "for a detector, to choose a box's score: onnxlrp convert yolo.onnx -o yolo.lrp.onnx --target element"
)
@guarded
def convert(
    model: Model,
    out: Annotated[Path, typer.Option("-o", "--out", metavar="OUT", help="The explained model to write.")],
    composite: Composite = "auto",
    rule: Rules = [],  # noqa: B006
    output: OutputName = None,
    input: InputNames = [],  # noqa: B006
    target: TargetKind = "class",
    targets: Annotated[int, typer.Option(min=1, metavar="K", help="Number of targets that one run explains.")] = 1,
    initial: Annotated[Literal["output", "one"], typer.Option(help="Relevance to start from.")] = "output",
    relevance_at: Annotated[list[str], typer.Option(metavar="NAME", help="Inner value to explain too.")] = [],  # noqa: B006
    ledger: Annotated[bool, typer.Option("--ledger", help="Add the conservation ledger.")] = False,
    explain_probability: Annotated[
        bool,
        typer.Option(
            "--explain-probability",
            help="Explain the output itself, without skipping a final softmax, sigmoid or the like.",
        ),
    ] = False,
    on_unsupported: Annotated[Literal["error", "stop"], typer.Option(help="Operators without a rule.")] = "error",
    target_input: Annotated[
        Literal["optional", "required", "none"], typer.Option(help="Form of the target in the explained model.")
    ] = "optional",
    precision: Annotated[Literal["float32", "model"], typer.Option(help="Arithmetic of the relevance.")] = "float32",
    share_weights: Annotated[
        bool, typer.Option("--share-weights", help="Refer to the source's external weight file.")
    ] = False,
    no_check: Annotated[
        bool, typer.Option("--no-check", help="Do not compare the outputs of source and explained model.")
    ] = False,
    as_json: Json = False,
    force: Force = False,
    debug: Debug = False,
) -> None:
    """Write the explained model: the same outputs, and the relevance of every input."""
    options = _conversion(composite, rule, output, input)
    _refuse_overwriting([out], force, functools.partial(files_of, model))
    explained = _convert(
        model,
        **options,
        target=target,
        targets=targets,
        initial=initial,
        relevance_at=tuple(relevance_at),
        ledger=ledger,
        explain_probability=explain_probability,
        on_unsupported=on_unsupported,
        target_input=target_input,
        precision=precision,
        check=not no_check,
    )
    with terminal.progress(f"writing {out}"):
        _usage(functools.partial(explained.save, share_weights=share_weights), out, "-o")
    if as_json:
        interface = dataclasses.asdict(explained.interface)
        checked = None if explained.comparison is None else dataclasses.asdict(explained.comparison)
        about = {"written": str(out), "interface": interface, "check": checked}
        _print_json({**about, "notes": explained.notes, "plan": _plan(explained)})
        return
    face = explained.interface
    terminal.say(f"wrote {out} ({out.stat().st_size / 1e6:.1f} MB): {face.composite}, explains {face.output!r}")
    for name, relevance in face.relevance.items():
        terminal.say(f"  relevance of {name!r} is output {relevance!r}")
    if explained.comparison is not None:
        terminal.say(f"  {explained.comparison.text}")


@app.command(epilog="Example: onnxlrp inspect model.onnx --composite 'epsilon_gamma_box(low=0, high=255)'")
@guarded
def inspect(
    model: Model,
    composite: Composite = "auto",
    rule: Rules = [],  # noqa: B006
    output: OutputName = None,
    input: InputNames = [],  # noqa: B006
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Show the rule of every node with the reason, and the nodes that are not supported, without converting."""
    options = _conversion(composite, rule, output, input)
    from onnxlrp.convert import inspect as inspect_model
    from onnxlrp.view import tables

    with terminal.progress(f"reading {model}"):
        plan = inspect_model(model, **options)
    unsupported = list(plan.unsupported)
    if as_json:
        rows = [{name: getattr(row, name) for name in ("node", "operator", "rule", "why")} for row in plan.rows()]
        _print_json({"composite": plan.title, "plan": rows, "unsupported": unsupported, "notes": list(plan.notes)})
    else:
        terminal.say(plan.title)
        terminal.show(tables.plan_table(plan.rows()))
        for note in plan.notes:
            terminal.say(terminal.note_text(note))
    if unsupported:
        listed = "\n".join(f"  {escaped(node)}" for node in unsupported)
        terminal.tell("error", f"{len(unsupported)} nodes have no rule, so convert would refuse:\n{listed}")
        raise typer.Exit(UNUSABLE)


@app.command(
    epilog="Example: onnxlrp explain model.onnx --input image=cat.jpg --target 285 -o cat.png; "
    "a text: onnxlrp explain bert.onnx --text input_ids='What a great film!' -o film.html; "
    "one box's score: onnxlrp explain detector.onnx --input images=street.jpg --element 4,6203 -o car.png"
)
@guarded
def explain(
    model: Model,
    input: Files = [],  # noqa: B006
    text: Texts = [],  # noqa: B006
    tokenizer: TokenizerFile = None,
    words: Annotated[bool, typer.Option("--words", help="Show texts by word: word pieces add up.")] = False,
    target: Annotated[
        list[int], typer.Option(metavar="N", help="Class to explain (default: the predicted one); one per sample or K.")
    ] = [],  # noqa: B006
    position: Annotated[
        list[int], typer.Option(metavar="N", help="Position of a token to explain (-1: the last).")
    ] = [],  # noqa: B006
    element: Annotated[
        list[str],
        typer.Option(
            metavar="INDICES",
            help="Element of the output to explain, by its indices after the batch axis, such as 3,17.",
        ),
    ] = [],  # noqa: B006
    weights: Annotated[Path | None, typer.Option(metavar="FILE", help=".npy with the weights of the output.")] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--out",
            metavar="OUT",
            help=".png (heatmap), .html (text), .npz, .npy, .json or .csv. A name without suffix is a folder for many "
            "samples, with an .npz for each batch; the same command continues after an interruption.",
        ),
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Samples in a batch, if OUT is a folder (default: 16).")
    ] = None,
    labels: Annotated[Path | None, typer.Option(metavar="FILE", help="Names of the classes, one a line.")] = None,
    preprocess: Preprocessing = "raw",
    composite: Composite = "auto",
    rule: Rules = [],  # noqa: B006
    output: OutputName = None,
    provider: Providers = [],  # noqa: B006
    as_json: Json = False,
    force: Force = False,
    debug: Debug = False,
) -> None:
    """Explain inputs; a MODEL that is not an explained one is converted first."""
    from onnxlrp import commands
    from onnxlrp.runtime.cli_inputs import load
    from onnxlrp.runtime.files import Preprocess
    from onnxlrp.runtime.reading import open_model
    from onnxlrp.view import saving

    how = _usage(Preprocess.parse, preprocess, "--preprocess")
    given = _given(input, text, tokenizer)
    if not given:
        raise typer.BadParameter("give NAME=FILE for every input, or --text NAME=TEXT", param_hint="--input")
    options = _conversion(composite, rule, output, [])
    many = out is not None and not out.suffix
    if batch_size is not None and not many:
        raise typer.BadParameter("it is for a folder of results: -o DIR", param_hint="--batch-size")
    if out is not None and not many:
        others = [file for file in (labels, weights, tokenizer) if file is not None]
        _refuse_overwriting([out], force, functools.partial(commands.files_read, model, given, others))
        _usage(saving.check_suffix, out, "-o")
    opened = open_model(model)
    names = commands.read_labels(labels)
    data = None if many else load(given, opened.inputs, how, model)
    if opened.interface is not None and (composite, rule, output) != ("auto", [], None):
        raise typer.BadParameter(f"'{model}' is explained already: --composite, --rule and --output are for convert")
    kind = "token" if position else "element" if element else "class" if weights is None else "weights"
    if element and (target or (opened.interface is not None and opened.interface.target != "element")):
        raise typer.BadParameter(
            "it is for a model with --target element, without --target here", param_hint="--element"
        )
    made = model if opened.interface is not None else _convert_for_target(model, **options, target=kind)
    chosen = _usage(_elements, element, "--element") or target
    asked = {"target": chosen, "position": position, "weights": commands.read_weights(weights)}
    if data is None:
        to = {"batch_size": batch_size, "to": out, "preprocess": preprocess}
        with terminal.cautions_heard() as cautions:
            results = commands.explain_many(made, model, given, asked, provider, **to)
        if as_json:
            about = {"written": str(out), "samples": results.done, "batch_size": results.batch_size}
            _print_json({**about, "cautions": commands.cautions_json(cautions)})
        else:
            commands.show_many(results)
        return
    with terminal.progress("running the model"), terminal.cautions_heard() as cautions:
        done = commands.explain(made, data, asked, names, provider, words)
    if out is not None:
        commands.save(done, out)
    if as_json:
        written = {"written": None if out is None else str(out)}
        _print_json({**commands.as_json(done), "cautions": commands.cautions_json(cautions), **written})
    else:
        commands.show(done)
        if out is not None:
            terminal.say(f"wrote {out}")


@app.command(epilog="Example: onnxlrp check model.onnx --input image=cat.jpg")
@guarded
def check(
    model: Model,
    input: Files = [],  # noqa: B006
    text: Texts = [],  # noqa: B006
    tokenizer: TokenizerFile = None,
    preprocess: Preprocessing = "raw",
    composite: Composite = "auto",
    rule: Rules = [],  # noqa: B006
    output: OutputName = None,
    target: TargetKind = "class",
    seed: Annotated[int, typer.Option(help="Seed of the random inputs, if none are given.")] = 0,
    provider: Providers = [],  # noqa: B006
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Run source and explained model, compare their outputs, and show whether and where relevance is lost."""
    from onnxlrp import commands
    from onnxlrp.runtime.cli_inputs import load
    from onnxlrp.runtime.files import Preprocess
    from onnxlrp.runtime.reading import open_model

    how = _usage(Preprocess.parse, preprocess, "--preprocess")
    given = _given(input, text, tokenizer)
    options = _conversion(composite, rule, output, [])
    opened = open_model(model)
    arrays = load(given, opened.inputs, how, model).arrays if given else None
    source, made = None, model
    if opened.interface is None:
        source, made = opened, _convert_with_ledger(model, **options, target=target)
    with terminal.progress("running both models"), terminal.cautions_heard() as cautions:
        report = commands.check(source, made, arrays, provider, seed)
    if as_json:
        _print_json({**commands.report_json(report), "cautions": commands.cautions_json(cautions)})
    else:
        commands.show_report(report, is_random=not given)
    if report.problems:
        terminal.tell("error", "\n".join(report.problems))
        raise typer.Exit(FOUND)


@app.command(epilog="Example: onnxlrp operators --json")
@guarded
def operators(as_json: Json = False, debug: Debug = False) -> None:
    """List every operator with the way in which relevance passes it."""
    from onnxlrp.operators import registry
    from onnxlrp.view import tables

    rows = registry.table()
    if as_json:
        _print_json([dataclasses.asdict(row) for row in rows])
    else:
        terminal.show(tables.operators_table(rows))


@app.command(epilog="Example: onnxlrp composites --json")
@guarded
def composites(as_json: Json = False, debug: Debug = False) -> None:
    """List every composite with its arguments and its purpose."""
    from onnxlrp.composites import table
    from onnxlrp.view import tables

    rows = table()
    if as_json:
        _print_json([dataclasses.asdict(row) for row in rows])
    else:
        terminal.show(tables.composites_table((row.composite, row.purpose) for row in rows))


def main() -> None:
    """Run the console script."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal without Σ or … shows ?, and no traceback
    app()


def _convert(model: Path, **options: Any) -> Any:
    """Convert a model, and print its notes on stderr."""
    from onnxlrp.convert import convert as convert_model

    with terminal.progress(f"converting {model}"):
        explained = convert_model(model, **options)
    for note in explained.notes:
        terminal.tell(*terminal.note_text(note).split(": ", 1))
    return explained


def _convert_for_target(model: Path, **options: Any) -> Any:
    """Convert a model; an error about its target names the options that choose one."""
    try:
        return _convert(model, **options)
    except TargetError as error:
        raise TargetError(
            f"{error}\nHere: --position N for a token (-1: the last), --element INDICES, --weights FILE"
        ) from error


def _convert_with_ledger(model: Path, **options: Any) -> Any:
    """Convert a model with the ledger if the composite has one; gradients have none."""
    try:
        return _convert(model, **options, ledger=True)
    except InputError:
        return _convert(model, **options)


def _plan(explained: Any) -> list[dict[str, str]]:
    return [dataclasses.asdict(row) for row in explained.plan.rows()]


def _conversion(composite: str, rules: Sequence[str], output: str | None, inputs: Sequence[str]) -> dict[str, Any]:
    """Collect the arguments of `onnxlrp.convert`; a rule or composite that does not exist is wrong usage."""
    from onnxlrp.composites import parse

    if composite.endswith(".toml"):
        parse(composite)  # an unusable file is an error of its own, not wrong usage
    else:
        _usage(parse, composite, "--composite")
    return {
        "composite": composite,
        "rules": tuple(_usage(_rule, text, "--rule") for text in rules),
        "output": output,
        "inputs": tuple(inputs) or None,
    }


def _elements(texts: Sequence[str]) -> list[tuple[int, ...]]:
    """Parse texts such as `3,17` as the indices of elements, all with the same number of indices."""
    try:
        found = [tuple(int(index) for index in text.split(",")) for text in texts]
    except ValueError as error:
        raise InputError(f"{', '.join(texts)!r:.80}: an element is written by its indices, such as 3,17") from error
    if len({len(one) for one in found}) > 1:
        raise InputError(f"elements of one output have as many indices each, unlike {', '.join(texts)!r:.80}")
    return found


def _rule(text: str) -> tuple[str, Any]:
    """Parse `PATTERN=RULE`; a node's name may hold `=` itself, and so may the rule's arguments."""
    from onnxlrp import rules

    parts = re.fullmatch(r"(.+)=(\w+\s*(?:\(.*\))?)\s*", text)
    if parts is None:
        raise InputError(f"{text!r} is not PATTERN=RULE, such as Conv=ZPlus or '/layer4/*=Gamma(0.1)'")
    return parts[1], rules.parse(parts[2])


def _given(inputs: Sequence[str], texts: Sequence[str], tokenizer: Path | None) -> Any:
    """Read `--input`, `--text` and `--tokenizer`."""
    from onnxlrp.runtime.cli_inputs import CliInputs

    files = [_pair(one, "--input", "NAME=FILE, such as image=cat.jpg") for one in inputs]
    words = [_pair(one, "--text", "NAME=TEXT, such as input_ids='A text.'") for one in texts]
    return CliInputs([(name, Path(file)) for name, file in files], words, tokenizer)


def _pair(given: str, option: str, form: str) -> tuple[str, str]:
    name, equals, value = given.partition("=")
    if not equals or not name or not value.strip():
        raise typer.BadParameter(f"{given!r} is not {form}", param_hint=option)
    return name, value


def _usage(check: Callable[[Any], Any], value: Any, option: str) -> Any:
    """Check a value from the command line and return the result; an InputError becomes wrong usage."""
    try:
        return check(value)
    except InputError as error:
        raise typer.BadParameter(str(error), param_hint=option) from error


def _refuse_overwriting(
    paths: Sequence[Path], force: bool, read: Callable[[], Sequence[Path]], hint: str = "-o", makes_folder: bool = False
) -> None:
    """Refuse, as wrong usage, paths that must not be written.

    These are files that the command reads itself, paths of anything but regular files, existing files without --force,
    and files in folders that do not exist (unless the command makes them).
    """
    sources = read() if any(path.exists() for path in paths) else ()
    for path in paths:
        _usage(lambda one: check_replaceable(one, sources), path, hint)
        if path.exists() and not force:
            raise typer.BadParameter(f"'{path}' exists already; --force overwrites it", param_hint=hint)
        if not makes_folder and not path.parent.is_dir():
            raise typer.BadParameter(f"there is no folder '{path.parent}'", param_hint=hint)


def _print_json(content: Any) -> None:
    print(escaped_json(json.dumps(content, ensure_ascii=False, indent=2)))


if __name__ == "__main__":
    main()
