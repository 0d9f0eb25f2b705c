"""Page of texts coloured by their relevance: one HTML file without scripts or anything from elsewhere.

It is readable on light and dark screens.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from onnxlrp.view.number_words import four_digits
from onnxlrp.view.pictures import paper_and_ink
from onnxlrp.view.summary import Sample, target_words
from onnxlrp.view.tokens import Piece, limit_of_texts

# Texts stand on white even on a dark screen, because white is the colour of relevance 0.
_PAGE = """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 52rem; margin: 2rem auto; padding: 0 1rem; }}
h1 {{ font-size: 1.3rem; }}
h2 {{ font-size: 1.05rem; margin: 2rem 0 .5rem; }}
h3 {{ font-size: .9rem; font-weight: normal; margin: .8rem 0 .2rem; }}
p {{ background: #fff; color: #000; margin: 0; padding: .5rem .8rem; border-radius: .4rem; line-height: 2; }}
p, .scale {{ border: 1px solid #8886; overflow-wrap: anywhere; }}
p span {{ padding: .2em 0; border-radius: .2em; }}
.here {{ text-decoration: underline .15em; text-underline-offset: .2em; }}
.scale {{ display: inline-block; border-radius: .2em; }}
.scale span {{ display: inline-block; padding: 0 .5em; min-width: 1em; font-size: .85rem; }}
</style>
<h1>{title}</h1>
<div>Red speaks for the score, blue against it. A value shows where the pointer rests.</div>
{samples}
</html>
"""
_STEPS = (-1, -0.75, -0.5, -0.25, 0, 0.25, 0.5, 0.75, 1)


def page(samples: Iterable[Sample], title: str) -> str:
    """Make the whole HTML file."""
    return _PAGE.format(title=escape(title), samples="\n".join(map(_section, samples)))


def coloured_texts(sample: Sample) -> str:
    """Write the texts of a sample in HTML, each word on the colour of its relevance, and the scale of colours."""
    limit = limit_of_texts(list(sample.texts.values()))
    lines = []
    for name, pieces in sample.texts.items():
        lines.append(f"<h3>{escape(name)}: Σ relevance {four_digits(sample.relevance[name])}</h3>")
        lines.append(f"<p>{_text(pieces, limit)}</p>")
    steps = [(four_digits(step * limit) if step in (-1, 0, 1) else "", step * limit) for step in _STEPS]
    scale = "".join(_coloured(words or "&nbsp;", value, limit) for words, value in steps)
    return "\n".join([*lines, f'<h3>against <span class="scale">{scale}</span> for</h3>'])


def _section(sample: Sample) -> str:
    return f"<h2>{escape(_heading(sample))}</h2>\n{coloured_texts(sample)}"


def _heading(sample: Sample) -> str:
    parts = [f"sample {sample.index}"]
    if sample.position is not None:
        parts.append(f"position {sample.position}")
    if sample.label or sample.target is not None:
        parts.append(" ".join((*target_words(sample.target), sample.label)).rstrip())
    if sample.score is not None:
        parts.append(f"score {four_digits(sample.score)}")
    if sample.base_value is not None:
        parts.append(f"base value {four_digits(sample.base_value)}")
    if sample.raw_score is not None and sample.adds_up_to == "raw score":
        parts.append(f"raw score {four_digits(sample.raw_score)}")
    return ", ".join(parts)


def _text(pieces: Sequence[Piece], limit: float) -> str:
    return "".join(piece.gap + _coloured(escape(piece.text), piece.relevance, limit, piece) for piece in pieces)


def _coloured(words: str, relevance: float, limit: float, piece: Piece | None = None) -> str:
    """Put words, escaped already, on the colour of their relevance."""
    paper, ink = paper_and_ink(relevance, limit)
    more = "" if piece is None else f' title="{four_digits(relevance)}"' + (' class="here"' if piece.marked else "")
    return f'<span style="background: {paper}; color: {ink}"{more}>{words}</span>'
