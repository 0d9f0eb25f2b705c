"""Programs in JavaScript, with onnxruntime-node or onnxruntime-web."""

from __future__ import annotations

from onnxlrp.runtime.fed_inputs import FedInput, Program
from onnxlrp.view.snippets.code_words import comment, element_type, identifier, literal

ARRAYS = {
    "float32": "Float32Array",
    "float64": "Float64Array",
    "int64": "BigInt64Array",
    "int32": "Int32Array",
    # The bits of halves.
    "float16": "Uint16Array",
    "bool": "Uint8Array",
    "int8": "Int8Array",
    "uint8": "Uint8Array",
    "int16": "Int16Array",
    "uint16": "Uint16Array",
    "uint32": "Uint32Array",
    "uint64": "BigUint64Array",
    "string": "Array",
}


def write_node(program: Program) -> str:
    """Write the program for Node.js."""
    return _program(program, 'const ort = require("onnxruntime-node");', "onnxruntime-node drops such inputs")


def write_web(program: Program) -> str:
    """Write the program for a browser, as a module."""
    return _program(program, 'import * as ort from "onnxruntime-web";', "onnxruntime-web refuses such inputs")


def short(program: Program) -> str:
    """Write the two lines that matter, for tensors that are there."""
    fed = ", ".join(f"{literal(name)}: {variable}" for name, variable in variables(program).items())
    return (
        f"const session = await ort.InferenceSession.create({literal(program.path)});\n"
        f"const results = await session.run({{ {fed} }}, [{', '.join(map(literal, program.outputs))}]);"
    )


def variables(program: Program) -> dict[str, str]:
    """Name the variables that `short` reads, by input."""
    taken = {"session", "ort", "results", "feeds"}
    return {one.name: identifier(one.name, taken) for one in program.required}


def _program(program: Program, first: str, hidden: str) -> str:
    feeds = [f"    {literal(one.name)}: {_tensor(one)}, // {comment(one.about)}" for one in program.required]
    notes = [f"    // {comment(f'{one.name!r} is left out: it is optional, and {hidden}.')}" for one in program.hidden]
    lines = [
        first,
        "",
        "async function explain() {",
        f"  const session = await ort.InferenceSession.create({literal(program.path)});",
        "  const feeds = {",
        *feeds,
        *notes,
        "  };",
        f"  const results = await session.run(feeds, [{', '.join(map(literal, program.outputs))}]);",
        f"  const relevance = results[{literal(program.relevance)}];",
        "  console.log(relevance.dims, relevance.data);",
        "}",
        "",
        "explain();",
    ]
    return "\n".join(lines)


def _tensor(one: FedInput) -> str:
    kind, sizes = element_type(one.type, ARRAYS, "JavaScript", one.name), f"[{', '.join(map(str, one.sizes))}]"
    if one.type == "string":
        return f'new ort.Tensor("string", new Array({one.count}).fill(""), {sizes})'
    number = f"{one.fill}n" if kind.startswith("Big") else str(one.fill)
    filled = f".fill({number})" if one.fill else ""
    return f"new ort.Tensor({literal(one.type)}, new {kind}({one.count}){filled}, {sizes})"
