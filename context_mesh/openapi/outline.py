"""Outlines of answers: what a model may expect of a result, in at most two kilobytes.

One level deep and open: any member may be missing, more may come, and null is always possible, so that no
honest answer breaks it. A client that checks results against it loses none.
"""

from collections.abc import Iterator
from typing import Final

import orjson

from context_mesh.openapi.files import BrokenReference, Files, escape
from context_mesh.openapi.keywords import TYPES
from context_mesh.openapi.members import JsonObject, array, flag, mapping, text
from context_mesh.openapi.model import Schema
from context_mesh.openapi.prose import first_sentence

MAX_BYTES: Final = 2_048
MAX_PARTS: Final = 60
MAX_CHARS: Final = 80  # of a member's description


class Outlines:
    """Outlines of the answers of one description; equal answers share one."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._known: dict[tuple[str, str], JsonObject | None] = {}

    def of(self, schema: Schema) -> JsonObject | None:
        """Return the outline of an answer that is an object, or None: then nothing is promised."""
        try:
            place = self._files.follow(schema.value, schema.file, schema.pointer)
        except BrokenReference:
            return None
        key = (place.file, place.pointer)
        if key not in self._known:
            self._known[key] = self._outline(Schema(place.value, place.file, place.pointer))
        return self._known[key]

    def fields(self, schema: Schema) -> tuple[str, ...]:
        """Return the names of an answer's members; of an array, those of its items."""
        names: dict[str, None] = {}
        for part in self._parts(schema):
            written = mapping(part.value)
            inner = [Schema(written["items"], part.file, f"{part.pointer}/items")] if "items" in written else []
            for one in (part, *(deeper for item in inner for deeper in self._parts(item))):
                names.update(dict.fromkeys(mapping(mapping(one.value).get("properties"))))
        return tuple(names)

    def _outline(self, schema: Schema) -> JsonObject | None:
        members: dict[str, Schema] = {}
        is_object = False
        for part in self._parts(schema):
            written = mapping(part.value)
            kind = written.get("type")
            if kind not in (None, "object") or flag(written.get("nullable")):
                return None
            is_object = is_object or kind == "object" or "properties" in written
            for name, value in mapping(written.get("properties")).items():
                if not flag(mapping(value).get("writeOnly")):
                    members.setdefault(name, Schema(value, part.file, f"{part.pointer}/properties/{escape(name)}"))
        return self._within_bytes(members) if is_object else None

    def _within_bytes(self, members: dict[str, Schema]) -> JsonObject:
        properties: JsonObject = {}
        size = 40
        for name, member in members.items():
            outline = self._member(member)
            size += len(name) + len(orjson.dumps(outline)) + 8
            if size > MAX_BYTES:
                break
            properties[name] = outline
        return {"type": "object", "properties": properties} if properties else {"type": "object"}

    def _parts(self, schema: Schema) -> Iterator[Schema]:
        """Yield a schema and what it is made of, alternatives included."""
        pending, seen = [schema], set[tuple[str, str]]()
        while pending and len(seen) < MAX_PARTS:
            part = pending.pop(0)
            try:
                place = self._files.follow(part.value, part.file, part.pointer)
            except BrokenReference:
                continue
            if (place.file, place.pointer) in seen:
                continue
            seen.add((place.file, place.pointer))
            yield Schema(place.value, place.file, place.pointer)
            written = mapping(place.value)
            for keyword in ("allOf", "oneOf", "anyOf"):
                for index, item in enumerate(array(written.get(keyword))):
                    pending.append(Schema(item, place.file, f"{place.pointer}/{keyword}/{index}"))

    def _member(self, schema: Schema) -> JsonObject:
        try:
            written = mapping(self._files.follow(schema.value, schema.file, schema.pointer).value)
        except BrokenReference:
            return {}
        own = mapping(schema.value)
        out: JsonObject = {}
        types = [name for name in self._types(written) if name in TYPES]
        if types:
            out["type"] = list(dict.fromkeys([*types, "null"]))
        described = first_sentence(text(own.get("description")) or text(written.get("description")), MAX_CHARS)
        if described:
            out["description"] = described
        return out

    def _types(self, written: JsonObject) -> list[str]:
        """Return the types of a member; none where they are not plainly one schema's."""
        kind = written.get("type")
        if any(keyword in written for keyword in ("oneOf", "anyOf", "allOf", "x-kubernetes-int-or-string")):
            return []
        if written.get("format") == "int-or-string" or kind == "file":
            return []
        types = [text(item) for item in array(kind) or [kind]]
        return ["number" if name == "integer" else name for name in types]
