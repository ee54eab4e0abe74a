"""Shape: an answer made to fit a model's context: only some fields, arrays and texts cut, never mid-value."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast

MAX_DEPTH: Final = 64  # of what is projected or cut
_STEPS: Final = ((100, 4000), (50, 2000), (20, 1000), (10, 500), (5, 200), (2, 100), (1, 60), (0, 40))
"""(items of each array, characters of each text) that are tried in turn."""


@dataclass(frozen=True, slots=True)
class Cut:
    """Something that was left out. `at` is a JSON pointer; `total` and `shown` count items, or characters of a text."""

    at: str
    total: int
    shown: int


def projected(value: object, fields: Sequence[str]) -> object:
    """Return only these fields of a value: dotted names, which pass through arrays (`items.owner.name`).

    A field that is not there is left out. No fields: the value as it is.
    """
    if not fields:
        return value
    wanted: dict[str, object] = {}
    for one in fields:
        node = wanted
        for name in one.split(".")[:MAX_DEPTH]:
            node = cast("dict[str, object]", node.setdefault(name, {}))
    return _only(value, wanted)


def _only(value: object, wanted: Mapping[str, object]) -> object:
    if not wanted:
        return value
    if isinstance(value, list):
        return [_only(item, wanted) for item in cast("list[object]", value)]
    if isinstance(value, dict):
        members = cast("dict[str, object]", value)
        return {
            name: _only(members[name], cast("Mapping[str, object]", below))
            for name, below in wanted.items()
            if name in members
        }
    return value


def shortened(value: object, max_chars: int) -> tuple[object, tuple[Cut, ...]]:
    """Return a value whose compact JSON has at most `max_chars` characters, and what was cut for that.

    Arrays lose items at their end, texts characters, and what is still too large becomes null.
    """
    if size_of(value) <= max_chars:
        return value, ()
    for items, chars in _STEPS:
        cuts: list[Cut] = []
        shorter = _cut(value, "", (items, chars), cuts)
        if size_of(shorter) <= max_chars:
            return shorter, tuple(cuts)
    total = len(cast("Sequence[object]", value)) if isinstance(value, list) else size_of(value)
    return None, (Cut("", total, 0),)


def _cut(value: object, at: str, limits: tuple[int, int], cuts: list[Cut]) -> object:
    items, chars = limits
    if at.count("/") > MAX_DEPTH:
        cuts.append(Cut(at, 0, 0))
        return None
    if isinstance(value, str) and len(value) > chars:
        cuts.append(Cut(at, len(value), chars))
        return value[:chars] + "…"
    if isinstance(value, list):
        members = cast("list[object]", value)
        if len(members) > items:
            cuts.append(Cut(at, len(members), items))
        return [_cut(item, f"{at}/{index}", limits, cuts) for index, item in enumerate(members[:items])]
    if isinstance(value, dict):
        return {
            name: _cut(item, f"{at}/{_escaped(name)}", limits, cuts)
            for name, item in cast("dict[str, object]", value).items()
        }
    return value


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def found_at(value: object, pointer: str) -> object:
    """Return what a JSON pointer leads to; raises `KeyError` when it leads nowhere."""
    if pointer and not pointer.startswith("/"):
        raise KeyError(pointer)
    for part in pointer.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict):
            value = cast("dict[str, object]", value)[name]
        elif isinstance(value, list) and name.isascii() and name.isdigit():
            items = cast("list[object]", value)
            if int(name) >= len(items):
                raise KeyError(pointer)
            value = items[int(name)]
        else:
            raise KeyError(pointer)
    return value


def size_of(value: object) -> int:
    """Return how many characters a JSON value has, written without blanks."""
    return len(json_text(value))


def json_text(value: object) -> str:
    """Return a value as compact JSON, any script as it is."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
