"""Alternatives: what `oneOf`, `anyOf`, `discriminator` and `nullable` become."""

from collections.abc import Mapping, Sequence

from context_mesh.openapi.keywords import types_of
from context_mesh.openapi.members import JsonObject, array, mapping, text

Union = list[JsonObject]


def branches(
    written: Mapping[str, object], values: Sequence[object], choices: Sequence[JsonObject], *, is_one: bool
) -> tuple[str, Union]:
    """Return the keyword and the alternatives of a union.

    values   as written; `choices` are the same ones, converted

    With a discriminator each alternative names its own value, so that `oneOf` holds. Without one `oneOf` becomes
    `anyOf`: real alternatives overlap, and what fits two of them is no mistake of the caller's.
    """
    discriminator = mapping(written.get("discriminator"))
    name = text(discriminator.get("propertyName"))
    if not name:
        return "anyOf", _distinct(choices)
    wanted = _names_by_reference(mapping(discriminator.get("mapping")))
    told = [_told(choice, name, wanted, value) for value, choice in zip(values, choices, strict=True)]
    are_told = all(choice is not plain for choice, plain in zip(told, choices, strict=True))
    return "oneOf" if is_one and are_told and len(_distinct(told)) == len(told) else "anyOf", _distinct(told)


def _told(choice: JsonObject, name: str, wanted: Mapping[str, list[str]], value: object) -> JsonObject:
    """Return an alternative that says which value of the discriminator is its own, when that is known."""
    reference = text(mapping(value).get("$ref"))
    if not reference:
        return choice
    last = reference.rpartition("/")[2]
    values = list(dict.fromkeys([*wanted.get(reference, ()), *wanted.get(last, ())])) or [last]
    own: JsonObject = {"const": values[0]} if len(values) == 1 else {"enum": values}
    if "properties" in choice or "required" in choice:
        return {"allOf": [choice], "properties": {name: own}, "required": [name]}
    return {**choice, "properties": {name: own}, "required": [name]}


def _names_by_reference(written: Mapping[str, object]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for value, reference in written.items():
        for spelling in dict.fromkeys((text(reference), text(reference).rpartition("/")[2])):
            found.setdefault(spelling, []).append(value)
    return found


def _distinct(choices: Sequence[JsonObject]) -> Union:
    return [choice for index, choice in enumerate(choices) if choice not in choices[:index]]


def with_null(schema: JsonObject) -> JsonObject:
    """Return a schema that also takes null."""
    if not schema:
        return schema
    types = types_of(schema)
    if not types or schema.keys() & {"$ref", "allOf", "oneOf", "anyOf", "not", "const"}:
        if schema.get("anyOf") and schema.keys() <= {"anyOf", "description"}:
            return {**schema, "anyOf": [*array(schema["anyOf"]), {"type": "null"}]}
        inner = {name: item for name, item in schema.items() if name != "description"}
        outer: JsonObject = {"anyOf": [inner, {"type": "null"}]}
        return {**outer, "description": schema["description"]} if "description" in schema else outer
    out = {**schema, "type": list(dict.fromkeys([*types, "null"]))}
    if "enum" in out and None not in array(out["enum"]):
        out["enum"] = [*array(out["enum"]), None]
    return out
