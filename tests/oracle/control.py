"""Loop and Scan as ONNX has them: the reference evaluator's Scan knows neither axes nor directions, its Loop no missing
condition, and stacks scalars into columns."""

from __future__ import annotations

import numpy as np
from onnx.reference.op_run import OpRun

Array = np.ndarray


def _ways(given, count: int) -> list[int]:
    return [0] * count if given is None else [int(i) for i in given]


class Loop(OpRun):
    """Carried values, stacked outputs, a condition that may be left out."""

    def need_context(self) -> bool:
        return True

    def _run(self, trips, condition, *carried, context=None, body=None, attributes=None, bindings=None):
        names, results, states = self.body.input_names, self.body.output_names, list(carried)
        stacked: list[list[Array]] = [[] for _ in results[1 + len(states) :]]
        step, going = 0, True if condition is None else bool(np.all(condition))
        while going and (trips is None or step < int(trips)):
            feeds = {**(context or {}), names[0]: np.array(step, np.int64), names[1]: np.array(going)}
            feeds.update(zip(names[2:], states, strict=True))
            found = self._run_body(feeds, attributes=attributes, bindings=bindings)
            going, states = bool(np.all(found[0])), list(found[1 : 1 + len(states)])
            for column, value in zip(stacked, found[1 + len(states) :], strict=True):
                column.append(value)
            step += 1
        # Of no steps only the length is known.
        return (*states, *(np.stack(c) if c else np.zeros((0,)) for c in stacked))


class Scan(OpRun):
    """States, scanned inputs and stacked outputs, along any axes and in both directions."""

    def need_context(self) -> bool:
        return True

    def _run(
        self,
        *args,
        context=None,
        body=None,
        num_scan_inputs=None,
        scan_input_axes=None,
        scan_input_directions=None,
        scan_output_axes=None,
        scan_output_directions=None,
        attributes=None,
        bindings=None,
    ):
        names, states = self.body.input_names, list(args[: len(args) - self.num_scan_inputs])
        scanned = args[len(states) :]
        axes, ways = _ways(self.scan_input_axes, len(scanned)), _ways(self.scan_input_directions, len(scanned))
        slices = [np.moveaxis(x, a, 0)[:: -1 if w else 1] for x, a, w in zip(scanned, axes, ways, strict=True)]
        count = len(self.body.output_names) - len(states)
        stacked: list[list[Array]] = [[] for _ in range(count)]
        for step in range(len(slices[0])):
            feeds = {**(context or {}), **dict(zip(names, [*states, *(s[step] for s in slices)], strict=True))}
            found = self._run_body(feeds, bindings=bindings)
            states = list(found[: len(states)])
            for column, value in zip(stacked, found[len(states) :], strict=True):
                column.append(value)
        axes, ways = _ways(self.scan_output_axes, count), _ways(self.scan_output_directions, count)
        joined = (np.stack(c[:: -1 if w else 1], a) for c, a, w in zip(stacked, axes, ways, strict=True))
        return (*states, *joined)
