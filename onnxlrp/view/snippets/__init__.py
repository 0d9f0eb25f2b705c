"""Programs in several languages that run one explained file with ONNX Runtime alone."""
