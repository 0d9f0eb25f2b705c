"""Cases: small inputs that once gave wrong results, each with the figure that tells right from wrong.

`python -m tools.cases` runs all of them, `python -m tools.cases gates` one. They need scikit-learn, skl2onnx and torch
(tools/peers.txt says how to install them).
"""
