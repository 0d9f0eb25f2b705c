"""`python -m onnxlrp`: the command line, for installations whose `onnxlrp` command is not on the path."""

from onnxlrp.cli import main

main()
