"""Targets in pixels of a picture: a point, a box or a mask becomes an element, or weights, of the explained output."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from onnxlrp.errors import TargetError
from onnxlrp.printable import shape_text
from onnxlrp.runtime import output_maps
from onnxlrp.runtime.asked_place import AskedPlace, Places
from onnxlrp.runtime.files import picture_layout, picture_size
from onnxlrp.runtime.output_boxes import OutputBoxes
from onnxlrp.runtime.output_maps import OutputMap

if TYPE_CHECKING:
    from onnxlrp.runtime.explainer import Explainer
    from onnxlrp.runtime.prepared import Prepared

_CLOSE = 0.9
"""Boxes whose overlap is at least this fraction of the best count as equal; the score decides between them."""


@dataclasses.dataclass(frozen=True, eq=False)
class PixelTarget:
    """A point, a box or a mask in a picture, one for all samples or one for each."""

    at: Any = None
    """Point (x, y), or [N, 2]."""
    box: Any = None
    """Box (left, top, right, bottom), or [N, 4]."""
    mask: Any = None
    """Weights of the pixels, [height, width] or [N, height, width], of any size."""
    size: Any = None
    """Width and height of the picture that point and box are in, or [N, 2]; None for the size that the model sees."""

    def __bool__(self) -> bool:
        return any(one is not None for one in (self.at, self.box, self.mask))

    def arguments(self, seen: Seen, kind: str, target: Any, names: Sequence[str] = ()) -> dict[str, Any]:
        """Turn it into arguments of a call: `target` for `kind="element"`, `weights` for `kind="weights"`.

        `target` is the class of all samples, or of each; None takes the class that the model predicts there. Raises
        TargetError if the output has no place for pixels, or if point or box lie outside the picture.
        """
        if sum(one is not None for one in (self.at, self.box, self.mask)) != 1:
            raise TargetError("give one of at, box and mask")
        if kind not in ("element", "weights"):
            raise TargetError(f'a place in a picture needs target="element" or "weights", not "{kind}": convert again')
        shown = output_maps.find(seen.scores, seen.size)
        if shown is None:
            return {"target": self._in_boxes(seen, kind, target, names)}
        if kind == "element":
            return {"target": _for_each(seen, target, lambda n, one: self._element(shown, seen, n, one))}
        return {"weights": _for_each(seen, target, lambda n, one: self._weights(shown, seen, n, one))}

    def places(self, seen: Seen, arguments: Mapping[str, Any], names: Sequence[str] = ()) -> Places:
        """Describe the place of each sample and target for figures, [N][K], by what `arguments` returned."""
        shown = output_maps.find(seen.scores, seen.size)
        boxes = None if shown is not None else OutputBoxes.find(seen.scores, seen.others, seen.size, len(names))
        chosen = np.asarray(arguments.get("target", arguments.get("weights")))
        rows = chosen if seen.targets > 1 else chosen[:, None]
        if boxes is not None:
            return tuple(tuple(self._detected(boxes, seen, n, one) for one in row) for n, row in enumerate(rows))
        assert shown is not None
        find = shown.class_of if "target" in arguments else shown.weighted_class
        return tuple(tuple(self._place(seen, n, find(one)) for one in row) for n, row in enumerate(rows))

    def _place(self, seen: Seen, sample: int, of_class: int | None) -> AskedPlace:
        """Describe the place in one sample."""
        if self.mask is not None:
            return AskedPlace("in the mask", of_class=of_class)
        (left, top, right, bottom), (width, height) = self._edges(seen, sample), self._size(seen, sample)
        edges = (left / width, top / height, right / width, bottom / height)
        if self.at is not None:
            return AskedPlace(f"at ({left:g}, {top:g})", "point", edges, of_class)
        return AskedPlace(f"in the box ({left:g}, {top:g}, {right:g}, {bottom:g})", "box", edges, of_class)

    def _detected(self, boxes: OutputBoxes, seen: Seen, sample: int, element: Sequence[int]) -> AskedPlace:
        """Describe the detected box of one sample whose score is explained."""
        number, of_class = boxes.place_of(element)
        left, top, right, bottom = (float(edge) for edge in boxes.boxes[sample, number])
        many = boxes.scores(sample).shape[1] > 1
        edges = (left, top, right, bottom)
        return AskedPlace("in the detected box", "detected", edges, of_class if many else None)

    def _element(self, shown: OutputMap, seen: Seen, sample: int, of_class: int | None) -> list[int]:
        """Find the element of one sample: at the point, or the largest within the box or mask."""
        scores = shown.scores[sample]
        inside = self._cells(shown, seen, sample) > 0
        if not inside.any():
            raise TargetError("the mask is positive nowhere, so that it holds no element")
        asked = scores if of_class is None else scores[_in_range(of_class, scores)][None]
        place = np.where(inside[None], asked, -np.inf)
        channel, row, column = np.unravel_index(np.argmax(place), place.shape)
        return shown.element(int(channel) if of_class is None else of_class, int(row), int(column))

    def _weights(self, shown: OutputMap, seen: Seen, sample: int, of_class: int | None) -> np.ndarray:
        """Weight the cells of one sample, for the class that is asked for or has the largest sum there."""
        scores, cells = shown.scores[sample], self._cells(shown, seen, sample)
        chosen = int(np.argmax((scores * cells).sum((1, 2)))) if of_class is None else _in_range(of_class, scores)
        weights = np.zeros(scores.shape, np.float32)
        weights[chosen] = cells
        return shown.as_output(weights)

    def _cells(self, shown: OutputMap, seen: Seen, sample: int) -> np.ndarray:
        """Weights of the map's cells, [height, width]: 1 at the point or inside the box, or the mask's own."""
        height, width = shown.scores.shape[2:]
        if self.mask is not None:
            return _resized(_nth(self.mask, 2, seen, sample, "mask"), width, height)
        cells = np.zeros((height, width), np.float32)
        left, top, right, bottom = self._edges(seen, sample)
        across, down = self._size(seen, sample)
        cells[_span(top, bottom, down, height), _span(left, right, across, width)] = 1
        return cells

    def _size(self, seen: Seen, sample: int) -> tuple[float, float]:
        """Width and height of the picture that point and box are in."""
        width, height = seen.size if self.size is None else _nth(self.size, 1, seen, sample, "picture_size", 2)
        return width, height

    def _edges(self, seen: Seen, sample: int) -> tuple[float, float, float, float]:
        """Edges of the point or box in pixels: left, top, right, bottom."""
        width, height = self._size(seen, sample)
        if self.at is not None:
            x, y = _nth(self.at, 1, seen, sample, "at", 2)
            if not (0 <= x < width and 0 <= y < height):
                raise TargetError(f"at ({x:g}, {y:g}) lies outside the picture of {width:g} x {height:g} pixels")
            return x, y, x, y
        left, top, right, bottom = _nth(self.box, 1, seen, sample, "box", 4)
        if not (left < right and top < bottom and right > 0 and bottom > 0 and left < width and top < height):
            raise TargetError(
                f"box {left:g},{top:g},{right:g},{bottom:g} lies outside the picture of {width:g} x {height:g} pixels, "
                "or is empty: it is left, top, right, bottom"
            )
        return left, top, right, bottom

    def _in_boxes(self, seen: Seen, kind: str, target: Any, names: Sequence[str]) -> np.ndarray:
        """Find the score of the detected box that overlaps the box most, or that holds the point."""
        boxes = OutputBoxes.find(seen.scores, seen.others, seen.size, len(names))
        if boxes is None:
            raise TargetError(
                f"the explained output has shape {shape_text(seen.scores.shape)}: it is no map over the picture "
                f"({seen.size[0]:g} x {seen.size[1]:g}), and no list of boxes; choose by the element's indices"
            )
        if self.mask is not None or kind != "element":
            raise TargetError('a list of boxes takes at or box, of a model with target="element"')
        return _for_each(seen, target, lambda n, one: self._box_element(boxes, seen, n, one))

    def _box_element(self, boxes: OutputBoxes, seen: Seen, sample: int, of_class: int | None) -> list[int]:
        scores = boxes.scores(sample)  # [boxes, classes]
        best = scores.max(axis=1) if of_class is None else scores[:, _in_range(of_class, scores.T)]
        (left, top, right, bottom), (width, height) = self._edges(seen, sample), self._size(seen, sample)
        overlap = boxes.overlaps(sample, (left / width, top / height, right / width, bottom / height))
        if not (overlap > 0).any():
            raise TargetError("no box of the model lies there")
        near = np.where(overlap >= _CLOSE * overlap.max(), best, -np.inf)
        number = int(np.argmax(near))
        return boxes.element(number, int(np.argmax(scores[number])) if of_class is None else of_class)


@dataclasses.dataclass(frozen=True, eq=False)
class Seen:
    """Results of one run of the model: the explained scores, the other outputs, the size of the picture."""

    scores: np.ndarray
    """Explained output, [N, ...]."""
    others: Mapping[str, Any]
    """All outputs by name."""
    size: tuple[float, float]
    """Width and height of the picture as the model sees it."""
    targets: int = 1
    """Number of targets K that the model explains of each sample."""


def arguments_of(
    explainer: Explainer, prepared: Prepared, place: PixelTarget, target: Any, weights: Any
) -> tuple[dict[str, Any], Places]:
    """Run the model once, and turn a place in the picture into the arguments of a call that explains it, and into the
    place of each sample and target for figures."""
    if weights is not None:
        raise TargetError("give weights, or a place in the picture")
    interface = explainer.interface
    outputs = explainer.compute(prepared, explain=interface.explain_input is None).outputs
    scores = outputs.get(explainer.explained_output)
    size = next((one for name in interface.relevance if (one := _size(explainer, prepared, name)) is not None), None)
    if size is None or not isinstance(scores, np.ndarray):
        raise TargetError("a place in a picture needs an explained input that is a picture, and scores that are output")
    alone = interface.batch_axis is None
    arrays = {name: value for name, value in outputs.items() if isinstance(value, np.ndarray)}
    others = {name: value[None] if alone else value for name, value in arrays.items()}
    seen = Seen(others[explainer.explained_output], others, size, interface.targets)
    if place.size is None:
        place = dataclasses.replace(place, size=_original_sizes(prepared, len(seen.scores)))
    arguments = place.arguments(seen, interface.target, target, explainer.class_names)
    return arguments, place.places(seen, arguments, explainer.class_names)


def _size(explainer: Explainer, prepared: Prepared, name: str) -> tuple[float, float] | None:
    """Width and height of an input that is a picture; None if it is none."""
    layout = picture_layout(explainer.inputs[name])
    feed = prepared.feeds.get(name)
    if layout is None or not isinstance(feed, np.ndarray):
        return None
    return feed.shape[layout.index("W")], feed.shape[layout.index("H")]


def _original_sizes(prepared: Prepared, samples: int) -> list[tuple[int, int]] | None:
    """Sizes of the pictures that an input was read from; None if it was given as an array."""
    for given in prepared.originals.values():
        pictures = [one for one in given if isinstance(one, (Path, Image.Image))] if isinstance(given, list) else []
        if len(pictures) == samples:
            return [picture_size(one) for one in pictures]
    return None


def _span(start: float, stop: float, pixels: float, cells: int) -> slice:
    """Cells of an axis that lie between two of its pixels, at least one.

    The product comes first, because a fraction of the axis is rounded: 29 / 100 * 100 is less than 29.
    """
    first = min(max(int(start * cells / pixels), 0), cells - 1)
    last = min(max(int(np.ceil(stop * cells / pixels)), first + 1), cells)
    return slice(first, last)


def _resized(mask: np.ndarray, width: int, height: int) -> np.ndarray:
    """Average a mask over the cells of a map."""
    picture = Image.fromarray(np.asarray(mask, np.float32), mode="F")
    cells = np.asarray(picture.resize((width, height), Image.Resampling.BOX))
    if not np.abs(cells).any():
        raise TargetError("the mask is 0 everywhere")
    return cells


def _nth(given: Any, axes: int, seen: Seen, sample: int, name: str, length: int | None = None) -> np.ndarray:
    """Take one sample's value: the only one, or that of its own."""
    try:
        array = np.asarray(given, np.float64)
    except (TypeError, ValueError) as error:
        raise TargetError(f"{name} must be numbers, not {given!r:.80}") from error
    if array.ndim == axes + 1 and len(array) == len(seen.scores):
        array = array[sample]
    if array.ndim != axes or (length is not None and array.shape != (length,)) or not np.isfinite(array).all():
        form = f"{length} numbers" if length else "an array [height, width]"
        raise TargetError(f"{name} is {form} for all samples, or one for each; not {shape_text(np.shape(given))}")
    return array


def _for_each(seen: Seen, target: Any, made: Callable[[int, int | None], Any]) -> np.ndarray:
    """Make the value of each sample and class, [N, ...], or [N, K, ...] with K targets."""
    classes = _classes(target, len(seen.scores), seen.targets)
    found = [[made(sample, one) for one in row] for sample, row in enumerate(classes)]
    return np.array(found if seen.targets > 1 else [row[0] for row in found])


def _classes(target: Any, samples: int, targets: int) -> list[list[int | None]]:
    """List the classes of each sample; None where the model's own choice is taken."""
    values = np.asarray([-1] if target is None and targets == 1 else target)
    forms = ((), (1,), (samples,), (samples, 1)) if targets == 1 else ((targets,), (1, targets), (samples, targets))
    if values.dtype.kind not in "iu" or values.shape not in forms:
        form = (
            "the class, one for all or one a sample" if targets == 1 else f"{targets} classes, for all or each sample"
        )
        raise TargetError(f"with a place in the picture, target is {form}")
    found = np.broadcast_to(values.reshape(-1, targets), (samples, targets)).tolist()
    return [[None if value == -1 else value for value in row] for row in found]


def _in_range(of_class: int, scores: np.ndarray) -> int:
    """Return the class; raises TargetError if the output has none of that number. `scores` has the classes first."""
    if not 0 <= of_class < len(scores):
        raise TargetError(f"class {of_class}: the output has the classes 0 to {len(scores) - 1}")
    return of_class
