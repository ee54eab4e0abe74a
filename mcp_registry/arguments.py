"""Arguments: which of a tool's arguments a policy can read, and as what.

Held against the JSON Schema that the tool publishes; checking real arguments
against the schema is the guard's work.
"""

from collections.abc import Mapping
from typing import Final, Literal, cast

Kind = Literal["Long", "String", "Bool", "Set<String>"]

MAX_REFERENCES: Final = 8

_KINDS: Final[Mapping[str, Kind]] = {"integer": "Long", "string": "String", "boolean": "Bool"}
_JSON_TYPES: Final[Mapping[type, str]] = {bool: "boolean", int: "integer", str: "string"}


def argument_kinds(schema: object) -> Mapping[str, Kind]:
    """Return the policy kind of each top-level argument that has exactly one.

    schema  a parsed JSON Schema of an object

    `null` beside a kind does not count; enums and constants have the kind of their values; local
    references are followed, up to 8. Numbers, objects, mixed and untyped arguments have none.
    """
    root = _object(schema)
    kinds: dict[str, Kind] = {}
    for name, node in _object(root.get("properties")).items():
        kind = _kind(node, root)
        if kind is not None:
            kinds[name] = kind
    return kinds


def _kind(node: object, root: Mapping[str, object]) -> Kind | None:
    """Return the kind of an argument; alternatives are looked at one level deep, so that this ends."""
    schema = _resolved(node, root)
    for keyword in ("anyOf", "oneOf"):
        if keyword in schema:
            branches = [_resolved(branch, root) for branch in _list(schema[keyword])]
            found: set[Kind | None] = {_plain_kind(branch, root) for branch in branches if branch.get("type") != "null"}
            return found.pop() if len(found) == 1 else None
    return _plain_kind(schema, root)


def _plain_kind(schema: Mapping[str, object], root: Mapping[str, object]) -> Kind | None:
    types = _types(schema)
    if types == {"array"}:
        return "Set<String>" if _types(_resolved(schema.get("items"), root)) == {"string"} else None
    return _KINDS.get(next(iter(types))) if len(types) == 1 else None


def _types(schema: Mapping[str, object]) -> set[str]:
    """Return the JSON types that a schema allows, null aside; empty when it does not say."""
    declared = schema.get("type")
    if declared is None:
        values = _list(schema.get("enum")) or ([schema["const"]] if "const" in schema else [])
        return {_type_of(value) for value in values} - {"null"}
    names = [declared] if isinstance(declared, str) else _list(declared)
    return {name for name in names if isinstance(name, str)} - {"null"}


def _type_of(value: object) -> str:
    if value is None:
        return "null"
    return _JSON_TYPES.get(type(value), "other")


def _resolved(node: object, root: Mapping[str, object]) -> Mapping[str, object]:
    schema = _object(node)
    for _ in range(MAX_REFERENCES):
        reference = schema.get("$ref")
        if not isinstance(reference, str):
            return schema
        if not reference.startswith("#/"):
            return {}
        target: object = root
        for step in reference[2:].split("/"):
            target = _object(target).get(step.replace("~1", "/").replace("~0", "~"))
        schema = _object(target)
    return {}


def _object(node: object) -> Mapping[str, object]:
    return cast("dict[str, object]", node) if isinstance(node, dict) else {}


def _list(node: object) -> list[object]:
    return cast("list[object]", node) if isinstance(node, list) else []
