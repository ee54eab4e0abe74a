"""Schemas of a description as JSON Schema 2020-12: nothing dereferenced, nothing invalid, nothing endless.

Every named schema is converted once per direction and then shared by all tools that reach it. Into a call
goes what is not `readOnly`, out of it what is not `writeOnly`. A part that cannot be understood becomes
`{}` (anything) and a finding: a tool that asks for too little is better than none.
"""

from collections import Counter, deque
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Final, Literal, cast

from context_mesh.openapi.circles import Circles
from context_mesh.openapi.files import BrokenReference, Files, Place, escape, reference_of, shown
from context_mesh.openapi.keywords import MAX_FIELD_CHARS, is_pattern, keep_plain_keywords, types_of
from context_mesh.openapi.members import JsonObject, array, flag, mapping, text
from context_mesh.openapi.model import Schema
from context_mesh.openapi.places import Definition, Key, Spot, is_small, name_of, named_above
from context_mesh.openapi.prose import first_sentence
from context_mesh.openapi.report import Report
from context_mesh.openapi.unions import branches, with_null

Direction = Literal["input", "output"]

MAX_DEPTH: Final = 96  # of schemas in one another

_SINGLE: Final = ("contains", "propertyNames", "not", "if", "then", "else", "unevaluatedItems")
_MAPS: Final = ("patternProperties", "dependentSchemas")


class Schemas:
    """Converts the schemas of one description in one direction."""

    def __init__(self, files: Files, dialect: str, direction: Direction, report: Report) -> None:
        self._files = files
        self._modern = dialect == "3.1"
        self._hides = "readOnly" if direction == "input" else "writeOnly"
        self._report = report
        self._circles = Circles(files, reads_siblings=self._modern)
        self._names: dict[Key, str] = {}
        self._keys: dict[str, Key] = {}
        self._definitions: dict[str, Definition] = {}
        self._shared: dict[frozenset[str], JsonObject] = {}
        self._uses: Counter[str] = Counter()

    def convert(self, schema: Schema) -> tuple[JsonObject, Counter[str]]:
        """Return a schema, its references as `#/$defs/…`, and the definitions that it uses."""
        self._uses = Counter()
        converted = self._schema(schema.value, Spot(schema.file, schema.pointer))
        return converted, self._uses

    def definition(self, name: str) -> Definition:
        """Return a definition that something uses."""
        known = self._definitions.get(name)
        if known is None:
            known = self._definitions[name] = self._define(self._keys[name])
        return known

    def is_left_out(self, schema: Schema) -> bool:
        """Say whether a property does not travel in this direction."""
        return self._is_hidden(mapping(schema.value), schema.file)

    def reach(self, uses: Collection[str]) -> Mapping[str, Definition]:
        """Return the definitions that `uses` lead to, nearest first; at most `max_definitions`."""
        found: dict[str, Definition] = {}
        pending = deque(sorted(uses))
        while pending and len(found) < self._files.limits.max_definitions:
            name = pending.popleft()
            if name not in found:
                found[name] = self.definition(name)
                pending += sorted(found[name].uses.keys() - found.keys())
        return found

    def shared(self, reached: Mapping[str, Definition]) -> JsonObject:
        """Return definitions by name, one object for all tools that reach the same ones."""
        key = frozenset(reached)
        if key not in self._shared:
            self._shared[key] = {name: reached[name].schema for name in sorted(reached)}
        return self._shared[key]

    def _define(self, key: Key) -> Definition:
        outer, self._uses = self._uses, Counter[str]()
        value = self._files.at(key.file, key.pointer).value
        schema = self._schema(value, Spot(key.file, key.pointer, owner=key, scope=key.scope))
        uses, self._uses = self._uses, outer
        return Definition(schema, uses)

    # --- one schema --------------------------------------------------------------------------

    def _schema(self, value: object, spot: Spot) -> JsonObject:
        if value is True:
            return {}
        if value is False:
            return {"not": {}}
        if not isinstance(value, dict) or spot.depth > MAX_DEPTH:
            self._note(spot, "bad-schema", "what stands for a schema is none, or nested too deeply")
            return {}
        written = mapping(cast("object", value))
        spot = self._scoped(written, spot)
        reference = self._reference_in(written)
        if reference is not None:
            referred = self._referred(reference, spot)
            if not self._modern or len(written) == 1:
                return self._beside_reference(referred, written)
            rest = self._members({name: item for name, item in written.items() if name != "$ref"}, spot)
            return {**referred, **rest} if not referred.keys() & rest.keys() else {"allOf": [referred, rest]}
        return self._members(written, spot)

    def _reference_in(self, written: Mapping[str, object]) -> str | None:
        for keyword in ("$ref", "$dynamicRef", "$recursiveRef"):
            reference = written.get(keyword)
            if isinstance(reference, str):
                return reference if keyword != "$recursiveRef" else "#recursive"
        return None

    def _beside_reference(self, referred: JsonObject, written: Mapping[str, object]) -> JsonObject:
        """Return a reference with what 3.0 ignores beside it and people mean: a description, and `nullable`."""
        described = first_sentence(text(written.get("description")), MAX_FIELD_CHARS)
        if described:
            referred = {**referred, "description": described}
        return with_null(referred) if flag(written.get("nullable")) or flag(written.get("x-nullable")) else referred

    def _members(self, written: JsonObject, spot: Spot) -> JsonObject:
        out: JsonObject = {}

        def note(code: str, reason: str) -> None:
            self._note(spot, code, reason)

        keep_plain_keywords(written, out, note)
        is_plain = spot.owner is not None and spot.owner.is_plain
        spot = self._hiding(written, spot)
        self._properties(written, out, spot)
        self._items(written, out, spot)
        for keyword in _SINGLE:
            if keyword in written and not (is_plain and keyword in ("not", "if", "then", "else")):
                same = keyword in ("not", "if", "then", "else")
                out[keyword] = self._schema(written[keyword], spot.below(keyword, same=same, alternative=same))
        for keyword in _MAPS:
            if keyword == "dependentSchemas" and is_plain:
                continue
            parts = self._parts(written.get(keyword), spot, keyword)
            if parts:
                out[keyword] = parts
        self._compositions(written, out, spot, is_plain=is_plain)
        self._infer_type(out)
        if flag(written.get("nullable")) or flag(written.get("x-nullable")):
            out = with_null(out)
        return out

    def _infer_type(self, out: JsonObject) -> None:
        if "type" in out or any(keyword in out for keyword in ("oneOf", "anyOf", "allOf", "not", "if", "enum")):
            return
        if "properties" in out or "additionalProperties" in out:
            out["type"] = "object"
        elif "items" in out or "prefixItems" in out:
            out["type"] = "array"

    # --- objects -----------------------------------------------------------------------------

    def _properties(self, written: JsonObject, out: JsonObject, spot: Spot) -> None:
        names, there = self._named_properties(written, spot)
        if names:
            kept = {
                name: self._schema(value, there.below(escape(name)))
                for name, value in names.items()
                if name not in spot.hidden
            }
            if kept:
                out["properties"] = kept
            out.setdefault("type", "object")
        wanted = [name for name in array(written.get("required")) if isinstance(name, str)]
        required = [name for name in dict.fromkeys(wanted) if name not in spot.hidden]
        if required:
            out["required"] = required
        for keyword in ("additionalProperties", "unevaluatedProperties"):
            rest = written.get(keyword)
            if rest is False:
                out[keyword] = False
            elif isinstance(rest, dict):
                out[keyword] = self._schema(cast("object", rest), spot.below(keyword))
            if out.get(keyword) == {}:
                del out[keyword]
        self._dependent(written, out)

    def _named_properties(self, written: JsonObject, spot: Spot) -> tuple[JsonObject, Spot]:
        """Return the properties and their spot; some write one reference for all of them."""
        there = spot.below("properties")
        if reference_of(written.get("properties")) is None:
            return mapping(written.get("properties")), there
        try:
            place = self._files.follow(written["properties"], spot.file, there.pointer)
        except BrokenReference as error:
            self._report.broken(error, (spot.file, there.pointer))
            return {}, there
        return mapping(place.value), replace(there, file=place.file, pointer=place.pointer)

    def _dependent(self, written: JsonObject, out: JsonObject) -> None:
        needs = {
            name: [item for item in array(value) if isinstance(item, str)]
            for name, value in mapping(written.get("dependentRequired")).items()
        }
        needs = {name: list(dict.fromkeys(value)) for name, value in needs.items() if value}
        if needs:
            out["dependentRequired"] = needs

    def _hiding(self, written: JsonObject, spot: Spot) -> Spot:
        """Return the spot with the properties that this object's parts leave out in this direction."""
        if "properties" not in written and "allOf" not in written:
            return spot
        hidden = self._hidden(written, spot.file, 0)
        return replace(spot, hidden=spot.hidden | hidden) if hidden else spot

    def _hidden(self, written: JsonObject, file: str, depth: int) -> frozenset[str]:
        names = {
            name for name, value in mapping(written.get("properties")).items() if self._is_hidden(mapping(value), file)
        }
        if depth < 8:
            for part in array(written.get("allOf")):
                try:
                    place = self._files.follow(part, file, "")
                except BrokenReference:
                    continue
                names |= self._hidden(mapping(place.value), place.file, depth + 1)
        return frozenset(names)

    def _is_hidden(self, written: JsonObject, file: str) -> bool:
        if flag(written.get(self._hides)):
            return True
        parts = array(written.get("allOf"))
        if "$ref" not in written and len(parts) != 1:
            return False
        try:
            place = self._files.follow(parts[0] if parts else written, file, "")
        except BrokenReference:
            return False
        return flag(mapping(place.value).get(self._hides))

    # --- arrays, maps and compositions -------------------------------------------------------

    def _items(self, written: JsonObject, out: JsonObject, spot: Spot) -> None:
        items = written.get("items")
        prefix = array(written.get("prefixItems")) or array(items)
        if prefix:
            out["prefixItems"] = [
                self._schema(value, spot.below("prefixItems", index)) for index, value in enumerate(prefix)
            ]
        if isinstance(items, dict) or items is False:
            out["items"] = self._schema(cast("object", items), spot.below("items"))
        if out.get("items") == {}:
            del out["items"]
        if "array" in types_of(out) and "items" not in out and "prefixItems" not in out:
            out["items"] = {}

    def _parts(self, value: object, spot: Spot, keyword: str) -> JsonObject:
        same = keyword == "dependentSchemas"
        return {
            name: self._schema(part, spot.below(keyword, escape(name), same=same, alternative=same))
            for name, part in mapping(value).items()
            if keyword != "patternProperties" or is_pattern(name)
        }

    def _compositions(self, written: JsonObject, out: JsonObject, spot: Spot, *, is_plain: bool) -> None:
        parts = [
            self._schema(value, spot.below("allOf", index, same=True))
            for index, value in enumerate(array(written.get("allOf")))
        ]
        parts = [part for index, part in enumerate(parts) if part and part not in parts[:index]]
        if len(parts) == 1 and all(
            out[name] == parts[0][name] for name in parts[0].keys() & out.keys() - {"description"}
        ):
            for name, item in parts[0].items():
                out.setdefault(name, item)
        elif parts:
            out["allOf"] = parts
        if is_plain:
            return
        for keyword in ("oneOf", "anyOf"):
            values = array(written.get(keyword))
            if not values:
                continue
            choices = [
                self._schema(value, spot.below(keyword, index, same=True, alternative=True))
                for index, value in enumerate(values)
            ]
            name, union = branches(written, values, choices, is_one=keyword == "oneOf")
            if name in out:
                out["allOf"] = [*cast("list[object]", out.get("allOf", [])), {name: union}]
            else:
                out[name] = union

    # --- references --------------------------------------------------------------------------

    def _referred(self, reference: str, spot: Spot) -> JsonObject:
        try:
            place = self._target(reference, spot)
        except BrokenReference as error:
            self._report.broken(error, (spot.file, spot.pointer))
            return {}
        written = mapping(place.value)
        if not written or is_small(written):
            return self._schema(place.value, Spot(place.file, place.pointer, depth=spot.depth + 1))
        if spot.hidden & {name for name in array(written.get("required")) if isinstance(name, str)}:
            return self._schema(written, replace(spot, file=place.file, pointer=place.pointer, depth=spot.depth + 1))
        key = self._key(place, spot)
        if key is None:
            self._note(spot, "circular-composition", f"`{shown(reference)}` is made of itself")
            return {}
        return {"$ref": f"#/$defs/{self._use(key)}"}

    def _target(self, reference: str, spot: Spot) -> Place:
        """Return where a reference leads, aliases (`{"$ref": …}` and no more) followed."""
        if reference == "#recursive":
            owner = spot.owner or Key(spot.file, spot.pointer)
            return self._files.at(owner.file, named_above(spot.pointer if spot.owner is None else owner.pointer))
        anchor = reference[1:] if reference.startswith("#") and not reference.startswith("#/") else ""
        for name, file, pointer in spot.scope:
            if name == anchor:
                return self._files.at(file, pointer)
        place = self._files.resolve(reference, spot.file)
        if mapping(place.value).keys() == {"$ref"}:
            return self._files.follow(place.value, place.file, place.pointer)
        return place

    def _key(self, place: Place, spot: Spot) -> Key | None:
        """Return the definition to refer to; None: the reference would ask the same question for ever."""
        scope = tuple(entry for entry in spot.scope if entry[1:] != (place.file, place.pointer))
        key = Key(place.file, place.pointer, scope=scope)
        owner = spot.owner
        if owner is None:
            return key
        one, other = (owner.file, owner.pointer), (place.file, place.pointer)
        if owner.is_plain or (not spot.is_union and self._circles.holds("all", one, other)):
            return None if self._circles.holds("plain", one, other) else replace(key, is_plain=True)
        if spot.is_union and self._circles.holds("union", one, other):
            return None
        return key

    def _use(self, key: Key) -> str:
        if key not in self._names and len(self._names) >= self._files.limits.max_variants:
            key = replace(key, scope=())
        name = self._names.get(key)
        if name is None:
            name = self._names[key] = name_of(key)
            self._keys[name] = key
        self._uses[name] += 1
        return name

    def _scoped(self, written: JsonObject, spot: Spot) -> Spot:
        """Return the spot with the dynamic names that this schema brings; outer ones win."""
        found = {name: (file, pointer) for name, file, pointer in spot.scope}
        anchors = [(written.get("$dynamicAnchor"), spot.pointer)]
        anchors += [
            (mapping(part).get("$dynamicAnchor"), f"{spot.pointer}/$defs/{escape(name)}")
            for name, part in mapping(written.get("$defs")).items()
        ]
        for anchor, pointer in anchors:
            if isinstance(anchor, str):
                found.setdefault(anchor, (spot.file, pointer))
        if len(found) == len(spot.scope):
            return spot
        return replace(spot, scope=tuple((name, *place) for name, place in sorted(found.items())))

    def _note(self, spot: Spot, code: str, reason: str) -> None:
        self._report.add("warning", code, (spot.file, spot.pointer), reason)
