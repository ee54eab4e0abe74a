"""Render: a typed tree as Cedar text, for answers that quote a policy."""

from collections.abc import Mapping

from cedarpy import pst

_BINARY: Mapping[str, str] = {
    "eq": "==",
    "not_eq": "!=",
    "less": "<",
    "less_eq": "<=",
    "greater": ">",
    "greater_eq": ">=",
    "and": "&&",
    "or": "||",
    "add": "+",
    "sub": "-",
    "mul": "*",
    "in": "in",
}
_METHODS: Mapping[str, str] = {
    "contains": "contains",
    "contains_all": "containsAll",
    "contains_any": "containsAny",
    "is_empty": "isEmpty",
}


def render(expr: pst.Expr) -> str:
    """Return `expr` as text that Cedar would read back to the same tree."""
    match expr:
        case pst.BinaryOp(op, left, right) if op in _BINARY:
            return f"{_tight(left)} {_BINARY[op]} {_tight(right)}"
        case pst.BinaryOp(op, left, right):
            return f"{_tight(left)}.{_METHODS.get(op, op)}({render(right)})"
        case pst.UnaryOp("not", arg):
            return f"!{_tight(arg)}"
        case pst.UnaryOp("neg", arg):
            return f"-{_tight(arg)}"
        case pst.UnaryOp(op, arg):
            return f"{_tight(arg)}.{_METHODS.get(op, op)}()"
        case pst.IfThenElse(cond, then, otherwise):
            return f"if {render(cond)} then {render(then)} else {render(otherwise)}"
        case _:
            return _render_access(expr)


def _render_access(expr: pst.Expr) -> str:
    match expr:
        case pst.GetAttr(base, attr):
            return f"{_tight(base)}.{attr}" if attr.isidentifier() else f"{_tight(base)}[{_quote(attr)}]"
        case pst.HasAttr(base, attrs):
            return f"{_tight(base)} has {'.'.join(attr if attr.isidentifier() else _quote(attr) for attr in attrs)}"
        case pst.Like(base, pattern):
            return f"{_tight(base)} like {_pattern(pattern)}"
        case pst.Is(base, entity_type, in_expr):
            inside = "" if in_expr is None else f" in {_tight(in_expr)}"
            return f"{_tight(base)} is {entity_type}{inside}"
        case pst.Set(elements):
            return f"[{', '.join(render(element) for element in elements)}]"
        case pst.Record(fields):
            return f"{{{', '.join(f'{_quote(name)}: {render(value)}' for name, value in fields.items())}}}"
        case _:
            return _render_atom(expr)


def _render_atom(expr: pst.Expr) -> str:
    match expr:
        case pst.Var(name):
            return name
        case pst.BoolLit(value):
            return "true" if value else "false"
        case pst.LongLit(value):
            return str(value)
        case pst.StringLit(value):
            return _quote(value)
        case pst.EntityLit(value):
            return f"{value.type}::{_quote(value.id)}"
        case _:
            return "?"


def _tight(expr: pst.Expr) -> str:
    """Return `expr` in parentheses unless it binds tightest."""
    text = render(expr)
    is_loose = isinstance(expr, pst.BinaryOp) and expr.op in _BINARY
    is_loose = is_loose or (isinstance(expr, pst.UnaryOp) and expr.op in ("not", "neg"))
    return f"({text})" if is_loose or isinstance(expr, pst.IfThenElse | pst.HasAttr | pst.Like | pst.Is) else text


def _pattern(pattern: tuple[pst.PatternElem, ...]) -> str:
    parts = (_escape(part.value).replace("*", "\\*") if isinstance(part, pst.Char) else "*" for part in pattern)
    return f'"{"".join(parts)}"'


def _quote(text: str) -> str:
    return f'"{_escape(text)}"'


def _escape(text: str) -> str:
    """Escape as Cedar does: quotes, backslashes, and what cannot be printed."""
    return "".join(
        f"\\{char}" if char in '"\\' else char if char.isprintable() else f"\\u{{{ord(char):x}}}" for char in text
    )
