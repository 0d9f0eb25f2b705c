"""The tool of runtimes: its jobs, targets and verdicts, and that the results that are kept are of this version."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import onnx.parser
import pytest

import onnxlrp
from onnxlrp._version import __version__
from tests.bundled import FILES
from tools.runtimes import asked_targets, deploying_page, in_python, jobs, measure, results, subjects, tensors, verdicts
from tools.runtimes.engines import ENGINES
from tools.runtimes.jobs import Answer, Call, Job
from tools.runtimes.verdicts import NO_SOURCE, REFUSED, RIGHT, WRONG

HEAD = '<ir_version: 8, opset_import: ["": 17]> tiny'


def parsed(signature: str, body: str) -> onnx.ModelProto:
    return onnx.parser.parse_model(f"{HEAD} {signature} {{ {body} }}")


@pytest.mark.parametrize("kind", ["float32", "float64", "float16", "int64", "int32", "bool", "uint8"])
def test_arrays_come_back_as_they_were(kind):
    array = np.array([[0, 1, 2], [3, 4, 5]]).astype(kind)
    found = tensors.from_json(tensors.to_json(array))
    assert found.dtype == array.dtype and np.array_equal(found, array)


def test_strings_come_back_as_they_were():
    array = np.array([["a"], ["ü"]], object)
    assert tensors.from_json(tensors.to_json(array)).tolist() == array.tolist()


# Jobs

PROGRAM = """
import json, sys, time
from pathlib import Path
folder, first, count = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
for index in range(first, count):
    what = json.loads((folder / f"job-{index}.json").read_text())["model"]
    if what == "dies":
        sys.exit(7)
    if what == "hangs":
        time.sleep(60)
    (folder / "partial").write_text('{"calls": [{"error": "%s"}]}' % what)
    (folder / "partial").rename(folder / f"answer-{index}.json")
"""


def test_a_process_that_dies_or_hangs_costs_one_job(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    command = [sys.executable, str(tmp_path / "program.py")]

    def start(folder, first, count):
        return subprocess.Popen([*command, str(folder), str(first), str(count)], start_new_session=True)

    asked = [Job(name, [Call({}, [])]) for name in ("one", "dies", "two", "hangs", "three")]
    found = jobs.run(tmp_path / "jobs", asked, start, limit=5)
    errors = [answer.error for answer in found]
    assert errors == ["one", "the process ended with status 7", "two", "no answer within 5 s", "three"]


def test_a_runtime_in_python_answers_calls_and_says_errors(tmp_path):
    onnx.save(parsed("(float[N, 2] x) => (float[N, 2] y)", "y = Relu(x)"), tmp_path / "m.onnx")
    feeds = {"x": tensors.to_json(np.array([[-1, 2]], np.float32))}
    job = {
        "model": str(tmp_path / "m.onnx"),
        "calls": [{"feeds": feeds, "fetch": ["y"]}, {"feeds": {}, "fetch": ["y"]}],
    }
    for name in ("onnxruntime", "reference"):
        good, bad = in_python.answer(name, job)["calls"]
        assert tensors.from_json(good["outputs"]["y"]).tolist() == [[0, 2]]
        assert bad["error"]
    assert "m.onnx" in in_python.answer("onnxruntime", {**job, "model": str(tmp_path / "no" / "m.onnx")})["error"]


# Targets

CLASSES = parsed(
    "(float[N, 2] x) => (float[N, 3] y)", "w = Constant <value = float[2, 3] {1, 2, 3, 4, 5, 6}> ()  y = MatMul(x, w)"
)


def asked(model, counts=(1, 2, 2), **options):
    explained = onnxlrp.convert(model, "epsilon", target_input="required", **options)
    return asked_targets.targets(explained.interface, explained.to_proto(), counts)


def test_every_sample_asks_for_a_class_of_its_own():
    assert [one["target"].tolist() for one in asked(CLASSES)] == [[1], [2, 1], [-1, -1]]


def test_one_score_has_one_class():
    model = parsed(
        "(float[N, 2] x) => (float[N, 1] y)", "w = Constant <value = float[2, 1] {1, 2}> ()  y = MatMul(x, w)"
    )
    assert [one["target"].tolist() for one in asked(model)] == [[0], [0, 0], [-1, -1]]


@pytest.mark.parametrize(
    ("options", "name", "values"),
    [
        ({"target": "element"}, "y_element", [[[1]], [[2], [1]], [[-1], [-1]]]),
        ({"target": "weights"}, "y_weights", [[[1.0]], [[2.0]], [[1.0]]]),
        ({"targets": 2}, "target", [[[1, 1]], [[2, 2], [1, 1]], [[-1, -1], [-1, -1]]]),
    ],
)
def test_other_kinds_of_target(options, name, values):
    assert [one[name].tolist() for one in asked(CLASSES, **options)] == values


# Verdicts


def answer(*values, name="y"):
    return Answer([{name: np.array(value, np.float32)} for value in values])


def test_the_five_verdicts():
    meant, source = answer([1, 2], [3, 4]), answer([1, 1])

    def word(found, of_source=source):
        return verdicts.judge(of_source, source, found, meant).word

    assert word(answer([1, 2], [3, 4.001])) == RIGHT
    assert word(answer([1, 2], [3, 5])) == WRONG
    assert word(answer([1, 2], [[3, 4]])) == WRONG
    assert word(answer([1, np.nan], [3, 4])) == WRONG
    assert word(Answer([{"y": np.array([1, 2], np.float32)}, "an error"])) == REFUSED
    assert word(answer([1, 2], [3, 4]), Answer(["an error"])) == NO_SOURCE
    assert word(answer([1, 2], [3, 4]), answer([1, 2])) == NO_SOURCE


def test_a_verdict_names_what_differs():
    found = verdicts.judge(answer([1]), answer([1]), answer([1], [2], [5]), answer([1], [3], [4]))
    assert found.cause == "y at call 2, 3" and found.distance == pytest.approx(1 / 3)


def test_labels_must_be_equal_and_infinities_may_be():
    labels = [Answer([{"label": np.array([one])}]) for one in (1, 2)]
    assert verdicts.distance(*labels) == float("inf") and verdicts.distance(labels[0], labels[0]) == 0
    assert verdicts.distance(answer([np.inf, 1]), answer([np.inf, 1])) == 0


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("x with a message: y FrontEnd API failed with GeneralFailure: The axes are unknown. Node: v Summary: -- "
         "Conversion is failed for: ReduceSum-21", "ReduceSum-21: The axes are unknown."),
        ("error: OpenCV(5.0.0) /io/net.cpp:1: error: (-215:Assertion failed) a == b in function 'f'", "a == b"),
        ("OperationDescription(domain='', operation_type='Trilu', version=14))", "no converter for Trilu-14"),
        ("TractError: Translating node #1 Unimplemented(Scaler) ToTyped", "Scaler is not implemented"),
        ("the process ended with status -11", "the process ended with status -11"),
        ("cannot open /tmp/a/b.onnx", "cannot open …"),
    ],
)  # fmt: skip
def test_a_message_becomes_a_few_words(message, words):
    assert verdicts.shortened(message) == words


# The whole, with a runtime that needs no package

REFERENCE = [engine for engine in ENGINES if engine.name == "reference"]


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    room = tmp_path_factory.mktemp("room")
    chosen = [one for one in subjects.bundled() if one.name in subjects.FEW and one.composite == "epsilon"][:2]
    prepared = [measure.prepare(one, "onnxruntime", room, target_input="required") for one in chosen]
    return measure.measure(prepared, REFERENCE, room, room, 120, lambda line: None)


def test_the_reference_evaluator_is_right(rows):
    assert [row.verdicts["reference"].word for row in rows] == [RIGHT, RIGHT]
    assert all(row.noise < 1e-4 for row in rows)


def test_a_table_is_written_from_rows(rows):
    found = results.gathered(rows, [], {"reference": "taken"}, REFERENCE)
    assert f"| onnx.reference | {onnx.__version__} | onnxruntime | 2 | 2 | 0 | 0 | 0 | taken |" in results.summary(
        found
    )
    assert "not measured" in results.summary(found)
    assert "| ✓ |" in results.every_file(found)
    assert results.changes(found, found) == []
    changed = results.gathered(rows, [], {}, REFERENCE)
    changed["rows"][0]["verdicts"]["reference"] = [WRONG, None, "y at call 1"]
    (line,) = results.changes(changed, found)
    assert "wrong" in line and "results.json right" in line
    assert "**wrong** ∞" in results.every_file(changed) and "1 × wrong" in results.every_file(changed)


def test_a_conversion_that_is_refused_says_why(tmp_path):
    (coins,) = [one for one in subjects.bundled() if one.name == "coins_unet" and one.composite == "epsilon"]
    wrong = subjects.Subject("coins", coins.load, coins.feeds, "epsilon")
    assert "element" in measure.prepare(wrong, "onnxruntime", tmp_path, target_input="required")


def test_inputs_are_drawn_for_a_file_without_data():
    found = subjects.random_inputs(parsed("(float[N, 3, H] x, int64[N] ids) => (float[N, 3, H] y)", "y = Relu(x)"))
    assert {name: (array.shape, array.dtype.name) for name, array in found.items()} == {
        "x": ((2, 3, 8), "float32"),
        "ids": ((2,), "int64"),
    }


# What is kept


def test_the_kept_results_are_of_this_version_and_cover_every_model():
    kept = results.read()
    assert kept["onnxlrp"] == __version__, "run python -m tools.runtimes"
    assert {path.stem for path in FILES if path.parent.name != "minilm_similarity"} <= {
        row["subject"] for row in kept["rows"]
    }
    assert {engine.name for engine in ENGINES} == set(kept["versions"])
    assert all(kept["versions"][engine.name] == engine.version() for engine in ENGINES if engine.package)
    assert not kept["failed_snippets"]


def test_the_page_shows_the_kept_results():
    kept = results.read()
    assert results.summary(kept) in results.PAGE.read_text(encoding="utf-8"), "run python -m tools.runtimes"
    assert results.every_file(kept) == results.TABLE.read_text(encoding="utf-8")


def test_the_page_of_deploying_shows_what_snippet_prints():
    text = deploying_page.PAGE.read_text(encoding="utf-8")
    assert deploying_page.page(text) == text, "run python -m tools.runtimes.deploying_page"
