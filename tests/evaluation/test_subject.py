"""The subject of a measurement, and a part of its samples."""

from __future__ import annotations

import numpy as np

from onnxlrp.evaluation.perturbation import curves
from onnxlrp.evaluation.subject import prepare_subject
from tests.evaluation import nets

DEFAULTS = {"output": None, "inputs": None, "explain_probability": False, "background": None, "target_kind": "class"}
DEFAULTS |= {"target": None, "position": None, "units": "auto", "unit_size": None, "baseline": "auto"}
DEFAULTS |= {"mask_token": None, "batch_size": None, "providers": None, "tokenizer": None}
DEFAULTS |= {"preprocess": "raw", "seed": 0}


def test_some_samples_are_measured_as_among_all():
    """Units, baselines drawn from other samples, classes and relevance are those that the samples have among all."""
    random = np.random.default_rng(0)
    x = random.normal(size=(9, 4)).astype(np.float32)
    subject = prepare_subject(nets.linear(random.normal(size=(4, 3))), x, **DEFAULTS)
    rows = np.array([6, 1, 3])
    some = subject.taking(rows)
    relevance = {one: one.units.sums(one.by_composite("auto", "auto").explain()) for one in (subject, some)}
    np.testing.assert_array_equal(relevance[subject][rows], relevance[some])
    whole = curves(subject.removal(lambda samples: None), relevance[subject], 4)
    part = curves(some.removal(lambda samples: None), relevance[some], 4)
    np.testing.assert_array_equal(whole.most_first[rows], part.most_first)
    removal = subject.removal(lambda samples: None)
    for span in (rows[:1], rows):
        again = curves(removal, relevance[subject][span], 4, span)
        np.testing.assert_array_equal(again.least_first, whole.least_first[span])
