"""The counts of ONNX's node cases and of old operator sets, printed at the end of a run."""

from __future__ import annotations

from collections import Counter


def pytest_terminal_summary(terminalreporter) -> None:
    reports = [r for some in terminalreporter.stats.values() for r in some if getattr(r, "when", None) == "call"]
    properties = [property for report in reports for property in report.user_properties]
    cases = Counter(name for key, name in properties if key == "node cases")
    sets: Counter[str] = Counter()
    for name, number in (value for key, value in properties if key == "operator sets"):
        sets[name] += number
    for title, counts in (("ONNX's node cases", cases), ("old operator sets", sets)):
        if counts:
            terminalreporter.section(title)
        for name, count in counts.items():
            terminalreporter.write_line(f"{count:6}  {name}")
