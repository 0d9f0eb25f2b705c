"""Program in C# with Microsoft.ML.OnnxRuntime."""

from __future__ import annotations

from onnxlrp.runtime.fed_inputs import FedInput, Program
from onnxlrp.view.snippets.code_words import comment, element_type, literal

TYPES = {
    "float32": "float",
    "float64": "double",
    "float16": "Float16",
    "int64": "long",
    "int32": "int",
    "int16": "short",
    "int8": "sbyte",
    "uint64": "ulong",
    "uint32": "uint",
    "uint16": "ushort",
    "uint8": "byte",
    "bool": "bool",
    "string": "string",
}


def write(program: Program) -> str:
    """Write the program."""
    kind = TYPES[program.relevance_type]
    lines = [
        "using System;",
        "using System.Collections.Generic;",
        "using System.Linq;",
        "using Microsoft.ML.OnnxRuntime;",
        "using Microsoft.ML.OnnxRuntime.Tensors;",
        "",
        f"using var session = new InferenceSession({literal(program.path)});",
        "var feeds = new List<NamedOnnxValue>",
        "{",
        *(f"    {_named(one)}, // {comment(one.about)}" for one in program.inputs),
        "};",
        f"using var results = session.Run(feeds, new[] {{ {', '.join(map(literal, program.outputs))} }});",
        f"var relevance = results.First(one => one.Name == {literal(program.relevance)}).AsTensor<{kind}>();",
        'Console.WriteLine(string.Join(", ", relevance.Dimensions.ToArray()));',
    ]
    return "\n".join(lines)


def _named(one: FedInput) -> str:
    kind, sizes = element_type(one.type, TYPES, "C#", one.name), f"new[] {{ {', '.join(map(str, one.sizes))} }}"
    value = {"string": '""', "bool": str(bool(one.fill)).lower()}.get(one.type, str(one.fill))
    data = f"Enumerable.Repeat<{kind}>({value}, {one.count}).ToArray()"
    if not one.fill and one.type != "string":
        data = f"new {kind}[{one.count}]"
    return f"NamedOnnxValue.CreateFromTensor({literal(one.name)}, new DenseTensor<{kind}>({data}, {sizes}))"
