"""The page of a report: its sections in one HTML file that loads nothing."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

from onnxlrp._version import __version__
from onnxlrp.reporting.composite_cards import explanations_section
from onnxlrp.reporting.graph_drawing import graph_section
from onnxlrp.reporting.html_text import html_of
from onnxlrp.reporting.plain_warnings import warnings_section
from onnxlrp.reporting.prediction_section import prediction_section
from onnxlrp.reporting.relevance_flow import flow_section
from onnxlrp.reporting.report_content import ReportContent
from onnxlrp.reporting.searchable_plan import plan_section

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" href="data:,">
<style>{style}</style>
</head>
<body>
<header><h1>{title}</h1><p>{about}</p><nav aria-label="Sections">{links}</nav></header>
<main>
{sections}
</main>
<script>{script}</script>
</body>
</html>
"""
_POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; base-uri 'none'; "
    "form-action 'none'"
)
"""Policy under which a browser loads nothing, and runs the page's own script alone."""


def report_page(content: ReportContent) -> str:
    """Write the whole HTML file."""
    sections = {
        "prediction": ("Prediction", prediction_section(content)),
        "explanations": ("Explanations side by side", explanations_section(content)),
        "warnings": ("Warnings", warnings_section(content)),
        "flow": ("Flow of relevance", flow_section(content)),
        "steps": ("Plan", plan_section(content.first)),
        "drawing": ("Relevance graph", graph_section(content.first)),
    }
    script = _beside("report.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return _PAGE.format(
        policy=_POLICY.format(digest=digest),
        title=html_of(f"Report on {content.model}", 120),
        style=_beside("report.css"),
        about=_about(content),
        links=" ".join(f'<a href="#{name}">{title}</a>' for name, (title, _) in sections.items()),
        sections="\n".join(
            f'<section id="{name}"><h2>{title}</h2>{body}</section>' for name, (title, body) in sections.items()
        ),
        script=script,
    )


def _beside(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _about(content: ReportContent) -> str:
    face = content.first.interface
    names = ", ".join(html_of(name) for name in face.relevance)
    return (
        f"Explained is output <code>{html_of(face.output)}</code> by the relevance of input <code>{names}</code>. "
        f"Plan and graph are those of <code>{html_of(content.first.name)}</code>. Written by onnxlrp {__version__}; "
        "the page needs no network."
    )
