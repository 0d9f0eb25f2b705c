"""An explanation in a few lines, for `print` and for notebooks."""

from __future__ import annotations

from onnxlrp.notebook_html import notebook_table
from onnxlrp.printable import escaped
from onnxlrp.runtime.end_values import inner_as_inputs
from onnxlrp.runtime.explanation import Explanation
from onnxlrp.runtime.switched_off import is_switched_off
from onnxlrp.view import summary
from onnxlrp.view.class_labels import labels_of_classes
from onnxlrp.view.explanation_table import counts
from onnxlrp.view.number_words import four_digits, value_words
from onnxlrp.view.summary import Sample, has_one_score, target_words

_MOST = 5
"""Number of samples that are shown."""
_TOP = 4
"""Number of features or tokens that are shown for each sample."""

_ONLY = "the score"
"""Name of what is explained where there is nothing to choose."""
_MOST_NAMED = 3
"""Number of inputs that a title names one by one."""
_HINT = "plot() draws this explanation, and to_frame() has all of its numbers."
_NOISE = 1e-6
"""Part of the largest relevance of a sample up to which another is rounding, and shown as 0."""


def in_lines(explanation: Explanation) -> str:
    """Write a line for each of the first samples, with its most relevant features or tokens below it."""
    samples = _samples(explanation)
    lines = [_title(explanation)]
    for sample in samples[:_MOST]:
        target = _target(explanation, sample)
        words = [] if target == _ONLY else [target]
        words += [f"{name} {value}" for name, value in _numbers(sample)]
        lines.append(f"sample {sample.index}: {', '.join(words)}")
        width = max((len(_feature(sample, index)[0]) for index in range(len(sample.features))), default=0)
        rows = [_feature(sample, index) for index in range(len(sample.features))]
        lines += [f"  {name:<{min(width, 40)}}  {amount}" for name, amount in rows]
    return "\n".join(map(escaped, [*lines, *_more(explanation, samples)]))


def in_notebook(explanation: Explanation) -> str:
    """Write a table with a row for each of the first samples."""
    samples = _samples(explanation)
    titles = list(dict.fromkeys(name for sample in samples[:_MOST] for name, _ in _numbers(sample)))
    rows = []
    for sample in samples[:_MOST]:
        numbers = dict(_numbers(sample))
        features = [_feature(sample, index) for index in range(len(sample.features))]
        top = "; ".join(f"{name} ({amount})" for name, amount in features)
        rows.append([sample.index, _target(explanation, sample), top, *(numbers.get(name, "-") for name in titles)])
    head = ["sample", "prediction", "most relevant", *titles]
    notes = [*_more(explanation, samples), *([] if is_switched_off(explanation) else [_HINT])]
    return notebook_table(_title(explanation), head, rows, notes, numbers=len(titles))


def _samples(explanation: Explanation) -> list[Sample]:
    return summary.summarise(explanation, explanation.inputs, labels_of_classes(explanation), _TOP, most=_MOST)


def _title(explanation: Explanation) -> str:
    explanation = inner_as_inputs(explanation)
    shapes = ", ".join(f"{name} {list(value.shape)}" for name, value in explanation.relevance.items())
    if len(explanation.relevance) > _MOST_NAMED:
        shapes = f"{len(explanation.relevance)} inputs, {counts(explanation)[0]:,} samples"
    interface = explanation.interface
    if is_switched_off(explanation):
        return "No relevance (explain=False)" + ("" if interface is None else f": {interface.output!r} alone")
    return f"Relevance of {shapes}" + ("" if interface is None else f": {interface.composite} on {interface.output!r}")


def _target(explanation: Explanation, sample: Sample) -> str:
    if sample.target is None:
        return "all scores" if sample.score is None else _ONLY
    if has_one_score(explanation):
        return _ONLY
    kind, words = target_words(sample.target)
    return f"{kind} {words} ({sample.label})" if sample.label not in ("", words) else f"{kind} {words}"


def _numbers(sample: Sample) -> list[tuple[str, str]]:
    """List what is known of a sample in numbers, in the order in which they add up."""
    known = [("score", sample.score), ("base value", sample.base_value)]
    name = "Σ kept relevance" if sample.is_cut else "Σ relevance"
    known += [(name, sum(sample.relevance.values()))] if sample.relevance else []
    known += [("raw score", sample.raw_score)] if sample.adds_up_to == "raw score" else []
    return [(name, four_digits(value)) for name, value in known if value is not None]


def _feature(sample: Sample, index: int) -> tuple[str, str]:
    """Write one feature as `age = 52`, a token by itself, and its relevance with its sign."""
    feature = sample.features[index]
    largest = abs(sample.features[0].relevance)
    sign = "+" if feature.relevance > 0 else ""
    amount = "0" if abs(feature.relevance) <= _NOISE * largest else sign + four_digits(feature.relevance)
    if feature.input in sample.texts:
        return str(feature.value), amount
    value = value_words(feature.value)
    return f"{feature.name} = {value}" if value else feature.name, amount


def _more(explanation: Explanation, samples: list[Sample]) -> list[str]:
    """Say how many samples are not shown."""
    every, targets = counts(explanation)
    more = every * targets - len(samples[:_MOST])
    return [f"and {more:,} more"] if more > 0 else []
