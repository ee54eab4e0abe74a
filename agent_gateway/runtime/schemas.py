"""Compiling the argument schemas of third parties: bounded, and never fetching anything.

A schema that cannot be compiled is a finding, and its tool takes no calls:
what cannot be checked is not forwarded.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NoReturn, Protocol, cast

import jsonschema_rs

MAX_SUBSCHEMAS = 5000
MAX_DEPTH = 64
MAX_PATTERN_CHARS = 2048


class SchemaMistake(Protocol):
    """Where and how an instance breaks its schema; the instance's own values are masked."""

    @property
    def message(self) -> str: ...
    @property
    def instance_path(self) -> list[str | int]: ...


class Validator(Protocol):
    """A compiled schema."""

    def is_valid(self, instance: object) -> bool: ...
    def iter_errors(self, instance: object) -> Iterable[SchemaMistake]: ...


class BadSchema(ValueError):
    """The schema is not usable; the message says why, without quoting it at length."""


@dataclass(frozen=True, slots=True)
class NeverValid:
    """Stands in for a schema that could not be compiled: nothing fits it."""

    why: str

    def is_valid(self, instance: object) -> bool:
        return False

    def iter_errors(self, instance: object) -> Iterable[SchemaMistake]:
        yield _Unusable(f"the tool's own schema is not usable ({self.why})", [])


@dataclass(frozen=True, slots=True)
class _Unusable:
    message: str
    instance_path: list[str | int]


def compile_schema(schema: object) -> Validator:
    """Return a validator for a tool's input schema; raises `BadSchema`."""
    if not isinstance(schema, dict):
        raise BadSchema("it is no object")
    _bound(cast("object", schema))
    try:
        validator = jsonschema_rs.validator_for(
            cast("dict[str, object]", schema), retriever=_refuse, mask="the value", validate_formats=False
        )
    except ValueError as error:
        raise BadSchema(str(error).splitlines()[0][:200]) from None
    return cast("Validator", validator)


def _refuse(uri: str) -> NoReturn:
    raise ValueError(f"remote reference `{uri[:100]}` is not fetched")


def _bound(schema: object) -> None:
    """Refuse a schema too deep or too large to compile at leisure."""
    count = 0
    stack: list[tuple[object, int]] = [(schema, 1)]
    while stack:
        node, depth = stack.pop()
        count += 1
        if depth > MAX_DEPTH or count > MAX_SUBSCHEMAS * 4:
            raise BadSchema("it is too deep or too large")
        if isinstance(node, Mapping):
            members = cast("Mapping[str, object]", node)
            pattern = members.get("pattern")
            if isinstance(pattern, str) and len(pattern) > MAX_PATTERN_CHARS:
                raise BadSchema("a pattern in it is too long")
            stack.extend((member, depth + 1) for member in members.values())
        elif isinstance(node, list):
            stack.extend((member, depth + 1) for member in cast("list[object]", node))
