"""What changed from one input schema to the next, and what that does to calls that were right before.

References are followed on both sides, so that a definition which moved is no change. A stricter schema
breaks calls; a looser one, or other words, is told.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, cast

import orjson

from context_mesh.openapi.keywords import types_of
from context_mesh.openapi.members import JsonObject, array, mapping, text
from context_mesh.openapi.prose import suspicion

Effect = Literal["cosmetic", "additive", "breaking"]

_LOWER: Final = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties", "minContains")
_UPPER: Final = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties", "maxContains")
_EXACT: Final = ("pattern", "format", "contentEncoding", "contentMediaType", "multipleOf", "uniqueItems")
_WHOLE: Final = (
    "not",
    "if",
    "then",
    "else",
    "contains",
    "propertyNames",
    "patternProperties",
    "dependentSchemas",
    "dependentRequired",
    "unevaluatedItems",
    "unevaluatedProperties",
)
MAX_PAIRS: Final = 20_000


@dataclass(frozen=True, slots=True)
class Change:
    """One difference. `where`: the argument, or `argument.member`; "" is the tool itself."""

    effect: Effect
    where: str
    what: str


@dataclass(slots=True)
class SchemaChanges:
    """Walks two schemas at once; each pair of definitions is looked at once."""

    before: Mapping[str, object]
    after: Mapping[str, object]
    _seen: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])
    _pairs: int = 0

    def all(self) -> Iterator[Change]:
        yield from self._pair(self.before, self.after, "")

    def _pair(self, old: Mapping[str, object], new: Mapping[str, object], where: str) -> Iterator[Change]:
        self._pairs += 1
        pair = (text(old.get("$ref")), text(new.get("$ref")))
        if self._pairs > MAX_PAIRS or (all(pair) and pair in self._seen):
            return
        self._seen.add(pair)
        old, new = _resolved(old, self.before), _resolved(new, self.after)
        yield from _types(old, new, where)
        yield from _choices(old, new, where)
        yield from _bounds(old, new, where)
        yield from _words(old, new, where)
        yield from self._properties(old, new, where)
        yield from self._items(old, new, where)
        yield from self._unions(old, new, where)

    def _properties(self, old: JsonObject, new: JsonObject, where: str) -> Iterator[Change]:
        olds, news = mapping(old.get("properties")), mapping(new.get("properties"))
        needed, needs = set(array(old.get("required"))), set(array(new.get("required")))
        for name in olds:
            if name not in news:
                yield Change("breaking", _at(where, name), "is gone")
        for name in news:
            if name not in olds:
                effect: Effect = "breaking" if name in needs else "additive"
                yield Change(
                    effect, _at(where, name), "is new and required" if name in needs else "is new and optional"
                )
            else:
                yield from self._pair(mapping(olds[name]), mapping(news[name]), _at(where, name))
        for name in sorted(map(str, needs - needed)):
            if name in olds or name not in news:
                yield Change("breaking", _at(where, name), "is required now")
        for name in sorted(map(str, needed - needs)):
            if name in news:
                yield Change("additive", _at(where, name), "is required no longer")
        yield from self._rest(old, new, where)

    def _rest(self, old: JsonObject, new: JsonObject, where: str) -> Iterator[Change]:
        one, other = old.get("additionalProperties"), new.get("additionalProperties")
        if one == other:
            return
        if isinstance(one, dict) and isinstance(other, dict):
            yield from self._pair(mapping(cast("object", one)), mapping(cast("object", other)), _at(where, "*"))
        elif one is False or other is None:
            yield Change("additive", where, "takes other members now")
        else:
            yield Change("breaking", where, "takes fewer other members")

    def _items(self, old: JsonObject, new: JsonObject, where: str) -> Iterator[Change]:
        if "items" in old or "items" in new:
            yield from self._pair(mapping(old.get("items")), mapping(new.get("items")), f"{where}[]")
        olds, news = array(old.get("prefixItems")), array(new.get("prefixItems"))
        if len(olds) != len(news):
            yield Change("breaking", where, "has another number of places")
        for index, (one, other) in enumerate(zip(olds, news, strict=False)):
            yield from self._pair(mapping(one), mapping(other), f"{where}[{index}]")

    def _unions(self, old: JsonObject, new: JsonObject, where: str) -> Iterator[Change]:
        for keyword in ("allOf", "anyOf", "oneOf"):
            olds, news = array(old.get(keyword)), array(new.get(keyword))
            if len(olds) == len(news):
                for one, other in zip(olds, news, strict=True):
                    yield from self._pair(mapping(one), mapping(other), where)
                continue
            grows = len(news) > len(olds) and bool(olds)
            is_looser = grows != (keyword == "allOf") if olds else False
            if keyword != "allOf" and olds and not news:
                is_looser = True
            yield Change("additive" if is_looser else "breaking", where, "has another number of alternatives or parts")
        for keyword in _WHOLE:
            if _bytes(old.get(keyword)) != _bytes(new.get(keyword)):
                yield Change("breaking", where, f"has another `{keyword}`")


def _resolved(schema: Mapping[str, object], root: Mapping[str, object]) -> JsonObject:
    reference = text(schema.get("$ref"))
    if not reference:
        return dict(schema)
    target = mapping(mapping(root.get("$defs")).get(reference.removeprefix("#/$defs/")))
    return {**target, **{name: item for name, item in schema.items() if name != "$ref"}}


def _types(old: JsonObject, new: JsonObject, where: str) -> Iterator[Change]:
    olds, news = set(types_of(old)), set(types_of(new))
    if "number" in news:
        news.add("integer")
    if "number" in olds:
        olds.add("integer")
    if olds == news:
        return
    if news and (not olds or olds - news):
        yield Change("breaking", where, f"is {_either(new)} and was {_either(old)}")
    else:
        yield Change("additive", where, f"may be {_either(new)} and was {_either(old)}")


def _either(schema: JsonObject) -> str:
    return " or ".join(types_of(schema)) or "anything"


def _choices(old: JsonObject, new: JsonObject, where: str) -> Iterator[Change]:
    olds, news = _allowed(old), _allowed(new)
    if olds == news:
        return
    if news is None:
        yield Change("additive", where, "takes any value now")
    elif olds is None:
        yield Change("breaking", where, "takes only some values now")
    else:
        if olds - news:
            yield Change("breaking", where, f"takes {_some(olds - news)} no longer")
        if news - olds:
            yield Change("additive", where, f"takes {_some(news - olds)} too")


def _allowed(schema: JsonObject) -> set[bytes] | None:
    if "const" in schema:
        return {_bytes(schema["const"])}
    return {_bytes(item) for item in array(schema["enum"])} if "enum" in schema else None


def _some(values: set[bytes]) -> str:
    shown = sorted(value.decode()[:40] for value in values)
    return ", ".join(shown[:5]) + ("…" if len(shown) > 5 else "")


def _bounds(old: JsonObject, new: JsonObject, where: str) -> Iterator[Change]:
    for keyword in (*_LOWER, *_UPPER):
        one, other = old.get(keyword), new.get(keyword)
        if one == other:
            continue
        sign = 1 if keyword in _LOWER else -1
        is_looser = other is None or (one is not None and sign * (cast("float", other) - cast("float", one)) < 0)
        yield Change(
            "additive" if is_looser else "breaking", where, f"`{keyword}` was {_told(one)} and is {_told(other)}"
        )
    for keyword in _EXACT:
        one, other = old.get(keyword), new.get(keyword)
        if one != other:
            effect: Effect = "additive" if other is None else "breaking"
            yield Change(effect, where, f"`{keyword}` was {_told(one)} and is {_told(other)}")


def _told(value: object) -> str:
    return "not given" if value is None else str(value)[:60]


def _words(old: JsonObject, new: JsonObject, where: str) -> Iterator[Change]:
    yield from words(text(old.get("description")), text(new.get("description")), where)
    for keyword, what in (("default", "has another default"), ("deprecated", "is deprecated, or no longer")):
        if _bytes(old.get(keyword)) != _bytes(new.get(keyword)):
            yield Change("additive", where, what)


def words(old: str, new: str, where: str) -> Iterator[Change]:
    """Yield what another text for a model does: it is told, and it breaks when it reads like an order."""
    if old == new:
        return
    problem = suspicion(new)
    yield Change("breaking" if problem else "additive", where, problem or "has another description")


def _at(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name


def _bytes(value: object) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
