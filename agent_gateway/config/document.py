"""Documents: one YAML file as plain JSON values, with the place of every key and value.

Stricter than YAML 1.1: only `true` and `false` are booleans (`on`, `no`, `y` stay text), numbers are
decimal, dates stay text, tags and merge keys are refused, a key may appear once, and aliases may not
blow the file up. What the values mean is the work of `load`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, cast

import yaml

from agent_gateway.config.problems import ConfigErrors, Fault, Mark, Path, Problem, dotted, printable

MAX_BYTES: Final = 1024 * 1024
MAX_NODES: Final = 50_000  # after aliases are expanded
MAX_DEPTH: Final = 32
MAX_DIGITS: Final = 18

_INTEGER: Final = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_FLOAT: Final = re.compile(r"[-+]?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]{1,2})?")


@dataclass(frozen=True, slots=True)
class Document:
    """What a file says.

    data  JSON values: dict, list, str, int, float, bool, None
    """

    file: str
    data: object
    keys: dict[Path, Mark] = field(default_factory=dict[Path, Mark])
    values: dict[Path, Mark] = field(default_factory=dict[Path, Mark])

    def locate(self, fault: Fault) -> Problem:
        """Return `fault` with the place of its key or value, or of the nearest parent that is in the file."""
        path = self.present(fault.path)
        mark = self.keys.get(path) if fault.at_key else None
        mark = mark or self.values.get(path, Mark())
        key = dotted(fault.path)
        return Problem(self.file, mark.line, mark.column, key, printable(fault.message), fault.hint, fault.severity)

    def is_empty(self, path: Path) -> bool:
        """Say whether what `path` leads to is in the file with nothing behind it."""
        value: object = self.data
        for part in self.present(path):
            value = cast("dict[str | int, object]", value)[part]
        return value is None

    def present(self, path: Path) -> Path:
        """Return the parts of `path` that lead somewhere in the file."""
        known: Path = ()
        for part in path:
            if (*known, part) in self.values:
                known = (*known, part)
        return known


def read_document(file: str, content: bytes) -> Document:
    """Read one YAML document; raise `ConfigErrors` when it is not one, or breaks a bound or a rule above."""
    if len(content) > MAX_BYTES:
        raise _refusal(file, Mark(), f"the file is larger than {MAX_BYTES} bytes")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise _refusal(file, Mark(), "the file is not UTF-8 text") from None
    try:
        root = _Reader(file, text).read()
    except yaml.MarkedYAMLError as error:
        place = error.problem_mark or error.context_mark
        raise _refusal(file, _mark(place) if place else Mark(), _sentence(error)) from None
    except yaml.YAMLError:
        raise _refusal(file, Mark(), "the file holds a character that YAML does not allow") from None
    return _Flattened(file).build(root)


@dataclass(frozen=True, slots=True)
class _Node:
    mark: Mark
    value: object  # a scalar, a list of nodes, or a tuple of members


@dataclass(frozen=True, slots=True)
class _Member:
    name: str
    mark: Mark
    node: _Node


class _Reader:
    """Events into nodes. The depth is bounded, so the recursion is."""

    def __init__(self, file: str, text: str) -> None:
        self._file = file
        self._events: Iterator[Any] = yaml.parse(text, Loader=yaml.SafeLoader)  # pyright: ignore[reportUnknownMemberType]
        self._anchors: dict[str, _Node] = {}

    def read(self) -> _Node:
        next(self._events)  # the stream starts
        event = next(self._events)
        if isinstance(event, yaml.StreamEndEvent):
            return _Node(Mark(), ())
        node = self._node(next(self._events), 0)
        next(self._events)  # the document ends
        event = next(self._events)
        if not isinstance(event, yaml.StreamEndEvent):
            raise self._refuse(event, "a file holds one document")
        return node

    def _node(self, event: Any, depth: int) -> _Node:
        if depth > MAX_DEPTH:
            raise self._refuse(event, f"nested deeper than {MAX_DEPTH} levels")
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        if event.tag is not None:
            raise self._refuse(event, "tags such as `!!str` are not allowed", "quote the value to make it text")
        node = _Node(_mark(event.start_mark), self._content(event, depth))
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _alias(self, event: Any) -> _Node:
        target = self._anchors.get(event.anchor)
        if target is None:
            raise self._refuse(event, "an alias must follow the end of what it repeats")
        return _Node(_mark(event.start_mark), target.value)

    def _content(self, event: Any, depth: int) -> object:
        if isinstance(event, yaml.MappingStartEvent):
            return tuple(self._members(depth))
        if isinstance(event, yaml.SequenceStartEvent):
            return list(self._items(depth))
        return self._scalar(event)

    def _items(self, depth: int) -> Iterator[_Node]:
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            yield self._node(event, depth + 1)

    def _members(self, depth: int) -> Iterator[_Member]:
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                raise self._refuse(event, "a key is plain text")
            name = cast("str", event.value)
            if name == "<<" and event.style is None:
                raise self._refuse(event, "merge keys (`<<`) are not allowed", "write the keys out")
            yield _Member(name, _mark(event.start_mark), self._node(next(self._events), depth + 1))

    def _scalar(self, event: Any) -> object:
        text = cast("str", event.value)
        if event.style is not None:
            return text
        if text in ("", "~", "null"):
            return None
        if text in ("true", "false"):
            return text == "true"
        if _INTEGER.fullmatch(text):
            if len(text) > MAX_DIGITS:
                raise self._refuse(event, f"a number has more than {MAX_DIGITS} digits")
            return int(text)
        return float(text) if _FLOAT.fullmatch(text) else text

    def _refuse(self, event: Any, message: str, hint: str = "") -> ConfigErrors:
        return _refusal(self._file, _mark(event.start_mark), message, hint)


class _Flattened:
    """Nodes into values and marks, counting what aliases expand to."""

    def __init__(self, file: str) -> None:
        self._count = 0
        self._document = Document(file, None)
        self._errors: list[Problem] = []

    def build(self, root: _Node) -> Document:
        data = self._value(root, ())
        if self._errors:
            raise ConfigErrors(self._errors)
        document = self._document
        return Document(document.file, data, document.keys, document.values)

    def _value(self, node: _Node, path: Path) -> object:
        self._count += 1
        if self._count > MAX_NODES:
            raise _refusal(self._document.file, node.mark, f"more than {MAX_NODES} values once aliases are expanded")
        if len(path) > MAX_DEPTH:
            raise _refusal(self._document.file, node.mark, f"nested deeper than {MAX_DEPTH} levels")
        self._document.values[path] = node.mark
        if isinstance(node.value, tuple):
            return self._mapping(cast("tuple[_Member, ...]", node.value), path)
        if isinstance(node.value, list):
            return [self._value(item, (*path, at)) for at, item in enumerate(cast("list[_Node]", node.value))]
        return node.value

    def _mapping(self, members: tuple[_Member, ...], path: Path) -> dict[str, object]:
        found: dict[str, object] = {}
        for member in members:
            here = (*path, member.name)
            if member.name in found:
                first = self._document.keys[here].line
                self._errors.append(self._twice(member, here, first))
                continue
            self._document.keys[here] = member.mark
            found[member.name] = self._value(member.node, here)
            if isinstance(member.node.value, (list, tuple)):
                self._document.values[here] = member.mark  # people look for a block where its key is
        return found

    def _twice(self, member: _Member, path: Path, first: int) -> Problem:
        mark, message = member.mark, f"`{printable(member.name)}` is here twice; the first is on line {first}"
        return Problem(self._document.file, mark.line, mark.column, dotted(path), message, "keep one of them")


def _mark(place: Any) -> Mark:
    return Mark(int(place.line) + 1, int(place.column) + 1)


def _sentence(error: yaml.MarkedYAMLError) -> str:
    return f"not valid YAML: {error.problem or 'cannot be read'}"


def _refusal(file: str, mark: Mark, message: str, hint: str = "") -> ConfigErrors:
    return ConfigErrors([Problem(file, mark.line, mark.column, "", message, hint)])
