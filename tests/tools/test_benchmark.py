"""The benchmark makes its table and its plot; here of a small file, which needs no peer."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest

import onnxlrp
from onnxlrp.runtime.providers import cuda_present

pytest.importorskip("onnxruntime")
from tools.benchmark import __main__ as benchmark
from tools.benchmark import (
    against,
    bare_loops,
    conversions,
    maps,
    models,
    on_demand,
    plot,
    row,
    sessions,
    table,
    timing,
)

MODEL = Path(__file__).parents[2] / "models" / "digits_cnn" / "digits_cnn.torchscript.onnx"
QUICK = ("--rounds", "2", "--threads", "1", "--pause", "0")


@pytest.fixture
def quick(monkeypatch):
    """Turns of a single run."""
    monkeypatch.setattr(timing, "LEAST", 0.0)


def command(folder: Path, *more: str) -> list[str]:
    return [str(MODEL), "--batch", "1", "--composites", "epsilon", *QUICK, "--folder", str(folder), *more]


@pytest.mark.slow
def test_table_and_plot_from_the_command_line(tmp_path, capsys, monkeypatch):
    """A second run measures nothing again."""
    assert benchmark.main(command(tmp_path)) == 0
    (found,) = json.loads((tmp_path / "cpu-float32.json").read_text())
    assert set(found["seconds"]) == {"source", "explained"}
    assert all(len(rounds) == 2 and min(rounds) > 0 for rounds in found["seconds"].values())
    assert found["bytes"]["explained"] > found["bytes"]["source"] > 0
    assert all(value["peak"] >= value["run"] > 0 for value in found["memory"].values())
    text = (tmp_path / "cpu-float32.md").read_text()
    assert "onnxruntime" in text
    assert "| digits_cnn.torchscript | 1 | `epsilon` |" in text
    assert (tmp_path / "cpu-float32.png").exists() == plot.available()
    monkeypatch.setattr(benchmark, "_run", lambda *_: pytest.fail("measured again"))
    assert benchmark.main(command(tmp_path)) == 0
    assert "kept" in capsys.readouterr().out


def test_what_a_machine_cannot_do(tmp_path):
    assert benchmark.main(command(tmp_path, "--precision", "tf32")) == 2
    assert benchmark.main(command(tmp_path, "--clock", "processor", "--threads", "2")) == 2
    if not cuda_present():
        assert benchmark.main(command(tmp_path, "--provider", "cuda")) == 2


@pytest.mark.slow
def test_processor_time(tmp_path, quick):
    """The table is one of its own, beside that of wall time."""
    assert benchmark.main(command(tmp_path, "--clock", "processor")) == 0
    assert "1 thread, processor time" in (tmp_path / "cpu-float32-processor.md").read_text()
    assert not (tmp_path / "cpu-float32.md").exists()


def test_a_row_that_fails(tmp_path, monkeypatch):
    """The status says so, and the rest goes on."""
    tried = []
    monkeypatch.setattr(benchmark, "_run", lambda name, batch, *_: tried.append(batch))
    assert benchmark.main([*command(tmp_path), "--batch", "1", "2"]) == 1
    assert tried == [1, 2]


@pytest.mark.slow
def test_bound_runs_give_the_same(tmp_path, quick):
    """The way to run on a GPU, on the CPU."""
    explained = tmp_path / "explained.onnx"
    onnxlrp.convert(MODEL, "epsilon").save(explained)
    x = models.find(str(MODEL)).sample(2)
    session = sessions.create(explained, "cpu", 1)
    feeds = sessions.feed(session, x)
    bound = sessions.Bound(session, feeds, "cpu")
    assert sessions.open_outputs(session)  # the file is of any batch
    for found, expected in zip(bound.read().values(), sessions.plain(session, feeds)().values(), strict=True):
        np.testing.assert_array_equal(found, expected)
    options = row.Options(folder=str(tmp_path), rounds=1, threads=1, pause=0.0, bound=True)
    found = row.measure(models.find(str(MODEL)), "digits", 2, "epsilon", options)
    assert "`epsilon`" in table.markdown([found])


def test_nodes_off_the_device(tmp_path):
    """On the CPU none is off it; seen from CUDA all are, but the source's own are left out."""
    explained = tmp_path / "explained.onnx"
    onnxlrp.convert(MODEL, "epsilon").save(explained)
    x = models.find(str(MODEL)).sample(1)
    assert sessions.off_device(explained, "cpu", 1, x, ()) == {}
    events = sessions.profile(explained, "cpu", 1, x)
    every = sessions.astray(events, sessions.PROVIDERS["cuda"], ())
    names = {event["name"].removesuffix("_kernel_time") for event in events if event.get("cat") == "Node"}
    assert sum(every.values()) > 10
    assert sessions.astray(events, sessions.PROVIDERS["cuda"], names) == {}
    copy = {"cat": "Node", "name": "Memcpy_kernel_time", "args": {"op_name": "MemcpyToHost", "provider": "x"}}
    assert sessions.astray([copy], "x", ()) == {"MemcpyToHost": 1}


@pytest.mark.parametrize("static", [False, True])
def test_the_way_to_a_gpu(tmp_path, quick, monkeypatch, static):
    """The wiring alone, on the CPU: the table says what became of the CUDA graph and which nodes are not on the GPU."""
    create, bind = sessions.create, sessions.Bound

    def on_cpu(path, provider, threads, *, profile=None, **options):
        return create(path, "cpu", threads, profile=profile)

    monkeypatch.setattr(sessions, "create", on_cpu)
    monkeypatch.setattr(sessions, "Bound", lambda session, feeds, _: bind(session, feeds, "cpu"))
    monkeypatch.setattr(row.environment, "describe", lambda _: {"processor": "none", "cores": "1", "gpu": "none"})
    monkeypatch.setattr(row.memory, "measure", lambda *_: {"peak": 1, "run": 1})
    source = onnx.load(MODEL)
    if static:
        for value in (*source.graph.input, *source.graph.output):
            value.type.tensor_type.shape.dim[0].dim_value = 2
    onnx.save(source, tmp_path / "digits.onnx")
    options = row.Options(folder=str(tmp_path), provider="cuda", rounds=1, threads=1, pause=0.0, static=static)
    text = table.markdown([row.measure(models.find(str(tmp_path / "digits.onnx")), "digits", 2, "epsilon", options)])
    assert ("explained: CUDA graph" in text) == static
    assert ("explained: no CUDA graph: its outputs have no static shapes" in text) != static
    assert "relevance nodes off the GPU: " in text


def test_ratios_are_of_rounds():
    """A slow round is slow for both."""
    assert timing.ratio([2.0, 20.0, 2.2], [1.0, 10.0, 1.0]) == 2.0


def test_rounds_are_interleaved(monkeypatch):
    """Every program has its turn in each round: a run to warm up, then three or more."""
    runs: list[str] = []
    programs = {name: lambda name=name: runs.append(name) for name in "ab"}
    monkeypatch.setattr(timing, "MOST", 3)
    assert {key: len(seconds) for key, seconds in timing.interleaved(programs, 2, pause=0).items()} == {"a": 2, "b": 2}
    assert "".join(runs) == "aaaabbbb" * 2


@pytest.mark.slow
def test_two_states_take_turns(tmp_path, quick, capsys, monkeypatch):
    """Here the tree and itself: a row that is slower than it may be gives status 1."""
    assert benchmark.main(command(tmp_path, "--against", "HEAD", "--provider", "cuda")) == 2
    monkeypatch.setattr(against.revision, "commit", lambda _: "0123456789")
    monkeypatch.setattr(against.revision, "package", lambda _: against.revision.ROOT)
    monkeypatch.setattr(against, "SLOWER", 0.0)
    assert benchmark.main(command(tmp_path, "--rounds", "1", "--against", "HEAD", "--again")) == 1
    assert capsys.readouterr().out.count("**slower**") == 2
    assert "| digits_cnn.torchscript | 1 | `epsilon` | 0." in (tmp_path / "against-01234567.md").read_text()


@pytest.mark.slow
def test_equal_graphs_are_not_run(tmp_path):
    """Their conversions are timed; and a model that one state refuses is a row that failed, nothing more."""
    options = row.Options(folder=str(tmp_path), rounds=1)
    with conversions.Converter(against.revision.ROOT) as state:
        states = {"old": state, "new": state}
        line, fine = against._row(states, str(MODEL), 1, "no_composite", options, False)
        assert line.startswith("RuntimeError: InputError")
        assert not fine
        found = against.measure(states, str(MODEL), 1, "epsilon", options, False)
    assert found["run"] is None
    assert found["conversion"]["old"][0] > 0
    assert list(against.cells(found))[:3] == ["", "", "the same graph"]


def test_intervals_of_ranks():
    """Of 7 values the smallest and largest, of 15 the fourth from either end: 98 % and 96 %."""
    assert against.interval([7.0, 1, 2, 3, 6, 5, 4]) == (1, 4, 7)
    assert against.interval([float(i) for i in range(15)]) == (3, 7, 11)
    assert against.coverage(7) == pytest.approx(1 - 2 / 2**7)
    assert 0.95 <= against.coverage(15) < 0.97
    old = [1.0] * 7
    assert against.is_slower({"old": old, "new": [1.04] * 7})
    assert not against.is_slower({"old": old, "new": [1.5] * 6 + [1.0]})


def test_who_began_a_round_ends_the_next():
    """Long runs, of which each turn has one."""
    runs: list[str] = []
    programs = {name: lambda name=name: runs.append(name) for name in "ab"}
    timing.in_turns(programs, 2, iter(range(0, 10_000, 5)).__next__)
    assert "".join(runs) == "abba"


@pytest.mark.slow
def test_relevance_on_demand(tmp_path, quick, monkeypatch):
    """A row of a small file: the switch changes no bit."""
    monkeypatch.setattr(on_demand, "ROUNDS", 2)
    monkeypatch.setattr(on_demand, "SESSIONS", 1)

    def build(path: Path) -> np.ndarray:
        path.write_bytes(MODEL.read_bytes())
        return np.random.default_rng(0).random((1, 1, 8, 8), np.float32)

    cells = on_demand._row(on_demand.Subject("digits", build), tmp_path).split("|")
    assert cells[1].strip() == "digits" and cells[-2].strip() == "yes, yes"
    assert "| digits |" in on_demand._page(["|".join(cells)])


def test_the_end_of_a_stage_is_its_last_activation():
    from tools.benchmark.inner_values import end_of

    nodes = [
        onnx.helper.make_node("Relu", ["x"], ["a"], name="/layer1/layer1.0/relu/Relu"),
        onnx.helper.make_node("Relu", ["a"], ["b"], name="/layer1/layer1.1/relu/Relu"),
        onnx.helper.make_node("Relu", ["b"], ["c"], name="/layer2/layer2.0/relu/Relu"),
    ]
    model = onnx.helper.make_model(onnx.helper.make_graph(nodes, "stages", [], []))
    assert [end_of(model.SerializeToString(), stage) for stage in ("layer1", "layer2")] == ["b", "c"]


def test_explanations_of_pictures_next_to_bare_loops(tmp_path):
    """Both see the same pixels, and every program runs."""
    programs = maps.on_pictures(tmp_path, str(MODEL), 3)
    loop = bare_loops.BareLoop(tmp_path / "whole.lrp.onnx", 16)
    (explanation,) = onnxlrp.Explainer(tmp_path / "whole.lrp.onnx").map(tmp_path / "pictures", preprocess="unit")
    for path, seen in zip(explanation.originals["image"], explanation.inputs["image"], strict=True):
        np.testing.assert_array_equal(loop.pixels(Path(path)), seen)
    found = maps.in_rounds(programs, 1)
    assert all(min(*one.processor, *one.wall) > 0 for one in found.values())
    assert {program.against for program in programs.values()} - {None} <= {*programs}
    text = maps.page([maps.table("3 pictures", programs, found, 3)], str(MODEL), 1)
    assert all(f"| {name} |" in text for name in programs)


@pytest.mark.filterwarnings("ignore::onnxlrp.errors.ExplanationWarning")
def test_explanations_of_tables_next_to_bare_loops(tmp_path):
    pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    programs = maps.on_tables(tmp_path, 40)
    assert len(maps.in_rounds(programs, 1)) == 12
