"""Ground floor: ONNX graphs, with no knowledge of relevance."""
