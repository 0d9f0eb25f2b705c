"""Folders of results: other data, damage, several writers, runs that are killed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import onnxlrp
from onnxlrp.errors import InputError
from onnxlrp.runtime import Explainer, Results, fingerprint, lock

X = np.random.default_rng(0).normal(size=(10, 3)).astype(np.float32)
FIRST = "000000000-000000004.npz"
SECOND = "000000004-000000008.npz"


def content(folder):
    """Every file with its bytes."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


# ------------------------------------------------------------------------------------------------------ other data

LONG = np.arange(3000, dtype=np.float32)


def other(array, place=1500):
    array = array.copy()
    array[place] += 1
    return array


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ([LONG, LONG], [LONG, other(LONG)]),
        (LONG, other(LONG)),
        (LONG, LONG.astype(np.float64)),
        (LONG.reshape(2, -1), LONG.reshape(-1, 2)),
        (np.array([1, 2], ">i4"), np.array([1, 2], "<i4")),
        ([[LONG]], [LONG]),
        ({"a": LONG}, {"a": other(LONG)}),
        ({"a": 1}, {"b": 1}),
        (["ab", "c"], ["a", "bc"]),
        (["atext", "b"], ["a", "textb"]),
        ([("a", "b")], ["a", "b"]),
        (["1"], [1]),
        ([b"a"], ["a"]),
        ([1], [True]),
        ([1], [1.0]),
        ([0.0], [-0.0]),
        ([None], ["None"]),
        (np.array(["x", LONG[:3]], object), np.array(["x", LONG[1:4]], object)),
        (np.ma.masked_less(LONG, 5), np.ma.masked_less(LONG, 6)),
        ([], [[]]),
    ],
)
def test_fingerprints_differ(one, two):
    assert fingerprint.of(one) != fingerprint.of(two)


def test_fingerprints_depend_on_content_alone():
    assert fingerprint.of([LONG, "a"]) == fingerprint.of((LONG[::-1][::-1], "".join(["a"])))
    assert fingerprint.of(np.array(["a", "b"], object)) == fingerprint.of(np.array(list("ab"), object))


def test_what_has_no_fingerprint():
    endless: list = []
    endless.append(endless)
    for value in (object(), {1, 2}, [lambda: 0], endless):
        with pytest.raises(InputError):
            fingerprint.of(value)


SERIES = """<ir_version: 10, opset_import: ["": 21]> g (float[N, 3000] x) => (float[N, 3000] y) { y = Relu (x) }"""
PICTURE = (
    """<ir_version: 10, opset_import: ["": 21]> g (float[N, 3, 8, 8] x) => (float[N, 192] y) { y = Flatten (x) }"""
)


@pytest.fixture(scope="module")
def series():
    return Explainer(onnxlrp.convert(onnx.parser.parse_model(SERIES), "epsilon"))


def test_lists_of_long_arrays_are_told_apart(series, tmp_path):
    """Numpy shortens the text of an array with more than a thousand elements; the middle is not in it."""
    series.map({"x": [LONG, LONG]}, to=tmp_path)
    with pytest.raises(InputError, match="explains other data"):
        series.map({"x": [LONG, other(LONG)]}, to=tmp_path)


@pytest.mark.parametrize("lines", [["1,2,3", "4,5,6"], ["1 2 3", "4 5 6"]])
def test_tables_are_told_apart_by_their_numbers(linear, tmp_path, lines):
    path = tmp_path / ("rows.csv" if "," in lines[0] else "rows.txt")
    path.write_text("\n".join(lines))
    Explainer(linear).map({"x": path}, to=tmp_path / "out")
    path.write_text("\n".join([*lines[:-1], lines[-1].replace("6", "7")]))
    with pytest.raises(InputError, match="explains other data"):
        Explainer(linear).map({"x": path}, to=tmp_path / "out")


def test_pictures_are_told_apart_by_their_bytes(tmp_path):
    """A copy under another name and with another time is the same; one of other colours is not."""
    explainer = Explainer(onnxlrp.convert(onnx.parser.parse_model(PICTURE), "epsilon"))
    for index in range(2):
        Image.new("RGB", (8, 8), (100 * index, 0, 0)).save(tmp_path / f"{index}.bmp")
    explainer.map({"x": sorted(tmp_path.glob("*.bmp"))}, to=tmp_path / "out")
    copies = [Path(shutil.copy(path, tmp_path / f"copy{path.name}")) for path in sorted(tmp_path.glob("?.bmp"))]
    explainer.map({"x": copies}, to=tmp_path / "out")
    Image.new("RGB", (8, 8), (101, 0, 0)).save(copies[1])
    with pytest.raises(InputError, match="explains other data"):
        explainer.map({"x": copies}, to=tmp_path / "out")


def test_another_provider_and_other_weights_are_another_run(linear, tmp_path, monkeypatch):
    path = tmp_path / "model.onnx"
    onnx.save(linear, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    explainer = Explainer(path)
    explainer.map({"x": X}, to=tmp_path / "out")
    with monkeypatch.context() as patch, pytest.raises(InputError, match="these differ: the providers"):
        patch.setattr(Explainer, "providers", property(lambda self: ["Other"]))
        explainer.map({"x": X}, to=tmp_path / "out")
    weights = bytearray((tmp_path / "weights.bin").read_bytes())
    weights[-1] ^= 1
    (tmp_path / "weights.bin").write_bytes(weights)
    with pytest.raises(InputError, match="these differ: the model"):
        Explainer(path).map({"x": X}, to=tmp_path / "out")


# ----------------------------------------------------------------------------------------------------------- damage


def manifest(**changes):
    def change(folder):
        about = json.loads((folder / "map.json").read_text())
        about.update(changes)
        (folder / "map.json").write_text(json.dumps(about))

    return change


def text(words, name="map.json"):
    return lambda folder: (folder / name).write_bytes(words if isinstance(words, bytes) else words.encode())


def cut(name, keep):
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:keep])


def flip(name, place):
    def change(folder):
        data = bytearray((folder / name).read_bytes())
        data[place] ^= 1
        (folder / name).write_bytes(data)

    return change


def as_folder(name):
    def change(folder):
        (folder / name).unlink()
        (folder / name / "inside").mkdir(parents=True)

    return change


def swap(folder):
    (folder / FIRST).rename(folder / "x")
    (folder / SECOND).rename(folder / FIRST)
    (folder / "x").rename(folder / SECOND)


def others(**arrays):
    def change(folder):
        with (folder / FIRST).open("wb") as file:
            np.savez(file, **arrays)

    return change


MANIFESTS = {
    "missing": lambda folder: (folder / "map.json").unlink(),
    "empty": text(""),
    "cut": cut("map.json", 40),
    "no text": text(b"\xff\xfe\x00"),
    "a list": text("[]"),
    "null": text("null"),
    "deep": text("[" * 100_000),
    "a folder": as_folder("map.json"),
    "no keys": text("{}"),
    "other format": manifest(format=99),
    "text for a number": manifest(samples="ten"),
    "a bool": manifest(batch_size=True),
    "zero": manifest(batch_size=0),
    "negative": manifest(samples=-4),
    "infinite": manifest(samples=float("inf")),
    "a fraction": manifest(samples=9.5),
}
PARTS = {
    "empty": cut(FIRST, 0),
    "short": cut(FIRST, 100),
    "half": cut(FIRST, 500),
    "without its end": lambda folder: cut(FIRST, (folder / FIRST).stat().st_size - 1)(folder),
    "longer": lambda folder: (folder / FIRST).write_bytes((folder / FIRST).read_bytes() + b"\0"),
    "noise": text("no archive", FIRST),
    "first byte": flip(FIRST, 0),
    "a byte of a number": flip(FIRST, 300),
    "the fingerprint": flip(FIRST, -100),
    "the seal": flip(FIRST, -1),
    "a folder": as_folder(FIRST),
    "another shape": others(x_relevance=np.zeros((7, 2))),
    "another type": others(x_relevance=np.zeros((4, 3), "U3")),
}


@pytest.fixture
def folder(linear, tmp_path):
    """Three parts of four samples at most."""
    Explainer(linear).map({"x": X}, 4, to=tmp_path / "out")
    return tmp_path / "out"


@pytest.mark.parametrize("kind", MANIFESTS)
def test_a_damaged_manifest_is_told(linear, folder, kind):
    MANIFESTS[kind](folder)
    with pytest.raises(InputError, match="out"):
        Results(folder)
    with pytest.raises(InputError, match="out"):
        Explainer(linear).map({"x": X}, 4, to=folder)


@pytest.mark.parametrize("kind", PARTS)
def test_a_damaged_part_is_told_and_computed_again_once_it_is_removed(linear, folder, kind):
    before = content(folder)
    PARTS[kind](folder)
    results = Results(folder)
    for call in (lambda: results["x_relevance"], lambda: list(results), lambda: list(results.batches())):
        with pytest.raises(InputError, match=FIRST):
            call()
    assert "10 of 10" in repr(results)
    with pytest.raises(InputError, match=f"{FIRST}' is damaged: remove it"):
        Explainer(linear).map({"x": X}, 4, to=folder)
    shutil.rmtree(folder / FIRST) if (folder / FIRST).is_dir() else (folder / FIRST).unlink()
    assert Explainer(linear).map({"x": X}, 4, to=folder).complete
    assert content(folder) == before


def test_a_huge_number_of_samples_costs_nothing(folder):
    manifest(samples=10**18, batch_size=1)(folder)
    assert Results(folder).done == 0


def test_a_folder_that_is_gone(folder):
    results = Results(folder)
    shutil.rmtree(folder)
    for call in (lambda: results.done, lambda: results["x_relevance"], lambda: list(results)):
        with pytest.raises(InputError, match="cannot be read"):
            call()


def test_parts_that_changed_places(linear, folder):
    swap(folder)
    with pytest.raises(InputError, match="explains other data"):
        Explainer(linear).map({"x": X}, 4, to=folder)


def test_a_part_of_another_run(linear, folder, tmp_path):
    """The data are the same, the model is not."""
    linear.graph.doc_string = "another one"
    Explainer(linear).map({"x": X}, 4, to=tmp_path / "other")
    shutil.copy(folder / FIRST, tmp_path / "other" / FIRST)
    with pytest.raises(InputError, match="explains other data"):
        Explainer(linear).map({"x": X}, 4, to=tmp_path / "other")


def test_missing_and_foreign_files(linear, folder):
    before = content(folder)
    (folder / SECOND).unlink()
    (folder / "notes.txt").write_text("mine")
    (folder / "000000001-000000003.npz").write_text("no part of these batches")
    assert Results(folder).done == 6
    assert Explainer(linear).map({"x": X}, 4, to=folder).complete
    assert content(folder).items() >= before.items()
    assert (folder / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("value", [None, 5, ["a"], "a\0b"])
def test_what_is_no_path(linear, value):
    with pytest.raises(InputError):
        Results(value)
    if value is not None:
        with pytest.raises(InputError):
            Explainer(linear).map({"x": X}, to=value)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may write everywhere")
def test_a_folder_without_permission(linear, folder):
    folder.chmod(0)
    try:
        for call in (lambda: Results(folder), lambda: Explainer(linear).map({"x": X}, 4, to=folder)):
            with pytest.raises(InputError, match="cannot be read"):
                call()
    finally:
        folder.chmod(0o700)


# ---------------------------------------------------------------------------------------- several writers and kills


def test_one_of_six_threads_writes(linear, tmp_path, monkeypatch):
    """The one that writes waits until all others were told."""
    explainer, run = Explainer(linear), Explainer.compute
    told: list[str] = []
    done: list[Results] = []

    def wait(*arguments, **options):
        deadline = time.monotonic() + 20
        while len(told) < 5 and time.monotonic() < deadline:
            time.sleep(0.005)
        return run(*arguments, **options)

    def write():
        try:
            done.append(explainer.map({"x": X}, 4, to=tmp_path / "out"))
        except InputError as error:
            told.append(str(error))

    monkeypatch.setattr(Explainer, "compute", wait)
    threads = [threading.Thread(target=write) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(done) == 1 and done[0].complete
    assert len(told) == 5 and all("another run is writing to" in words and "out" in words for words in told)
    assert sorted(content(tmp_path / "out")) == [FIRST, SECOND, "000000008-000000010.npz", "map.json"]


HOLD = """
import sys, pathlib, time
from onnxlrp.runtime import lock
folder = pathlib.Path(sys.argv[1])
with lock.only_writer(folder):
    (folder / ".map.1-1.json").write_text("half")
    print("ready", flush=True)
    time.sleep(60)
"""


def test_another_process_is_told_until_it_is_killed(linear, tmp_path):
    """The system takes the lock of a process that is killed; the next run removes what it left behind."""
    folder = tmp_path / "out"
    folder.mkdir()
    with subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None and process.stdout.readline() == b"ready\n"
            with pytest.raises(InputError, match=r"another run is writing to .*out"):
                Explainer(linear).map({"x": X}, 4, to=folder)
            assert (folder / ".map.1-1.json").exists()
        finally:
            process.kill()
    assert Explainer(linear).map({"x": X}, 4, to=folder).complete
    assert not [name for name in content(folder) if name.startswith(".")]


class Killed(BaseException):
    """Stands for a kill: nothing after it is done, not even tidying up."""


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("run"), st.integers(0, 1)),
        st.tuples(st.just("kill"), st.integers(0, 4), st.integers(0, 2)),
        st.tuples(st.just("remove"), st.integers(0, 4)),
        st.tuples(st.just("damage"), st.integers(0, 4), st.integers(0, 10_000)),
        st.tuples(st.just("draft"), st.integers(0, 4)),
        st.tuples(
            st.just("read"),
        ),
    ),
    max_size=8,
)
"""Runs on one data set or another, kills after so many batches before, in or after a write, and what befalls files."""


class Folder:
    """A folder of results and what is known to be in it."""

    def __init__(self, explainer, folder):
        self.explainer, self.path = explainer, folder
        self.data = (X, X[::-1].copy())
        self.expected = [explainer({"x": data}).relevance["x"] for data in self.data]
        self.owner = None
        self.damaged: set[str] = set()

    def part(self, index):
        return self.path / f"{2 * index:09}-{2 * index + 2:09}.npz"

    def run(self, which):
        if self.damaged or self.owner not in (None, which):
            with pytest.raises(InputError):
                self.explainer.map({"x": self.data[which]}, 2, to=self.path)
            return
        results = self.explainer.map({"x": self.data[which]}, 2, to=self.path)
        self.owner = which
        np.testing.assert_array_equal(results["x_relevance"], self.expected[which])
        assert not [name for name in content(self.path) if name.startswith(".")]

    def kill(self, after, moment):
        """A kill leaves the files of that moment: the draft or the part, and the file of the lock."""
        if self.damaged or self.owner == 1:
            return
        calls, write = [], onnxlrp.runtime.results.write

        def half(kept, span, mark, arrays):
            if len(calls) < after:
                calls.append(span)
                return write(kept, span, mark, arrays)
            if moment == 2:
                write(kept, span, mark, arrays)
            raise Killed

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(onnxlrp.runtime.results, "write", half)
            try:
                self.explainer.map({"x": X}, 2, to=self.path)
            except Killed:
                (self.path / lock.NAME).touch()
                if moment == 1:
                    (self.path / ".000000000-000000002.77-88.npz").write_bytes(b"half")
        self.owner = 0 if any(path.suffix == ".npz" for path in self.path.glob("0*")) else None

    def remove(self, index):
        self.part(index).unlink(missing_ok=True)
        self.damaged.discard(self.part(index).name)
        if not self.path.exists() or not any(self.part(i).exists() for i in range(5)):
            self.owner = None

    def damage(self, index, place):
        if self.part(index).exists() and self.part(index).name not in self.damaged:
            flip(self.part(index).name, place % self.part(index).stat().st_size)(self.path)
            self.damaged.add(self.part(index).name)

    def draft(self, index):
        if self.path.exists():
            (self.path / f".{self.part(index).stem}.9-9.npz").write_bytes(b"half")

    def read(self):
        if not (self.path / "map.json").exists():
            with pytest.raises(InputError):
                Results(self.path)
            return
        results = Results(self.path)
        assert results.done == 2 * sum(self.part(index).exists() for index in range(5))
        if self.damaged:
            with pytest.raises(InputError):
                list(results.batches())
        elif results.done:
            rows = np.concatenate(
                [self.expected[self.owner][2 * i : 2 * i + 2] for i in range(5) if self.part(i).exists()]
            )
            np.testing.assert_array_equal(results["x_relevance"], rows)


@pytest.mark.slow
@given(steps=STEPS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_order_of_runs_kills_and_damage(linear, tmp_path_factory, steps):
    """A folder holds the results of one data set or says what is wrong; a run that ends well leaves no draft."""
    folder = Folder(Explainer(linear), tmp_path_factory.mktemp("any") / "out")
    for name, *arguments in steps:
        getattr(folder, name)(*arguments)
    folder.read()
