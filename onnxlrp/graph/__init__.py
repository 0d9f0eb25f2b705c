"""The ground floor: ONNX graphs, without a word of relevance."""
