"""Examples: at most one per tool, short, and only when its arguments would pass."""

from collections.abc import Mapping
from typing import Final

import jsonschema_rs
import orjson

from context_mesh.openapi.files import BrokenReference, Files
from context_mesh.openapi.members import JsonObject, array, mapping
from context_mesh.openapi.model import ABSENT, Argument, Body, Operation
from context_mesh.openapi.parameters import example_of

MAX_BYTES: Final = 300


def example(
    files: Files, operation: Operation, arguments: tuple[Argument, ...], schema: JsonObject
) -> JsonObject | None:
    """Return arguments made of the examples that a description gives, or None.

    Only where a body asks for it: single values explain themselves. None also when a required argument
    has no example, and when the whole is long or does not fit the schema.
    """
    body = operation.body
    if body is None:
        return None
    given = _body_example(files, body)
    if given is ABSENT:
        return None
    values: JsonObject = {}
    members = mapping(given)
    for argument in arguments:
        if argument.parameter is not None and argument.parameter.required:
            values[argument.name] = argument.parameter.example
        elif argument.field is not None and argument.field.name in members:
            values[argument.name] = members[argument.field.name]
        elif argument.parameter is None and argument.field is None:
            values[argument.name] = given
    if any(value is ABSENT for value in values.values()) or set(array(schema.get("required"))) - values.keys():
        return None
    return values if is_fit(values, schema) else None


def is_fit(values: Mapping[str, object], schema: JsonObject) -> bool:
    """Say whether arguments are short and pass the schema."""
    try:
        if len(orjson.dumps(values)) > MAX_BYTES:
            return False
        return jsonschema_rs.validator_for(schema).is_valid(values)
    except (TypeError, ValueError):  # an example that is no JSON; a schema beyond the engine
        return False


def _body_example(files: Files, body: Body) -> object:
    """Return the example beside a body's schema or in it, or ABSENT."""
    schema = body.media.schema
    beside = schema.pointer.rpartition("/")[0]
    try:
        form = mapping(files.at(schema.file, beside).value)
        inside = mapping(files.follow(schema.value, schema.file, schema.pointer).value)
    except BrokenReference:
        return ABSENT
    given = example_of(form)
    if given is not ABSENT:
        return given
    if "example" in inside:
        return inside["example"]
    listed = array(inside.get("examples"))
    return listed[0] if listed else ABSENT
