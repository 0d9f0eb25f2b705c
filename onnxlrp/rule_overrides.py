"""Overrides as text: `PATTERN=RULE`, as the command line and the metadata of explained files have them."""

from __future__ import annotations

import re

from onnxlrp import rules
from onnxlrp.errors import InputError


def parse_override(text: str) -> tuple[str, rules.Rule]:
    """Parse `PATTERN=RULE`; a node's name may hold `=` itself, and so may the rule's arguments.

    Raises InputError for a text of another form, and for a rule that does not exist.
    """
    parts = re.fullmatch(r"(.+)=(\w+\s*(?:\(.*\))?)\s*", text)
    if parts is None:
        raise InputError(f"{text!r} is not PATTERN=RULE, such as Conv=ZPlus or '/layer4/*=Gamma(0.1)'")
    return parts[1], rules.parse(parts[2])
