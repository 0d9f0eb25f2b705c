"""Rules and composites as text: a name, perhaps with arguments as Python writes them."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Mapping
from typing import Any

from onnxlrp.errors import InputError
from onnxlrp.near_names import did_you_mean


def call(text: str, names: Mapping[str, Any]) -> Any:
    """Read a call of names and literals without evaluating anything: `"Gamma(0.1)"` -> `names["Gamma"](0.1)`.

    Raises InputError with the known names if the text is anything else.
    """
    known = ", ".join(names)
    try:
        tree = ast.parse(text.strip(), mode="eval").body
        function = tree.func if isinstance(tree, ast.Call) else tree
        if not isinstance(function, ast.Name) or function.id not in names:
            near = did_you_mean(getattr(function, "id", text), names)
            raise InputError(f"{text!r} is not known{near}; there are: {known}")
        positional = [ast.literal_eval(a) for a in tree.args] if isinstance(tree, ast.Call) else []
        named = {str(k.arg): ast.literal_eval(k.value) for k in tree.keywords} if isinstance(tree, ast.Call) else {}
    except (SyntaxError, ValueError) as e:
        raise InputError(
            f"{text!r} cannot be read: write arguments as in Python, texts in quotes, such as Gamma(0.1) or "
            f"auto(trees='path'); known: {known}"
        ) from e
    try:
        return names[function.id](*positional, **named)
    except TypeError as e:
        parameters = inspect.signature(names[function.id]).parameters.values()
        form = ", ".join(str(p.replace(annotation=inspect.Parameter.empty)) for p in parameters)
        every = [p.name for p in parameters]
        near = next((words for name in named if name not in every and (words := did_you_mean(name, every))), "")
        raise InputError(f"{text!r} does not fit{near}: write {function.id}({form})") from e
