"""The tool that tries again what held: quick parts hold, what does not hold is told, and the page keeps the rest."""

from __future__ import annotations

import gc
import importlib
import os
import pickle
import signal

import numpy as np
import pytest

from onnxlrp.errors import InputError
from tools.robustness import __main__ as tool
from tools.robustness import arrays, odd_files, page
from tools.robustness.children import Child, ChildDied, call_in_child
from tools.robustness.part import Found, Tally

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="each part runs in a process that is forked")


def end() -> None:
    """End this process, as a fault in a library does."""
    os.kill(os.getpid(), signal.SIGKILL)


CHEAP = ("arrays", "files", "ways", "finite", "terminal")


@pytest.mark.slow
def test_cheap_parts_hold(capsys):
    assert tool.main(["--quick", "--part", *CHEAP]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == list(CHEAP) and all(line.endswith(" s)") for line in lines)


@pytest.mark.parametrize("name", tool.PARTS)
def test_each_part_says_what_is_promised(name):
    promise = tool._promise(importlib.import_module(f"tools.robustness.{name}"))
    assert promise[0].isupper() and 20 < len(promise) < 160 and "|" not in promise and not promise.endswith(".")


@pytest.mark.parametrize("how", ["fault", "death"])
def test_what_does_not_hold_is_told(how, monkeypatch, tmp_path, capsys):
    """The rows of other parts and the mutants stay on the page."""
    path = tmp_path / "page.md"
    row = page.Row("files", "Files hold", "9 files", "9 right", 1.0)
    page.write(path, list(tool.PARTS), {"files": row}, "the mutants")
    found = Found("1 value", "0 right", ("it was otherwise",))
    monkeypatch.setattr(arrays, "run", lambda quick, folder: found if how == "fault" else end())
    assert tool.main(["--part", "arrays", "--page", str(path)]) == 1
    said, text = capsys.readouterr().out, path.read_text()
    assert ("it was otherwise" if how == "fault" else "ended with status -9") in said
    assert text.index("| arrays | An explainer gives") < text.index("| files | Files hold") < text.index("the mutants")


def test_verdicts():
    """A call is right, refused in a sentence, or a fault."""

    def fail(error):
        def call():
            raise error

        return call

    tally = Tally()
    tally.judge("right", lambda: np.ones(2), np.ones(2))
    tally.judge("refused", fail(InputError("it does not fit")), None)
    assert (tally.right, tally.refused, tally.faults) == (1, 1, [])
    tally.judge("other numbers", lambda: np.ones(2), np.zeros(2))
    tally.judge("nothing is meant", lambda: np.ones(2), None)
    tally.judge("a foreign error", fail(KeyError("x")), None)
    tally.judge("no words", fail(InputError("")), None)
    tally.judge("too many words", fail(InputError("x" * 9000)), None)
    assert (tally.right, tally.refused, len(tally.faults)) == (1, 1, 5)


def test_a_pickle_that_runs_is_seen():
    """By the tool's own objects; nothing else is ever unpickled."""
    assert not odd_files.UNPICKLED
    pickle.loads(pickle.dumps(odd_files.Flag()))
    assert odd_files.UNPICKLED.pop() == "ran"


def test_children():
    child = Child(lambda tell: tell("ready"))
    assert child.hear() == "ready" and child.hear() is None
    child.join()
    assert call_in_child(lambda: 5) == 5
    with pytest.raises(ChildDied, match="status -9"):
        call_in_child(end)


def test_a_child_does_not_collect_what_its_parent_left():
    """Garbage of the parent is ended in the parent alone."""

    class Session:
        def __del__(self):
            ended.append(self)

    ended: list[Session] = []
    gc.disable()
    try:
        session = Session()
        session.itself = session
        del session
        assert call_in_child(lambda: (gc.isenabled(), gc.collect(), len(ended))[::2]) == (True, 0)
        assert not gc.isenabled()
    finally:
        gc.enable()
    gc.collect()
    assert len(ended) == 1
