"""Arguments: what of a call's arguments policies may see, as Cedar values.

Only members that a policy in scope names are looked at. Whatever Cedar cannot
hold (null, floats, integers beyond 64 bits, lone surrogates, its own JSON
escapes) is refused here, by name, and never rounded.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import cast

from gateway_policies.reads import RESERVED, Path, dotted
from gateway_policies.values import LONG_MAX, LONG_MIN, Plain
from gateway_policies.world import ArgumentKind

MAX_SET_ITEMS = 10_000

_MISSING = object()
_STAND_INS: Mapping[ArgumentKind, object] = {"Long": 0, "String": "", "Bool": True, "Set<String>": []}
_SHOULD_BE: Mapping[ArgumentKind, str] = {
    "Long": "a whole number of at most 64 bits",
    "String": "text",
    "Bool": "true or false",
    "Set<String>": f"a list of at most {MAX_SET_ITEMS} texts",
    "Record": "an object",
}


@dataclass(frozen=True, slots=True)
class WrongArgument:
    """An argument that a policy must read and cannot."""

    path: Path
    text: str


def seen_arguments(
    arguments: Mapping[str, object],
    values: frozenset[Path],
    presence: frozenset[Path],
    kinds: Mapping[Path, ArgumentKind],
) -> dict[str, object] | WrongArgument:
    """Return the record `context.args`, JSON values only, or what is wrong.

    values    paths that policies in scope read
    presence  paths that they test with `has`; one that is not in `values` is
              represented by a stand-in of its kind, whatever it holds
    """
    seen: dict[str, object] = {}
    for path in _in_order(values, presence):
        if len(path) == 1:
            above, holder = seen, arguments
        else:
            above = _holder(seen, path)
            if above is None:
                continue
            holder = _holder(arguments, path) or {}
        if not RESERVED.isdisjoint(holder):
            return WrongArgument(path[:-1], _escape_text(path[:-1]))
        value = holder.get(path[-1], _MISSING)
        if value is _MISSING:
            continue
        kind, is_read = kinds[path], path in values
        if value is None or ((is_read or kind == "Record") and not _fits(value, kind)):
            return WrongArgument(path, f"argument `{dotted(path)}` must be {_SHOULD_BE[kind]}")
        if not is_read:
            value = _stand_in(kind)
        elif kind == "Set<String>":
            value = list(cast("Iterable[str]", value))
        above[path[-1]] = value
    return seen


@lru_cache(maxsize=1024)
def _in_order(values: frozenset[Path], presence: frozenset[Path]) -> tuple[Path, ...]:
    """Return every path and every prefix of one, each before what is below it."""
    return tuple(sorted({path[:size] for path in values | presence for size in range(1, len(path) + 1)}))


def _escape_text(path: Path) -> str:
    where = f"argument `{dotted(path)}`" if path else "the arguments"
    return f"{where} must not hold members named {', '.join(f'`{name}`' for name in sorted(RESERVED))}"


def _holder(root: Mapping[str, object], path: Path) -> dict[str, object] | None:
    """Return the object that may hold `path`: every prefix of it is an object, or is missing (None)."""
    holder = root
    for name in path[:-1]:
        below = holder.get(name)
        if below is None:
            return None
        holder = cast("Mapping[str, object]", below)
    return cast("dict[str, object]", holder)


def _fits(value: object, kind: ArgumentKind) -> bool:
    if kind == "Long":
        return isinstance(value, int) and not isinstance(value, bool) and LONG_MIN <= value <= LONG_MAX
    if kind == "Bool":
        return isinstance(value, bool)
    if kind == "String":
        return _is_text(value)
    if kind == "Record":
        return isinstance(value, Mapping)
    if not isinstance(value, list | tuple):
        return False
    items = cast("list[object]", value)
    return len(items) <= MAX_SET_ITEMS and all(_is_text(item) for item in items)


def _is_text(value: object) -> bool:
    """Whether `value` is a string without lone surrogates."""
    if not isinstance(value, str):
        return False
    return value.isascii() or not any("\ud800" <= char <= "\udfff" for char in value)


def _stand_in(kind: ArgumentKind) -> object:
    return {} if kind == "Record" else _STAND_INS[kind]


def as_values(seen: Mapping[str, object]) -> dict[str, Plain]:
    """Return a record of `seen_arguments` for the evaluator of `partial`."""
    return {name: _as_value(value) for name, value in seen.items()}


def _as_value(value: object) -> Plain:
    if isinstance(value, Mapping):
        return as_values(cast("Mapping[str, object]", value))
    if isinstance(value, list):
        return frozenset(cast("list[str]", value))
    return cast("str | int | bool", value)
