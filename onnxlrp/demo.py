"""`onnxlrp demo`: explains the bundled image classifier on the bundled pictures."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from rich.table import Table

from onnxlrp.convert import convert
from onnxlrp.errors import InputError
from onnxlrp.file_hashes import FileMark
from onnxlrp.runtime import Explainer, Explanation, files
from onnxlrp.runtime.providers import onnxruntime
from onnxlrp.runtime.recorder import recorder_of
from onnxlrp.view import pictures, terminal
from onnxlrp.view.record_files import recorded_write

MODEL = "efficientnet_lite0.lrp.onnx"
SHEET = "contact_sheet.png"
FILES = (MODEL, SHEET)
COMPOSITES = ("epsilon_plus", "epsilon_gamma_box(low=0, high=255)", "vgg_overview(low=0, high=255)")
"""Composites to explain with; the explained model of the first one is written."""
STEPS = 2 * len(COMPOSITES) + 1


@dataclasses.dataclass(frozen=True)
class Picture:
    """Class of a picture, and the part of its score that arrives at the pixels under each composite."""

    name: str
    label: str
    probability: float
    score: float
    relevance: dict[str, float]


@dataclasses.dataclass(frozen=True)
class Demo:
    """Results of the demo."""

    source: str
    written: list[str]
    provider: str
    seconds: float
    pictures: list[Picture]


def bundled() -> Path:
    """Find the folder of bundled models: inside an installed package, or beside it in a checkout."""
    package = Path(__file__).parent
    for folder in (package / "_models", package.parent / "models"):
        if (folder / "efficientnet_lite0").is_dir():
            return folder
    raise InputError("the bundled model is not there: this onnxlrp was installed without its models/ folder")


def files_read() -> list[Path]:
    """List the bundled files, so that the demo refuses to write over them, even through a link."""
    return [_source(), *_pictures()]


def _source() -> Path:
    return bundled() / "efficientnet_lite0" / "efficientnet_lite0.onnx"


def _pictures() -> list[Path]:
    return sorted((bundled() / "pictures").glob("*.png"))


def run(folder: Path, step: Callable[[str], None] = lambda description: None) -> Demo:
    """Convert, explain and write FILES into `folder`; `step` is called STEPS times with the name of the next step."""
    start = time.perf_counter()
    onnxruntime()  # raises, before anything is written, an error that says what to install
    folder.mkdir(parents=True, exist_ok=True)
    source = _source()
    labels = (source.parent / "labels.txt").read_text(encoding="utf-8").splitlines()
    paths = _pictures()
    explanations: dict[str, Explanation] = {}
    for composite in COMPOSITES:
        explained = convert(source, composite=composite)
        if not explanations:
            explained.save(folder / MODEL)
        step(f"explaining with {composite}")
        explainer = Explainer(explained)
        spec = explainer.inputs["image"]
        data = files.join([files.load(path, spec) for path in paths], spec)
        # Cautions are left out, because the table shows how much the biases absorb, and the text below it says so.
        explanations[composite] = _with_files(explainer.compute(explainer.prepare({"image": data.array})), paths)
        step("converting")
    entries = _describe([path.stem for path in paths], labels, explanations)
    first, *others = [recorder_of(one) for one in explanations.values()]
    height, width = data.array.shape[2:]
    shown = [files.open_picture(path).resize((width, height), Image.Resampling.BILINEAR) for path in paths]
    with recorded_write(folder / SHEET, first, [one.record() for one in others]) as draft:
        _sheet(shown, entries, explanations).save(draft)
    step("done")
    return Demo(
        source=str(source),
        written=[str(folder / name) for name in FILES],
        provider=explainer.providers[0],
        seconds=time.perf_counter() - start,
        pictures=entries,
    )


def _with_files(explanation: Explanation, paths: list[Path]) -> Explanation:
    """Note the files of the pictures for the record of the sheet."""
    known = explanation.circumstances
    assert known is not None
    files_read = {"image": tuple(map(FileMark.of, paths))}
    return dataclasses.replace(explanation, circumstances=dataclasses.replace(known, files=files_read))


def show(done: Demo) -> None:
    """Print the results of the demo on a terminal."""
    table = Table()
    table.add_column("picture")
    table.add_column("predicted class")
    for name in ("probability", "score", *(f"at the pixels, {name.partition('(')[0]}" for name in COMPOSITES)):
        table.add_column(name, justify="right")
    for one in done.pictures:
        sums = (f"{value:.2g}" for value in one.relevance.values())
        table.add_row(one.name, one.label, f"{one.probability:.2f}", f"{one.score:.2f}", *sums)
    terminal.say(f"explained {len(done.pictures)} pictures with EfficientNet-Lite0 under {len(COMPOSITES)} composites")
    terminal.show(table)
    terminal.say("the rest was absorbed by the network's biases; onnxlrp check --composite ... shows where")
    terminal.say(f"{done.seconds:.1f} s on {done.provider.removesuffix('ExecutionProvider')}; wrote")
    for path in done.written:
        terminal.say(f"  {path}")


def _describe(names: list[str], labels: list[str], explanations: dict[str, Explanation]) -> list[Picture]:
    first = explanations[COMPOSITES[0]]
    logits = np.asarray(first.outputs["logits"], dtype=np.float64)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = powers / powers.sum(axis=1, keepdims=True)
    assert first.target is not None
    return [
        Picture(
            name=name,
            label=labels[target],
            probability=float(probabilities[index, target]),
            score=float(logits[index, target]),
            relevance={key: float(one.relevance["image"][index].sum()) for key, one in explanations.items()},
        )
        for index, (name, target) in enumerate(zip(names, first.target.tolist(), strict=True))
    ]


def _sheet(shown: list[Image.Image], entries: list[Picture], explanations: dict[str, Explanation]) -> Image.Image:
    """Draw a row per picture: the picture with its class and score, then a heatmap per composite."""
    rows = []
    for index, (picture, one) in enumerate(zip(shown, entries, strict=True)):
        row = [pictures.Cell(picture, f"{one.label.split(',')[0]} {one.probability:.2f}\nscore {one.score:.2f}")]
        for composite, explanation in explanations.items():
            relevance = pictures.to_map(explanation.relevance["image"], "NCHW")[index]
            caption = f"sum of relevance {one.relevance[composite]:.2g}"
            row.append(pictures.Cell(pictures.overlay(picture, relevance), caption))
        rows.append(row)
    header = ["picture", *(name.partition("(")[0] for name in explanations)]
    return pictures.contact_sheet(rows, header, "EfficientNet-Lite0: what speaks for the predicted class")
