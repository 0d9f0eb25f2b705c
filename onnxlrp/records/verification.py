"""Findings of a verification: a sentence for everything that a record says, and whether it holds."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any, Literal

State = Literal["holds", "differs", "not checked", "note"]


@dataclasses.dataclass(frozen=True)
class Finding:
    """A statement of a record, and whether it holds."""

    subject: str
    """Subject of the statement, such as "source" or "relevance of 'x'"."""
    state: State
    sentence: str
    """Sentence that says what was found."""

    def __str__(self) -> str:
        return f"{self.state:<11}  {self.subject}: {self.sentence}"


@dataclasses.dataclass(frozen=True)
class Verification:
    """Everything that `verify` found, in the order in which it was checked.

    ```python
    from onnxlrp.records import verify

    explainer({"image": x}).save("explanation.json")
    verification = verify("explanation.json", "model.onnx", {"image": x})
    verification.ok, [str(finding) for finding in verification.findings]
    ```
    """

    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """True if all statements were checked, and hold; notes may differ."""
        return not self.problems

    @property
    def problems(self) -> list[Finding]:
        """Statements that do not hold, or that were not checked."""
        return [one for one in self.findings if one.state in ("differs", "not checked")]

    def to_json(self) -> dict[str, Any]:
        """Convert for a program that reads JSON."""
        return {"ok": self.ok, "findings": [dataclasses.asdict(one) for one in self.findings]}

    def __str__(self) -> str:
        return "\n".join(map(str, self.findings))

    def __repr__(self) -> str:
        verdict = "all hold" if self.ok else f"{len(self.problems)} do not hold or were not checked"
        return f"<Verification of {len(self.findings)} statements: {verdict}>"


class Findings:
    """List of findings that grows."""

    def __init__(self, prefix: str = "") -> None:
        self.prefix = prefix
        """Beginning of every subject."""
        self.found: list[Finding] = []

    def add(self, subject: str, state: State, sentence: str) -> None:
        """Add a finding."""
        self.found.append(Finding(f"{self.prefix}{subject}", state, sentence))

    def compare(self, subject: str, holds: bool, yes: str, no: str) -> bool:
        """Add a finding that holds or differs, with a sentence for either, and return whether it holds."""
        self.add(subject, "holds" if holds else "differs", yes if holds else no)
        return holds

    def skip(self, subjects: Iterable[str], reason: str) -> None:
        """Add that subjects were not checked."""
        for subject in subjects:
            self.add(subject, "not checked", reason)
