"""Predictions of the model for the samples of a report."""

from __future__ import annotations

import numpy as np

from onnxlrp.reporting.html_text import html_of
from onnxlrp.reporting.picture_tags import own_picture
from onnxlrp.reporting.report_content import ReportContent
from onnxlrp.view.figures.scene import Scene, scene_of
from onnxlrp.view.number_words import four_digits

_TOP = 5


def prediction_section(content: ReportContent) -> str:
    """Show for each sample what is explained, and the largest scores of the explained output."""
    scene = scene_of(content.first.explanation, content.labels)
    return "".join(_sample(scene, sample) for sample in range(content.shown))


def sample_title(content: ReportContent, scene: Scene, sample: int) -> str:
    """Name a sample by its number, its file if there is one, and what is explained of it."""
    files = next((some for some in scene.originals.values() if isinstance(some, list) and len(some) > sample), None)
    name = getattr(files[sample], "name", "") if files else ""
    number = f"Sample {sample}" if content.shown > 1 else "The sample"
    return f"{number}{f' ({name})' if name else ''}: {_heading(scene, sample)}"


def _heading(scene: Scene, sample: int) -> str:
    words = scene.heading(sample) if scene.is_aligned else f"scores of {scene.output}"
    return f"class {words}" if words[:1].isdigit() else words


def _sample(scene: Scene, sample: int) -> str:
    rows = largest_scores(scene, sample)
    body = "".join(
        f"<tr><th scope=row>{html_of(name, 60)}</th><td>{four_digits(value)}</td>"
        f'<td class="bar"><span style="width:{_length(value, rows):.0f}%"></span></td></tr>'
        for name, value in rows
    )
    table = f'<table class="scores"><tbody>{body}</tbody></table>' if body else ""
    title = html_of(_heading(scene, sample))
    return f'<h3>Sample {sample}: {title}</h3><div class="predicted">{own_picture(scene, sample)}{table}</div>'


def _length(value: float, rows: list[tuple[str, float]]) -> float:
    """Return the length of a bar in per cent of the largest one; negative scores have none."""
    largest = max(abs(one) for _, one in rows)
    return max(0.0, 100 * value / largest) if largest > 0 and np.isfinite(value) else 0.0


def largest_scores(scene: Scene, sample: int) -> list[tuple[str, float]]:
    """List the largest scores of a sample with the names of their classes; empty if there is one score, or a map."""
    value = scene.explanation.outputs.get(scene.output)
    if isinstance(value, list) and len(value) > sample and isinstance(value[sample], dict):  # maps of a ZipMap
        named = [(str(key), float(score)) for key, score in value[sample].items()]
        return sorted(named, key=lambda one: -one[1])[:_TOP]
    if not isinstance(value, np.ndarray) or len(value) != scene.samples or scene.kinds_are_no_classes:
        return []
    row = value[sample].squeeze()
    if row.ndim != 1:
        return []
    order = np.argsort(-row, kind="stable")[:_TOP]
    return [(scene.labels[i] if i < len(scene.labels) else f"class {i}", float(row[i])) for i in order.tolist()]
