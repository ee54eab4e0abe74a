"""Circles of schemas that a validator would run around for ever.

A tree whose nodes hold nodes is fine: each step goes down in the value. But a base that is `oneOf` its
kinds, each of which is `allOf` its base, asks the same question of the same value again. References of
this sort are edges here; two schemas are in one circle when each leads to the other.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from context_mesh.openapi.files import BrokenReference, Files
from context_mesh.openapi.members import array, mapping

Key = tuple[str, str]  # a file and a pointer
Kind = Literal["all", "plain", "union"]  # of edges: every one, `allOf` and `$ref`, or alternatives
Edges = tuple[tuple[Key, bool], ...]  # where to, and whether through an alternative


class Circles:
    """Answers, for two schemas of one description, whether they are in one circle of a kind."""

    def __init__(self, files: Files, *, reads_siblings: bool) -> None:
        self._files = files
        self._reads_siblings = reads_siblings  # of a `$ref`: 3.1 does, 3.0 does not
        self._edges: dict[Key, Edges] = {}
        self._numbers: dict[Kind, dict[Key, int]] = {"all": {}, "plain": {}, "union": {}}

    def holds(self, kind: Kind, one: Key, other: Key) -> bool:
        """Say whether an edge from `one` to `other` closes a circle of edges of this kind."""
        if one == other:
            return True
        return self._circle(kind, one) == self._circle(kind, other)

    def _circle(self, kind: Kind, key: Key) -> int:
        numbers = self._numbers[kind]
        if key not in numbers:
            _Tarjan(numbers, lambda at: self._followed(kind, at)).explore(key)
        return numbers[key]

    def _followed(self, kind: Kind, key: Key) -> list[Key]:
        if key not in self._edges:
            value = self._files.at(*key).value
            self._edges[key] = tuple(self._outgoing(value, key[0], is_union=False))
        return [to for to, is_union in self._edges[key] if kind == "all" or is_union == (kind == "union")]

    def _outgoing(self, value: object, file: str, *, is_union: bool) -> Iterator[tuple[Key, bool]]:
        written = mapping(value)
        reference = written.get("$ref")
        if isinstance(reference, str):
            try:
                place = self._files.resolve(reference, file)
                yield (place.file, place.pointer), is_union
            except BrokenReference:  # the conversion says so
                pass
            if not self._reads_siblings:
                return
        for part, is_alternative in in_place(written):
            yield from self._outgoing(part, file, is_union=is_union or is_alternative)


def in_place(written: Mapping[str, object]) -> Iterator[tuple[object, bool]]:
    """Yield the schemas in a schema that ask about the same value, and whether they are alternatives."""
    for part in array(written.get("allOf")):
        yield part, False
    for keyword in ("oneOf", "anyOf"):
        for part in array(written.get(keyword)):
            yield part, True
    for keyword in ("not", "if", "then", "else"):
        if keyword in written:
            yield written[keyword], True
    for part in mapping(written.get("dependentSchemas")).values():
        yield part, True


@dataclass(slots=True)
class _Tarjan:
    """Strongly connected components, without recursion; `numbers` keeps them from one start to the next."""

    numbers: dict[Key, int]
    follow: Callable[[Key], list[Key]]
    order: dict[Key, int] = field(default_factory=dict[Key, int])
    low: dict[Key, int] = field(default_factory=dict[Key, int])
    open: list[Key] = field(default_factory=list[Key])

    def explore(self, start: Key) -> None:
        work: list[tuple[Key, Iterator[Key]]] = [self._enter(start)]
        while work:
            key, rest = work[-1]
            following = next(rest, None)
            if following is None:
                work.pop()
                self._leave(key, work[-1][0] if work else None)
            elif following in self.numbers:
                continue
            elif following in self.order:
                self.low[key] = min(self.low[key], self.order[following])
            else:
                work.append(self._enter(following))

    def _enter(self, key: Key) -> tuple[Key, Iterator[Key]]:
        self.order[key] = self.low[key] = len(self.order)
        self.open.append(key)
        return key, iter(self.follow(key))

    def _leave(self, key: Key, above: Key | None) -> None:
        if above is not None:
            self.low[above] = min(self.low[above], self.low[key])
        if self.low[key] != self.order[key]:
            return
        number = len(self.numbers)
        while True:
            member = self.open.pop()
            self.numbers[member] = number
            if member == key:
                return
