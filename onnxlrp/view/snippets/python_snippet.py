"""Program in Python with onnxruntime and numpy."""

from __future__ import annotations

from onnxlrp.runtime.fed_inputs import FedInput, Program
from onnxlrp.view.snippets.code_words import comment, identifier, python_literal


def write(program: Program) -> str:
    """Write the whole program."""
    feeds = [f"    {python_literal(one.name)}: {_array(one)},  # {comment(one.about)}" for one in program.inputs]
    shown = f"  # {program.relevance_sizes}" if program.relevance_sizes else ""
    lines = [
        "import numpy as np",
        "import onnxruntime",
        "",
        f'session = onnxruntime.InferenceSession({python_literal(program.path)}, providers=["CPUExecutionProvider"])',
        "feeds = {",
        *feeds,
        "}",
        f"names = {_listed(program.outputs)}",
        "results = dict(zip(names, session.run(names, feeds)))",
        f"print(results[{python_literal(program.relevance)}].shape){shown}",
    ]
    return "\n".join(lines)


def short(program: Program) -> str:
    """Write the two lines that matter, for arrays that are there."""
    fed = [f"{python_literal(name)}: {variable}" for name, variable in variables(program).items()]
    taken = {"session"}
    left = ", ".join(identifier(name, taken) for name in program.outputs)
    comma = "," if len(program.outputs) == 1 else ""
    run = f"session.run({_listed(program.outputs)}, {{{', '.join(fed)}}})"
    return f"session = onnxruntime.InferenceSession({python_literal(program.path)})\n{left}{comma} = {run}"


def variables(program: Program) -> dict[str, str]:
    """Name the variables that `short` reads, by input."""
    taken = {"session", "onnxruntime", "np"}
    return {one.name: identifier(one.name, taken) for one in program.inputs}


def _array(one: FedInput) -> str:
    sizes = f"({', '.join(map(str, one.sizes))}{',' if len(one.sizes) == 1 else ''})"
    if one.type == "string":
        return f'np.full({sizes}, "", object)'
    kind = "bool" if one.type == "bool" else f"np.{one.type}"
    return f"np.zeros({sizes}, {kind})" if not one.fill else f"np.full({sizes}, {one.fill}, {kind})"


def _listed(names: tuple[str, ...]) -> str:
    return f"[{', '.join(python_literal(name) for name in names)}]"
