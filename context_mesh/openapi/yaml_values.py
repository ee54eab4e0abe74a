"""YAML by the 1.2 core schema, event by event, so that its traps cost nothing.

`on`, `no`, dates and numbers with a leading zero stay text; names are text as written (`200:`, `1.10:`).
Tags build nothing. An alias is the same value again, and counts again: a bomb of aliases meets
`max_nodes` before anybody walks through it. `<<` merges, as descriptions use it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, cast

import yaml

from context_mesh.openapi.limits import Limits
from gateway_policies.refusal import BadRequest

_INTEGER: Final = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,63})")
_FLOAT: Final = re.compile(r"[-+]?(?:0|[1-9][0-9]*)?(?:\.[0-9]+|\.|(?=[eE]))(?:[eE][-+]?[0-9]{1,3})?")
_WORDS: Final[dict[str, object]] = {
    "": None,
    "~": None,
    "null": None,
    "Null": None,
    "NULL": None,
    "true": True,
    "True": True,
    "TRUE": True,
    "false": False,
    "False": False,
    "FALSE": False,
}
_NUMERIC: Final = frozenset("0123456789+-.")
_TEXT_TAG: Final = "tag:yaml.org,2002:str"
_MERGE: Final = "<<"
_MAX_SHOWN: Final = 120


def value(text: bytes, name: str, limits: Limits) -> object:
    """Return the value of the first document in `text`.

    Raises `BadRequest`: `unreadable_description` with line and column, or `description_too_large`.
    """
    try:
        return _Builder(name, limits).build(_events(text))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise unreadable(name, f"{_shown(error.problem or error.context)}{where}") from None
    except (yaml.YAMLError, UnicodeError):
        raise unreadable(name, "the text is not UTF-8, or holds characters that YAML forbids") from None


def unreadable(name: str, problem: str, *, code: str = "unreadable_description") -> BadRequest:
    """Return the refusal for a file that cannot be read, or may not be."""
    shown = f"`{name}`" if name else "the description"
    return BadRequest(f"{shown} cannot be read: {problem}", code=code, hint="send one OpenAPI description")


def _shown(problem: str | None) -> str:
    return (problem or "it is not YAML")[:_MAX_SHOWN]


def _events(text: bytes) -> Iterator[yaml.Event]:
    return cast("Iterator[yaml.Event]", yaml.parse(text, Loader=yaml.CSafeLoader))  # pyright: ignore[reportUnknownMemberType]


@dataclass(slots=True)
class _Open:
    """A collection that is not complete.

    nodes   how many its values are, aliases counted in full
    key     mapping: the name whose value comes next; None: a name comes next
    merges  mapping: what `<<` brings, below what the mapping says itself
    """

    value: dict[str, object] | list[object]
    anchor: str | None
    nodes: int = 1
    key: str | None = None
    merges: list[dict[str, object]] = field(default_factory=list[dict[str, object]])


class _Builder:
    """Values from events, with a stack of its own: depth is counted, never recursed into."""

    def __init__(self, name: str, limits: Limits) -> None:
        self.name = name
        self.limits = limits
        self.stack: list[_Open] = []
        self.anchors: dict[str, tuple[object, int]] = {}
        self.anchored = 0
        self.nodes = 0
        self.aliased = 0
        self.result: object = None

    def build(self, events: Iterator[yaml.Event]) -> object:
        for event in events:
            kind = type(event)
            if kind is yaml.ScalarEvent:
                scalar = cast("yaml.ScalarEvent", event)
                self._place(_scalar(scalar, is_name=self._wants_name()), scalar.anchor, 1, scalar)
            elif kind is yaml.MappingStartEvent:
                self._open({}, cast("yaml.MappingStartEvent", event))
            elif kind is yaml.SequenceStartEvent:
                self._open([], cast("yaml.SequenceStartEvent", event))
            elif kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
                self._close(event)
            elif kind is yaml.AliasEvent:
                self._alias(cast("yaml.AliasEvent", event))
            elif kind is yaml.DocumentEndEvent:
                break
        return self.result

    def _wants_name(self) -> bool:
        top = self.stack[-1] if self.stack else None
        return top is not None and type(top.value) is dict and top.key is None

    def _open(self, collection: dict[str, object] | list[object], event: yaml.NodeEvent) -> None:
        if self._wants_name():
            raise unreadable(self.name, f"a name is no plain text at line {_line(event)}")
        if len(self.stack) >= self.limits.max_depth:
            raise self._too_large(f"nested deeper than {self.limits.max_depth} levels")
        if event.anchor:
            self.anchors.pop(event.anchor, None)  # until it is complete there is nothing to refer to
        self.stack.append(_Open(collection, event.anchor))

    def _close(self, event: yaml.Event) -> None:
        done = self.stack.pop()
        if done.merges:
            own = cast("dict[str, object]", done.value)
            merged: dict[str, object] = {}
            for source in done.merges:
                for name, item in source.items():
                    merged.setdefault(name, item)
            for name, item in merged.items():
                own.setdefault(name, item)
        self._place(done.value, done.anchor, done.nodes, event)

    def _alias(self, event: yaml.AliasEvent) -> None:
        if event.anchor not in self.anchors:
            raise unreadable(self.name, f"an alias has no complete anchor at line {_line(event)}")
        known, nodes = self.anchors[event.anchor]
        self.aliased += nodes
        if self.aliased > self.limits.max_aliased:
            raise self._too_large(f"aliases add more than {self.limits.max_aliased} values")
        if self._wants_name() and not isinstance(known, str):
            raise unreadable(self.name, f"a name is no plain text at line {_line(event)}")
        self._place(known, None, nodes, event)

    def _place(self, item: object, anchor: str | None, nodes: int, event: yaml.Event) -> None:
        """Put a complete value where the events stand; `nodes` is its size, itself included."""
        self.nodes += 1
        if anchor:
            self._remember(anchor, item, nodes)
        if not self.stack:
            self.result = item
            return
        top = self.stack[-1]
        top.nodes += nodes
        if top.nodes > self.limits.max_nodes or self.nodes > self.limits.max_nodes:
            raise self._too_large(f"more than {self.limits.max_nodes} values, aliases counted in full")
        if type(top.value) is list:
            top.value.append(item)
        elif top.key is None:
            top.key = cast("str", item)
        else:
            self._member(top, top.key, item, event)

    def _remember(self, anchor: str, item: object, nodes: int) -> None:
        self.anchored += 1
        if self.anchored > self.limits.max_anchors:
            raise self._too_large(f"more than {self.limits.max_anchors} anchors")
        self.anchors[anchor] = (item, nodes)

    def _member(self, top: _Open, name: str, item: object, event: yaml.Event) -> None:
        top.key = None
        if name != _MERGE:
            cast("dict[str, object]", top.value)[name] = item
            return
        for source in cast("list[object]", item) if isinstance(item, list) else [item]:
            if not isinstance(source, dict):
                raise unreadable(self.name, f"`<<` merges no mapping at line {_line(event)}")
            top.merges.append(cast("dict[str, object]", source))

    def _too_large(self, what: str) -> BadRequest:
        return unreadable(self.name, what, code="description_too_large")


def _line(event: yaml.Event) -> int:
    return cast("int", event.start_mark.line) + 1


def _scalar(event: yaml.ScalarEvent, *, is_name: bool) -> object:
    """Return a scalar by the core schema; a name, a quoted text and `!!str` are text."""
    text: str = event.value
    if is_name or not event.implicit[0] or event.tag == _TEXT_TAG:
        return text
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _NUMERIC:
        return text
    if _INTEGER.fullmatch(text):
        number = int(text)
        return number if -(2**63) <= number < 2**64 else float(number)  # as the JSON decoder has it
    if _FLOAT.fullmatch(text) and any(char.isdigit() for char in text):
        exact = float(text)
        return exact if exact - exact == 0 else text  # infinity is no JSON
    return text
