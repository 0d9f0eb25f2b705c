"""What needs no model waits for no library: `onnxlrp --version` and `--help` import neither numpy nor onnx."""

from __future__ import annotations

import subprocess
import sys

import pytest

import onnxlrp
from onnxlrp import late_names
from onnxlrp.cli.command_options import TARGET_KINDS
from onnxlrp.targets import TARGETS

HEAVY = ("PIL", "matplotlib", "networkx", "numpy", "onnx", "onnx_ir", "onnxruntime", "onnxscript", "pandas")
PROGRAM = f"""
import sys
from onnxlrp.cli import main
try:
    main()
finally:
    print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr)
"""


@pytest.mark.parametrize("words", [["--version"], ["--help"], ["explain", "--help"], ["convert", "--help"]])
def test_nothing_heavy_is_imported(words):
    done = subprocess.run([sys.executable, "-c", PROGRAM, *words], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
    assert done.stdout


def test_the_names_that_help_shows_are_those_of_the_package():
    assert tuple(TARGETS) == TARGET_KINDS


def test_every_public_name_has_a_home():
    modules = {"composites", "errors", "rules", "__version__"}
    assert {*onnxlrp.__all__} == {*vars(onnxlrp)["_homes"], *modules}
    assert {*onnxlrp.__all__} <= {*dir(onnxlrp)}


def test_the_function_convert_is_not_covered_by_its_module():
    program = "import onnxlrp.convert, onnxlrp; from onnxlrp import *; print(convert is onnxlrp.convert, convert)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("True <function convert")


def test_a_name_that_does_not_exist():
    with pytest.raises(AttributeError, match=r"'onnxlrp' has no attribute 'Explaner' \(did you mean 'Explainer'\?\)"):
        _ = onnxlrp.Explaner
    assert not hasattr(onnxlrp, "_models")
    assert late_names.install.__doc__
