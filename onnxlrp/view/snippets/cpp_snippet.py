"""Program in C++17 with ONNX Runtime's own header."""

from __future__ import annotations

from onnxlrp.runtime.fed_inputs import FedInput, Program
from onnxlrp.view.snippets.code_words import c_literal, comment, element_type, identifier

TYPES = {
    "float32": "float",
    "float64": "double",
    "float16": "Ort::Float16_t",
    "int64": "int64_t",
    "int32": "int32_t",
    "int16": "int16_t",
    "int8": "int8_t",
    "uint64": "uint64_t",
    "uint32": "uint32_t",
    "uint16": "uint16_t",
    "uint8": "uint8_t",
    "bool": "bool",
    "string": "const char*",
}


def write(program: Program) -> str:
    """Write the program."""
    taken = {"environment", "memory", "inputs", "outputs", "relevance", "allocator"}
    fed = [line for one in program.inputs for line in _input(one, identifier(one.name, taken))]
    strings = any(one.type == "string" for one in program.inputs)
    lines = [
        "#include <onnxruntime_cxx_api.h>",
        "",
        "#include <cstdint>",
        "#include <iostream>",
        "#include <vector>",
        "",
        "int main() {",
        "  Ort::Env environment(ORT_LOGGING_LEVEL_ERROR);",
        f"  Ort::Session session(environment, ORT_TSTR({c_literal(program.path)}), Ort::SessionOptions{{}});",
        "  auto memory = Ort::MemoryInfo::CreateCpu(OrtDeviceAllocator, OrtMemTypeCPU);",
        *["  Ort::AllocatorWithDefaultOptions allocator;"][: int(strings)],
        "  std::vector<Ort::Value> inputs;",
        *fed,
        f"  const char* names[]{{{', '.join(c_literal(one.name) for one in program.inputs)}}};",
        f"  const char* outputs[]{{{', '.join(map(c_literal, program.outputs))}}};",
        "  auto results = session.Run(Ort::RunOptions{}, names, inputs.data(), inputs.size(), outputs, "
        f"{len(program.outputs)});",
        f"  Ort::Value& relevance = results[{program.outputs.index(program.relevance)}];",
        "  for (int64_t size : relevance.GetTensorTypeAndShapeInfo().GetShape()) std::cout << size << ' ';",
        f'  std::cout << ": " << relevance.GetTensorData<{TYPES[program.relevance_type]}>()[0] << std::endl;',
        "}",
    ]
    return "\n".join(lines)


def _input(one: FedInput, name: str) -> list[str]:
    kind = element_type(one.type, TYPES, "C++", one.name)
    sizes = ", ".join(map(str, one.sizes))
    about = comment(one.about)
    shape = f"  std::vector<int64_t> {name}_shape{{{sizes}}};"
    if one.type == "string":
        return [
            f'  std::vector<const char*> {name}({one.count}, "");  // {about}',
            shape,
            f"  inputs.push_back(Ort::Value::CreateTensor(allocator, {name}_shape.data(), {name}_shape.size(), "
            "ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING));",
            f"  inputs.back().FillStringTensor({name}.data(), {name}.size());",
        ]
    value = {"float16": "Ort::Float16_t(0.0f)"}.get(one.type, str(one.fill))
    begin = f"  std::vector<{kind}> {name}({one.count}, {value});  // {about}"
    data = f"{name}.data()"
    if one.type == "bool":  # std::vector<bool> has no array inside.
        begin, data = begin.replace("<bool>", "<uint8_t>", 1), f"reinterpret_cast<bool*>({data})"
    push = f"  inputs.push_back(Ort::Value::CreateTensor<{kind}>(memory, {data}, {one.count}, {name}_shape.data(), "
    return [begin, shape, f"{push}{name}_shape.size()));"]
