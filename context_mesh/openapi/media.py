"""Media types: which of several forms of a body is sent, and the fields of a form.

Which form is sent is fixed here, not asked of a model: JSON, then `*+json`, forms, multipart, text,
bytes, XML.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final, cast, get_args

from context_mesh.openapi.files import BrokenReference, Files, Place, escape
from context_mesh.openapi.members import array, flag, mapping, text
from context_mesh.openapi.model import Encoding, Field, MediaType, Schema, Style
from context_mesh.openapi.report import Report

MAX_FIELDS: Final = 2_000  # of one body
MAX_PARENTS: Final = 200  # schemas that one body's fields come from

FORM: Final = "application/x-www-form-urlencoded"
MULTIPART: Final = "multipart/form-data"
JSON: Final = "application/json"

_STREAMS: Final = ("text/event-stream", "application/x-ndjson", "application/jsonl", "application/json-seq")
_STYLES: Final = frozenset(get_args(Style))


def is_json(name: str) -> bool:
    return name in (JSON, "text/json") or name.endswith("+json")


def is_xml(name: str) -> bool:
    return name in ("application/xml", "text/xml") or name.endswith("+xml")


def is_form(name: str) -> bool:
    return name == FORM or name.startswith("multipart/")


def rank(name: str) -> int:
    """Return where a media type stands in the order of preference, 0 first."""
    order = (
        name == JSON,
        name in ("text/json", "*/*", "application/*"),
        "merge-patch" in name,
        is_json(name) and "json-patch" not in name,
        is_json(name),
        name == FORM,
        name.startswith("multipart/"),
        name in _STREAMS,
        name.startswith("text/") and not is_xml(name),
        name == "application/octet-stream",
        is_xml(name),
        True,
    )
    return order.index(True)


class MediaReader:
    """Reads `content` members and what 2.0 says instead."""

    def __init__(self, files: Files, report: Report) -> None:
        self._files = files
        self._report = report

    def content(
        self, written: Mapping[str, object], where: tuple[str, str], *, has_fields: bool
    ) -> tuple[MediaType, ...]:
        """Return the forms of a body, the preferred one first; `where` is the `content` member's place."""
        forms: list[MediaType] = []
        for full, value in written.items():
            below = (where[0], f"{where[1]}/{escape(full)}")
            try:
                place = self._files.follow(value, *below)
            except BrokenReference as error:
                self._report.broken(error, below)
                continue
            form = self._media_type(full, mapping(place.value), (place.file, place.pointer), has_fields=has_fields)
            forms.append(form)
        return tuple(sorted(forms, key=lambda form: rank(form.name)))

    def _media_type(
        self, full: str, written: Mapping[str, object], where: tuple[str, str], *, has_fields: bool
    ) -> MediaType:
        keyword = "itemSchema" if "itemSchema" in written else "schema"
        schema = Schema(written.get(keyword, True), where[0], f"{where[1]}/{keyword}")
        media = self.form(full, schema, encodings=mapping(written.get("encoding")) if has_fields else None)
        if keyword != "itemSchema":
            return media
        return MediaType(media.name, schema, media.full, is_stream=True)

    def form(self, full: str, schema: Schema, *, encodings: Mapping[str, object] | None) -> MediaType:
        """Return a media type with its fields; `encodings` are as written, None leaves the fields out."""
        name = full.partition(";")[0].strip().lower() or JSON
        if name in ("*/*", "application/*") and not self._is_binary(schema):
            name, full = JSON, JSON
        if name in _STREAMS:
            return MediaType(name, schema, full, is_stream=True)
        is_text = is_json(name) or is_form(name) or is_xml(name) or name.startswith("text/")
        return MediaType(
            name=name,
            schema=schema,
            full=full.strip(),
            fields=(
                self._fields(schema, encodings, holds_files=is_form(name)) if is_text and encodings is not None else ()
            ),
            is_file=not is_text or (name.startswith("multipart/") is False and self._is_binary(schema)),
            xml_root=self._xml_root(schema) if is_xml(name) else "",
        )

    def _fields(self, schema: Schema, encodings: Mapping[str, object], *, holds_files: bool) -> tuple[Field, ...]:
        """Return the properties of an object's schema, those of its parts (`allOf`) included."""
        found: dict[str, Field] = {}
        required: set[str] = set()
        pending, seen = [schema], set[tuple[str, str]]()
        while pending and len(seen) < MAX_PARENTS:
            place = self._target(pending.pop(0))
            if (place.file, place.pointer) in seen:
                continue
            seen.add((place.file, place.pointer))
            written = mapping(place.value)
            required |= {item for item in array(written.get("required")) if isinstance(item, str)}
            there = self._target(Schema(written.get("properties"), place.file, f"{place.pointer}/properties"))
            for name, value in mapping(there.value).items():
                if len(found) < MAX_FIELDS:
                    part = Schema(value, there.file, f"{there.pointer}/{escape(name)}")
                    found.setdefault(name, self._field(name, part, encodings.get(name), holds_files=holds_files))
            for index, parent in enumerate(array(written.get("allOf"))):
                pending.append(Schema(parent, place.file, f"{place.pointer}/allOf/{index}"))
        return tuple(replace(field, required=field.name in required) for field in found.values())

    def _field(self, name: str, schema: Schema, encoding: object, *, holds_files: bool) -> Field:
        place = self._target(schema)
        written = mapping(place.value)
        is_many = _has_type(written, "array")
        item = Schema(written.get("items", True), place.file, f"{place.pointer}/items") if is_many else schema
        how = read_encoding(mapping(encoding))
        xml = mapping(written.get("xml"))
        is_binary = self._is_binary(item) or (not written and is_octets(how.content_type))
        return Field(
            name=name,
            schema=schema,
            is_file=holds_files and is_binary,
            is_many=is_many,
            encoding=how,
            xml_name=text(xml.get("name")) or name,
            is_xml_attribute=flag(xml.get("attribute")) or xml.get("nodeType") == "attribute",
        )

    def _is_binary(self, schema: Schema) -> bool:
        """Say whether a schema means bytes that travel as they are."""
        written = mapping(self._target(schema).value)
        if written.get("type") == "file" or written.get("format") == "binary":
            return True
        kind = text(written.get("contentMediaType"))
        return bool(kind) and not written.get("contentEncoding") and is_octets(kind)

    def _target(self, schema: Schema) -> Place:
        try:
            return self._files.follow(schema.value, schema.file, schema.pointer)
        except BrokenReference:  # the schema's conversion says so
            return Place(schema.file, schema.pointer, None)

    def _xml_root(self, schema: Schema) -> str:
        place = self._target(schema)
        own = text(mapping(mapping(place.value).get("xml")).get("name"))
        is_named = place.pointer.startswith(("/components/schemas/", "/definitions/"))
        return own or (place.pointer.rpartition("/")[2] if is_named else "")


def read_encoding(written: Mapping[str, object]) -> Encoding:
    """Return an encoding object of a form's field."""
    style = text(written.get("style"))
    explode = written.get("explode")
    return Encoding(
        content_type=text(written.get("contentType")),
        style=cast("Style", style) if style in _STYLES else "",
        explode=explode if isinstance(explode, bool) else None,
        allow_reserved=flag(written.get("allowReserved")),
    )


def is_octets(kind: str) -> bool:
    """Say whether a media type is of bytes, not of text."""
    name = kind.partition(";")[0].partition(",")[0].strip().lower()
    return bool(name) and not (is_json(name) or is_xml(name) or is_form(name) or name.startswith("text/"))


def _has_type(written: Mapping[str, object], name: str) -> bool:
    kind = written.get("type")
    return kind == name or (isinstance(kind, list) and name in kind)
