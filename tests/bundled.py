"""Bundled models, and which of them a test takes with few composites."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

MODELS = Path(__file__).parents[1] / "models"
FILES = sorted(MODELS.glob("*/*.onnx"))
FIRST = (
    *("breast_cancer_mlp", "diabetes_regression", "digits_cnn", "digits_lstm", "efficientnet_lite0"),
    *("minilm_similarity", "wine_mlp"),
)
"""Folders of models that every composite is tried on; the others came for `python -m tools.evaluation suite`."""


def pairs(composites: Collection[str], few: Collection[str]) -> list[tuple[Path, str]]:
    """List models with composites: the first models with all of them, the others with `few`."""
    return [(path, name) for path in FILES for name in (composites if path.parent.name in FIRST else few)]


def options(path: Path) -> dict[str, Any]:
    """Give the arguments of `convert` that a model needs: a map of scores has no class."""
    return {"target": "element"} if path.parent.name == "coins_unet" else {}
