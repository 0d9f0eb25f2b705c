"""Reports from Python: `onnxlrp.report`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from onnxlrp.composites import Composite, Overridden
from onnxlrp.errors import InputError
from onnxlrp.extras import optional
from onnxlrp.reporting.gather_report import ReportRequest, gather_report
from onnxlrp.reporting.report_content import ReportContent
from onnxlrp.reporting.report_page import report_page
from onnxlrp.runtime.recorder import recorder_of
from onnxlrp.view.record_files import recorded_write


def report(
    model: Any,
    data: Any,
    path: str | os.PathLike[str],
    composites: Sequence[str | Path | Composite | Overridden] | str | Composite | Overridden | None = None,
    *,
    target: Any = None,
    position: Any = None,
    target_kind: Literal["class", "token", "element"] = "class",
    output: str | None = None,
    background: Any = None,
    samples: int = 3,
    curves: bool = True,
    steps: int = 10,
    labels: Sequence[str] = (),
    providers: Sequence[Any] | None = None,
    tokenizer: Any = None,
    preprocess: str = "auto",
    seed: int = 0,
) -> Path:
    """Write a report on a model and a few samples: one HTML file that needs no network.

    It shows the prediction, the explanation by several composites side by side with their deletion curves, the flow of
    relevance from step to step, the plan as a table, the relevance graph, and what is doubtful, in plain words. It
    needs matplotlib: `pip install matplotlib`.

    Parameters
    ----------
    model
        The model, not an explained one: as `convert` takes it, at most 2 GB.
    data
        A value for each input, by name, as `Explainer.map` takes them: arrays, data frames, texts, or paths of files.
        For a model of one input its value alone.
    path
        The file to write, `.html`; one that is there is replaced.
    composites
        The composites to compare: names, objects or files. The plan and the graph are the first one's. Default: `auto`
        and up to three presets that suit the model.
    target, position
        The explained class (or element), and the position of a token target, as in a call of `Explainer`. Default: the
        predicted ones.
    target_kind
        The kind of target, as `convert` takes it: `"class"` (default), `"token"` or `"element"`.
    output, background
        As `convert` takes them.
    samples
        The number of samples to show, the first ones of the data. Default: 3.
    curves
        False leaves out the deletion curves, which take most of the time. Default: True.
    steps
        The number of steps of a curve. Default: 10.
    labels
        Names of the classes, in their order. Default: the model's own names, or those in a file beside it.
    providers, tokenizer
        As `Explainer` takes them.
    preprocess
        The scale of pixels from picture files, as `Explainer.map` takes it.
    seed
        The seed of the random order that curves are compared with. Default: 0.

    Returns
    -------
    Path
        The file that was written.

    Raises
    ------
    InputError
        An argument has no such value, or does not fit the model or the data.
    OnnxLrpError
        As `convert` and `Explainer` raise them.

    Examples
    --------
    ```python
    onnxlrp.report("model.onnx", {"image": x}, "report.html", ["auto", "epsilon"])
    ```
    """
    options = {"target": target_kind, "output": output, "background": background}
    request = ReportRequest(
        model=model,
        data=data,
        composites=composites,
        target=target,
        position=position,
        options=options,
        samples=samples,
        curves=curves,
        steps=steps,
        labels=labels,
        providers=providers,
        tokenizer=tokenizer,
        preprocess=preprocess,
        seed=seed,
    )
    write_report(request, Path(path))
    return Path(path)


def write_report(request: ReportRequest, path: Path) -> ReportContent:
    """Write the report that is asked for, with a record of each explanation, and return what it shows.

    The file is written whole or not at all.

    Raises InputError and OnnxLrpError as `report` does.
    """
    check_report_suffix(path)
    content = gather_report(request)
    page = report_page(content)
    first, *others = [recorder_of(one.explanation) for one in content.compared]
    records = [one.record() for one in others if not one.is_empty]
    with recorded_write(path, first, records) as draft:
        draft.write_text(page, encoding="utf-8")
    return content


def check_report_suffix(path: Path) -> None:
    """Raise InputError if a report cannot be written to a path."""
    if path.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"a report is written as .html, not as '{path.name}'")
    optional("matplotlib", "a report")
