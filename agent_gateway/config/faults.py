"""Faults of the shape: what pydantic found, in the words of the configuration.

No message repeats a value: it may be a secret in the wrong place.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from pydantic_core import ErrorDetails

from agent_gateway.config.problems import Fault, Path, did_you_mean

Say = Callable[[Mapping[str, Any]], tuple[str, str]]

_NAME_HINT = "lower-case letters, digits and hyphens, 32 at most"

_WORDS: Mapping[str, Say] = {
    "missing": lambda _: ("this key is missing", ""),
    "refused": lambda ctx: (str(ctx["message"]), str(ctx["hint"])),
    "int_type": lambda _: ("this must be a whole number", "no quotes, no fraction, no units"),
    "float_type": lambda _: ("this must be a number", "no quotes, no units"),
    "bool_type": lambda _: ("this must be `true` or `false`", "`yes`, `no`, `on` and `off` are text here"),
    "string_type": lambda _: ("this must be text", "put it in quotes"),
    "tuple_type": lambda _: ("this must be a list", "write `[a, b]`, or one `- item` a line"),
    "dict_type": lambda _: ("this must be a mapping", "write `key: value` lines under it"),
    "mapping_type": lambda _: ("this must be a mapping", "write `key: value` lines under it"),
    "model_type": lambda _: ("this must be a mapping", "write `key: value` lines under it"),
    "model_attributes_type": lambda _: ("this must be a mapping", "write `key: value` lines under it"),
    "literal_error": lambda ctx: ("this is not one of the values it can have", f"write {ctx['expected']}"),
    "union_tag_invalid": lambda ctx: ("this `kind` is not known", f"write one of {ctx['expected_tags']}"),
    "union_tag_not_found": lambda _: ("`kind` is missing", "it says which keys follow"),
    "string_pattern_mismatch": lambda ctx: ("this text has a character or a form that is not allowed", _form(ctx)),
    "string_too_long": lambda ctx: (f"this text is longer than {ctx['max_length']} characters", ""),
    "string_too_short": lambda ctx: (f"this text is shorter than {ctx['min_length']} characters", ""),
    "too_long": lambda ctx: (f"this has more than {ctx['max_length']} entries", ""),
    "too_short": lambda ctx: (f"this has fewer than {ctx['min_length']} entries", ""),
    "greater_than": lambda ctx: (f"this must be more than {ctx['gt']}", ""),
    "greater_than_equal": lambda ctx: (f"this must be at least {ctx['ge']}", ""),
    "less_than": lambda ctx: (f"this must be less than {ctx['lt']}", ""),
    "less_than_equal": lambda ctx: (f"this must be at most {ctx['le']}", ""),
}


def fault_of(error: ErrorDetails, path: Path, schema: Mapping[str, Any], *, is_empty: bool) -> Fault:
    """Return what `error` means for the author of the file.

    path      the place of the error, without what pydantic puts in between
    schema    the JSON Schema of the configuration, for the names of keys
    is_empty  nothing is written at the place of the error
    """
    if is_empty and error["type"] not in ("extra_forbidden", "missing"):
        return Fault(path, "there is nothing after this key", "write a value, or leave the key out")
    if error["type"] == "extra_forbidden":
        word = str(path[-1])
        hint = did_you_mean(word, sorted(known_keys(schema, path[:-1])))
        return Fault(path, f"unknown key `{word}`", hint, at_key=True)
    say = _WORDS.get(error["type"])
    message, hint = say(error.get("ctx", {})) if say else ("this value is not allowed", "")
    if error["loc"][-1:] == ("[key]",):
        return Fault(path, f"the name `{path[-1]}` is not allowed", hint, at_key=True)
    return Fault(path, message, hint)


def known_keys(schema: Mapping[str, Any], path: Path) -> set[str]:
    """Return the keys a mapping at `path` may have; names of variants in the path are passed over."""
    spots = [schema]
    for part in path:
        below = [next_spot for spot in spots for next_spot in _below(schema, spot, part)]
        spots = below or spots
    return {key for spot in spots for shape in _shapes(schema, spot) for key in shape.get("properties", {})}


def _form(ctx: Mapping[str, Any]) -> str:
    pattern = str(ctx["pattern"])
    if pattern == "^[a-z0-9][a-z0-9-]{0,31}$":
        return _NAME_HINT
    return f"the form is `{pattern}`"


def _shapes(schema: Mapping[str, Any], spot: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What `spot` may be, once references and alternatives are followed."""
    reference = spot.get("$ref")
    if isinstance(reference, str):
        return _shapes(schema, schema["$defs"][reference.rpartition("/")[2]])
    parts = cast(
        "Sequence[Mapping[str, Any]]", [*spot.get("anyOf", ()), *spot.get("oneOf", ()), *spot.get("allOf", ())]
    )
    return [shape for part in parts for shape in _shapes(schema, part)] or [spot]


def _below(schema: Mapping[str, Any], spot: Mapping[str, Any], part: str | int) -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = []
    for shape in _shapes(schema, spot):
        if isinstance(part, int):
            found += [shape["items"]] if "items" in shape else []
        elif part in shape.get("properties", {}):
            found.append(shape["properties"][part])
        else:
            found += list(shape.get("patternProperties", {}).values())
    return found
