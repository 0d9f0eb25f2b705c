"""Pass that writes out the steps of short Scans, for runtimes that have none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx_ir as ir

from onnxlrp.graph.builder import Builder
from onnxlrp.graph.call import graphs_of
from onnxlrp.graph.provenance import is_relevance
from onnxlrp.graph.readers import is_read

_MOST = 4000
"""Largest number of nodes that the steps of one Scan are written out in."""


def unroll_scans(op: Builder) -> None:
    """Write out every Scan of the relevance part whose number of steps is known, if that takes few nodes."""
    for node in [n for n in op.graph if n.op_type == "Scan" and n.domain == "" and is_relevance(n)]:
        (body,) = graphs_of(node)
        scan = _Scan(op, node, body)
        steps = scan.steps()
        if steps is not None and 0 < steps * len(body) <= _MOST and not any(graphs_of(n) for n in body):
            scan.unroll(steps)


class _Scan:
    """A Scan and its body."""

    def __init__(self, op: Builder, node: ir.Node, body: ir.Graph) -> None:
        self._op, self._node, self._body = op, node, body
        scanned = node.attributes["num_scan_inputs"].as_int()
        self._states = len(node.inputs) - scanned
        stacked = len(node.outputs) - self._states
        self._axes, self._backwards = self._layout("scan_input", scanned)
        self._out_axes, self._out_backwards = self._layout("scan_output", stacked)

    def _layout(self, ports: str, count: int) -> tuple[list[int], list[int]]:
        """Read the axis of each sequence, and 1 for each that runs backwards."""
        axes, ways = (self._node.attributes.get_ints(f"{ports}_{name}", [0] * count) for name in ("axes", "directions"))
        return list(axes or ()), list(ways or ())

    def steps(self) -> int | None:
        """Return the number of steps, None where only the run knows it."""
        for value, axis in zip(self._node.inputs[self._states :], self._axes, strict=True):
            size = None if value is None or value.shape is None else value.shape[axis]
            if isinstance(size, int):
                return size
        return None

    def unroll(self, steps: int) -> None:
        """Put the steps in the place of the Scan."""
        states: list[ir.Value | None] = list(self._node.inputs[: self._states])
        stacked: list[list[ir.Value]] = []
        held = {v: self._op.constant(v.const_value.numpy()) for v in self._body.initializers.values() if v.const_value}
        for step in range(steps):
            results = self._step({**held, **dict(zip(self._body.inputs, self._arguments(states, step, steps)))})
            states = list(results[: self._states])
            stacked.append(results[self._states :])
        for index, out in enumerate(self._node.outputs):
            if is_read(out):
                whole = states[index] if index < self._states else self._stacked(stacked, index - self._states)
                self._hand_out(out, whole)
        self._op.graph.remove(self._node, safe=True)

    def _arguments(self, states: Sequence[ir.Value | None], step: int, steps: int) -> list[ir.Value | None]:
        """List the states and the slices that a step reads."""
        slices: list[ir.Value | None] = []
        for value, axis, backwards in zip(self._node.inputs[self._states :], self._axes, self._backwards, strict=True):
            place = steps - 1 - step if backwards else step
            slices.append(self._op.Gather(value, self._op.ints_scalar(place), axis=axis))
        return [*states, *slices]

    def _step(self, values: Mapping[ir.Value, ir.Value | None]) -> list[ir.Value]:
        """Copy the body once; returns what it gives."""
        now = dict(values)
        for node in self._body:
            inputs = [None if v is None else now.get(v, v) for v in node.inputs]
            kind, attributes = (node.domain, node.op_type), list(node.attributes.values())
            copy = ir.Node(*kind, inputs, attributes, num_outputs=len(node.outputs), version=node.version)
            copy.metadata_props.update(node.metadata_props)
            self._op.graph.append(copy)
            for value, result in zip(node.outputs, copy.outputs, strict=True):
                result.type, result.shape, now[value] = value.type, value.shape, result
        return [now.get(v, v) or v for v in self._body.outputs]

    def _stacked(self, stacked: Sequence[Sequence[ir.Value]], index: int) -> ir.Value:
        """Join one output of all steps along its axis."""
        op, axis = self._op, self._out_axes[index]
        parts = [op.Unsqueeze(step[index], op.ints([axis])) for step in stacked]
        return op.Concat(*(reversed(parts) if self._out_backwards[index] else parts), axis=axis)

    def _hand_out(self, out: ir.Value, whole: ir.Value | None) -> None:
        """Let everything read a value in the place of an output of the Scan."""
        assert whole is not None
        value = self._op.alias(whole, f"{out.name}_unrolled")
        value.type, value.shape = out.type, out.shape
        ir.convenience.replace_all_uses_with(out, value, replace_graph_outputs=True)
        if value.is_graph_output():
            value.name, out.name = out.name, None
