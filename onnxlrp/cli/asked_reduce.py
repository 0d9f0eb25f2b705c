"""`--reduce`: the reduction of relevance for each input, as `onnxlrp.convert` takes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from onnxlrp.cli.arguments import usage
from onnxlrp.errors import InputError

Reduce = Annotated[
    list[str],
    typer.Option(
        "--reduce",
        metavar="[NAME=]HOW",
        help="Reduce the relevance of an input in the model: channels, grid=14, top=10, float16, or several joined "
        "with +. NAME= is needed for one of several inputs.",
    ),
]


def asked_reductions(texts: Sequence[str]) -> str | dict[str, str] | None:
    """Read every `--reduce`. Raises wrong usage for one that does not exist, and for a second one of an input."""
    return usage(_read, texts, "--reduce")


def _read(texts: Sequence[str]) -> Any:
    from onnxlrp.reductions import Reduction, named_reduction

    found: dict[str, str] = {}
    for name, text in map(named_reduction, texts):
        if name in found or (found and "" in (name, *found)):
            raise InputError(f"{text!r}: one reduction an input, joined with +, and NAME= for one of several inputs")
        found[name] = str(Reduction.parse(text))
    return found.get("", found or None)
