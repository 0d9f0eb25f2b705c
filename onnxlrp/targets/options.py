"""Options of `convert` that concern the target, checked."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from onnxlrp.errors import InputError

if TYPE_CHECKING:
    from onnxlrp.targets.kind import TargetKind

INPUTS = ("optional", "required", "none")


@dataclasses.dataclass(frozen=True)
class TargetOptions:
    """Kind of target, the number of targets at once, and the way in which the explained model takes them."""

    kind: TargetKind
    targets: int = 1
    target_input: str = "optional"

    def __post_init__(self) -> None:
        if self.target_input not in INPUTS:
            raise InputError(f'target_input is "optional", "required" or "none", not {self.target_input!r}')
        if not isinstance(self.targets, int) or self.targets < 1:
            raise InputError(f"targets is a number of at least 1, not {self.targets!r}")
        if self.targets > 1 and not self.kind.several:
            raise InputError(
                f"targets above 1 need another target than {self.kind.name!r}, which is one for each sample"
            )
        if self.targets > 1 and not self.has_input:
            raise InputError('targets above 1 need a target_input other than "none"')

    @property
    def has_input(self) -> bool:
        """True if the explained model takes its target as an input."""
        return self.target_input != "none"
