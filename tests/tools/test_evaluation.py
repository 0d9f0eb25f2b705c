"""The measurements of the evaluation: what the command line of the tool starts."""

from __future__ import annotations

import pytest

from tools.evaluation.__main__ import main


def test_an_unknown_measurement_is_refused():
    with pytest.raises(SystemExit, match=r"python -m tools\.evaluation`.*`tune`"):
        main(["tuned"])
