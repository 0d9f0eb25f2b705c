"""The arguments of a command, read and checked: a mistake in them is wrong usage, status 2."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

from onnxlrp.errors import InputError
from onnxlrp.printable import escaped_json


def conversion(
    composite: str, rules: Sequence[str], output: str | None, inputs: Sequence[str], background: Path | None = None
) -> dict[str, Any]:
    """Collect the arguments of `onnxlrp.convert`; a rule or composite that does not exist is wrong usage."""
    from onnxlrp.rule_overrides import parse_override

    check_composites(composite)
    return {
        "composite": composite,
        "rules": tuple(usage(parse_override, text, "--rule") for text in rules),
        "output": output,
        "inputs": tuple(inputs) or None,
        "background": background,
    }


def check_composites(*composites: str) -> None:
    """Refuse, as wrong usage, a composite that does not exist; an unusable file is an error of its own."""
    from onnxlrp.composites import parse

    for composite in composites:
        if composite.endswith(".toml"):
            parse(composite)
        else:
            usage(parse, composite, "--composite")


def background_files(background: Path | None) -> list[Path]:
    """List the file that `--background` reads: FILE or kmeans=K:FILE."""
    from onnxlrp.source.background import split_clusters

    return [] if background is None else [Path(usage(split_clusters, background, "--background")[0])]


def elements(texts: Sequence[str]) -> list[tuple[int, ...]]:
    """Parse texts such as `3,17` as the indices of elements, all with the same number of indices."""
    try:
        found = [tuple(int(index) for index in text.split(",")) for text in texts]
    except ValueError as error:
        raise InputError(f"{', '.join(texts)!r:.80}: an element is written by its indices, such as 3,17") from error
    if len({len(one) for one in found}) > 1:
        raise InputError(f"elements of one output have as many indices each, unlike {', '.join(texts)!r:.80}")
    return found


def files_and_texts(
    inputs: Sequence[str], texts: Sequence[str], tokenizer: Path | None, ids: Sequence[str] = ()
) -> Any:
    """Read `--input`, `--text`, `--tokenizer` and `--id`."""
    from onnxlrp.runtime.cli_inputs import CliInputs

    files = [named_file(one) for one in inputs]
    words = [_pair(one, "--text", "NAME=TEXT, such as input_ids='A text.'") for one in texts]
    return CliInputs(files, words, tokenizer, ids)


def named_file(given: str, option: str = "--input") -> tuple[str, Path]:
    """Parse `NAME=FILE`, or a file alone, whose name is "": one that exists, or that has a suffix and no `=`."""
    path = Path(given)
    if path.exists() or ("=" not in given and path.suffix):
        return "", path
    form = "NAME=FILE, such as image=cat.jpg, or a FILE"
    if "=" not in given:
        raise typer.BadParameter(f"there is no file or folder {given!r:.80}: give {form}", param_hint=option)
    name, file = _pair(given, option, form)
    return name, _at_home(Path(file))


def _at_home(path: Path) -> Path:
    """Replace a leading `~` by the home folder, which shells leave as it is after `NAME=`."""
    try:
        return path if path.exists() else path.expanduser()
    except (OSError, RuntimeError):  # There is no such user, or no home folder.
        return path


COMPARING = "deep_lift(baseline='input')"
"""The composite that explains the difference from a reference."""


def references_of(values: Sequence[str]) -> Any:
    """Read `--reference`."""
    from onnxlrp.runtime.cli_inputs import CliInputs

    return CliInputs([named_file(one, "--reference") for one in values])


def read_samples(
    inputs: Sequence[str], texts: Sequence[str], tokenizer: Path | None, preprocess: str, ids: Sequence[str] = ()
) -> tuple[Any, Any]:
    """Read `--input`, `--text`, `--tokenizer`, `--preprocess` and `--id` of a command that cannot do without
    samples."""
    from onnxlrp.runtime.files import Preprocess

    given = files_and_texts(inputs, texts, tokenizer, ids)
    if not given:
        what = "give NAME=FILE for every input, a FILE with a column for each, or --text NAME=TEXT"
        raise typer.BadParameter(what, param_hint="--input")
    return given, usage(Preprocess.parse, preprocess, "--preprocess")


def chosen_scores(target: Sequence[str], position: Sequence[int], element: Sequence[str]) -> dict[str, Any]:
    """Collect the arguments of `onnxlrp.evaluate` and `onnxlrp.tune` that name the scores."""
    chosen = usage(elements, element, "--element") or [int(one) if is_number(one) else one for one in target]
    return {
        "target": _one_or_all(chosen),
        "position": _one_or_all(list(position)),
        "target_kind": "element" if element else "token" if position else "class",
    }


def measuring(given: Mapping[str, Any]) -> dict[str, Any]:
    """Collect the arguments of both `onnxlrp.evaluate` and `onnxlrp.tune` from the options of a command."""
    same = ("units", "unit_size", "steps", "seed", "batch_size", "output", "background")
    return {
        **chosen_scores(given["target"], given["position"], given["element"]),
        **{name: given[name] for name in same},
        "baseline": _number_or_name(given["baseline"]),
        "providers": list(given["provider"]) or None,
        "progress": True,
    }


def is_number(text: str) -> bool:
    """Decide whether a text is a whole number, such as that of a class."""
    return re.fullmatch(r"\s*[+-]?\d{1,19}\s*", text) is not None


def _one_or_all(values: list[Any]) -> Any:
    """Convert the values of an option: none to None, a single one to itself."""
    return None if not values else values[0] if len(values) == 1 else values


def _number_or_name(word: str) -> str | float:
    try:
        return float(word)
    except ValueError:
        return word


def _pair(given: str, option: str, form: str) -> tuple[str, str]:
    name, equals, value = given.partition("=")
    if not equals or not name or not value.strip():
        raise typer.BadParameter(f"{given!r} is not {form}", param_hint=option)
    return name, value


def usage(check: Callable[[Any], Any], value: Any, option: str) -> Any:
    """Check a value from the command line and return the result; an InputError becomes wrong usage."""
    try:
        return check(value)
    except InputError as error:
        raise typer.BadParameter(str(error), param_hint=option) from error


def refuse_overwriting(
    paths: Sequence[Path], force: bool, read: Callable[[], Sequence[Path]], hint: str = "-o", makes_folder: bool = False
) -> None:
    """Refuse, as wrong usage, paths that must not be written.

    These are files that the command reads itself, paths of anything but regular files, existing files without --force,
    and files in folders that do not exist (unless the command makes them).
    """
    from onnxlrp.replacing import check_replaceable

    sources = read() if any(path.exists() for path in paths) else ()
    for path in paths:
        usage(lambda one: check_replaceable(one, sources), path, hint)
        if path.exists() and not force:
            raise typer.BadParameter(f"'{path}' exists already; --force overwrites it", param_hint=hint)
        if not makes_folder and not path.parent.is_dir():
            raise typer.BadParameter(f"there is no folder '{path.parent}'", param_hint=hint)


def print_json(content: Any) -> None:
    print(escaped_json(_json(content)))


def write_json(path: Path, content: Any) -> None:
    """Write a file for a program, whole or not at all."""
    from onnxlrp.drafts import atomic_write

    with atomic_write(path) as draft:
        draft.write_text(_json(content) + "\n", encoding="utf-8")


def _json(content: Any) -> str:
    return json.dumps(content, ensure_ascii=False, indent=2)
