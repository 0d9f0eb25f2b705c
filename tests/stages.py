"""What each stage of a conversion ensures, asserted of every conversion of a test run."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from onnxlrp.finish.finished_spec import check_emitted, check_finished
from onnxlrp.plan.plan_spec import check_plan
from onnxlrp.source.spec import check_canonical, check_read

PLANNING, EMITTING = map(importlib.import_module, ("onnxlrp.plan.plan_model", "onnxlrp.convert"))
PIPELINE: dict[str, Any] = {
    **dict.fromkeys(("read", "canonicalise", "ask", "analyse", "make_plan"), PLANNING),
    **dict.fromkeys(("emit", "tidy"), EMITTING),
}
"""Every stage of a conversion in its order, with the module that calls it."""


class StageError(BaseException):
    """A stage has not left what it ensures: no Exception, since `convert` would make an error of its own of it, and
    tests expect such errors."""


@contextmanager
def asserted() -> Iterator[None]:
    """Let every `convert` and `inspect` check what each of its stages leaves."""
    with pytest.MonkeyPatch.context() as patch:
        for stage, check in CHECKS.items():
            patch.setattr(PIPELINE[stage], stage, _checked(stage, getattr(PIPELINE[stage], stage), check))
        yield


def _checked(stage: str, run: Callable[..., Any], check: Callable[..., list[str]]) -> Callable[..., Any]:
    @functools.wraps(run)
    def checked(*args: Any, **options: Any) -> Any:
        own = set(args[0].graph.all_nodes()) if stage == "emit" else None
        result = run(*args, **options)
        if found := check(result, own, *args):
            raise StageError(f"after {stage}: " + "; ".join(found[:10]))
        return result

    return checked


CHECKS: dict[str, Callable[..., list[str]]] = {
    "read": lambda source, own, model: check_read(source.model),
    "canonicalise": lambda absorbed, own, model: check_canonical(model),
    "make_plan": lambda plan, own, graph, facts, score, *rest: check_plan(plan, facts, score),
    "emit": lambda emitted, own, op, *rest: check_emitted(op.graph, own),
    "tidy": lambda nothing, own, source, *rest: check_finished(source.model),
}
