"""Operators of the policy language on plain values, as Cedar defines them.

Each takes values that are known and returns a value, or `FAILED` when the
types are wrong or an integer leaves 64 bits.
"""

from collections.abc import Callable

from gateway_policies.values import FAILED, LONG_MAX, LONG_MIN, Plain, Value


def matches(text: str, parts: list[str]) -> bool:
    """Match text against parts with a wildcard between each two; linear, so no pattern is slow."""
    first, last = parts[0], parts[-1]
    if len(parts) == 1:
        return text == first
    if len(text) < len(first) + len(last) or not text.startswith(first) or not text.endswith(last):
        return False
    at, end = len(first), len(text) - len(last)
    for part in parts[1:-1]:
        at = text.find(part, at, end)
        if at < 0:
            return False
        at += len(part)
    return True


def _long(value: int) -> Value:
    return value if LONG_MIN <= value <= LONG_MAX else FAILED


def _on_longs(operator: Callable[[int, int], Value]) -> Callable[[Plain, Plain], Value]:
    return lambda a, b: operator(a, b) if isinstance(a, int) and isinstance(b, int) else FAILED


def _on_sets(operator: Callable[[frozenset[Plain], frozenset[Plain]], bool]) -> Callable[[Plain, Plain], Value]:
    return lambda a, b: operator(a, b) if isinstance(a, frozenset) and isinstance(b, frozenset) else FAILED


UNARY: dict[str, Callable[[Plain], Value]] = {
    "not": lambda value: not value if isinstance(value, bool) else FAILED,
    "neg": lambda value: _long(-value) if isinstance(value, int) else FAILED,
    "is_empty": lambda value: not value if isinstance(value, frozenset) else FAILED,
}

BINARY: dict[str, Callable[[Plain, Plain], Value]] = {
    "eq": lambda a, b: a == b,
    "not_eq": lambda a, b: a != b,
    "less": _on_longs(lambda a, b: a < b),
    "less_eq": _on_longs(lambda a, b: a <= b),
    "greater": _on_longs(lambda a, b: a > b),
    "greater_eq": _on_longs(lambda a, b: a >= b),
    "add": _on_longs(lambda a, b: _long(a + b)),
    "sub": _on_longs(lambda a, b: _long(a - b)),
    "mul": _on_longs(lambda a, b: _long(a * b)),
    "contains": lambda a, b: b in a if isinstance(a, frozenset) else FAILED,
    "contains_all": _on_sets(lambda a, b: a >= b),
    "contains_any": _on_sets(lambda a, b: not a.isdisjoint(b)),
}
