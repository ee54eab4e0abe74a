"""Arguments that a tool's schema takes, invented: the same for the same seed."""

import importlib
import re
from collections.abc import Mapping
from random import Random
from typing import Any, Final

from mesh.referee.kinds import is_list, is_object

MAX_DEPTH: Final = 6
_PARSER: Any = importlib.import_module("re._parser")  # what `re` itself reads patterns with
_FORMATS: Final = {
    "date": "2026-01-31", "date-time": "2026-01-31T12:00:00Z", "time": "12:00:00Z", "email": "a@example.com",
    "uuid": "123e4567-e89b-42d3-a456-426614174000", "uri": "https://example.com/x", "url": "https://example.com/x",
    "uri-reference": "/x", "ipv4": "192.0.2.1", "ipv6": "2001:db8::1", "hostname": "example.com", "byte": "YQ==",
    "binary": "YQ==", "duration": "P1D", "uri-template": "/x/{y}", "iri": "https://example.com/x", "regex": "a",
    "decimal": "1.5", "int64": "1", "int32": "1", "json-pointer": "/a",
}  # fmt: skip
_PATTERNS: Final = (
    "a", "abc", "abcdefgh", "A", "ABC", "1", "12", "123", "1234567890", "a1", "a-b", "a_b", "abc123", "en", "en-US",
    "US", "USD",
    "2026-01-31", "12:00", "2026-01-31T12:00:00Z", "#ffffff", "1.0.0", "v1", "https://example.com/x", "a@example.com",
    "123e4567-e89b-42d3-a456-426614174000", "AC" + "0" * 32, "0" * 32, "a" * 32, "a" * 40, "a" * 64, "abc/def",
    "+15551234567",
    "10.0.0.0/8", "1s", "1.5s", "1h", "_", "-1", "0", "*", "latest", "$aggregate", "a:b", "a.b", "a,b", "1,2", "a=b",
    "/", "/a",
)  # fmt: skip


class Inventor:
    """Makes values for one schema with its `$defs`."""

    def __init__(self, root: Mapping[str, Any], seed: int) -> None:
        self._root = root
        self._chance = Random(seed)

    def arguments(self) -> dict[str, Any]:
        """Return arguments: everything that is required, and some of the rest."""
        value = self._value(self._root, 0)
        return value if is_object(value) else {}

    def _value(self, schema: Any, depth: int) -> Any:
        if not is_object(schema):
            return "x"
        if "$ref" in schema:
            found = self._root.get("$defs", {}).get(str(schema["$ref"]).removeprefix("#/$defs/"), {})
            return self._value({**found, **{k: v for k, v in schema.items() if k != "$ref"}}, depth + 1)
        if "const" in schema:
            return schema["const"]
        if schema.get("enum"):
            return next((one for one in schema["enum"] if one is not None), None)
        if schema.get("allOf"):
            return self._value(self._merged(schema), depth)
        for keyword in ("oneOf", "anyOf"):
            if schema.get(keyword):
                return self._choice(schema, keyword, depth)
        return self._typed(schema, depth)

    def _choice(self, schema: dict[str, Any], keyword: str, depth: int) -> Any:
        rest = {name: one for name, one in schema.items() if name not in ("oneOf", "anyOf")}
        options = [one for one in schema[keyword] if not (is_object(one) and one.get("type") == "null")]
        chosen = self._resolved(options[0] if options else {})
        return self._value(self._merged({"allOf": [rest, chosen]}), depth)

    def _resolved(self, schema: Any) -> Any:
        for _ in range(10):
            if not is_object(schema) or "$ref" not in schema:
                return schema
            found = self._root.get("$defs", {}).get(str(schema["$ref"]).removeprefix("#/$defs/"), {})
            schema = {**found, **{k: v for k, v in schema.items() if k != "$ref"}}
        return {}

    def _merged(self, schema: dict[str, Any], depth: int = 0) -> dict[str, Any]:
        whole = {name: one for name, one in schema.items() if name != "allOf"}
        for part in schema.get("allOf", ()):
            held = self._resolved(part)
            if not is_object(held):
                continue
            if "allOf" in held and depth < MAX_DEPTH:
                held = self._merged(held, depth + 1)
            for name, one in held.items():
                if name == "properties":
                    before = whole.get("properties", {})
                    joined = {
                        key: ({"allOf": [before[key], item]} if key in before else item) for key, item in one.items()
                    }
                    whole["properties"] = {**before, **joined}
                elif name == "required":
                    whole["required"] = [*whole.get("required", []), *one]
                elif name == "additionalProperties" and one is False:
                    continue
                elif name in ("oneOf", "anyOf") and name in whole:
                    whole.setdefault("allOf", []).append({name: one})
                else:
                    whole.setdefault(name, one)
        if "allOf" in whole and depth >= MAX_DEPTH:
            del whole["allOf"]
        return whole

    def _typed(self, schema: dict[str, Any], depth: int) -> Any:
        kind = schema.get("type")
        if is_list(kind):
            kind = next((one for one in kind if one != "null"), "null")
        if kind is None:
            kind = "object" if "properties" in schema else "array" if "items" in schema else "string"
        if kind == "object":
            return self._object(schema, depth)
        if kind == "array":
            if depth > MAX_DEPTH and not schema.get("minItems"):
                return []
            count = max(1, min(int(schema.get("minItems", 1)), 20))
            items = [self._value(schema.get("items", {}), depth + 1) for _ in range(count)]
            return [f"{item}{at}" if schema.get("uniqueItems") and isinstance(item, str) and at else item
                    for at, item in enumerate(items)]  # fmt: skip
        if kind in ("integer", "number"):
            return _number(schema)
        if kind == "boolean":
            return True
        return None if kind == "null" else _text(schema)

    def _object(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        properties, required = schema.get("properties", {}), schema.get("required", [])
        found: dict[str, Any] = {}
        for name, one in properties.items():
            if name in required or (depth < 2 and self._chance.random() < 0.5):
                found[name] = self._value(one, depth + 1)
        for name in required:
            if name not in found:
                rest = schema.get("additionalProperties", {})
                found[name] = self._value(rest if is_object(rest) else {}, depth + 1)
        if not found and schema.get("minProperties"):
            rest = schema.get("additionalProperties")
            names = list(properties) or ["a"]
            found[names[0]] = self._value(properties.get(names[0], rest if is_object(rest) else {}), depth + 1)
        return found


def _number(schema: dict[str, Any]) -> int | float:
    least = schema.get("minimum", schema.get("exclusiveMinimum"))
    most = schema.get("maximum", schema.get("exclusiveMaximum"))
    value: float = 1 if least is None else least + (1 if "exclusiveMinimum" in schema else 0)
    if least is None and most is not None and value > most:
        value = most - (1 if "exclusiveMaximum" in schema else 0)
    step = schema.get("multipleOf")
    if step:
        value = step * max(1, round(value / step))
    return int(value) if schema.get("type") == "integer" or float(value).is_integer() else value


def _text(schema: dict[str, Any]) -> str:
    least, most = int(schema.get("minLength", 0)), int(schema.get("maxLength", 1000))
    if schema.get("contentEncoding") == "base64":
        return "YQ=="
    if schema.get("description") == "media type":  # of a file
        return "text/plain"
    pattern = schema.get("pattern")
    if pattern:
        for one in (*_PATTERNS, spelled(pattern)):
            try:
                if re.search(pattern, one) and least <= len(one) <= most:
                    return one
            except re.error:
                break
    text = _FORMATS.get(str(schema.get("format")), "abc")
    if len(text) < least:
        text += "a" * (least - len(text))
    return text[:most] if schema.get("format") is None else text


def spelled(pattern: str) -> str:
    """Return a text that a plain pattern matches: literals, sets, repeats and groups; empty when it is not plain."""
    try:
        return "".join(_node(operation, argument) for operation, argument in _PARSER.parse(pattern))
    except (re.error, KeyError, RecursionError, ValueError):
        return ""


def _node(operation: Any, argument: Any) -> str:
    match str(operation):
        case "LITERAL":
            return chr(argument)
        case "IN":
            return _member(argument)
        case "ANY" | "NOT_LITERAL":
            return "a"
        case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
            least, most, inner = argument
            return "".join(_node(*one) for one in inner) * (max(int(least), 1) if int(most) else 0)
        case "SUBPATTERN":
            return "".join(_node(*one) for one in argument[3])
        case "BRANCH":
            return "".join(_node(*one) for one in argument[1][0])
        case _:
            return ""


def _member(members: Any) -> str:
    kind, value = members[0]
    if str(kind) == "NEGATE":
        return "a"
    if str(kind) == "RANGE":
        return chr(value[0])
    return (
        {"CATEGORY_DIGIT": "1", "CATEGORY_WORD": "a", "CATEGORY_SPACE": " "}[str(value)]
        if str(kind) == "CATEGORY"
        else chr(value)
    )
