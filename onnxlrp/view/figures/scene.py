"""Scene: one explanation and everything that its figures say of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from onnxlrp.errors import InputError
from onnxlrp.interface import Interface
from onnxlrp.printable import escaped
from onnxlrp.runtime.asked_place import AskedPlace, Places
from onnxlrp.runtime.explanation import Explanation
from onnxlrp.runtime.input_kinds import InputKind, input_kind
from onnxlrp.runtime.inputs import TensorSpec
from onnxlrp.runtime.legend import Legend
from onnxlrp.runtime.reduced_inputs import is_cut, laid_out, reductions_of
from onnxlrp.view.class_labels import labels_of_classes
from onnxlrp.view.explanation_table import by_sample
from onnxlrp.view.number_words import in_digits
from onnxlrp.view.summary import has_one_score, target_words


def scene_of(explanation: Explanation, labels: Sequence[str] = ()) -> Scene:
    """Collect what figures need of an explanation; `labels` name the classes in place of the model's own names.

    Raises InputError if it holds no sample.
    """
    cut, reduced = is_cut(explanation.interface), _about_reductions(explanation.interface)
    explanation = laid_out(explanation)
    if not any(array.size for array in explanation.relevance.values()):
        raise InputError("the explanation holds no sample, so that there is nothing to draw")
    legend, interface = explanation.legend or Legend(), explanation.interface
    if cut:  # what was kept adds up to no score
        explanation = dataclasses.replace(explanation, base_value=None, raw_score=None)
    output = legend.explained_output or (interface.output if interface is not None else "")
    masked = any("mask" in name for name in explanation.inputs)
    kinds = {
        name: input_kind(legend.specs[name], np.asarray(value), has_tokens=masked or name in explanation.tokens)
        for name, value in {**explanation.relevance, **explanation.inputs}.items()
        if name in explanation.relevance and name in legend.specs
    }
    return Scene(
        explanation,
        explanation.inputs,
        kinds,
        legend.specs,
        explanation.originals,
        tuple(labels) or labels_of_classes(explanation),
        composite=interface.composite if interface is not None else "",
        output=output,
        sample_axes=legend.sample_axes,
        time_axes=interface.time_axes if interface is not None else {},
        places=legend.places,
        unit=_unit(interface, output),
        ends_at_score=interface is not None
        and interface.score_is_output
        and (interface.initial, interface.seed) == ("output", "score")
        and not cut,
        reduced=reduced,
    )


def _about_reductions(interface: Interface | None) -> str:
    """Say in a sentence how relevance was reduced; empty if it was not, or only in type."""
    found = {name: one for name, one in reductions_of(interface).items() if not one.keeps_shape}
    sentences = []
    for name, one in found.items():
        sums = "" if one.grid is None else f"added up in {one.grid} cells along each axis"
        kept = "" if one.top is None else f"the {one.top} largest alone"
        words = " and ".join(part for part in (sums, kept) if part)
        sentences += [f"Relevance{f' of {escaped(name)}' if len(found) > 1 else ''}: {words}."] if words else []
    return " ".join(sentences)


def _unit(interface: Interface | None, output: str) -> str:
    """Name the unit of relevance for a scale."""
    if interface is None or interface.seed == "gradient":
        return "relevance"
    if interface.initial == "one":
        return "relevance, as a share of the score"
    return (
        f"relevance, in units of {escaped(output)[:24]}"
        if interface.score_is_output
        else "relevance, in units of the raw score"
    )


@dataclasses.dataclass(frozen=True, eq=False)
class Scene:
    """One explanation, the inputs that it explains, and what is known of the model."""

    explanation: Explanation
    inputs: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Value of each input, as the model took it."""
    kinds: Mapping[str, InputKind] = dataclasses.field(default_factory=dict)
    """Kind of each explained input."""
    specs: Mapping[str, TensorSpec] = dataclasses.field(default_factory=dict)
    """Declaration of each input."""
    originals: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Values of inputs as they were given: lists of paths or pictures, arrays with labelled axes."""
    labels: Sequence[str] = ()
    """Names of the classes."""
    composite: str = ""
    output: str = ""
    """Name of the explained output."""
    sample_axes: Mapping[str, int] = dataclasses.field(default_factory=dict)
    """Axis of each input that counts samples, where it is not axis 0."""
    time_axes: Mapping[str, int] = dataclasses.field(default_factory=dict)
    """Axis of each series that holds time, as far as the model's file says it."""
    places: Places = ()
    """Place in the picture of each sample and target that was asked about, [N][K]; empty if none was."""
    unit: str = "relevance"
    """Unit of relevance, for the scale."""
    ends_at_score: bool = False
    """True if relevance and what biases absorb add up to `Explanation.score`."""
    reduced: str = ""
    """Sentence about relevance that was reduced in the graph; empty if none was."""

    @property
    def is_one_score(self) -> bool:
        """True if the model gives one score a sample, so that there is no class to name."""
        return has_one_score(self.explanation)

    @property
    def samples(self) -> int:
        """Number of samples along axis 0 of the explained inputs; 1 for a model without a batch axis."""
        interface = self.explanation.interface
        if interface is not None and interface.batch_axis is None:
            return 1
        lengths = [len(array) for array in self.explanation.relevance.values() if array.ndim]
        asked = None if self.explanation.target is None else len(self.explanation.target)
        return asked if asked in lengths else max(lengths, default=1)

    @property
    def is_aligned(self) -> bool:
        """True if each sample has a target of its own; False where relevance adds up over targets, as it does for a
        model whose output counts other things along its axis of samples."""
        target = self.explanation.target
        return target is not None and len(target) == self.samples

    @property
    def targets(self) -> int:
        """Number of targets of each sample, K."""
        score = self.explanation.score
        return int(score.shape[1]) if score is not None and score.ndim == 2 and self.is_aligned else 1

    def relevance(self, name: str, sample: int, k: int = 0) -> np.ndarray:
        """Return the relevance of one sample for one of its targets, in the shape of one sample's input."""
        whole = self.explanation.relevance[name]
        score = self.explanation.score
        if score is not None and score.ndim == 2 and self.is_aligned:
            return by_sample(whole, self.samples, self.targets)[sample, k]
        return self._of_sample(name, whole, sample)

    def value(self, name: str, sample: int) -> Any:
        """Return the value of an input for one sample; None if it is not known."""
        if name not in self.inputs:
            return None
        return self._of_sample(name, np.asarray(self.inputs[name]), sample)

    def _of_sample(self, name: str, whole: np.ndarray, sample: int) -> np.ndarray:
        """Take one sample's part; an input without an axis of samples belongs to all."""
        axis = self.sample_axis(name)
        return whole if axis is None or axis >= whole.ndim else np.take(whole, sample, axis=axis)

    def sample_axis(self, name: str) -> int | None:
        """Find the axis of an input that counts samples; None if all samples share it."""
        shape = self.explanation.relevance[name].shape if name not in self.inputs else np.shape(self.inputs[name])
        for axis in (self.sample_axes.get(name, 0), 0):
            if axis < len(shape) and shape[axis] == self.samples:
                return axis
        return None

    def score(self, sample: int, k: int = 0) -> float | None:
        """Return the explained score of a sample and target; None for weights."""
        score = self.explanation.score
        if score is None or not self.is_aligned:
            return None
        return float(score[sample] if score.ndim == 1 else score[sample, k])

    def label(self, sample: int, k: int = 0) -> str:
        """Name what is explained: the class by its name or number, a place in the picture, an element by its
        indices."""
        target = self.explanation.target
        place = self.place(sample, k)
        if place is not None:
            return f"{self._class_at(place)} {place.words}"
        if self.is_one_score:
            return escaped(self.output)
        if target is None or not self.is_aligned:
            return "weighted target" if target is None else f"{len(target)} scores of {escaped(self.output)}, added up"
        score = self.explanation.score
        one = target[sample, k] if score is not None and score.ndim == 2 else target[sample]
        index: int | tuple[int, ...] = int(one) if np.ndim(one) == 0 else tuple(int(i) for i in one)
        if isinstance(index, int) and 0 <= index < len(self.labels):
            return escaped(self.labels[index])
        return " ".join(target_words(index))

    def place(self, sample: int, k: int = 0) -> AskedPlace | None:
        """Return the place in the picture that was asked about for a sample and target; None if none was."""
        return self.places[sample][k] if sample < len(self.places) else None

    def _class_at(self, place: AskedPlace) -> str:
        """Name the class that is explained at a place, or the output if it has one score a place."""
        if place.of_class is None:
            return escaped(self.output)
        return escaped(self.labels[place.of_class]) if place.of_class < len(self.labels) else f"class {place.of_class}"

    def probability(self, sample: int, k: int = 0) -> float | None:
        """Return the probability of the explained class, as far as the output says it; None otherwise."""
        value, target = self.explanation.outputs.get(self.output), self.explanation.target
        score = self.score(sample, k)
        if score is None or target is None or not isinstance(value, (list, np.ndarray)) or len(value) <= sample:
            return None
        if isinstance(value, list):  # maps of a ZipMap
            return score if isinstance(value[sample], dict) else None
        row = np.asarray(value[sample], np.float64)
        if row.ndim != 1 or not np.isfinite(row).all():
            return None
        is_share = bool((row >= 0).all() and (row <= 1).all())
        if row.size == 1:
            return score if is_share and not self.ends_at_score else None
        if is_share and abs(row.sum() - 1) < 1e-3:
            return score
        if not self.labels or self.kinds_are_no_classes:
            return None
        powers = np.exp(row - row.max())
        index = int(target[sample] if target.ndim == 1 else target[sample, k])
        return float(powers[index] / powers.sum()) if 0 <= index < row.size else None

    @property
    def kinds_are_no_classes(self) -> bool:
        """True if the scores are other things than one class each, so that a softmax over them means nothing."""
        target = self.explanation.target
        return target is None or target.ndim > 2

    def heading(self, sample: int, k: int = 0) -> str:
        """Write the prediction in one line: what is explained, its probability or else its score."""
        words, amount = self.label(sample, k), self.amount(sample, k)
        return f"{words}, {amount}" if amount else words

    def amount(self, sample: int, k: int = 0) -> str:
        """Write the probability of what is explained, or else its score; empty for weights."""
        probability, score = self.probability(sample, k), self.score(sample, k)
        if probability is not None:
            small, large = probability < 0.005, probability >= 0.995
            return f"probability {'< 0.01' if small else '> 0.99' if large else f'{probability:.2f}'}"
        return "" if score is None else f"score {in_digits(score)}"

    def about(self, sample: int | None = None) -> str:
        """Write what a caption says of the score and the rules."""
        score = None if sample is None or self.targets > 1 else self.score(sample)
        place = f" in output {escaped(self.output)}" if self.output else ""
        known = "" if score is None else f"Score {in_digits(score)}{place}. "
        known += f"{self.reduced} " if self.reduced else ""
        if self.explanation.base_value is not None:
            return f"{known}Base value and relevance add up to the {'score' if self.ends_at_score else 'raw score'}."
        return known + (f"Method: {escaped(self.composite)}." if self.composite else "")
