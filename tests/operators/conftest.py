"""The count of ONNX's node cases, printed at the end of a run."""

from __future__ import annotations

import sys


def pytest_terminal_summary(terminalreporter) -> None:
    module = sys.modules.get("tests.operators.test_node_cases")
    if module is not None and module.COUNTS:
        terminalreporter.section("ONNX's node cases")
        for name, count in module.COUNTS.items():
            terminalreporter.write_line(f"{count:6}  {name}")
