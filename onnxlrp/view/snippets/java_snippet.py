"""Program in Java with ai.onnxruntime."""

from __future__ import annotations

from onnxlrp.runtime.fed_inputs import FedInput, Program
from onnxlrp.view.snippets.code_words import comment, element_type, literal

BUFFERS = {
    "float32": "FloatBuffer.wrap(new float",
    "float64": "DoubleBuffer.wrap(new double",
    "int64": "LongBuffer.wrap(new long",
    "int32": "IntBuffer.wrap(new int",
    "int16": "ShortBuffer.wrap(new short",
    "float16": "ShortBuffer.wrap(new short",
    "int8": "ByteBuffer.wrap(new byte",
    "uint8": "ByteBuffer.wrap(new byte",
    "bool": "",
    "string": "",
}
_SAID = {"float16": ", OnnxJavaType.FLOAT16", "uint8": ", OnnxJavaType.UINT8"}


def write(program: Program) -> str:
    """Write the program; Java's session does not know optional inputs."""
    feeds = [
        f"      feeds.put({literal(one.name)}, {_tensor(one)}); // {comment(one.about)}" for one in program.required
    ]
    notes = [f"      // {comment(f'{one.name!r} is left out: it is optional.')}" for one in program.hidden]
    outputs = ", ".join(map(literal, program.outputs))
    lines = [
        "import ai.onnxruntime.*;",
        "import java.nio.*;",
        "import java.util.*;",
        "",
        "public class Explain {",
        "  public static void main(String[] arguments) throws OrtException {",
        "    OrtEnvironment environment = OrtEnvironment.getEnvironment();",
        f"    try (OrtSession session = environment.createSession({literal(program.path)})) {{",
        "      Map<String, OnnxTensor> feeds = new HashMap<>();",
        *feeds,
        *notes,
        f"      try (OrtSession.Result results = session.run(feeds, Set.of({outputs}))) {{",
        f"        OnnxTensor relevance = (OnnxTensor) results.get({literal(program.relevance)}).get();",
        "        System.out.println(Arrays.toString(relevance.getInfo().getShape()));",
        "      }",
        "    }",
        "  }",
        "}",
    ]
    return "\n".join(lines)


def _tensor(one: FedInput) -> str:
    begin, sizes = element_type(one.type, BUFFERS, "Java", one.name), ", ".join(map(str, one.sizes))
    shape = f"new long[] {{{sizes}}}"
    if one.type == "bool":
        flags = f"[] {{{', '.join(['true'] * one.count)}}}" if one.fill else f"[{one.count}]"
        return f"OnnxTensor.createTensor(environment, OrtUtil.reshape(new boolean{flags}, {shape}))"
    if one.type == "string":
        words = f'Collections.nCopies({one.count}, "").toArray(new String[0])'
        return f"OnnxTensor.createTensor(environment, {words}, {shape})"
    data = f"[{one.count}]" if not one.fill else f"[] {{{', '.join([str(one.fill)] * one.count)}}}"
    return f"OnnxTensor.createTensor(environment, {begin}{data}), {shape}{_SAID.get(one.type, '')})"
