"""Speed of explained ensembles: `python -m tools.trees speed` prints a table of ratios to shap and to the trainers.

All times are processor time of one thread, medians of rounds in which the programs take turns; a ratio is the median of
the rounds' ratios. The explained file's time includes the model's own prediction. shap hands XGBoost's and LightGBM's
models to the trainers' own code; its column is shap's own, on the same trees. Covers are the trainers'.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import lightgbm
import numpy as np
import onnx
import onnxmltools
import onnxruntime as ort
import shap
import xgboost
from onnxmltools.convert.common.data_types import FloatTensorType

import onnxlrp
from tools.benchmark.environment import describe
from tools.benchmark.timing import in_turns, ratio
from tools.trees.datasets import Array

FEATURES, TRAINING = 30, 20_000
ROUNDS = 5


@dataclasses.dataclass(frozen=True)
class Subject:
    """An ensemble to measure, with the rows of one run of each program."""

    name: str
    model: Any
    proto: onnx.ModelProto
    contributions: Callable[[Array], object]
    """The trainer's own Shapley values of rows."""


def data() -> tuple[Array, Array]:
    """Draw rows and numbers with a linear part, a wave and a product."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(TRAINING, FEATURES)).astype(np.float32)
    answers = x @ rng.normal(size=FEATURES) + 3 * np.sin(3 * x[:, 0]) + 2 * x[:, 1] * x[:, 2]
    return x, (answers + rng.normal(size=TRAINING)).astype(np.float32)


def extreme(trees: int, depth: int) -> Subject:
    """Train XGBoost."""
    x, y = data()
    model = xgboost.XGBRegressor(n_estimators=trees, max_depth=depth, learning_rate=0.1, n_jobs=1).fit(x, y)
    proto = onnxmltools.convert_xgboost(model, initial_types=types(), target_opset=15)
    booster = model.get_booster()

    def contributions(rows: Array) -> object:
        return booster.predict(xgboost.DMatrix(rows, nthread=1), pred_contribs=True)

    return Subject(f"XGBoost, {trees:,} trees of depth {depth}", model, proto, contributions)


def light(trees: int, leaves: int) -> Subject:
    """Train LightGBM."""
    x, y = data()
    model = lightgbm.LGBMRegressor(n_estimators=trees, num_leaves=leaves, n_jobs=1, verbose=-1).fit(x, y)
    proto = onnxmltools.convert_lightgbm(model, initial_types=types(), target_opset=15)

    def contributions(rows: Array) -> object:
        return model.predict(rows, pred_contrib=True, num_threads=1)

    return Subject(f"LightGBM, {trees} trees of {leaves} leaves", model, proto, contributions)


def types() -> list[tuple[str, FloatTensorType]]:
    """Declare the only input, in the words of the exporter."""
    return [("X", FloatTensorType([None, FEATURES]))]


def session(model: onnx.ModelProto) -> Callable[[Array, list[str] | None], list[Array]]:
    """Return a function that runs a model in one thread."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    made = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda rows, outputs=None: made.run(outputs, {"X": rows})


def own(model: Any, interactions: bool = False) -> Callable[[Array], Array]:
    """Return shap's own path-dependent values, also of models whose trainer's code it would call."""
    explainer = shap.TreeExplainer(model, feature_perturbation="tree_path_dependent")
    explainer.model.model_type = "internal"
    if interactions:
        return lambda rows: explainer.shap_interaction_values(rows)
    return lambda rows: explainer.shap_values(rows, check_additivity=False)


def measure(programs: Mapping[str, Callable[[], object]], rows: int) -> None:
    """Time programs of which the first is onnxlrp's, and print milliseconds a row and ratios to the first."""
    for run in programs.values():
        run()
    seconds = in_turns(programs, ROUNDS, time.process_time)
    ours = next(iter(seconds))
    for name, found in seconds.items():
        against = "" if name == ours else f"  {ratio(found, seconds[ours]):6.2f} × {ours}"
        print(f"  {name:24} {1e3 * statistics.median(found) / rows:9.4f} ms a row{against}", flush=True)


def values(subject: Subject, rows: int, batch: int) -> None:
    """Compare Shapley values: the explained file, shap and the trainer; print the sizes and times of the file too."""
    x = data()[0][:rows]
    given = onnxlrp.with_covers(subject.proto, onnxlrp.covers_of(subject.model))
    start = time.process_time()
    explained = onnxlrp.convert(given).to_proto()
    converted = time.process_time()
    run = session(explained)
    created = time.process_time()
    sizes = [m.ByteSize() / 1e6 for m in (subject.proto, explained)]
    print(f"{subject.name}: {rows:,} rows, {batch:,} at a time")
    print(f"  converted in {converted - start:.1f} s, session made in {created - converted:.1f} s")
    print(f"  source {sizes[0]:.1f} MB, explained {sizes[1]:.1f} MB")
    found, true = run(x[:100], ["X_relevance"])[0], np.asarray(subject.contributions(x[:100]))[:, :-1]
    print(f"  largest difference from the trainer's values: {apart(found, true):.1e} of the largest")
    theirs = own(subject.model)

    def ours() -> None:
        for at in range(0, rows, batch):
            run(x[at : at + batch])

    programs = {"shap": lambda: theirs(x), "the trainer": lambda: subject.contributions(x)}
    measure({"onnxlrp": ours, **programs}, rows)
    single(subject, explained, x[:1])


def apart(found: Array, true: Array) -> float:
    """Return the largest difference over the largest value."""
    return float(np.abs(found - true).max() / np.abs(true).max())


def single(subject: Subject, explained: onnx.ModelProto, row: Array) -> None:
    """Compare one row's explanation with the model's own prediction of it."""
    explain, predict = session(explained), session(subject.proto)

    def many(run: Callable[..., object]) -> Callable[[], object]:
        return lambda: [run(row) for _ in range(100)]

    print(" one row")
    measure({"the model's prediction": many(predict), "onnxlrp": many(explain)}, 100)


def interactions(subject: Subject, rows: int) -> None:
    """Compare interaction values."""
    x = data()[0][:rows]
    given = onnxlrp.with_covers(subject.proto, onnxlrp.covers_of(subject.model))
    explained = onnxlrp.convert(given, interactions=True).to_proto()
    run, theirs = session(explained), own(subject.model, interactions=True)
    found, true = run(x[:20], ["X_interactions"])[0], theirs(x[:20])
    print(f"{subject.name}: interactions, {rows:,} rows")
    print(f"  largest difference from shap's values: {apart(found, true):.1e} of the largest")
    measure({"onnxlrp": lambda: run(x), "shap": lambda: theirs(x)}, rows)


PARTS: dict[str, Callable[[], None]] = {
    "depth6": lambda: values(extreme(100, 6), rows=10_000, batch=10_000),
    "batches": lambda: values(extreme(100, 6), rows=10_000, batch=500),
    "depth8": lambda: values(extreme(1000, 8), rows=500, batch=500),
    "leaves": lambda: values(light(100, 31), rows=10_000, batch=10_000),
    "interactions": lambda: interactions(extreme(100, 6), rows=200),
}


def main(given: list[str] | None = None) -> int:
    """Measure every part, or the parts that are named."""
    parser = argparse.ArgumentParser("python -m tools.trees speed", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; default: all")
    chosen = parser.parse_args(given).parts or list(PARTS)
    print(", ".join(f"{k} {v}" for k, v in describe("cpu").items()))
    print(f"shap {shap.__version__}, xgboost {xgboost.__version__}, lightgbm {lightgbm.__version__}")
    for part in chosen:
        PARTS[part]()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
