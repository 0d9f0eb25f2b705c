"""Read the schemas of operators once, into plain Python."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import onnx
from onnx.defs import OpSchema

_DOMAINS = ("", "ai.onnx.ml")
"""Domains of ONNX itself; schemas of other domains may have been registered by other packages."""
USUAL = 21
"""The version at which an operator is read if the file's version of the operator set does not have it yet."""


@dataclasses.dataclass(frozen=True)
class Formal:
    """An input or output as a schema declares it."""

    name: str
    is_required: bool
    """True if it can neither be left out nor have an empty name."""
    is_variadic: bool
    parameter: str
    """The type parameter ("T") or the type itself."""
    types: frozenset[str]
    is_homogeneous: bool


@dataclasses.dataclass(frozen=True)
class Schema:
    """The schema of an operator at a version of its operator set."""

    since: int
    is_exact: bool
    """False if the file's version of the operator set lacks the operator, so that a later version is used."""
    attributes: dict[str, tuple[int, bool]]
    """The type of each attribute and whether it is required, by the attribute's name."""
    inputs: tuple[Formal, ...]
    outputs: tuple[Formal, ...]
    counts: tuple[int, int, int, int]
    """The fewest and most inputs, then the fewest and most outputs."""
    parameters: dict[str, frozenset[str]]
    """The types that each type parameter may be."""
    infers: bool
    """True if ONNX infers the types of all outputs by a function for the operator; always False for ai.onnx.ml.

    ONNX infers no types for a Compress, for a GroupNormalization by its function body, for a Scaler or for the scores
    of an SVMClassifier, and reports that as an error of the nodes that read them.
    """


@functools.lru_cache(maxsize=4096)
def schema_of(op_type: str, domain: str, version: int) -> Schema | None:
    """Find the schema of an operator of ONNX; None if there is none, or if the operator is deprecated at that
    version."""
    if domain not in _DOMAINS:
        return None
    found = _schema(op_type, domain, version)
    exact = found is not None
    if found is None and domain == "":
        found = _schema(op_type, domain, USUAL) or _schema(op_type, domain, onnx.defs.onnx_opset_version())
    return None if found is None or found.deprecated else _plain(found, exact)


def is_given_up(op_type: str, domain: str, version: int) -> bool:
    """Decide whether an operator of ONNX is deprecated at a version."""
    found = _schema(op_type, domain, version) if domain in _DOMAINS else None
    return found is not None and found.deprecated


def _schema(op_type: str, domain: str, version: int) -> OpSchema | None:
    try:
        return onnx.defs.get_schema(op_type, version, domain)
    except onnx.defs.SchemaError:
        return None


def _plain(schema: OpSchema, exact: bool) -> Schema:
    return Schema(
        since=schema.since_version,
        is_exact=exact,
        attributes={name: (_number(a.type), a.required) for name, a in schema.attributes.items()},
        inputs=tuple(map(_formal, schema.inputs)),
        outputs=tuple(map(_formal, schema.outputs)),
        counts=(schema.min_input, schema.max_input, schema.min_output, schema.max_output),
        parameters={c.type_param_str: frozenset(c.allowed_type_strs) for c in schema.type_constraints},
        infers=schema.domain == "" and schema.has_type_and_shape_inference_function,
    )


def _formal(formal: OpSchema.FormalParameter) -> Formal:
    options = OpSchema.FormalParameterOption
    return Formal(
        name=formal.name,
        is_required=formal.option == options.Single,
        is_variadic=formal.option == options.Variadic,
        parameter=formal.type_str,
        types=frozenset(formal.types),
        is_homogeneous=formal.is_homogeneous,
    )


def _number(kind: Any) -> int:
    # onnx's type stubs take the enumeration for a plain class.
    return int(kind.value)
