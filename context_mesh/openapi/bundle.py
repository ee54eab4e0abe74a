"""One tool's schema out of shared definitions, and a shorter one that takes everything the whole one takes.

Definitions go to `$defs`; one that is used once goes where it is used. Nothing dangles: what is beyond the
limit of definitions becomes `{}`.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, cast

import orjson

from context_mesh.openapi.keywords import types_of
from context_mesh.openapi.members import JsonObject, array, mapping, text
from context_mesh.openapi.places import Definition
from context_mesh.openapi.prose import cut
from context_mesh.openapi.schemas import Schemas

MAX_INLINED: Final = 24  # definitions of one tool, beyond which none is moved to its use
BUDGET_BYTES: Final = 4_096

_PREFIX: Final = "#/$defs/"
_MAX_CHOICES: Final = 20  # of an enum in a shortened schema
_SHORT_CHARS: Final = 60  # of a description when space is short
_KEPT: Final = (
    "type",
    "format",
    "enum",
    "const",
    "default",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "pattern",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "contentEncoding",
    "deprecated",
)


def size_of(schema: Mapping[str, object]) -> int:
    """Return how many bytes a schema has as JSON."""
    return len(orjson.dumps(schema))


def bundle(schemas: Schemas, root: JsonObject, uses: Counter[str]) -> JsonObject:
    """Return `root` with the definitions that it needs; the same bytes for the same description."""
    if not uses:
        return root
    reached = schemas.reach(uses)
    total = Counter(uses)
    for definition in reached.values():
        total.update(definition.uses)
    once = {name for name in reached if total[name] == 1} if len(reached) <= MAX_INLINED else set[str]()
    if once or total.keys() - reached.keys():
        root, definitions = _Inliner(reached, once).run(root)
        return {**root, "$defs": dict(sorted(definitions.items()))} if definitions else root
    return {**root, "$defs": schemas.shared(reached)}


@dataclass(frozen=True, slots=True)
class _Cut:
    """How much a shortened schema says: levels, characters of a description, optional properties of an object."""

    depth: int
    chars: int = 160
    optional: int = 1_000


_CUTS: Final = (
    _Cut(5),
    _Cut(4),
    _Cut(3),
    _Cut(3, _SHORT_CHARS),
    _Cut(2),
    _Cut(2, _SHORT_CHARS),
    _Cut(2, _SHORT_CHARS, 24),
    _Cut(2, _SHORT_CHARS, 12),
    _Cut(2, _SHORT_CHARS, 6),
    _Cut(1, _SHORT_CHARS),
)


@dataclass(slots=True)
class _Inliner:
    """Moves definitions that are used once to their use, unless something stands beside the reference."""

    reached: Mapping[str, Definition]
    once: set[str]
    pending: list[str] = field(default_factory=list[str])

    def run(self, root: JsonObject) -> tuple[JsonObject, dict[str, object]]:
        whole = cast("JsonObject", self._moved(root))
        self.pending += [name for name in self.reached if name not in self.once]
        definitions: dict[str, object] = {}
        while self.pending:
            name = self.pending.pop()  # INVARIANT: once each, since what is used once is met once
            definitions[name] = self._moved(self.reached[name].schema)
        return whole, definitions

    def _moved(self, value: object) -> object:
        if isinstance(value, list):
            return [self._moved(item) for item in cast("list[object]", value)]
        if not isinstance(value, dict):
            return value
        members = mapping(cast("object", value))
        reference = members.get("$ref")
        if not isinstance(reference, str):
            return {name: self._moved(item) for name, item in members.items()}
        name = reference.removeprefix(_PREFIX)
        beside = {key: self._moved(item) for key, item in members.items() if key != "$ref"}
        if name not in self.reached:
            return beside
        if name not in self.once:
            return {"$ref": reference, **beside}
        if beside.keys() <= {"description", "default", "deprecated"}:
            return {**cast("JsonObject", self._moved(self.reached[name].schema)), **beside}
        self.pending.append(name)
        return {"$ref": reference, **beside}


def shrink(schema: JsonObject, budget: int = BUDGET_BYTES) -> JsonObject:
    """Return a schema within `budget` bytes where that is possible: what fits `schema` fits it too.

    Objects are closed from the deepest level up; then optional properties of the root go, those without a
    description first. The properties that are required stay, whatever they cost.
    """
    if size_of(schema) <= budget:
        return schema
    definitions = mapping(schema.get("$defs"))
    short: JsonObject = {}
    for how in _CUTS:
        shortener = _Shortener(definitions, budget, how)
        short = shortener.shorten(schema, how.depth)
        if not shortener.is_spent and size_of(short) <= budget:
            return short
    return _with_fewer(short, budget)


class _Shortener:
    """Writes a schema down to a depth, references resolved, and gives up when that takes too much."""

    def __init__(self, definitions: Mapping[str, object], budget: int, how: _Cut) -> None:
        self._definitions = definitions
        self._how = how
        self._left = budget // 8  # a node has at least that many bytes
        self._above: list[str] = []

    @property
    def is_spent(self) -> bool:
        return self._left <= 0

    def shorten(self, schema: Mapping[str, object], depth: int) -> JsonObject:
        self._left -= 1
        reference = text(schema.get("$ref")).removeprefix(_PREFIX)
        if reference:
            return self._referred(reference, schema, depth)
        out: JsonObject = {name: schema[name] for name in _KEPT if name in schema}
        if len(array(out.get("enum"))) > _MAX_CHOICES:
            del out["enum"]
        if self.is_spent:
            return {name: out[name] for name in ("type",) if name in out}
        if "description" in schema:
            out["description"] = cut(text(schema["description"]), self._how.chars)
        if "properties" in schema and depth > 0:
            self._properties(schema, out, depth)
        if isinstance(schema.get("items"), dict):
            out["items"] = self.shorten(mapping(schema["items"]), depth)
        self._compose(schema, out, depth)
        return out

    def _properties(self, schema: Mapping[str, object], out: JsonObject, depth: int) -> None:
        properties = mapping(schema["properties"])
        required = set(array(schema.get("required")))
        optional = [name for name in properties if name not in required][: self._how.optional]
        kept = required.union(optional)
        out["properties"] = {
            name: self.shorten(mapping(part), depth - 1) for name, part in properties.items() if name in kept
        }
        if required:
            out["required"] = schema["required"]
        if schema.get("additionalProperties") is False and len(kept) >= len(properties):
            out["additionalProperties"] = False

    def _referred(self, name: str, schema: Mapping[str, object], depth: int) -> JsonObject:
        told: JsonObject = {}
        if "description" in schema:
            told["description"] = cut(text(schema["description"]), self._how.chars)
        target = mapping(self._definitions.get(name))
        if name in self._above:
            return {**self._closed(target), **told}
        self._above.append(name)
        out = {**self.shorten(target, depth), **told}
        self._above.pop()
        return out

    def _closed(self, schema: Mapping[str, object]) -> JsonObject:
        types = types_of(schema)
        return {"type": schema["type"]} if types else {}

    def _compose(self, schema: Mapping[str, object], out: JsonObject, depth: int) -> None:
        if depth <= 0:
            return
        parts = [self.shorten(mapping(part), depth) for part in array(schema.get("allOf"))]
        parts = [part for part in parts if part]
        if parts:
            out["allOf"] = parts
        for keyword in ("oneOf", "anyOf"):
            if keyword in schema:
                choices = [self.shorten(mapping(part), depth) for part in array(schema[keyword])]
                out["anyOf"] = [choice for index, choice in enumerate(choices) if choice not in choices[:index]]


def _with_fewer(schema: JsonObject, budget: int) -> JsonObject:
    """Return a schema whose optional properties are as many as fit, in shorter words."""
    required = set(array(schema.get("required")))
    properties = {name: _terse(mapping(part)) for name, part in mapping(schema.get("properties")).items()}
    ranked = sorted(properties, key=lambda name: (name not in required, "description" not in properties[name]))
    out: JsonObject = {
        name: item for name, item in schema.items() if name not in ("properties", "additionalProperties")
    }
    kept: dict[str, object] = {}
    size = size_of(out)
    for name in ranked:
        size += size_of({name: properties[name]})
        if name in required or size <= budget:
            kept[name] = properties[name]
    out["properties"] = {name: part for name, part in properties.items() if name in kept}
    return out if len(kept) < len(properties) else {**out, "additionalProperties": False}


def _terse(schema: JsonObject) -> JsonObject:
    """Return a property in few words: its type, its choices, and a short description."""
    out: JsonObject = {name: schema[name] for name in ("type", "format", "enum", "const") if name in schema}
    if "description" in schema:
        out["description"] = cut(text(schema["description"]), _SHORT_CHARS)
    return out
