"""Explained files in every runtime that PyPI and npm give, compared with onnxruntime: `python -m tools.runtimes`."""
