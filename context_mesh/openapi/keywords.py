"""Keywords of a schema that hold no schema: taken over when JSON Schema 2020-12 allows them, repaired or dropped.

What comes out is valid by construction, whatever went in. Keywords that hold schemas are `schemas`'
work. Dropped without a word: what does not constrain (`title`, `example`, `xml`, `x-*`).
"""

import re
import warnings
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Final, cast

import jsonschema_rs

from context_mesh.openapi.members import JsonObject, array, flag, text
from context_mesh.openapi.prose import MAX_FIELD_CHARS, first_sentence

MAX_PATTERN_CHARS: Final = 1_000
MAX_DEFAULT_CHARS: Final = 200
MAX_ENUM: Final = 5_000

TYPES: Final = ("array", "boolean", "integer", "null", "number", "object", "string")
_OTHER_TYPES: Final[Mapping[str, tuple[str, str]]] = {
    "file": ("string", "binary"),
    "date": ("string", "date"),
    "datetime": ("string", "date-time"),
    "date-time": ("string", "date-time"),
    "uuid": ("string", "uuid"),
    "int": ("integer", ""),
    "int32": ("integer", ""),
    "int64": ("integer", ""),
    "long": ("integer", ""),
    "float": ("number", ""),
    "double": ("number", ""),
    "decimal": ("number", ""),
    "bool": ("boolean", ""),
    "str": ("string", ""),
    "text": ("string", ""),
    "dict": ("object", ""),
    "map": ("object", ""),
    "list": ("array", ""),
}
_PLAIN_FORMATS: Final = frozenset({"int32", "int64", "float", "double", "string", "binary", "byte", "int-or-string"})
_MAX_FORMAT_CHARS: Final = 40

_SIZED: Final = {"Length": "string", "Items": "array", "Properties": "object", "Contains": "array"}

Note = Callable[[str, str], None]  # a code and a reason


def keep_plain_keywords(written: Mapping[str, object], out: JsonObject, note: Note) -> None:
    """Put into `out` what `written` says in keywords that hold no schema, `nullable` excepted."""
    _type(written, out, note)
    types = types_of(out)
    if is_about(types, "integer", "number"):
        _numbers(written, out, note)
    _sizes(written, out, note)
    pattern = written.get("pattern")
    if pattern is not None and is_about(types, "string"):
        if isinstance(pattern, str) and is_pattern(pattern):
            out["pattern"] = pattern
        else:
            note("bad-pattern", "`pattern` is no regular expression that every engine reads")
    if written.get("uniqueItems") is True and is_about(types, "array"):
        out["uniqueItems"] = True
    if flag(written.get("deprecated")):
        out["deprecated"] = True
    for keyword in ("contentEncoding", "contentMediaType"):
        if isinstance(written.get(keyword), str):
            out[keyword] = written[keyword]
    _values(written, out, note)
    described = first_sentence(text(written.get("description")) or text(written.get("title")), MAX_FIELD_CHARS)
    if described:
        out["description"] = described


def _type(written: Mapping[str, object], out: JsonObject, note: Note) -> None:
    given = written.get("type")
    wanted = [] if given is None else array(given) or [given]
    types: list[str] = []
    form = text(written.get("format"))
    for item in wanted:
        name = text(item).lower()
        if name in TYPES:
            types.append(name)
        elif name in _OTHER_TYPES:
            name, other = _OTHER_TYPES[name]
            types.append(name)
            form = form or other
        elif name != "any":
            note("bad-type", "`type` names no type of JSON")
    if form == "int-or-string":
        types = ["integer", "string"]
    if types:
        unique = list(dict.fromkeys(types))
        out["type"] = unique[0] if len(unique) == 1 else unique
    if form == "byte":
        out["contentEncoding"] = "base64"
    elif form and form not in _PLAIN_FORMATS and len(form) <= _MAX_FORMAT_CHARS and form.isprintable():
        out["format"] = form


def types_of(schema: Mapping[str, object]) -> list[str]:
    """Return the types that a converted schema names; none means any."""
    given = schema.get("type")
    return [given] if isinstance(given, str) else cast("list[str]", given or [])


def is_about(types: list[str], *names: str) -> bool:
    """Say whether a schema of these types may meet a value of one of `names`: else its keywords are noise."""
    return not types or any(name in types for name in names)


def _numbers(written: Mapping[str, object], out: JsonObject, note: Note) -> None:
    for bound, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        limit, edge = _number(written.get(bound)), written.get(exclusive)
        if edge is True and limit is not None:
            out[exclusive] = limit
            continue
        if limit is not None:
            out[bound] = limit
        elif written.get(bound) is not None:
            note("bad-number", f"`{bound}` is no number")
        number = _number(edge) if not isinstance(edge, bool) else None
        if number is not None:
            out[exclusive] = number
    step = _number(written.get("multipleOf"))
    if step is not None and step > 0:
        out["multipleOf"] = step


def _sizes(written: Mapping[str, object], out: JsonObject, note: Note) -> None:
    for kind, type_name in _SIZED.items():
        if not is_about(types_of(out), type_name):
            continue
        for keyword in (f"min{kind}", f"max{kind}"):
            if written.get(keyword) is None:
                continue
            size = _number(written[keyword])
            if size is None or size < 0 or size != int(size):
                note("bad-number", f"`{keyword}` is no size")
            elif size or keyword.startswith("max"):
                out[keyword] = int(size)
        least, most = out.get(f"min{kind}"), out.get(f"max{kind}")
        if isinstance(least, int) and isinstance(most, int) and least > most:
            note("bad-number", f"`min{kind}` is above `max{kind}`")
            del out[f"min{kind}"], out[f"max{kind}"]


def _number(value: object) -> int | float | None:
    """Return a number, also one that somebody quoted; None for what is none, infinity included."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    try:
        number = float(value) if isinstance(value, float | str) else None
    except ValueError:
        return None
    if number is None or number - number != 0:
        return None
    return int(number) if number == int(number) and abs(number) < 2**53 else number


def _values(written: Mapping[str, object], out: JsonObject, note: Note) -> None:
    types = types_of(out)
    if "const" in written:
        out["const"] = written["const"]
    enum = written.get("enum")
    if enum is not None:
        values = [fitted(item, types) for item in array(enum)[:MAX_ENUM]]
        fitting = _unique([item for item in values if fits(item, types)])
        if fitting and len(array(enum)) <= MAX_ENUM:
            out["enum"] = fitting
        else:
            note("bad-enum", "`enum` holds no value of the type, or too many")
    if "default" in written:
        default = fitted(written["default"], types)
        if fits(default, types) and len(repr(default)) <= MAX_DEFAULT_CHARS and default in out.get("enum", [default]):  # type: ignore[operator]
            out["default"] = default


def fitted(value: object, types: list[str]) -> object:
    """Return a value as its only type wants it: numbers and booleans as text, a quoted number as a number."""
    if types == ["string"] and isinstance(value, bool):
        return "true" if value else "false"
    if types == ["string"] and isinstance(value, int | float):
        return str(value)
    if types in (["integer"], ["number"]) and isinstance(value, str):
        number = _number(value)
        return value if number is None else number
    if types == ["boolean"] and value in ("true", "false"):
        return value == "true"
    return value


def fits(value: object, types: list[str]) -> bool:
    """Say whether a value has one of the types; none means any."""
    return not types or any(_is(value, name) for name in types)


def _is(value: object, name: str) -> bool:
    if isinstance(value, bool):
        return name == "boolean"
    if name == "integer":
        return isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    kinds: dict[str, type | tuple[type, ...]] = {
        "array": list,
        "boolean": bool,
        "null": type(None),
        "number": (int, float),
        "object": dict,
        "string": str,
    }
    return isinstance(value, kinds[name])


def _unique(values: list[object]) -> list[object]:
    """Return values without repeats; `1` and `true` are two values."""
    seen: list[tuple[bool, object]] = []
    known: set[object] = set()
    for value in values:
        key = (isinstance(value, bool), value)
        if isinstance(value, list | dict):
            if key not in seen:
                seen.append(key)
        elif key not in known:
            known.add(key)
            seen.append(key)
    return [value for _, value in seen]


@lru_cache(maxsize=20_000)
def is_pattern(pattern: str) -> bool:
    """Say whether both Python and the engine that checks calls can read a regular expression."""
    if len(pattern) > MAX_PATTERN_CHARS:
        return False
    try:
        with warnings.catch_warnings(action="ignore"):  # `[[a]` may mean something else one day
            re.compile(pattern)
        jsonschema_rs.validator_for({"pattern": pattern})
    except (re.error, ValueError, RecursionError, OverflowError):
        return False
    return True
