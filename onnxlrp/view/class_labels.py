"""The names of the classes that an explanation shows."""

from __future__ import annotations

from typing import Any

from onnxlrp.runtime.explanation import Explanation
from onnxlrp.runtime.legend import Legend


def labels_of_classes(explanation: Explanation) -> tuple[str, ...]:
    """List the names of the classes: those of the legend, of the label output, or the keys of the maps that the
    explained output gives; empty if nothing names them."""
    interface, legend = explanation.interface, explanation.legend or Legend()
    if legend.class_names or interface is None:
        return legend.class_names or keys_of_maps(explanation.outputs.get(legend.explained_output))
    output = legend.explained_output or interface.output
    return tuple(map(str, interface.labels)) or keys_of_maps(explanation.outputs.get(output))


def keys_of_maps(value: Any) -> tuple[str, ...]:
    """Read the names of the classes off the maps that a ZipMap gives; empty for any other output."""
    return tuple(map(str, value[0])) if isinstance(value, list) and value and isinstance(value[0], dict) else ()
