"""No tensor leads to a file outside the model's folder, in whatever way and place of a model.

Each way is tried in every place that holds a tensor, by conversion, inspection and explainer: each says the tensor's
place, and opens no file but the model's. The ways and places are those of tests/test_external_data.py.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from onnxlrp.errors import InvalidModelError
from tests.test_external_data import READERS, WAYS, prepared, watched
from tests.weight_files import PLACES, folder_in, written
from tools.robustness.part import Found


def run(quick: bool, folder: Path) -> Found:
    """Try every way in every place; `quick` takes few of each."""
    ways, places, faults = list(WAYS)[:: 9 if quick else 1], list(PLACES)[:: 4 if quick else 1], []
    for number, way in enumerate(ways):
        outer = folder / str(number)
        outer.mkdir()
        inside = folder_in(outer)
        tensor = prepared(way, inside)
        faults += [fault for place in places for fault in _faults(way, place, written(inside, place(tensor)))]
    count = len(ways) * len(places)
    result = f"{count - len(faults):,} refused by each of {len(READERS)} readers, which opened no other file"
    return Found(f"{len(ways)} ways × {len(places)} places", result, tuple(faults))


def _faults(way: str, place: object, path: Path) -> list[str]:
    """Say what is wrong with the refusal of one file; one sentence at most."""
    about = f"{way} in {getattr(place, '__name__', place)}"
    with pytest.MonkeyPatch.context() as patch:
        opened = watched(patch)
        for read in READERS:
            try:
                read(path)
                return [f"{about}: it was read"]
            except InvalidModelError as error:
                if PLACES[place] not in str(error):
                    return [f"{about}: {error!s:.200}"]
            except Exception as error:
                return [f"{about}: {type(error).__name__}: {error!s:.200}"]
    others = sorted(set(opened) - {str(path)})
    return [f"{about}: it opened {others}"] if others else []
