"""Run what was written down for old operator sets: the source and its explained model, both in onnxruntime."""

from __future__ import annotations

import contextlib
import dataclasses
import re
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

import onnxlrp
from onnxlrp.errors import OnnxLrpError
from tests.operators.operator_sets import Trial, trials

Values = dict[str, Any]
RANDOM = frozenset(
    {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}
)
"""Operators whose outputs are compared in shape and type only; so is Dropout in training."""
REASONS = {
    "NOT_IMPLEMENTED": "no kernel",
    "INVALID_GRAPH": "refused as invalid",
    "InferenceError": "refused as invalid",
    "Exception during initialization": "refused by its kernel",
    "Non-zero status code": "fails at run time",
    "Unexpected input data type": "its Python API takes no such arrays",
    "Unable to handle object": "its Python API takes no such arrays",
    "No corresponding Numpy type": "its Python API takes no such arrays",
    "mismatched with specified type": "refused as invalid",
    "output arg": "refused as invalid",
    "Type Error": "refused as invalid",
    "nothing to try": "no case has the attribute's kind, or onnx writes none",
}
"""Parts of onnxruntime's messages, and what they come to."""
KNOWN = {
    r"AffineGrid-20 .*spatial axes cannot be told": "no operand says how many axes there are: refused",
    r"Attention-25 .*'is_causal': 1, 'qk_matmul_output_mode': 2.*: y3": "hidden scores are −∞, as in ONNX's function "
    "body, which onnxruntime 1.32 runs; 1.31 takes the operator for that of opset 24, where they are the lowest number",
}
"""Patterns of what is not equal, and why."""
_IR = {23: 11, 24: 12, 25: 12, 26: 13}
_TOLERANCES = {"float16": 2e-3, "float32": 1e-5, "float64": 1e-7}
_BESIDE, _INNER = "beside", "inner_"


@dataclasses.dataclass
class Ready:
    """A trial that onnxruntime runs: what it is fed, by the names of the operands, and what comes out."""

    trial: Trial
    given: list[Values]
    expected: list[Values]


@dataclasses.dataclass
class Verdict:
    """What became of a trial that onnxruntime runs."""

    trial: Trial
    refused: str = ""
    """Why onnxlrp does not convert it."""
    different: str = ""
    through: bool = False
    """Relevance goes through the node, not only beside it."""


def prepare(alternatives: Sequence[Trial]) -> tuple[Ready | None, str]:
    """The first of some trials that onnxruntime runs, on its own input and where it can on another; else why not."""
    why = "nothing to try"
    for trial in alternatives:
        try:
            run, own = runner(model([trial], [""])), trial.fed("")
            given = [{name: operand.value for name, operand in own.items()}]
            expected = [_without_branch(run(_with_branch(given[0])))]
        except Exception as e:  # onnxruntime raises what it likes
            why = first_line(e)
            continue
        with contextlib.suppress(Exception):  # drawn out of what the operator takes
            rng = np.random.default_rng(1)
            other = {name: _drawn(value, rng) for name, value in given[0].items()}
            expected.append(_without_branch(run(_with_branch(other))))
            given.append(other)
        return Ready(trial, given, expected), ""
    return None, why


def judge(ready: Ready) -> Verdict:
    """Compare a trial's outputs before and after conversion, explained through the node where that can be."""
    verdict = Verdict(ready.trial)
    source = model([ready.trial], [""])
    try:
        try:
            explained = _explained(source, source.graph.output[0].name)
            verdict.through = True
        except OnnxLrpError:
            explained = _explained(source)
        verdict.different = next(_differences([ready], [""], explained), "")
    except OnnxLrpError as e:
        verdict.refused = " ".join(str(e).split())[:300]
    except Exception as e:  # no error of ours: counted as a difference
        verdict.different = f"{type(e).__name__}: {first_line(e)}"
    return verdict


def judge_together(ready: Sequence[Ready]) -> list[Verdict]:
    """Compare trials of one opset in one model, explained beside their nodes; one by one if anything differs."""
    prefixes = [f"t{i}_" for i in range(len(ready))]
    try:
        explained = _explained(model([r.trial for r in ready], prefixes))
        if not any(_differences(ready, prefixes, explained)):
            return [Verdict(r.trial) for r in ready]
    except Exception:  # whatever it is, each says it for itself
        pass
    return [judge(r) for r in ready]


@dataclasses.dataclass
class Count:
    """What became of an operator's version."""

    attributes: set[str] = dataclasses.field(default_factory=set)
    """Those that were given further values."""
    models: int = 0
    equal: int = 0
    through: int = 0
    refused: int = 0
    wrong: list[str] = dataclasses.field(default_factory=list)
    not_run: Counter[str] = dataclasses.field(default_factory=Counter)


def count(versions: Iterable[tuple[str, int]], whole: bool = False, together: int = 16) -> dict[tuple[str, int], Count]:
    """Try these versions of operators, those of one opset so many at a time."""
    found: dict[tuple[str, int], Count] = {}
    waiting: dict[int, list[Ready]] = defaultdict(list)
    for op, version in versions:
        entry = found[op, version] = Count()
        for alternatives in trials(op, version, whole):
            ready, why = prepare(alternatives)
            if ready is None:
                entry.not_run[reason(why)] += bool(alternatives)
                continue
            if whole and not (ready.trial.varied or ready.trial.constant or ready.trial.open):
                _book(entry, judge(ready))
                continue
            waiting[ready.trial.opset].append(ready)
            if len(waiting[ready.trial.opset]) == together:
                _book_all(found, waiting.pop(ready.trial.opset))
    for ready_together in waiting.values():
        _book_all(found, ready_together)
    return found


def _book_all(found: Mapping[tuple[str, int], Count], ready: Sequence[Ready]) -> None:
    for verdict in judge_together(ready):
        _book(found[verdict.trial.op, verdict.trial.version], verdict)


def _book(entry: Count, verdict: Verdict) -> None:
    entry.models += 1
    entry.equal += not verdict.different and not verdict.refused
    entry.through += verdict.through
    entry.refused += bool(verdict.refused)
    if verdict.trial.varied:
        entry.attributes.add(verdict.trial.varied)
    if verdict.different or verdict.refused:
        trial = verdict.trial
        kept = {n: v for n, v in trial.attributes.items() if not isinstance(v, onnx.GraphProto)}
        entry.wrong.append(f"{trial.op}-{trial.version} {kept}: {verdict.different or verdict.refused}")


def _differences(ready: Sequence[Ready], prefixes: Sequence[str], explained: onnx.ModelProto) -> Iterator[str]:
    """What differs on the first input and on the last."""
    run = runner(explained)
    pairs = list(zip(prefixes, ready, strict=True))
    for turn in (0, -1):
        found = run(_with_branch({p + n: v for p, r in pairs for n, v in r.given[turn].items()}))
        for prefix, each in pairs:
            for name, wanted in each.expected[turn].items():
                if text := difference(wanted, found[prefix + name], random(each.trial)):
                    yield f"{name}: {text}"


def random(trial: Trial) -> bool:
    """Decide whether an operator draws random numbers."""
    return trial.op in RANDOM or (trial.op == "Dropout" and len(trial.operands) > 2)


def difference(wanted: Any, found: Any, random: bool = False) -> str:
    """What differs between two values; nothing where they are equal within rounding."""
    if isinstance(wanted, list):
        if not isinstance(found, list) or len(wanted) != len(found):
            return "another sequence"
        return next((t for a, b in zip(wanted, found, strict=True) if (t := difference(a, b, random))), "")
    if wanted is None or found is None:
        return "" if wanted is found else "one is absent"
    if wanted.shape != found.shape or wanted.dtype != found.dtype:
        return f"{found.dtype}{list(found.shape)} instead of {wanted.dtype}{list(wanted.shape)}"
    if random:
        return ""
    if wanted.dtype.name not in _TOLERANCES:
        return "" if np.array_equal(wanted, found) else f"{(wanted != found).sum()} of {wanted.size} differ"
    tolerance, finite = _TOLERANCES[wanted.dtype.name], np.abs(wanted[np.isfinite(wanted)])
    # Sums are rounded by the size of what they add up.
    size = float(finite.max()) if finite.size else 0.0
    if np.allclose(found, wanted, rtol=tolerance, atol=tolerance * size, equal_nan=True):
        return ""
    return f"{found.reshape(-1)[:4]} instead of {wanted.reshape(-1)[:4]}"


# ----------------------------------------------------------------------------------------------------------- models


def model(trials: Sequence[Trial], prefixes: Sequence[str]) -> onnx.ModelProto:
    """The nodes side by side, and beside them a branch that can be explained whatever they are."""
    pairs = list(zip(trials, prefixes, strict=True))
    fed = {n: o for t, p in pairs for n, o in t.fed(p).items()}
    nodes = [n for t, p in pairs for n in _nodes(t, p)]
    inputs = [helper.make_value_info(name, operand.type) for name, operand in fed.items()]
    inputs.append(helper.make_tensor_value_info(_BESIDE, TensorProto.FLOAT, [1, 2]))
    names = [o for n in nodes for o in n.output if o and not o.startswith(_INNER)]
    outputs = [helper.make_empty_tensor_value_info(name) for name in names]
    outputs.append(helper.make_tensor_value_info(f"{_BESIDE}_squared", TensorProto.FLOAT, [1, 2]))
    nodes.append(helper.make_node("Mul", [_BESIDE, _BESIDE], [f"{_BESIDE}_squared"], _BESIDE))
    constants = [c for t, p in pairs for c in t.constants(p).values()]
    graph = helper.make_graph(nodes, "old", inputs, outputs, constants)
    opset = trials[0].opset
    opsets = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=_IR.get(opset, 10))


def _nodes(trial: Trial, prefix: str) -> list[onnx.NodeProto]:
    """The node, and casts of its outputs where no arrays of their type come out of onnxruntime."""
    node = trial.node(prefix)
    if not trial.exotic:
        return [node]
    names = [o for o in node.output if o]
    node.output[:] = [f"{_INNER}{o}" if o else "" for o in node.output]
    return [node, *(helper.make_node("Cast", [f"{_INNER}{o}"], [o], to=TensorProto.FLOAT) for o in names)]


def _with_branch(values: Mapping[str, Any]) -> Values:
    return {**values, _BESIDE: np.float32([[1, 2]])}


def _without_branch(values: Values) -> Values:
    return {name: value for name, value in values.items() if not name.startswith(_BESIDE)}


def _drawn(value: Any, rng: np.random.Generator) -> Any:
    """Another input of the same shape: floats are drawn, other values change places."""
    if not isinstance(value, np.ndarray) or value.ndim == 0:
        return value
    if value.dtype.kind == "f":
        return rng.normal(size=value.shape).astype(value.dtype)
    return rng.permutation(value.reshape(-1)).reshape(value.shape)


def _explained(source: onnx.ModelProto, output: str = f"{_BESIDE}_squared") -> onnx.ModelProto:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return onnxlrp.convert(source, "gradient", target="weights", output=output).to_proto()


def runner(model: onnx.ModelProto) -> Callable[[Values], Values]:
    """A function from inputs to outputs by name."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [o.name for o in session.get_outputs()]
    return lambda given: dict(zip(names, session.run(names, given), strict=True))


def first_line(error: Exception) -> str:
    """The first line of what a library says."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:240]


def is_known(text: str) -> bool:
    """Decide whether a difference has an explanation."""
    return any(re.match(pattern, text) for pattern in KNOWN)


def reason(message: str) -> str:
    """What a message of onnxruntime comes to."""
    return next((why for part, why in REASONS.items() if part in message), message[:80])
