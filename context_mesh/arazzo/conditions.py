"""Conditions: `$statusCode == 200 && $response.body#/state != 'done'`, patterns, and JSONPath.

What cannot be evaluated does not hold: a mistake in a description makes a step fail, never succeed.
Source: Arazzo 1.1, "Criterion Object".
"""

import re
from collections.abc import Callable, Sequence
from typing import Final

from context_mesh.arazzo.expressions import MAX_NODES, Scene, as_text, embedded, evaluate, is_expression
from context_mesh.arazzo.model import Criterion
from context_mesh.openapi.jsonpath import BadPath, holds
from context_mesh.openapi.model import ABSENT

MAX_CONDITION_CHARS: Final = 2_000
MAX_DEPTH: Final = 32  # of parentheses and negations
MAX_MATCHED_CHARS: Final = 10_000  # of a text that a pattern is held against

Matches = Callable[[str, str], bool]  # (pattern, text): is it found in it? In linear time, False for a bad pattern
Test = Callable[[Scene], bool]
_Value = Callable[[Scene], object]

_TOKEN: Final = re.compile(
    r"\s*(?:(&&|\|\||==|!=|<=|>=|<|>|!|\(|\))"
    r"|(\$[A-Za-z](?:\[\d+\]|[^\s()<>=!&|'\"\[\]])*)"
    r"|'((?:[^']|'')*)'|\"([^\"]*)\""
    r"|(-?\d+(?:\.\d+)?(?:[eE][+-]?\d{1,3})?)(?![A-Za-z0-9_])"
    r"|(true|false|null)(?![A-Za-z0-9_]))"
)
_WORDS: Final[dict[str, object]] = {"true": True, "false": False, "null": None}


class BadCondition(Exception):
    """The condition cannot be read; says where."""


def hold(criteria: Sequence[Criterion], scene: Scene, matches: Matches) -> bool:
    """Say whether all criteria hold; none at all hold too."""
    return all(_holds(one, scene, matches) for one in criteria)


def mistake(criterion: Criterion) -> str:
    """Return what is wrong with a criterion as it is written, empty for nothing."""
    if criterion.kind == "simple":
        try:
            read(criterion.condition)
        except BadCondition as bad:
            return str(bad)
        return ""
    if not is_expression(criterion.context):
        return "the context is no runtime expression"
    if criterion.kind == "jsonpath" and "{$" not in criterion.condition:
        try:
            holds(criterion.condition, None)
        except BadPath as bad:
            return str(bad)
    return ""


def _holds(criterion: Criterion, scene: Scene, matches: Matches) -> bool:
    if criterion.kind == "simple":
        try:
            return read(criterion.condition)(scene)
        except BadCondition:
            return False
    context = evaluate(criterion.context, scene)
    if context is ABSENT or context is None:
        return False
    if criterion.kind == "regex":
        pattern = embedded(criterion.condition, scene, lambda value: re.escape(as_text(value)))
        return matches(pattern, as_text(context)[:MAX_MATCHED_CHARS])
    try:
        query = embedded(criterion.condition, scene, _quoted)
        return holds(query, context, max_nodes=MAX_NODES)
    except BadPath:
        return False


def _quoted(value: object) -> str:
    """Return a value as it may stand between the quotes of a JSONPath, without ending them."""
    return as_text(value).replace("\\", "\\\\").replace("'", "\\'").replace('"', '\\"')


# --- simple conditions -----------------------------------------------------------------------


def read(condition: str) -> Test:
    """Return a simple condition as a test; raises `BadCondition`."""
    if len(condition) > MAX_CONDITION_CHARS:
        raise BadCondition(f"the condition has more than {MAX_CONDITION_CHARS} characters")
    reader = _Reader(_tokens(condition))
    test = reader.either()
    if reader.tokens:
        raise BadCondition(f"the condition goes on with `{reader.tokens[0][0][:50]}`")
    return test


_Token = tuple[str, _Value | None]  # an operator, or a value and how it is written


def _tokens(condition: str) -> list[_Token]:
    found: list[_Token] = []
    at = 0
    while condition[at:].strip():
        token = _TOKEN.match(condition, at)
        if token is None:
            raise BadCondition(f"the condition cannot be read at character {at + 1}")
        found.append((token[0].strip(), _value(token)))
        at = token.end()
    return found


def _value(token: re.Match[str]) -> _Value | None:
    operator, expression, single, double, number, word = token.groups()
    if operator:
        return None
    if expression:
        return lambda scene: evaluate(expression, scene)
    literal: object
    if single is not None:
        literal = single.replace("''", "'")
    elif double is not None:
        literal = double
    else:
        literal = _WORDS[word] if word else float(number)
    return lambda _: literal


class _Reader:
    """Recursive descent over the tokens of one condition."""

    def __init__(self, tokens: list[_Token]) -> None:
        self.tokens = tokens
        self._depth = 0

    def _take(self, *operators: str) -> str:
        if self.tokens and self.tokens[0][1] is None and self.tokens[0][0] in operators:
            return self.tokens.pop(0)[0]
        return ""

    def either(self) -> Test:
        tests = [self._both()]
        while self._take("||"):
            tests.append(self._both())
        return lambda scene: any(test(scene) for test in tests)

    def _both(self) -> Test:
        tests = [self._one()]
        while self._take("&&"):
            tests.append(self._one())
        return lambda scene: all(test(scene) for test in tests)

    def _one(self) -> Test:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise BadCondition("the condition is nested too deep")
        test = self._negated() if self._take("!") else self._grouped() if self._take("(") else self._comparison()
        self._depth -= 1
        return test

    def _negated(self) -> Test:
        test = self._one()
        return lambda scene: not test(scene)

    def _grouped(self) -> Test:
        test = self.either()
        if not self._take(")"):
            raise BadCondition("the condition lacks a `)`")
        return test

    def _comparison(self) -> Test:
        left = self._operand()
        operator = self._take("==", "!=", "<", "<=", ">", ">=")
        if not operator:
            return lambda scene: left(scene) is True
        right, compare = self._operand(), _COMPARE[operator]
        return lambda scene: compare(left(scene), right(scene))

    def _operand(self) -> _Value:
        value = self.tokens[0][1] if self.tokens else None
        if value is None:
            raise BadCondition("the condition lacks a value")
        self.tokens.pop(0)
        return value


def _equal(left: object, right: object) -> bool:
    left, right = (None if side is ABSENT else side for side in (left, right))
    if isinstance(left, bool) or isinstance(right, bool) or left is None or right is None:
        return _plain(left) == _plain(right)
    if isinstance(left, str) and isinstance(right, str):
        return left.casefold() == right.casefold()
    numbers = _number(left), _number(right)
    return left == right if None in numbers else numbers[0] == numbers[1]


def _plain(value: object) -> object:
    """Return a boolean that was written as a text as one, and every other value so that it equals no boolean."""
    if isinstance(value, str) and value.casefold() in ("true", "false"):
        return value.casefold() == "true"
    return value if isinstance(value, bool) or value is None else [value]


def _less(left: object, right: object) -> bool:
    numbers = _number(left), _number(right)
    if numbers[0] is not None and numbers[1] is not None:
        return numbers[0] < numbers[1]
    return isinstance(left, str) and isinstance(right, str) and left.casefold() < right.casefold()


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        return float(value) if not isinstance(value, str) or len(value) < 40 else None
    except (ValueError, OverflowError):
        return None


_COMPARE: Final[dict[str, Callable[[object, object], bool]]] = {
    "==": _equal,
    "!=": lambda left, right: not _equal(left, right),
    "<": _less,
    ">": lambda left, right: _less(right, left),
    "<=": lambda left, right: _less(left, right) or _equal(left, right),
    ">=": lambda left, right: _less(right, left) or _equal(left, right),
}
