"""Runs at places that never change: the way to CUDA graphs, here on the CPU."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
import pytest

import onnxlrp
from onnxlrp.errors import InputError
from onnxlrp.runtime import providers
from onnxlrp.runtime.cuda_graphs import GraphRuns
from tests.source.nets import image, network

X = image()["x"].astype(np.float32)


def explained(static: bool) -> bytes:
    source = network()
    if static:
        for value in (*source.graph.input, *source.graph.output):
            value.type.tensor_type.shape.dim[0].dim_value = len(X)
    return onnxlrp.convert(source, "epsilon").to_proto().SerializeToString()


def test_each_run_has_its_own_values():
    """Other values, then another set of inputs, then the first again: never an earlier answer."""
    session = providers.create_session(explained(True), ["CPUExecutionProvider"])
    runs, x = GraphRuns(session, "cpu"), X
    every = [{"x": x}, {"x": -x}, {"x": x, "target": np.array([1])}, {"x": x[..., ::-1]}, {"x": x}]
    kept = [runs(feeds, ort.RunOptions()) for feeds in every]
    for feeds, found in zip(every, kept, strict=True):
        wanted = providers.run(session, None, {k: np.ascontiguousarray(v) for k, v in feeds.items()})
        for name, value in wanted.items():
            np.testing.assert_array_equal(found[name], value, err_msg=name)


def test_sizes_that_are_open_are_refused():
    session = providers.create_session(explained(False), ["CPUExecutionProvider"])
    with pytest.raises(InputError, match=r"static shape.*x_relevance.*enable_cuda_graph"):
        GraphRuns(session, "cpu")({"x": X}, ort.RunOptions())


def test_only_sessions_that_record_graphs_run_so():
    session = providers.create_session(explained(True), ["CPUExecutionProvider"])
    assert providers.graph_runs(session) is None

    class Recording:
        def get_provider_options(self):
            return {"CUDAExecutionProvider": {"enable_cuda_graph": "1"}}

        def get_outputs(self):
            return []

    assert isinstance(providers.graph_runs(Recording()), GraphRuns)


def test_an_explainer_runs_them(monkeypatch):
    taken = []

    class Counted(GraphRuns):
        def __call__(self, feeds, options):
            taken.append(list(feeds))
            return super().__call__(feeds, options)

    monkeypatch.setattr(providers, "graph_runs", lambda session: Counted(session, "cpu"))
    explainer = onnxlrp.Explainer(explained(True), ["CPUExecutionProvider"])
    monkeypatch.undo()
    plain = onnxlrp.Explainer(explained(True), ["CPUExecutionProvider"])
    for x in (X, -X):
        np.testing.assert_array_equal(explainer({"x": x}).relevance["x"], plain({"x": x}).relevance["x"])
    assert taken == [["x"], ["x"]]
