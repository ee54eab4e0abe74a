"""Pins: the digest of a definition that was approved, and what a changed one changed.

Who approves, and what a changed definition may do meanwhile, is decided by others.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, cast

import msgspec

MAX_CHANGES: Final = 100
MAX_SHOWN_CHARS: Final = 500


@dataclass(frozen=True, slots=True)
class Change:
    """One difference, for people.

    path           `inputSchema.properties.path.description`; list items by position
    before, after  JSON in ASCII, cut at 500 characters; None: not there
    """

    path: str
    before: str | None
    after: str | None

    def __str__(self) -> str:
        if self.before is None:
            return f"{self.path} was added: {self.after}"
        if self.after is None:
            return f"{self.path} was removed: {self.before}"
        return f"{self.path} was {self.before} and is {self.after}"


def digest(upstream: str, definition: object) -> str:
    """Return the pin of a parsed definition as its upstream's: `sha256:` and 64 hex digits.

    Every member counts, known or not; the order of members and their spelling do not.
    """
    canonical = msgspec.json.encode(definition, order="sorted")
    return "sha256:" + sha256(upstream.encode() + b"\n" + canonical).hexdigest()


def diff(before: object, after: object) -> tuple[Change, ...]:
    """Return what changed from one parsed definition to the next, in reading order; at most 100 changes."""
    changes: list[Change] = []
    for change in _changes("", before, after):
        changes.append(change)
        if len(changes) == MAX_CHANGES:
            break
    return tuple(changes)


def _changes(path: str, before: object, after: object) -> Iterator[Change]:
    old, new = _children(before), _children(after)
    if old is not None and new is not None and type(before) is type(after):
        for name in {**old, **new}:
            shown = name if name.isascii() and name.isprintable() else json.dumps(name)
            below = f"{path}{shown}" if name.startswith("[") or not path else f"{path}.{shown}"
            yield from _changes(below, old.get(name, _ABSENT), new.get(name, _ABSENT))
    elif type(before) is not type(after) or before != after:
        yield Change(path, _shown(before), _shown(after))


def _children(value: object) -> Mapping[str, object] | None:
    """Return members by name, or items by position (`[2]`); None for what has neither."""
    if isinstance(value, dict):
        return cast("dict[str, object]", value)
    if isinstance(value, list):
        return {f"[{index}]": item for index, item in enumerate(cast("list[object]", value))}
    return None


def _shown(value: object) -> str | None:
    if value is _ABSENT:
        return None
    text = json.dumps(value)  # in ASCII: what hides or reorders a line is seen
    return text if len(text) <= MAX_SHOWN_CHARS else text[:MAX_SHOWN_CHARS] + "…"


_ABSENT: Final = object()
