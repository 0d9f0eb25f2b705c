"""The target that the options of `onnxlrp explain` ask for: a class, a token, an element, weights, or a place in a
picture."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from onnxlrp.cli.arguments import elements, is_number, usage
from onnxlrp.errors import InputError, TargetError

Classes = Annotated[
    list[str],
    typer.Option(
        "--target",
        "--class",
        metavar="N|NAME",
        help="Class to explain, by number or name (default: the predicted one); one per sample or K of each.",
    ),
]
At = Annotated[
    str | None,
    typer.Option("--at", metavar="X,Y", help="Pixel of the picture, for segmentation and detection, such as 120,80."),
]
Box = Annotated[
    str | None, typer.Option("--box", metavar="X1,Y1,X2,Y2", help="Box in the picture: left, top, right, bottom.")
]
MaskFile = Annotated[
    Path | None, typer.Option("--mask", metavar="FILE", help="Picture or .npy: weights of the pixels, for maps.")
]
Channels = Annotated[
    list[str],
    typer.Option(
        "--channel",
        metavar="VALUE=N,N",
        help="Channels of an inner value that relevance passes alone, such as /layer3/relu=12 (onnxlrp concepts).",
    ),
]


@dataclasses.dataclass(frozen=True)
class AskedTarget:
    """Options of `onnxlrp explain` that choose what is explained."""

    classes: Sequence[str] = ()
    position: Sequence[int] = ()
    element: Sequence[str] = ()
    weights: Path | None = None
    at: str | None = None
    box: str | None = None
    mask: Path | None = None
    channel: Sequence[str] = ()

    def __post_init__(self) -> None:
        """Refuse, as wrong usage, options that exclude each other."""
        usage(_check_classes, self.classes, "--target")
        usage(elements, self.element, "--element")
        usage(_numbers, (self.at, 2), "--at")
        usage(_numbers, (self.box, 4), "--box")
        usage(_channels, self.channel, "--channel")
        given: dict[str, Any] = {"--at": self.at, "--box": self.box, "--mask": self.mask, "--element": self.element}
        given |= {"--weights": self.weights, "--position": self.position}
        names = [name for name, value in given.items() if value not in (None, (), [])]
        if len(names) > 1:
            raise typer.BadParameter(f"it says what is explained, as {names[0]} does: give one", param_hint=names[1])
        if self.element and self.classes:
            raise typer.BadParameter("it names the element, so --target has nothing to choose", param_hint="--element")

    @property
    def files(self) -> list[Path]:
        """Files that the options name."""
        return [file for file in (self.weights, self.mask) if file is not None]

    @property
    def is_place(self) -> bool:
        """True for a place in a picture."""
        return self.at is not None or self.box is not None or self.mask is not None

    def kind(self, rank: int | None) -> str:
        """Return the kind of target to convert for; `rank` is the explained output's, None if it is not known."""
        if self.mask is not None or (self.box is not None and rank == 4):
            return "weights"
        if self.element or self.is_place:
            return "element"
        return "token" if self.position else "class" if self.weights is None else "weights"

    def count(self, samples: int) -> int:
        """Return the number K of classes to explain of each sample: 1 if there is one for each."""
        many = len(self.classes) > 1 and len(self.classes) != samples and not self.is_place
        return len(self.classes) if many else 1

    @property
    def channels(self) -> dict[str, list[int]]:
        """Channels that relevance passes, by inner value."""
        return _channels(self.channel)

    def arguments(self, names: Sequence[str]) -> dict[str, Any]:
        """Collect the arguments of an explainer's call; `names` are those of the classes."""
        from onnxlrp.cli.given_files import read_mask, read_weights

        numbers = [int(one) if is_number(one) else _class_of(one, names) for one in self.classes]
        chosen: list[Any] = [*elements(self.element)] if self.element else numbers
        weights = read_weights(self.weights)
        asked: dict[str, Any] = {"target": chosen, "position": list(self.position), "weights": weights}
        asked |= {"channels": self.channels} if self.channel else {}
        if not self.is_place:
            return asked
        mask = None if self.mask is None else read_mask(self.mask)
        return {**asked, "at": _numbers((self.at, 2)), "box": _numbers((self.box, 4)), "mask": mask}


def _check_classes(classes: Sequence[str]) -> None:
    if any(not one.strip() for one in classes):
        raise InputError("a class is a number or a name")


def _class_of(name: str, names: Sequence[str]) -> int:
    """Find the class of a name; one that does not exist is wrong usage."""
    from onnxlrp.runtime.class_names import class_of

    try:
        return class_of(name, names)
    except TargetError as error:
        raise typer.BadParameter(str(error), param_hint="--target") from error


def _channels(given: Sequence[str]) -> dict[str, list[int]]:
    """Parse texts such as `/layer3/relu=12,40`; a value's name may hold `=` itself."""
    found: dict[str, list[int]] = {}
    for text in given:
        name, equals, numbers = text.rpartition("=")
        parts = numbers.split(",")
        if not equals or not name or not all(part.strip().isdecimal() for part in parts):
            raise InputError(f"{text!r:.80} is not VALUE=N or VALUE=N,N with channels from 0")
        found.setdefault(name, []).extend(map(int, parts))
    return found


def _numbers(given: tuple[str | None, int]) -> tuple[float, ...] | None:
    """Parse numbers with commas."""
    text, count = given
    if text is None:
        return None
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) != count:
        raise InputError(f"{text!r:.80} is not {count} numbers with commas, such as {'120,80,200,160'[: 3 * count]}")
    return numbers
