"""Dispatcher of figures: decides the kind of each input, and puts the drawings together."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence

import numpy as np

from onnxlrp.errors import InputError
from onnxlrp.printable import escaped, listed
from onnxlrp.view.figures.canvas import GREY, MARGIN, Drawing, NotebookFigure, new_figure, short, style
from onnxlrp.view.figures.channel_figure import channels_drawing
from onnxlrp.view.figures.gridded_figure import coordinates_of, gridded_drawing
from onnxlrp.view.figures.many_rows_figure import beeswarm_drawing, ranking_drawing
from onnxlrp.view.figures.options import Options
from onnxlrp.view.figures.picture_figure import picture_drawing
from onnxlrp.view.figures.scene import Scene
from onnxlrp.view.figures.sequence_figure import sequence_drawing
from onnxlrp.view.figures.series_figure import series_drawing
from onnxlrp.view.figures.text_figure import text_drawing
from onnxlrp.view.figures.waterfall_figure import bars_drawing, waterfall_drawing

_ALONE: dict[str, Callable[[Scene, str, Options], Drawing]] = {
    "picture": picture_drawing,
    "channels": channels_drawing,
    "sequence": sequence_drawing,
    "series": series_drawing,
    "map": gridded_drawing,
}
"""Kinds of figure that show one input."""
_TOGETHER: dict[str, Callable[[Scene, Sequence[str], Options], Drawing]] = {
    "text": text_drawing,
    "waterfall": waterfall_drawing,
    "bars": bars_drawing,
    "ranking": ranking_drawing,
    "beeswarm": beeswarm_drawing,
}
"""Kinds of figure that show all inputs of their kind at once."""
_AXES = {"picture": (2, 3), "channels": (3,), "sequence": (3, 4), "series": (0, 1, 2), "map": (2, 3)}
"""Number of axes that one sample may have for each of them."""
KINDS = (*_ALONE, *_TOGETHER)
"""Every kind of figure."""
_FEW_ROWS = 4
"""Most rows of a table that get a waterfall each."""
_LONG = 48
"""Least number of nameless columns, of an open number, that are a series."""


def figure_of(scene: Scene, options: Options, kind: str | None = None, inputs: Sequence[str] = ()) -> NotebookFigure:
    """Draw a figure of an explanation; several inputs become panels, but columns of a table stand in one.

    Raises InputError if there is no such kind or input, or if the input does not fit the kind.
    """
    if kind is not None and kind not in KINDS:
        raise InputError(f"there is no kind of figure {kind!r}: it is one of {', '.join(KINDS)}")
    unknown = [name for name in inputs if name not in scene.explanation.relevance]
    if unknown:
        raise InputError(
            f"no relevance was computed for input {unknown[0]!r}: it is one of {listed(scene.explanation.relevance)}"
        )
    wrong = [sample for sample in options.samples if not 0 <= sample < scene.samples]
    if wrong:
        raise InputError(f"there is no sample {wrong[0]}: they are numbered from 0 to {scene.samples - 1}")
    with style():
        return _assembled(scene, options, drawings(scene, options, kind, inputs))


def drawings(
    scene: Scene, options: Options, kind: str | None = None, inputs: Sequence[str] = ()
) -> list[tuple[str, Drawing]]:
    """Make the drawing of each input, or of inputs that are shown together, each with a name."""
    grouped: dict[str, list[str]] = {}
    for name in inputs or _with_relevance(scene):
        grouped.setdefault(kind or figure_kind(scene, name, options), []).append(name)
    result = []
    for one, names in grouped.items():
        if one in _TOGETHER:
            result.append((names[0] if len(names) == 1 else "", _TOGETHER[one](scene, names, options)))
        else:
            result += [(name, _alone(one, scene, name, options)) for name in names]
    return result


def _alone(kind: str, scene: Scene, name: str, options: Options) -> Drawing:
    """Make the drawing of one input. Raises InputError if its samples have too many axes for the kind, or too few."""
    axes = scene.relevance(name, 0).ndim
    if axes not in _AXES[kind]:
        wanted = " or ".join(map(str, _AXES[kind]))
        raise InputError(
            f"a figure of kind {kind!r} needs samples of {wanted} axes, and {name!r} has {axes}: leave kind out"
        )
    return _ALONE[kind](scene, name, options)


def _with_relevance(scene: Scene) -> list[str]:
    """List the inputs that got any relevance; all of them if none did."""
    found = [name for name, array in scene.explanation.relevance.items() if np.any(array)]
    return found or list(scene.explanation.relevance)


def figure_kind(scene: Scene, name: str, options: Options) -> str:
    """Decide how to show an input, from what it holds."""
    kind = scene.kinds.get(name, "table")
    relevance = scene.relevance(name, 0)
    if kind == "text" or scene.explanation.tokens.get(name):
        return "text"
    if (options.latitude is not None or coordinates_of(scene.originals.get(name))) and relevance.ndim in (2, 3):
        return "map"
    if kind == "picture":
        return "sequence" if relevance.ndim == 4 else _picture_kind(scene, name)
    if scene.sample_axis(name) and kind != "picture":
        return "bars"  # states of a recurrent model and the like
    if kind == "series" or _is_signal(scene, name, relevance) or (options.sampling_rate and relevance.ndim):
        return "series"
    return _table_kind(scene, options)


def _picture_kind(scene: Scene, name: str) -> str:
    """Show pictures of other than one or three channels by channel."""
    from onnxlrp.view.figures.picture_maps import sample_channel_axis

    axis, shape = sample_channel_axis(scene, name), scene.relevance(name, 0).shape
    if axis is None or len(shape) < 3:
        return "picture"
    return "picture" if shape[axis] in (1, 3) or scene.samples > 1 or scene.targets > 1 else "channels"


def _is_signal(scene: Scene, name: str, relevance: np.ndarray) -> bool:
    """Decide whether rows of fractions are samples of a signal: many, of an open number, without names."""
    spec = scene.specs.get(name)
    is_open = spec is not None and spec.shape is not None and not isinstance(spec.shape[-1], int)
    return is_open and relevance.size >= _LONG and not scene.explanation.columns.get(name)


def _table_kind(scene: Scene, options: Options) -> str:
    rows = len(options.samples) or scene.samples
    if rows > _FEW_ROWS:
        return "beeswarm"
    has_end = scene.ends_at_score or scene.explanation.base_value is not None
    return "waterfall" if has_end or rows * scene.targets > 1 else "bars"


def _assembled(scene: Scene, options: Options, parts: Sequence[tuple[str, Drawing]]) -> NotebookFigure:
    """Put drawings below each other, with the title above and the caption below."""
    width = max(max(drawing.width for _, drawing in parts), 4.4)
    height = sum(drawing.height for _, drawing in parts) + (0.35 * len(parts) if len(parts) > 1 else 0)
    figure = new_figure(width, height, all(drawing.is_pictures for _, drawing in parts))
    if len(parts) == 1:
        parts[0][1].draw(figure)
    else:
        panels = figure.subfigures(len(parts), 1, height_ratios=[drawing.height for _, drawing in parts], squeeze=False)
        for panel, (name, drawing) in zip(panels[:, 0], parts, strict=True):
            drawing.draw(panel)
            title = escaped(name) or drawing.title
            panel.suptitle(short(title, 80), x=0.012, ha="left", fontsize=10, color=GREY)
    sample = _only_sample(scene, options, parts)
    title = parts[0][1].title if len(parts) == 1 else ""
    title = title or _what(scene, sample, parts)
    figure.suptitle(_wrapped(title, width, 9.2), x=MARGIN / width, ha="left", fontsize=13, fontweight="bold")
    empty = [name for name, array in scene.explanation.relevance.items() if not np.any(array)]
    nothing = f"No relevance at {listed(empty)}." if empty else ""
    notes = [scene.about(sample), _part_shown(scene, sample, parts), nothing, *dict.fromkeys(_named_notes(parts))]
    caption = _wrapped(" ".join(note for note in notes if note), width, 15.5)
    figure.supxlabel(caption, x=MARGIN / width, ha="left", fontsize=8, color=GREY)
    return figure


def _named_notes(parts: Sequence[tuple[str, Drawing]]) -> list[str]:
    """Collect the notes of all drawings, each with the name of its input where there are several."""
    several = len(parts) > 1
    return [f"{escaped(name)}: {note}" if several and name else note for name, one in parts for note in one.notes]


def _only_sample(scene: Scene, options: Options, parts: Sequence[tuple[str, Drawing]]) -> int | None:
    """Return the sample that the figure shows, if it is a single one."""
    drawn = {drawing.sample for _, drawing in parts}
    if len(drawn) == 1 and None not in drawn:
        return drawn.pop()
    chosen = list(options.samples) or list(range(scene.samples))
    return chosen[0] if len(chosen) == 1 else None


def _what(scene: Scene, sample: int | None, parts: Sequence[tuple[str, Drawing]]) -> str:
    """Write the title: what is explained of the only sample, if the figure shows a single target of it."""
    first_alone = not any(drawing.all_targets for _, drawing in parts)
    if sample is not None and (scene.targets == 1 or first_alone):
        return scene.heading(sample)
    return f"Relevance for {escaped(scene.output)}" if scene.output else "Relevance"


def _part_shown(scene: Scene, sample: int | None, parts: Sequence[tuple[str, Drawing]]) -> str:
    """Say which sample and target of several a figure shows."""
    which = f"Sample {sample} of {scene.samples}." if sample is not None and scene.samples > 1 else ""
    first_alone = not any(drawing.all_targets for _, drawing in parts)
    target = f"The first of {scene.targets} targets." if scene.targets > 1 and first_alone else ""
    return " ".join(words for words in (which, target) if words)


def _wrapped(text: str, width: float, characters: float) -> str:
    """Break a text into lines that fit a figure `width` inches wide, at so many characters an inch."""
    return "\n".join(textwrap.wrap(text, max(20, int(width * characters))))
