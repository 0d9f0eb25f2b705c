"""`python -m onnxlrp`: the command line, where the installed command is not on the path."""

from onnxlrp.cli import main

main()
