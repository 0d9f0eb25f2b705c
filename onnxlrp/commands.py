"""Work of `onnxlrp explain`, `check`, `evaluate`, `tune` and `report`, between the command line and the model."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from onnxlrp import runtime
from onnxlrp.errors import InputError
from onnxlrp.evaluation import evaluate_model, evaluation_table, tune_model, tuning_table
from onnxlrp.evaluation.evaluation_result import Evaluation
from onnxlrp.evaluation.tuning_result import Tuning
from onnxlrp.replacing import files_of
from onnxlrp.reporting.gather_report import ReportRequest
from onnxlrp.reporting.make_report import write_report
from onnxlrp.runtime import Explainer, Explanation, checking, class_names, files, providers, text
from onnxlrp.runtime.cautions import Caution
from onnxlrp.runtime.cli_inputs import CliInputs, Data, load
from onnxlrp.runtime.inputs import TensorSpec
from onnxlrp.runtime.joined import join
from onnxlrp.runtime.reading import ModelFile, open_model
from onnxlrp.runtime.recorder import dated
from onnxlrp.runtime.samples import expand, is_picture_file
from onnxlrp.runtime.unnamed_files import spread
from onnxlrp.targets import TARGETS
from onnxlrp.view import explanation_json, saving, summary, tables, terminal
from onnxlrp.view.feature_ranking import FeatureRanking

_TOP_STEPS = 10
_SHOWN = 5
_LISTED = 20
_TOP_FEATURES = 10


@dataclasses.dataclass(frozen=True, eq=False)
class Explained:
    """An explanation with everything that is needed to show it."""

    explanation: Explanation
    explainer: Explainer
    data: Data
    labels: Sequence[str]
    words: bool = False
    """True shows texts by word, not by token."""

    @property
    def samples(self) -> list[summary.Sample]:
        """Summaries of the explanation, per sample."""
        summaries = summary.summarise(self.explanation, self.data.arrays, self.labels, words=self.words)
        interface = self.explainer.interface
        one = TARGETS[interface.target].is_one_score(interface)
        return [dataclasses.replace(sample, target=None) for sample in summaries] if one else summaries

    @property
    def title(self) -> str:
        """Composite and explained output, in words."""
        return f"{self.explainer.interface.composite} on {self.explainer.explained_output!r}"


@dataclasses.dataclass(frozen=True, eq=False)
class Report:
    """Results of `check`; `problems` is empty if all is well."""

    outputs: list[checking.OutputCheck] | None
    """Comparison of the outputs; None if the source is not at hand."""
    conservation: checking.Conservation | None
    """Sums over the ledger; None if the model has no ledger."""
    explanation: Explanation
    problems: list[str]


def names_of_classes(labels: Path | None, opened: ModelFile, model: Path) -> Sequence[str]:
    """Read the names of the classes from a file of labels, else from the model, or from a file beside it."""
    if labels is not None:
        return class_names.read_labels(labels)
    return class_names.of_explained(opened) if opened.interface is not None else class_names.of_source(opened, model)


def names_of_labels(model: Any) -> Sequence[str]:
    """Read the names of the classes off the label output of a model that was just converted; empty if its labels are
    numbers, or if it is the path of an explained model."""
    labels = () if isinstance(model, Path) else model.interface.labels
    return [label for label in labels if isinstance(label, str)]


def read_mask(path: Path) -> np.ndarray:
    """Read weights of pixels from a .npy file, or from a picture: 1 where it is white."""
    if path.suffix.lower() in (".npy", ".npz"):
        array = files.load(path, TensorSpec("mask", np.dtype(np.float32), None)).array
    else:
        grey = TensorSpec("mask", np.dtype(np.float32), (1, 1, None, None))
        array = files.load(path, grey, files.PREPROCESS["unit"]).array
    return array.reshape(array.shape[-2:]) if array.ndim > 2 and array.size == np.prod(array.shape[-2:]) else array


def tell_pixels(given: CliInputs, specs: Mapping[str, TensorSpec], how: files.Preprocess) -> None:
    """Say how the pixels of pictures are scaled, unless `--preprocess` says it."""
    pictures = {name for name, path in given.inputs if is_picture_file(path) or path.is_dir()}
    for name, spec in specs.items():
        is_scaled = spec.dtype is not None and spec.dtype.kind == "f" and files.picture_layout(spec) is not None
        if pictures & {name, ""} and how.automatic and is_scaled:
            terminal.tell("note", files.pixels_in_words(spec))


def read_weights(path: Path | None) -> np.ndarray | None:
    """Read the weights of a weighted target from a .npy file."""
    if path is None:
        return None
    return files.load(path, TensorSpec("weights", np.dtype(np.float32), None)).array


def files_read(model: Path, given: CliInputs, others: Sequence[Path]) -> list[Path]:
    """List every file that `explain` reads: the model's, the inputs', and `others`."""
    paths = [*files_of(model), *others]
    for _, path in given.inputs:
        with contextlib.suppress(InputError):  # a bad path is reported when it is read
            paths += expand(path)
    return paths


def explain(
    model: Any,
    data: Data,
    given: Mapping[str, Any],
    labels: Sequence[str],
    names: Sequence[str],
    words: bool = False,
    out: Path | None = None,
    reference: Mapping[str, Any] | None = None,
) -> Explained:
    """Run an explained model.

    `given` holds target, position and weights, `labels` the names of the classes, `names` those of providers; `words`
    shows texts by word, and `out` is the file to write later. The difference from a `reference` is explained where
    there is one.
    """
    explainer = Explainer(model, providers=list(names) or None)
    if out is not None:
        saving.check_inputs(out, explainer.interface.relevance, explainer.inputs)
    chosen = chosen_targets(given)
    if explainer.interface.position_input is not None and chosen["position"] is None:
        chosen["position"] = text.ends(data.tokens)  # the last token, not the padding after it
    if "position" in TARGETS[explainer.interface.target].arguments:
        labels = labels or ([] if data.tokenizer is None else data.tokenizer.names)
    headed = {name: one.columns for name, one in data.loaded.items() if one.columns}
    explanation = _explanation(explainer, data, chosen, reference)
    columns = {n: names for n, names in {**headed, **data.table.columns}.items() if n in explanation.relevance}
    known: dict[str, Any] = {
        "tokens": data.tokens,
        "columns": {**explanation.columns, **columns},
        "ids": {**data.ids, **explanation.ids, **data.table.ids},
        "originals": data.originals,
    }
    if explanation.circumstances is not None:
        read: dict[str, Any] = {"files": data.files, "tokenizer": data.tokenizer if data.tokens else None}
        known["circumstances"] = dataclasses.replace(explanation.circumstances, **read)
    explanation = dataclasses.replace(explanation, **known)
    value = explanation.outputs.get(explainer.explained_output)
    if not labels and isinstance(value, list) and value and isinstance(value[0], dict):
        labels = [str(key) for key in value[0]]  # a ZipMap's keys are the classes
    if explanation.legend is not None:
        titles = tuple(labels) or explanation.legend.class_names
        legend = dataclasses.replace(explanation.legend, class_names=titles, pixels=data.pixels)
        explanation = dataclasses.replace(explanation, legend=legend)
    return Explained(explanation, explainer, data, labels, words)


def _explanation(
    explainer: Explainer, data: Data, chosen: dict[str, Any], reference: Mapping[str, Any] | None
) -> Explanation:
    """Explain the data, or their difference from a reference, at once, or batch by batch if the model takes fewer
    samples than there are."""
    if any(chosen.get(name) is not None for name in ("at", "box", "mask")):
        sizes = next((one.sizes for one in data.loaded.values() if one.sizes), ())
        chosen["picture_size"] = sizes or None
    if reference is not None:
        given = {name: value for name, value in chosen.items() if value is not None}
        return explainer.compare(data.arrays, reference, **given)
    if data.batch_size is not None and "picture_size" not in chosen:
        return join(list(explainer.map(data.arrays, **chosen)))
    return explainer(data.arrays, **chosen)


def read_reference(given: CliInputs, data: Data, preprocess: files.Preprocess) -> Mapping[str, Any] | None:
    """Read the files of a reference, as those of samples are read; None if there are none."""
    named = dict.fromkeys(name for name, _ in given.inputs)
    specs = {name: data.specs[name] for name in named if name in data.specs}
    return load(given, specs if len(specs) == len(named) else data.specs, preprocess).arrays if given else None


def chosen_targets(given: Mapping[str, Any]) -> dict[str, Any]:
    """Convert target, position and weights from the command line to the arguments of an explainer's call."""
    return {key: _given(value) for key, value in given.items()}


def explain_many(
    model: Any, source: Path, given: CliInputs, asked: Mapping[str, Any], names: Sequence[str], **options: Any
) -> runtime.Results:
    """Run an explained model batch by batch, and write the results to a folder.

    `source` is the model's file, or the file that it was converted from; `options` are those of `Explainer.map`.
    """
    explainer = Explainer(model, list(names) or None, given.tokenizer or text.beside(source))
    found = spread(given.inputs, explainer.inputs, explainer.columns, given.ids)
    inputs: dict[str, Any] = {}
    for name, value in (*found.files, *given.texts):
        inputs.setdefault(name, []).append(value)
    mixed = [name for name, _ in given.texts if name in dict(given.inputs)]
    if mixed:
        raise InputError(f"input {mixed[0]!r} is given as --input and as --text: for a folder of results, one of them")
    chosen = chosen_targets(asked)
    whole = dataclasses.replace(found.table, inputs={**inputs, **found.table.inputs})
    try:
        return explainer.map(whole, **chosen, **options, progress=True)
    except KeyboardInterrupt:
        folder = options["to"]
        done = runtime.Results(folder).done if (Path(folder) / "map.json").exists() else 0
        terminal.tell("stopped", f"{done} samples are in '{folder}'; the same command goes on from there")
        raise


def show_many(results: runtime.Results) -> None:
    """Print the names and shapes of the arrays that were written."""
    terminal.say(f"wrote {results.done} samples to {results.folder}, a batch a file:")
    if results.samples == 1:
        terminal.say("  (a name without suffix is a folder; -o NAME.png, .html, .csv, .json or .npz writes one file)")
    for name, array in next(results.batches()).items():
        terminal.say(f"  {name} {array.dtype} {list(array.shape)}")


def save(done: Explained, path: Path, with_date: bool = False) -> None:
    """Write the explanation in the format of the path's suffix, perhaps with the date in its record."""
    material = saving.Material(
        dated(done.explanation) if with_date else done.explanation,
        inputs=done.data.arrays,
        samples=done.samples,
        title=done.title,
    )
    saving.save(material, path)


def show(done: Explained) -> None:
    """Print the explained samples with their most relevant features."""
    samples = done.samples
    terminal.say(f"{done.title}, {done.explainer.providers[0]}")
    terminal.show(tables.samples_table(samples[:_LISTED]))
    if len(samples) > _LISTED:
        terminal.say(f"and {len(samples) - _LISTED:,} more; -o OUT.csv writes all")
    if note := tables.sums_note(samples):
        terminal.say(note)
    for sample in samples[:_SHOWN]:
        if sample.features:
            terminal.show(tables.features_table(sample))
        if sample.texts:
            terminal.show(tables.texts_table(sample))
    if len(samples) > _SHOWN:
        ranking = FeatureRanking()
        ranking.add(done.explanation)
        if ranking.rows:
            terminal.show(tables.ranking_table(ranking.top(_TOP_FEATURES), ranking.rows))
    if done.explanation.ledger is not None:
        terminal.show(tables.ledger_table(done.explanation.ledger, _TOP_STEPS))


def as_json(done: Explained) -> dict[str, Any]:
    """Convert an explanation for a program that reads JSON."""
    interface = done.explainer.interface
    return explanation_json.plain(
        {
            "composite": interface.composite,
            "output": done.explainer.explained_output,
            "provider": done.explainer.providers[0],
            "samples": [dataclasses.asdict(sample) for sample in done.samples],
            "ledger": explanation_json.ledger_json(done.explanation),
        }
    )


def cautions_json(cautions: Iterable[Caution]) -> Any:
    """Convert cautions for a program that reads JSON."""
    return explanation_json.plain([dataclasses.asdict(caution) for caution in cautions])


def check(
    source: ModelFile | None, model: Any, arrays: Mapping[str, Any] | None, names: Sequence[str], seed: int = 0
) -> Report:
    """Run an explained model, and its source if that is at hand, on the same arrays; if `arrays` is None, on random
    ones."""
    chosen = list(names) or None
    explainer = Explainer(model, providers=chosen)
    session = None if source is None else providers.create_session(source.source, chosen)
    quietly = _run_quietly(explainer)
    if arrays is None:
        run = quietly if session is None else functools.partial(providers.run, session, None)
        arrays = checking.fitting_inputs(explainer.inputs, run, seed)
        explanation = quietly(arrays)
    else:
        explanation = explainer(arrays)
    outputs = None
    if session is not None:
        assert source is not None
        expected = providers.run(session, None, dict(arrays))
        prepared = explainer.prepare(arrays)
        others = [explainer.compute(prepared, explain=way).outputs for way in checking.ways_of(explainer) if not way]
        outputs = checking.compare_both(expected, [explanation.outputs, *others], source.halves)
    sums = checking.conservation(explanation)
    problems = checking.changed(outputs or ())
    problems += [
        f"the relevance of {name!r} holds NaN or infinity"
        for name, value in explanation.relevance.items()
        if not np.isfinite(value).all()
    ]
    if sums is not None and not sums.ok:
        problems.append(
            f"the ledger does not close at {sums.worst_step!r}: {sums.worst_gap:.2g} of all relevance is missing"
        )
    return Report(outputs, sums, explanation, problems)


def _run_quietly(explainer: Explainer) -> Callable[[dict[str, np.ndarray]], Explanation]:
    """Make a function that runs on random inputs without cautions, which would be about the explanation of noise."""
    return lambda arrays: explainer.compute(explainer.prepare(arrays))


def show_report(report: Report, is_random: bool) -> None:
    """Print the results of `check`."""
    if is_random:
        terminal.say("on random inputs; --input gives real ones")
    if report.outputs is None:
        terminal.say("this is an explained model, whose source is not beside it: run check on its source instead")
    else:
        terminal.show(tables.outputs_table(report.outputs))
    ledger = report.explanation.ledger
    if ledger is not None and report.conservation is None and report.explanation.relevance_indices:
        terminal.say("the model keeps the largest relevance only, whose sum says nothing of conservation")
        return
    if report.conservation is None or ledger is None:
        terminal.say("no ledger, so nothing to say of conservation (gradients conserve no relevance)")
        return
    terminal.show(tables.conservation_table(report.conservation))
    if report.conservation.base is not None:
        terminal.say("base value + Σ relevance = score; in the ledger the base value is a part of the bias")
    terminal.say(
        f"the ledger's largest gap is {report.conservation.worst_gap:.1e} of all relevance; most was absorbed at"
    )
    terminal.show(tables.ledger_table(ledger, _TOP_STEPS))


def report_json(report: Report) -> dict[str, Any]:
    """Convert the results of `check` for a program that reads JSON."""
    outputs = None
    if report.outputs is not None:
        outputs = [{**dataclasses.asdict(one), "ok": one.ok} for one in report.outputs]
    sums = report.conservation
    return explanation_json.plain(
        {
            "outputs": outputs,
            "conservation": None if sums is None else {**dataclasses.asdict(sums), "ok": sums.ok},
            "ledger": explanation_json.ledger_json(report.explanation),
            "problems": report.problems,
        }
    )


def evaluate(
    model: Path,
    given: CliInputs,
    how: files.Preprocess,
    composites: Sequence[str] | None,
    mask: Path | None,
    asked: Mapping[str, Any],
) -> Evaluation:
    """Read files and texts, and evaluate explanations of a model on them.

    `mask` is a .npy file with masks or boxes, `asked` holds the other arguments of `onnxlrp.evaluate`.
    """
    data = _read_data(model, given, how)
    masks = None if mask is None else files.load(mask, TensorSpec("mask", np.dtype(np.float32), None)).array
    more = {**asked, "masks": masks, "tokenizer": data.tokenizer, "progress": True}
    return evaluate_model.evaluate(model, data.arrays, composites, **more)


def tune(
    model: Path,
    given: CliInputs,
    how: files.Preprocess,
    composites: Sequence[str] | None,
    asked: Mapping[str, Any],
) -> Tuning:
    """Read files and texts, and tune the rules of a model on them; `asked` holds the other arguments of
    `onnxlrp.tune`."""
    data = _read_data(model, given, how)
    return tune_model.tune(model, data.arrays, composites, **asked, tokenizer=data.tokenizer, progress=True)


def report(
    model: Path,
    given: CliInputs,
    how: files.Preprocess,
    labels: Path | None,
    out: Path,
    asked: Mapping[str, Any],
) -> list[str]:
    """Read files and texts, and write a report on a model and them; return the notes of the report.

    `asked` holds the other fields of a `ReportRequest`.
    """
    data = _read_data(model, given, how)
    names = names_of_classes(labels, open_model(model), model)
    request = ReportRequest(
        model=model,
        data=data.arrays,
        labels=names,
        tokenizer=data.tokenizer,
        originals=data.originals,
        pixels=data.pixels,
        files=data.files,
        **{**asked, "target": class_names.classes_of(asked["target"], lambda: names)},
    )
    return list(write_report(request, out).notes)


def _read_data(model: Path, given: CliInputs, how: files.Preprocess) -> Data:
    with terminal.progress(f"reading {model}"):
        opened = open_model(model)
        return load(given, opened.inputs, how, model, opened.columns)


def show_tuning(tuning: Tuning) -> None:
    """Print the table of a tuning with the meaning of its columns, and its notes."""
    terminal.show(tuning.table())
    for line in (*tuning_table.legend(tuning), tuning.notes[0]):
        terminal.say(line)
    for note in tuning.notes[1:]:
        terminal.tell("note", note)


def show_evaluation(evaluation: Evaluation) -> None:
    """Print the table of an evaluation with the meaning of its columns, and its notes."""
    terminal.show(evaluation.table())
    for line in evaluation_table.legend(evaluation):
        terminal.say(line)
    for note in evaluation.notes:
        terminal.tell("note", note)


def _given(value: Any) -> Any:
    """Convert a list from the command line: an empty one to None, a single item to itself, any other to an array."""
    if not isinstance(value, list):
        return value
    return None if not value else value[0] if len(value) == 1 else np.array(value)
