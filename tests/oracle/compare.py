"""Convert, run in float64, compare: what every exactness test does."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx

from onnxlrp.emit.emit import Request
from tests.oracle.engine import Oracle
from tests.oracle.net import Net
from tests.oracle.reference import Runner

Array = np.ndarray
TOLERANCE = 1e-8


def set_forms(forms: str) -> None:
    """Let every conversion from here on carry relevance in these forms, "cheapest" or "plain" ones."""
    conversion = importlib.import_module("onnxlrp.convert")
    conversion.Request = functools.partial(Request, forms=forms)  # type: ignore[attr-defined]


class Explained:
    """A converted model and how to run it."""

    def __init__(self, model: onnx.ModelProto, **options: Any):
        import onnxlrp
        from onnxlrp.interface import Interface

        self.proto = onnxlrp.convert(model, **options).to_proto()
        onnx.checker.check_model(self.proto, full_check=True)
        interface = Interface.from_metadata({p.key: p.value for p in self.proto.metadata_props})
        assert interface is not None
        self.interface = interface
        self.runner = Runner(self.proto)

    def run(self, feeds: Mapping[str, Array], **extra: Any) -> dict[str, Array]:
        """All outputs by name. `target`, `position` and `weights` may be given under these names."""
        named = {
            "target": self.interface.target_input,
            "position": self.interface.position_input,
            "weights": self.interface.weights_input,
        }
        given = {named[k]: np.asarray(v) for k, v in extra.items()}
        return self.runner({**feeds, **given})

    def relevance(self, feeds: Mapping[str, Array], **extra: Any) -> dict[str, Array]:
        """Relevance by the name of the explained input or inner value."""
        outputs = self.run(feeds, **extra)
        names = {**self.interface.relevance, **self.interface.relevance_at}
        return {source: outputs[name] for source, name in names.items()}


def error(ours: Array, theirs: Array) -> float:
    """The largest relative L2 distance of any sample."""
    assert ours.shape == theirs.shape, f"{ours.shape} is not {theirs.shape}"
    assert np.isfinite(ours).all() and np.isfinite(theirs).all()
    rows = [v.reshape(len(v), -1) for v in (ours, theirs)]
    size, distance = np.linalg.norm(rows[1], axis=1), np.linalg.norm(rows[0] - rows[1], axis=1)
    assert size.any(), "nothing to compare: all relevance is zero"
    return float((distance / np.where(size > 0, size, size.max())).max())


def check_against_oracle(
    net: Net,
    options: Mapping[str, Any],
    oracle: Mapping[str, Any],
    feeds: Mapping[str, Array] | None = None,
    model: onnx.ModelProto | None = None,
    **explain: Any,
) -> Explained:
    """`options` go to `convert`, `oracle` to the Oracle: the relevance of every explained input must agree, and the
    model's own outputs must be the source's."""
    feeds = dict(feeds or net.feeds())
    explained = Explained(model or net.model(), **options)
    extra = {"target": np.atleast_1d(explain["target"])} if explain.get("target") is not None else {}
    outputs = explained.run(feeds, **extra)
    truth = Oracle(net, feeds, **oracle)
    for name in net.outputs:
        np.testing.assert_allclose(outputs[name], truth.values[name], rtol=1e-12, atol=1e-12)
    relevance = truth.explain(**explain)
    assert explained.interface.relevance, "no input is explained"
    for source, name in explained.interface.relevance.items():
        ours = outputs[name]
        assert ours.dtype == np.float64, f"{name} left float64"
        assert error(ours, relevance[source]) <= TOLERANCE, f"relevance of {source}"
    return explained
