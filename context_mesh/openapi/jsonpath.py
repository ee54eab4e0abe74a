"""JSONPath (RFC 9535): which nodes of a value a query selects.

Filters and their functions (`length`, `count`, `match`, `search`, `value`) included. A query is written
by an operator (in an overlay) or a third party (in a workflow that was approved), never by an agent or an
upstream; third parties get no patterns, for theirs could take forever.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, cast

from context_mesh.openapi.comparisons import COMPARE

MAX_QUERY_CHARS: Final = 2_000
MAX_NODES: Final = 400_000  # that a query may touch on its way
MAX_DEPTH: Final = 32  # of parentheses and brackets in a query

Key = str | int
Node = tuple[tuple[Key, ...], object]  # where, and what
Selector = Callable[[Node, "_Root"], Iterator[Node]]  # a node and the root
Test = Callable[[object, "_Root"], bool]  # the current value and the root
NOTHING: Final = object()


class BadPath(Exception):
    """The query is no JSONPath, or selects too much; says where."""


class _Root:
    """The value that a query began at, and how many nodes may still be touched, filters within filters included."""

    __slots__ = ("_left", "_most", "value")

    def __init__(self, value: object, most: int) -> None:
        self.value = value
        self._left = self._most = most

    def touch(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise BadPath(f"the query touches more than {self._most} nodes")


def select(query: str, root: object, *, max_nodes: int = MAX_NODES, has_patterns: bool = True) -> list[Node]:
    """Return the nodes that `query` selects in `root`, each with its path, in order; a node may come twice.

    has_patterns  whether `match` and `search` are functions

    Raises `BadPath`.
    """
    parser = _Parser(query, has_patterns=has_patterns)
    parser.expect("$")
    segments = parser.segments()
    if parser.rest:
        raise parser.bad("a segment")
    try:
        return _run(segments, ((), root), _Root(root, max_nodes))
    except RecursionError:
        raise BadPath("the value is nested too deep for a query") from None


def holds(condition: str, value: object, *, max_nodes: int = MAX_NODES) -> bool:
    """Say whether a query selects anything in `value`, or a comparison of queries (`$.state == 'done'`) is true of it.

    Patterns are no part of it. Raises `BadPath`.
    """
    parser = _Parser(condition, has_patterns=False)
    test = parser.either()
    if parser.rest.strip():
        raise parser.bad("an operator")
    try:
        return test(value, _Root(value, max_nodes))
    except RecursionError:
        raise BadPath("the value is nested too deep for a query") from None


def _run(segments: list[Selector], start: Node, root: _Root) -> list[Node]:
    nodes = [start]
    for segment in segments:
        found: list[Node] = []
        for node in nodes:
            for selected in segment(node, root):
                root.touch()
                found.append(selected)
        nodes = found
    return nodes


def _children(node: Node) -> Iterator[Node]:
    path, value = node
    if isinstance(value, dict):
        for name, child in cast("dict[str, object]", value).items():
            yield (*path, name), child
    elif isinstance(value, list):
        for index, child in enumerate(cast("list[object]", value)):
            yield (*path, index), child


def _descendants(node: Node) -> Iterator[Node]:
    yield node
    for child in _children(node):
        yield from _descendants(child)


def _name(name: str) -> Selector:
    def selector(node: Node, _: _Root) -> Iterator[Node]:
        path, value = node
        if isinstance(value, dict) and name in value:
            yield (*path, name), cast("dict[str, object]", value)[name]

    return selector


def _index(index: int) -> Selector:
    def selector(node: Node, _: _Root) -> Iterator[Node]:
        path, value = node
        if isinstance(value, list):
            items = cast("list[object]", value)
            if -len(items) <= index < len(items):
                yield (*path, index % len(items)), items[index]

    return selector


def _slice(part: slice) -> Selector:
    def selector(node: Node, _: _Root) -> Iterator[Node]:
        path, value = node
        if isinstance(value, list) and part.step != 0:
            items = cast("list[object]", value)
            for index in range(len(items))[part]:
                yield (*path, index), items[index]

    return selector


def _wildcard(node: Node, _: _Root) -> Iterator[Node]:
    yield from _children(node)


def _filter(test: Test) -> Selector:
    def selector(node: Node, root: _Root) -> Iterator[Node]:
        for child in _children(node):
            root.touch()
            if test(child[1], root):
                yield child

    return selector


def _union(selectors: list[Selector]) -> Selector:
    def selector(node: Node, root: _Root) -> Iterator[Node]:
        for one in selectors:
            yield from one(node, root)

    return selector


def _deep(below: Selector) -> Selector:
    def selector(node: Node, root: _Root) -> Iterator[Node]:
        for descendant in _descendants(node):
            root.touch()
            yield from below(descendant, root)

    return selector


@dataclass(frozen=True, slots=True)
class _Operand:
    """One side of a comparison. `nodes` gives what a query selects; `value` a literal's or a function's."""

    value: Callable[[object, _Root], object]
    nodes: Callable[[object, _Root], list[Node]] | None = None
    is_logical: bool = False


_SHORTHAND: Final = re.compile(r"[A-Za-z_\u0080-\U0010ffff][A-Za-z0-9_\u0080-\U0010ffff]*")
_STRING: Final = re.compile(r"'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\"")
_SLICE: Final = re.compile(r"(-?\d{1,9})?\s*:\s*(-?\d{1,9})?\s*(?::\s*(-?\d{1,9})?)?")
_INDEX: Final = re.compile(r"-?\d{1,9}")
_NUMBER: Final = re.compile(r"-?(?:0|[1-9]\d{0,15})(?:\.\d{1,15})?(?:[eE][+-]?\d{1,2})?")
_COMPARISON: Final = re.compile(r"==|!=|<=|>=|<|>")
_FUNCTION: Final = re.compile(r"(length|count|match|search|value)\(")
_PATTERNED: Final = frozenset({"match", "search"})
_WORDS: Final[dict[str, object]] = {"true": True, "false": False, "null": None}
_ESCAPES: Final = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


class _Parser:
    """Recursive descent over one query."""

    def __init__(self, query: str, *, has_patterns: bool) -> None:
        if len(query) > MAX_QUERY_CHARS:
            raise BadPath(f"the query has more than {MAX_QUERY_CHARS} characters")
        self.query = query
        self.has_patterns = has_patterns
        self.position = 0
        self.depth = 0

    @property
    def rest(self) -> str:
        return self.query[self.position :]

    def bad(self, wanted: str) -> BadPath:
        return BadPath(f"the query needs {wanted} at character {self.position + 1}")

    def space(self) -> None:
        while self.rest[:1] in (" ", "\t", "\n", "\r") and self.rest:
            self.position += 1

    def take(self, token: str) -> bool:
        self.space()
        if not self.query.startswith(token, self.position):
            return False
        self.position += len(token)
        return True

    def expect(self, token: str) -> None:
        if not self.take(token):
            raise self.bad(f"`{token}`")

    def match(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        self.space()
        found = pattern.match(self.query, self.position)
        if found:
            self.position = found.end()
        return found

    def segments(self) -> list[Selector]:
        found: list[Selector] = []
        while True:
            if self.take(".."):
                found.append(_deep(self.bracketed() if self.take("[") else self.shorthand()))
            elif self.take("."):
                found.append(self.shorthand())
            elif self.take("["):
                found.append(self.bracketed())
            else:
                return found

    def shorthand(self) -> Selector:
        if self.take("*"):
            return _wildcard
        name = self.match(_SHORTHAND)
        if not name:
            raise self.bad("a name")
        return _name(name[0])

    def bracketed(self) -> Selector:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise self.bad("fewer brackets")
        selectors = [self.selector()]
        while self.take(","):
            selectors.append(self.selector())
        self.expect("]")
        self.depth -= 1
        return _union(selectors)

    def selector(self) -> Selector:
        if self.take("*"):
            return _wildcard
        if self.take("?"):
            return _filter(self.either())
        text = self.string()
        if text is not None:
            return _name(text)
        part = self.match(_SLICE)
        if part:
            return _slice(slice(*(int(number) if number else None for number in part.groups())))
        index = self.match(_INDEX)
        if not index:
            raise self.bad("a selector")
        return _index(int(index[0]))

    def string(self) -> str | None:
        found = self.match(_STRING)
        if not found:
            return None
        inside = found[1] if found[1] is not None else found[2]
        return re.sub(r"\\(u[0-9A-Fa-f]{4}|.)", _unescape, inside)

    def either(self) -> Test:
        tests = [self.both()]
        while self.take("||"):
            tests.append(self.both())
        return lambda value, root: any(test(value, root) for test in tests)

    def both(self) -> Test:
        tests = [self.basic()]
        while self.take("&&"):
            tests.append(self.basic())
        return lambda value, root: all(test(value, root) for test in tests)

    def basic(self) -> Test:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise self.bad("fewer parentheses")
        test = self.negated() if self.take("!") else self.grouped() if self.take("(") else self.comparison()
        self.depth -= 1
        return test

    def negated(self) -> Test:
        test = self.basic()
        return lambda value, root: not test(value, root)

    def grouped(self) -> Test:
        test = self.either()
        self.expect(")")
        return test

    def comparison(self) -> Test:
        left = self.operand()
        operator = self.match(_COMPARISON)
        if operator:
            right = self.operand()
            compare = COMPARE[operator[0]]
            return lambda value, root: compare(left.value(value, root), right.value(value, root))
        if left.nodes is not None:
            nodes = left.nodes
            return lambda value, root: bool(nodes(value, root))
        if not left.is_logical:
            raise self.bad("a comparison")
        return lambda value, root: left.value(value, root) is True

    def operand(self) -> _Operand:
        for sigil in ("@", "$"):
            if self.take(sigil):
                return _query(self.segments(), is_absolute=sigil == "$")
        function = self.match(_FUNCTION)
        if function:
            return self.function(function[1])
        text = self.string()
        if text is not None:
            return _Operand(lambda _value, _root: text)
        number = self.match(_NUMBER)
        if number:
            exact = float(number[0])
            return _Operand(lambda _value, _root: exact)
        for word, meaning in _WORDS.items():
            if self.take(word):
                return _Operand(lambda _value, _root, meaning=meaning: meaning)
        raise self.bad("a value")

    def function(self, name: str) -> _Operand:
        if name in _PATTERNED and not self.has_patterns:
            raise self.bad(f"something else than `{name}`, which is not to be had here,")
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise self.bad("fewer parentheses")
        arguments = [self.operand()]
        while self.take(","):
            arguments.append(self.operand())
        self.expect(")")
        self.depth -= 1
        if len(arguments) != (2 if name in _PATTERNED else 1):
            raise self.bad("another number of arguments")
        first, last = arguments[0], arguments[-1]
        if name == "count":
            nodes = first.nodes
            return _Operand(lambda value, root: len(nodes(value, root)) if nodes else NOTHING)
        if name == "length":
            return _Operand(lambda value, root: _length(first.value(value, root)))
        if name == "value":
            return first if first.nodes is None else _Operand(first.value)
        whole = name == "match"
        return _Operand(
            lambda value, root: _matches(first.value(value, root), last.value(value, root), whole=whole),
            is_logical=True,
        )


def _query(segments: list[Selector], *, is_absolute: bool) -> _Operand:
    def nodes(value: object, root: _Root) -> list[Node]:
        return _run(segments, ((), root.value if is_absolute else value), root)

    def single(value: object, root: _Root) -> object:
        found = nodes(value, root)
        return found[0][1] if len(found) == 1 else NOTHING

    return _Operand(single, nodes)


def _unescape(match: re.Match[str]) -> str:
    escaped = match[1]
    return chr(int(escaped[1:], 16)) if len(escaped) == 5 else _ESCAPES.get(escaped, escaped)


def _length(value: object) -> object:
    return len(cast("str", value)) if isinstance(value, str | list | dict) else NOTHING


def _matches(value: object, pattern: object, *, whole: bool) -> bool:
    if not isinstance(value, str) or not isinstance(pattern, str):
        return False
    try:
        return bool(re.fullmatch(pattern, value) if whole else re.search(pattern, value))
    except (re.error, RecursionError, OverflowError):
        return False
