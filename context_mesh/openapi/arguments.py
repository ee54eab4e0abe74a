"""Arguments: one flat list of names for what HTTP keeps in four places, and the schema that they must fit.

A model sees an object. Parameters are its members; a small body's fields are too, else the body is one
member. Credentials and HTTP's own headers are no members, and no other member is taken.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from context_mesh.openapi.files import BrokenReference, Files
from context_mesh.openapi.media import is_form, is_json, is_xml
from context_mesh.openapi.members import JsonObject, array, flag, mapping
from context_mesh.openapi.model import Argument, Body, Field, Operation, Parameter, Schema
from context_mesh.openapi.prose import MAX_FIELD_CHARS, first_sentence
from context_mesh.openapi.schemas import Schemas

MAX_FLAT_FIELDS: Final = 12
MAX_ARGUMENT_CHARS: Final = 64
MAX_PARTS: Final = 20  # schemas that a flat body is made of

FILE: Final[JsonObject] = {
    "type": "object",
    "properties": {
        "data": {"type": "string", "contentEncoding": "base64"},
        "filename": {"type": "string"},
        "type": {"type": "string", "description": "media type"},
    },
    "required": ["data"],
    "additionalProperties": False,
}

_TEXT: Final = Schema({"type": "string"})
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9_.-]+")
_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_ORDER: Final = ("path", "query", "querystring", "header", "cookie")
_WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH"})
"""Methods whose body is there even when nobody wrote `required`: most descriptions forget to."""
_NOT_FLAT: Final = (
    "oneOf",
    "anyOf",
    "not",
    "if",
    "discriminator",
    "patternProperties",
    "propertyNames",
    "dependentSchemas",
    "dependentRequired",
    "minProperties",
    "maxProperties",
    "$dynamicRef",
    "$recursiveRef",
)


@dataclass(frozen=True, slots=True)
class Inputs:
    """The arguments of a tool: where each goes, and one schema for all (definitions not yet in it)."""

    arguments: tuple[Argument, ...]
    schema: JsonObject
    uses: Counter[str]


class InputReader:
    """Makes the arguments of operations."""

    def __init__(self, files: Files, schemas: Schemas) -> None:
        self._files = files
        self._schemas = schemas

    def read(self, operation: Operation) -> Inputs:
        """Return an operation's arguments, required ones and path ones first."""
        parameters = [item for item in operation.parameters if not item.is_hidden]
        parameters.sort(key=lambda item: _ORDER.index(item.location))
        named = _Names()
        properties: JsonObject = {}
        required: list[str] = []
        arguments: list[Argument] = []
        uses: Counter[str] = Counter()
        for parameter in parameters:
            name = named.take(parameter.name, parameter.location)
            schema, used = self._parameter(parameter, name)
            properties[name] = schema
            uses.update(used)
            required += [name] if parameter.required else []
            arguments.append(Argument(name, parameter=parameter))
        if operation.body is not None:
            for argument, schema, used, is_required in self._body(operation.body, operation.method, named):
                properties[argument.name] = schema
                uses.update(used)
                required += [argument.name] if is_required else []
                arguments.append(argument)
        schema: JsonObject = {"type": "object", "properties": properties}
        if required:
            schema["required"] = required
        return Inputs(tuple(arguments), {**schema, "additionalProperties": False}, uses)

    def _parameter(self, parameter: Parameter, name: str) -> tuple[JsonObject, Counter[str]]:
        if parameter.media_type and not is_json(parameter.media_type.partition(";")[0].strip().lower()):
            is_known = is_form(parameter.media_type.partition(";")[0].strip().lower())
        else:
            is_known = True
        schema, uses = self._schemas.convert(parameter.schema if is_known else _TEXT)
        beside: JsonObject = {"deprecated": True} if parameter.deprecated else {}
        described = first_sentence(parameter.description, MAX_FIELD_CHARS)
        if described:
            beside["description"] = described
        return told({**schema, **beside}, parameter.name, name), uses

    def _body(
        self, body: Body, method: str, named: "_Names"
    ) -> Iterator[tuple[Argument, JsonObject, Counter[str], bool]]:
        fields = self._flat(body, named)
        if fields is None:
            schema, uses = self._whole(body)
            described = first_sentence(body.description, MAX_FIELD_CHARS)
            if described and "description" not in schema:
                schema = {**schema, "description": described}
            yield Argument(named.take("body", "request")), schema, uses, body.required
            return
        for field in fields:
            name = named.take(field.name, "body")
            schema, uses = self._field(field)
            is_required = field.required and (body.required or method in _WITH_BODY)
            yield Argument(name, field=field), told(schema, field.name, name), uses, is_required

    def _field(self, field: Field) -> tuple[JsonObject, Counter[str]]:
        if not field.is_file:
            return self._schemas.convert(field.schema)
        schema: JsonObject = {"type": "array", "items": FILE} if field.is_many else FILE
        described = first_sentence(str(mapping(field.schema.value).get("description") or ""), MAX_FIELD_CHARS)
        return ({**schema, "description": described} if described else schema), Counter()

    def _whole(self, body: Body) -> tuple[JsonObject, Counter[str]]:
        """Return the schema of a body that is one argument."""
        media = body.media
        if media.is_file:
            return FILE, Counter()
        if media.is_stream:
            items, uses = self._schemas.convert(media.schema)
            is_listed = items.get("type") == "array"
            return (items if is_listed else {"type": "array", "items": items}), uses
        if is_form(media.name) and media.fields and not self._has(media.schema, _NOT_FLAT[:3]):
            return self._form(media.fields)
        schema, uses = self._schemas.convert(media.schema)
        if not (is_json(media.name) or is_form(media.name) or is_xml(media.name)):
            return {"type": "string"}, Counter()
        return schema, uses

    def _form(self, fields: tuple[Field, ...]) -> tuple[JsonObject, Counter[str]]:
        properties: JsonObject = {}
        uses: Counter[str] = Counter()
        shown = [field for field in fields if self._is_shown(field)]
        for field in shown:
            properties[field.name], used = self._field(field)
            uses.update(used)
        schema: JsonObject = {"type": "object", "properties": properties}
        required = [field.name for field in shown if field.required]
        return ({**schema, "required": required} if required else schema), uses

    def _flat(self, body: Body, named: "_Names") -> list[Field] | None:
        """Return the fields to show as arguments of their own; None: the body is one argument."""
        media = body.media
        shown = [field for field in media.fields if self._is_shown(field)]
        if not shown or len(shown) > MAX_FLAT_FIELDS or media.is_stream or media.is_file:
            return None
        if any(not named.is_free(field.name) for field in shown):
            return None
        return shown if self._is_plain(media.schema) else None

    def _is_shown(self, field: Field) -> bool:
        return not field.is_hidden and not self._schemas.is_left_out(field.schema)

    def _is_plain(self, schema: Schema) -> bool:
        """Say whether a schema is no more than its properties, those of its parts included."""
        return not self._has(schema, _NOT_FLAT) and not self._has_rest(schema)

    def _parts(self, schema: Schema) -> Iterator[Mapping[str, object]]:
        pending, seen = [schema], 0
        while pending and seen < MAX_PARTS:
            seen += 1
            try:
                place = self._files.follow(pending[0].value, pending[0].file, pending[0].pointer)
            except BrokenReference:  # the conversion says so
                pending.pop(0)
                continue
            pending.pop(0)
            written = mapping(place.value)
            yield written
            pending += [Schema(part, place.file) for part in array(written.get("allOf"))]

    def _has(self, schema: Schema, keywords: tuple[str, ...]) -> bool:
        return any(keyword in written for written in self._parts(schema) for keyword in keywords)

    def _has_rest(self, schema: Schema) -> bool:
        """Say whether other members than the named ones are asked for, or the whole may be null."""
        return any(
            written.get("additionalProperties") is True
            or isinstance(written.get("additionalProperties"), dict)
            or isinstance(written.get("unevaluatedProperties"), dict)
            or flag(written.get("nullable"))
            or isinstance(written.get("type"), list)
            for written in self._parts(schema)
        )


class _Names:
    """Names of arguments that are taken: safe for every model API, distinct."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def is_free(self, wire: str) -> bool:
        return argument_name(wire) not in self._taken

    def take(self, wire: str, place: str) -> str:
        """Return the name for something that HTTP calls `wire`, with its place behind it where that is needed."""
        name = argument_name(wire)
        if name in self._taken:
            name = f"{name[: MAX_ARGUMENT_CHARS - 16]}_{place}"
        base, number = name, 2
        while name in self._taken:
            name = f"{base}_{number}"
            number += 1
        self._taken.add(name)
        return name


def argument_name(wire: str) -> str:
    """Return a name that every model API takes: letters, digits, `_`, `.`, `-`, at most 64."""
    if _NAME.fullmatch(wire):
        return wire
    plain = wire.replace("<=", "_lte").replace(">=", "_gte").replace("<", "_lt").replace(">", "_gt")
    return _UNSAFE.sub("_", plain).strip("_")[:MAX_ARGUMENT_CHARS] or "value"


def told(schema: JsonObject, wire: str, name: str) -> JsonObject:
    """Return a schema that says what an argument is on the wire when its name is another one."""
    if wire == name:
        return schema
    shown = f"`{wire[:MAX_ARGUMENT_CHARS]}`" if wire.isprintable() else "another name"
    described = f"{schema['description']} " if "description" in schema else ""
    return {**schema, "description": f"{described}(Sent as {shown}.)"}


def without(arguments: tuple[Argument, ...], name: str, fixed: object) -> tuple[Argument, ...]:
    """Return arguments in which one is no caller's any more: always `fixed`."""
    return tuple(replace(item, name="", fixed=fixed) if item.name == name else item for item in arguments)
