"""Adapters to engines that are not installed say what to install."""

from __future__ import annotations

import sys

import pytest

from onnxlrp.errors import OnnxLrpError
from onnxlrp.integrations.ray import Explain
from onnxlrp.integrations.spark import explain_udf


@pytest.mark.parametrize(("face", "module"), [(Explain, "ray"), (explain_udf, "pyspark")])
def test_what_is_missing_is_named(monkeypatch, face, module):
    for name in [one for one in sys.modules if one.partition(".")[0] == module]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    extra = module.removeprefix("py")
    with pytest.raises(OnnxLrpError, match=rf"pip install 'onnxlrp\[{extra}\]'"):
        face("model.lrp.onnx")
