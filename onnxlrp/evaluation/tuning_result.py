"""Tuning: the result of `onnxlrp.tune`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onnxlrp.composites import Composite, Overridden
from onnxlrp.drafts import atomic_write
from onnxlrp.errors import InputError
from onnxlrp.evaluation.candidates import Candidate
from onnxlrp.evaluation.evaluation_result import Difference, Evaluation, Figure
from onnxlrp.evaluation.halving import Trial
from onnxlrp.evaluation.subject import Subject
from onnxlrp.notebook_html import rich_in_notebook
from onnxlrp.reprs import counted, cut

if TYPE_CHECKING:
    from rich.table import Table

_SAME = 1e-6
"""Relative difference of two areas below which they are equal."""


@dataclasses.dataclass(frozen=True)
class TuningCandidate:
    """A candidate of a search: a composite, its stage, and its area on the samples of the search.

    ```python
    tuning = onnxlrp.tune("model.onnx", {"image": samples}, budget=30)
    for one in tuning.candidates[:5]:
        print(one.name, one.stage, one.area, one.samples)
    ```
    """

    name: str
    """Composite to start from, and the rules that were changed in it."""
    stage: str
    """Stage of the search that proposed it: "preset", or the respect in which it was varied."""
    samples: int
    """Number of samples that it was measured on; the better ones see more."""
    area: float
    """Mean area on these samples. Means over different samples cannot be compared."""


@dataclasses.dataclass(frozen=True, eq=False)
class Tuning:
    """The result of `onnxlrp.tune`: a composite, and how it compares with `auto` and the presets on held-out samples.

    ```python
    tuning = onnxlrp.tune("model.onnx", {"image": samples}, budget=30)
    tuning.held_out.figure(tuning.name)  # mean area and interval
    tuning.difference(tuning.best_preset).better  # None unless the interval excludes 0
    tuning.save("rules.toml")
    ```
    """

    name: str
    """Name of the composite: a preset, or one with its changed rules; "auto" if `auto` stays."""
    composite: Composite | Overridden
    """Composite, as `convert` takes it."""
    winner: str
    """Name of the best candidate of the search; `name` differs if it was not above `auto` on the held-out samples."""
    presets: tuple[str, ...]
    """Names of the composites that the search started from, "auto" first."""
    candidates: tuple[TuningCandidate, ...]
    """Candidates of the search, those measured on most samples first, the best of them first."""
    held_out: Evaluation
    """Evaluation of the winner, `auto`, the presets and a random order on the held-out samples."""
    search_samples: int
    """Number of samples that the search used."""
    sha256: str
    """SHA-256 of the model."""
    notes: tuple[str, ...]
    """Sentences about the outcome and about what is unusual."""
    _written: Candidate

    def __repr__(self) -> str:
        return f"<Tuning: {cut(self.name)}, of {counted(len(self.candidates), 'candidate')}>"

    def _repr_html_(self) -> str:
        from onnxlrp.evaluation import tuning_table

        return rich_in_notebook(f"Tuning: {self.name}", self.table(), (*tuning_table.legend(self), *self.notes))

    def __str__(self) -> str:
        from onnxlrp.evaluation.tuning_table import tuning_text

        return tuning_text(self)

    @property
    def auto_stays(self) -> bool:
        """True if no candidate was above `auto` on the held-out samples."""
        return self.name == self.presets[0]

    @property
    def best_preset(self) -> str:
        """Name of the preset with the largest area on the held-out samples, which favours it a little."""
        there = [name for name in self.presets if name in self.held_out.explanations]
        return max(there, key=lambda name: self.held_out.figure(name).mean)

    def figure(self, name: str | None = None) -> Figure:
        """Return the area of the composite, or of another in `held_out`, on the held-out samples.

        Raises InputError if there is none of this name.
        """
        return self.held_out.figure(self.name if name is None else name)

    def difference(self, other: str = "auto") -> Difference:
        """Compare the composite with `auto`, or with another in `held_out`, sample by sample.

        Raises InputError if there is none of this name.
        """
        return self.held_out.difference(self.name, other)

    def table(self) -> Table:
        """Make a table for a terminal: `rich.print(tuning.table())`."""
        from onnxlrp.evaluation.tuning_table import tuning_table

        return tuning_table(self)

    def to_dict(self) -> dict[str, Any]:
        """Convert to dictionaries, lists, numbers and strings, for JSON; NaN becomes None."""
        from onnxlrp.evaluation.tuning_json import tuning_dict

        return tuning_dict(self)

    def to_toml(self) -> str:
        """Write the content of the composite file: figures as comments, then the composite and its rules."""
        from onnxlrp.evaluation.tuning_file import as_toml

        return as_toml(self, self._written)

    def save(self, path: str | Path) -> None:
        """Write the composite file, which `convert(composite=path)` reads; a file that is there is replaced.

        Raises InputError if the name does not end with .toml, or if the path is no regular file.
        """
        path = Path(path)
        check_rules_suffix(path)
        with atomic_write(path) as draft:
            draft.write_bytes(self.to_toml().encode())


def check_rules_suffix(path: Path) -> None:
    """Raise InputError for a name by which `convert` would not know a composite file."""
    if path.suffix != ".toml":
        raise InputError(f"a composite file's name ends with .toml, not '{path.name}'")


def make_tuning(subject: Subject, trials: Sequence[Trial], winner: Trial, held_out: Evaluation) -> Tuning:
    """Decide whether the winner takes the place of `auto`, and collect everything."""
    default = trials[0].candidate
    is_above = _is_above(held_out, winner.candidate.name, default.name)
    written = winner.candidate if is_above else default
    return Tuning(
        name=written.name,
        composite=written.composite(),
        winner=winner.candidate.name,
        presets=tuple(trial.candidate.name for trial in trials if not trial.candidate.choices),
        candidates=tuple(_ranked(trials)),
        held_out=held_out,
        search_samples=len(winner.areas),
        sha256=subject.sha256,
        notes=(_outcome(held_out, winner.candidate.name, default.name, is_above), *held_out.notes),
        _written=written,
    )


def _is_above(held_out: Evaluation, winner: str, default: str) -> bool:
    scale = abs(held_out.figure(default).mean)
    return winner != default and held_out.difference(winner, default).mean > _SAME * scale


def _ranked(trials: Sequence[Trial]) -> list[TuningCandidate]:
    measured = [(trial, trial.samples) for trial in trials]
    ranked = sorted(measured, key=lambda pair: (-pair[1], -pair[0].mean(pair[1])))
    return [TuningCandidate(one.candidate.name, one.stage, count, one.mean(count)) for one, count in ranked]


def _outcome(held_out: Evaluation, winner: str, default: str, is_above: bool) -> str:
    """Say what the held-out samples say of the winner."""
    if winner == default:
        return f"{default} stays: no candidate was above it in the search"
    known = held_out.difference(winner, default)
    by = f"{known.mean:.3g} [{known.low:.3g}, {known.high:.3g}]"
    if not is_above:
        return f"{default} stays: on the held-out samples the best candidate, {winner}, differs from it by {by}"
    if known.better is None:
        return f"{winner} is above {default} by {by}; the interval holds 0, so that more samples might turn it"
    return f"{winner} is better than {default} by {by}"
