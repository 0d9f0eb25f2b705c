"""Fate of a class that is fed to a file whose target is optional, in each runtime: taken, ignored, or an error."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

import onnxlrp
from tools.runtimes import jobs, verdicts
from tools.runtimes.engines import Engine
from tools.runtimes.in_python import by_onnxruntime
from tools.runtimes.jobs import Answer, Call, Job
from tools.runtimes.measure import answers_of_onnxruntime, saved
from tools.runtimes.subjects import MODELS, samples

TAKEN, IGNORED, ERROR = "taken", "ignored silently", "an error"


def fates(engines: Sequence[Engine], packages: Path, room: Path, limit: float) -> dict[str, str]:
    """Feed a class other than the predicted one, and compare the relevance with that of both classes."""
    path = MODELS / "digits_cnn" / "digits_cnn.torchscript.onnx"
    model = saved(onnxlrp.convert(path, "epsilon").to_proto(), room)
    image = samples(path)["image"][:1]
    predicted = int(np.argmax(by_onnxruntime(str(path))({"image": image}, ["logits"])[0]))
    feeds = {"image": image, "target": np.array([(predicted + 1) % 10], np.int64)}
    job, default = (Job(model, [Call(part, ["image_relevance"])]) for part in (feeds, {"image": image}))
    meant = [answers_of_onnxruntime(one) for one in (job, default)]
    found = {one.name: jobs.run(room / f"{one.name}-target", [job], one.start(packages), limit)[0] for one in engines}
    return {name: _fate(answer, *meant) for name, answer in found.items()}


def _fate(found: Answer, asked: Answer, default: Answer) -> str:
    if found.error is not None:
        return f"{ERROR}: {verdicts.shortened(found.error, 80)}"
    if verdicts.distance(found, asked) <= verdicts.BOUND:
        return TAKEN
    return IGNORED if verdicts.distance(found, default) <= verdicts.BOUND else "other numbers"
