"""Table with a column of strings: gradient × input explains the numbers, and the plan says that strings have none."""

from __future__ import annotations

import numpy as np
import onnx
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn import compose, linear_model, pipeline, preprocessing

import onnxlrp
from tools.cases.lib import Table, quietly

COMPOSITES = ("gradient", "gradient_x_input", "guided_backprop", "deconvnet", "auto", "epsilon")
NUMBERS = np.array([[1.0], [2.0], [3.0], [4.0]], np.float32)
STRINGS = np.array([["x"], ["y"], ["x"], ["y"]], dtype=object)


def model() -> onnx.ModelProto:
    """Train logistic regression on a number and a one-hot encoded string."""
    import pandas

    columns = [("numbers", "passthrough", ["a"]), ("strings", preprocessing.OneHotEncoder(), ["c"])]
    steps = pipeline.make_pipeline(compose.ColumnTransformer(columns), linear_model.LogisticRegression())
    frame = pandas.DataFrame({"a": NUMBERS[:, 0], "c": STRINGS[:, 0]})
    steps.fit(frame, [0, 1, 1, 1])
    kinds = [("a", FloatTensorType([None, 1])), ("c", StringTensorType([None, 1]))]
    return to_onnx(steps, initial_types=kinds, options={"zipmap": False})


def main() -> int:
    """Require that every composite explains the number; gradient × input omits the string, and the plan names it."""
    table = Table("relevance of a number beside a string")
    with quietly():
        proto = model()
    for composite in COMPOSITES:

        def figure(composite: str = composite) -> tuple[bool, str]:
            with quietly():
                explained = onnxlrp.convert(proto, composite, output="probabilities")
                relevance = onnxlrp.Explainer(explained)({"a": NUMBERS, "c": STRINGS}).relevance
            said = "c" not in relevance and "'c'" in str(explained.plan)
            right = said or ("c" in relevance and composite != "gradient_x_input")
            holds = np.isfinite(relevance["a"]).all() and relevance["a"].any() and right
            return holds, f"explained: {', '.join(relevance)}{'; the plan names the other' if said else ''}"

        table.attempt(composite, figure)
    return table.status()


if __name__ == "__main__":
    raise SystemExit(main())
