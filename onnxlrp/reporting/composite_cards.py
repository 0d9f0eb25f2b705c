"""Cards that stand side by side: the explanation of a sample by each composite, with its deletion curve."""

from __future__ import annotations

import io
from collections.abc import Sequence

from onnxlrp.evaluation.evaluation_result import Evaluation
from onnxlrp.evaluation.evaluation_table import legend, number_text
from onnxlrp.extras import optional
from onnxlrp.reporting.html_text import html_of, inline_markup, per_cent, sentences
from onnxlrp.reporting.line_chart import Line, line_chart
from onnxlrp.reporting.picture_tags import map_limit, picture_input, picture_tag
from onnxlrp.reporting.prediction_section import sample_title
from onnxlrp.reporting.report_content import ComparedExplanation, ReportContent
from onnxlrp.view.figures.overlay_sheet import explained_picture
from onnxlrp.view.figures.scene import scene_of
from onnxlrp.view.number_words import four_digits
from onnxlrp.view.page import coloured_texts
from onnxlrp.view.summary import Sample, summarise

_DOTS = 100


def explanations_section(content: ReportContent) -> str:
    """Show the explanations of each sample side by side, and compare them by their curves."""
    scene = scene_of(content.first.explanation, content.labels)
    summaries = [_summaries(content, one) for one in content.compared]
    parts = [
        "<p>Red speaks for the explained score, blue against it. Each column is another choice of rules; where they "
        "agree, the reading is safer.</p>",
        _comparison(content.evaluation),
    ]
    for sample in range(content.shown):
        cards = [_card(content, one, known, sample) for one, known in zip(content.compared, summaries, strict=True)]
        title = html_of(sample_title(content, scene, sample))
        parts.append(f'<h3>{title}</h3><div class="cards">{"".join(cards)}</div>')
    return "".join(parts)


def _summaries(content: ReportContent, one: ComparedExplanation) -> dict[int, Sample]:
    """Summarise the samples, by their number."""
    explanation = one.explanation
    rows = summarise(explanation, explanation.inputs, content.labels, words=True, most=content.shown)
    return {row.index: row for row in rows}


def _card(content: ReportContent, one: ComparedExplanation, known: dict[int, Sample], sample: int) -> str:
    row = known.get(sample)
    if row is not None and row.texts:
        picture = f'<div class="texts">{coloured_texts(row)}</div>'
    else:
        picture = _picture(content, one, sample) or _figure(content, one, sample, row)
    about = f'<p class="about">{inline_markup(one.purpose)}</p>' if one.purpose and sample == 0 else ""
    total = "" if row is None else f"<p>{html_of(_sum_in_words(one, row))}</p>"
    curve, numbers = _curve(content, one, sample), _numbers(row)
    return f"<article><h4>{html_of(one.name)}</h4>{about}{picture}{total}{numbers}{curve}</article>"


def _picture(content: ReportContent, one: ComparedExplanation, sample: int) -> str:
    """Lay the relevance of a sample over its picture; empty if the only explained input is no picture."""
    scene = scene_of(one.explanation, content.labels)
    name = picture_input(scene)
    if name is None or len(scene.explanation.relevance) > 1:
        return ""
    end = four_digits(map_limit(scene, name, sample))
    shown = picture_tag(explained_picture(scene, name, sample, 0), _in_words(one, sample, None))
    return f'{shown}<p class="about">Colours end at ±{end}.</p>'


def _numbers(row: Sample | None) -> str:
    """List the most relevant columns as numbers; empty for other data."""
    if row is None or not row.features or row.texts:
        return ""
    rows = "".join(
        f"<tr><th scope=row>{html_of(entry.name, 60)}</th><td>{html_of(_value(entry.value), 30)}</td>"
        f"<td>{four_digits(entry.relevance)}</td></tr>"
        for entry in row.features
    )
    head = "<tr><th scope=col>column</th><th scope=col>value</th><th scope=col>relevance</th></tr>"
    table = f'<table class="compare"><thead>{head}</thead><tbody>{rows}</tbody></table>'
    return f"<details><summary>The largest as numbers</summary>{table}</details>"


def _value(value: float | str) -> str:
    return value if isinstance(value, str) else four_digits(value)


def _figure(content: ReportContent, one: ComparedExplanation, sample: int, row: Sample | None) -> str:
    """Draw a figure as a .png inside the page."""
    optional("matplotlib", "a figure of a report")
    from PIL import Image

    from onnxlrp.view.figures.canvas import style
    from onnxlrp.view.figures.options import Options
    from onnxlrp.view.figures.show import plot

    drawn = io.BytesIO()
    with style():
        figure = plot(one.explanation, None, (), content.labels, Options((sample,)))
        figure.savefig(drawn, format="png", dpi=_DOTS, metadata={"Software": None})
    with Image.open(drawn) as picture:
        tag = picture_tag(picture, _in_words(one, sample, row))
    return f'<div class="figure" tabindex="0" role="region" aria-label="Figure, which scrolls">{tag}</div>'


def _in_words(one: ComparedExplanation, sample: int, row: Sample | None) -> str:
    """Describe a figure for those who do not see it."""
    words = f"Relevance of sample {sample} by {one.name}."
    if row is None or not row.features:
        return words
    named = ", ".join(f"{entry.name} {four_digits(entry.relevance)}" for entry in row.features[:5])
    return f"{words} Most relevant: {named}."


def _sum_in_words(one: ComparedExplanation, row: Sample) -> str:
    """Say what the relevance adds up to, and what share of the score that is."""
    total = sum(row.relevance.values())
    words = f"Σ relevance {four_digits(total)}"
    if row.base_value is not None and row.raw_score is not None:
        whole = four_digits(row.raw_score)
        return f"{words}; with the base value {four_digits(row.base_value)} it adds up to {whole}."
    if one.interface.seed == "gradient":
        return f"{words}; a gradient's sum need not be the score."
    if row.score is None or not one.interface.score_is_output or row.score == 0:
        return f"{words}."
    return f"{words} of the score {four_digits(row.score)} ({per_cent(total / row.score)})."


def _curve(content: ReportContent, one: ComparedExplanation, sample: int) -> str:
    """Draw the deletion curve of a sample, beside that of a random order."""
    known = content.evaluation
    if known is None or one.name not in known.curves:
        return ""
    curves = known.curves[one.name]
    lines = [Line("most relevant first", curves.shares[sample], curves.most_first[sample], "l0")]
    if "random" in known.curves:
        other = known.curves["random"]
        lines.append(Line("random order", other.shares[sample], other.most_first[sample], "l3"))
    ends = f"{four_digits(curves.most_first[sample][0])} to {four_digits(curves.most_first[sample][-1])}"
    title = f"Score as the most relevant parts are removed, from {ends}"
    return line_chart(lines, title, ("nothing", "everything"), f"removed ({known.units})")


def _comparison(evaluation: Evaluation | None) -> str:
    """Compare the explanations by the areas of their curves; empty without curves."""
    if evaluation is None:
        return ""
    measures = [one for one in evaluation.measures if one.name in ("area", "deletion", "insertion")]
    arrows = {"higher": " ↑", "lower": " ↓", "neither": ""}
    head = "".join(f"<th scope=col>{html_of(one.title)}{arrows[one.better]}</th>" for one in measures)
    rows = "".join(_figures(evaluation, name, [one.name for one in measures]) for name in _best_first(evaluation))
    notes = sentences([*legend(evaluation), *evaluation.notes])
    return (
        "<p>A good explanation finds the parts whose removal lowers the score fastest: the deletion curve falls early "
        "and the area is large. A few samples are a glance; <code>onnxlrp evaluate</code> measures on many.</p>"
        f'<table class="compare"><thead><tr><th scope=col>explanation</th>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table>"
        f"<details><summary>How this was measured</summary>{notes}</details>"
    )


def _best_first(evaluation: Evaluation) -> Sequence[str]:
    return sorted(evaluation.explanations, key=lambda name: -evaluation.figure(name, "area").mean)


def _figures(evaluation: Evaluation, name: str, measures: Sequence[str]) -> str:
    cells = "".join(f"<td>{number_text(evaluation.figure(name, one).mean)}</td>" for one in measures)
    return f"<tr><th scope=row>{html_of(name)}</th>{cells}</tr>"
