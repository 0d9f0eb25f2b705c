"""The count of ONNX's node cases, printed at the end of a run."""

from __future__ import annotations

from collections import Counter


def pytest_terminal_summary(terminalreporter) -> None:
    reports = [r for some in terminalreporter.stats.values() for r in some if getattr(r, "when", None) == "call"]
    counts = Counter(name for report in reports for key, name in report.user_properties if key == "node cases")
    if counts:
        terminalreporter.section("ONNX's node cases")
        for name, count in counts.items():
            terminalreporter.write_line(f"{count:6}  {name}")
