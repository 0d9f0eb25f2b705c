"""Write the programs of docs/deploying.md as `onnxlrp snippet` does: `python -m tools.runtimes.deploying_page`."""

from __future__ import annotations

import re
from pathlib import Path

import onnxlrp
from onnxlrp.runtime.fed_inputs import program_of
from onnxlrp.runtime.reading import open_model
from onnxlrp.view.snippets.languages import written_in

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "deploying.md"
HEADINGS = {"Python": "python", "Node.js": "node", "A browser": "web", "C++": "cpp", "C#": "csharp", "Java": "java"}
"""Headings of the page, and the language of the first program under each."""
FENCES = {"node": "javascript", "web": "javascript"}


def page(text: str) -> str:
    """Replace the first program under each heading by that of the bundled digits network."""
    model = ROOT / "models" / "digits_cnn" / "digits_cnn.torchscript.onnx"
    explained = onnxlrp.convert(model, target_input="required")
    program = program_of(open_model(explained), "digits.lrp.onnx")
    for heading, language in HEADINGS.items():
        fence = FENCES.get(language, language)
        block = f"```{fence}\n{written_in(program, language)}\n```"
        pattern = rf"(### {re.escape(heading)}\n(?:(?!```).)*)```.*?```"
        text = re.sub(pattern, lambda match: match[1] + block, text, count=1, flags=re.DOTALL)
    return text


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
