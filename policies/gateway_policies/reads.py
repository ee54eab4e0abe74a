"""What a policy reads: which arguments, as which kinds; the time; which facts of a capability.

The record of arguments that policies see is made from this alone, so it does
not change when an upstream is down, and no argument that a policy does not
name ever reaches the evaluator.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from cedarpy import pst

from gateway_policies.sources import Policy, PolicyMistake
from gateway_policies.world import ArgumentKind

Path = tuple[str, ...]  # `context.args.a.b` is ("a", "b")

RESERVED = frozenset(("__entity", "__extn", "__expr"))  # escapes of Cedar's JSON
_RECORD: ArgumentKind = "Record"


@dataclass(frozen=True, slots=True)
class Reads:
    """What one policy's conditions read.

    values    arguments whose value is read
    presence  arguments tested with `has`, read or not
    now       whether the time is read
    operation whether the protocol's operation is read
    caller    whether the principal, its chain or the route is read
    resource  attributes of the capability; `upstream` and `toolsets` also for `in`; `name` for identity
    """

    values: frozenset[Path] = frozenset()
    presence: frozenset[Path] = frozenset()
    now: bool = False
    operation: bool = False
    caller: bool = False
    resource: frozenset[str] = frozenset()

    @property
    def is_dynamic(self) -> bool:
        """Whether two calls of one capability by one principal may end differently."""
        return self.now or self.operation or bool(self.values) or bool(self.presence)


@dataclass(slots=True)
class Reading:
    """`Reads` in the making, with the kinds that the policy's operators ask for."""

    policy: Policy
    values: list[tuple[Path, ArgumentKind | None]] = field(default_factory=list[tuple[Path, ArgumentKind | None]])
    presence: set[Path] = field(default_factory=set[Path])
    equal: list[tuple[Path, Path]] = field(default_factory=list[tuple[Path, Path]])
    resource: set[str] = field(default_factory=set[str])
    now: bool = False
    operation: bool = False
    caller: bool = False
    mistakes: list[PolicyMistake] = field(default_factory=list[PolicyMistake])

    @property
    def paths(self) -> set[Path]:
        """Every argument that is read in some way."""
        return {path for path, _ in self.values} | self.presence

    def done(self) -> Reads:
        """Return what was read."""
        values = frozenset(path for path, _ in self.values)
        presence, resource = frozenset(self.presence), frozenset(self.resource)
        return Reads(values, presence, self.now, self.operation, self.caller, resource)


def read(policy: Policy) -> Reading:
    """Walk the conditions of `policy`; its mistakes are about what the language here does not admit."""
    reading = Reading(policy)
    for clause in policy.tree.clauses:
        _visit(reading, clause.expr, "Bool")
    for path in sorted(reading.paths):
        if not RESERVED.isdisjoint(path):
            reading.mistakes.append(policy.mistake(f"`{dotted(path)}` is not an argument's name", at=path[-1]))
    return reading


def dotted(path: Path) -> str:
    """Return `a.b` for ("a", "b")."""
    return ".".join(path)


def infer_kinds(readings: Iterable[Reading]) -> tuple[dict[Path, ArgumentKind], list[PolicyMistake]]:
    """Return the kind of every argument that some policy reads, and where policies disagree.

    An argument that is only tested with `has` is `Bool`: its presence is all that counts.
    """
    readings = list(readings)
    kinds: dict[Path, ArgumentKind] = {}
    mistakes: list[PolicyMistake] = []
    asked: list[tuple[Path, ArgumentKind | None, Policy]] = [
        (path, kind, reading.policy) for reading in readings for path, kind in reading.values
    ]
    records = {path[:size] for reading in readings for path in reading.paths for size in range(1, len(path))}
    for path, kind, policy in asked:
        if kind is not None and kinds.setdefault(path, kind) != kind:
            mistakes.append(
                policy.mistake(
                    f"argument `{dotted(path)}` is read as {_said(kind)} here and as {_said(kinds[path])} elsewhere",
                    "one name has one kind in all policies: compare it with the same kind of value",
                    at=path[-1],
                )
            )
    _spread(kinds, [pair for reading in readings for pair in reading.equal])
    for path, _, policy in asked:
        told = _untold(path, kinds.get(path), records)
        if told:
            kinds[path] = "String"
            mistakes.append(policy.mistake(*told, at=path[-1]))
    for reading in readings:
        for path in reading.presence:
            kinds.setdefault(path, "Bool")
    kinds.update(dict.fromkeys(records, _RECORD))
    return kinds, mistakes


def _untold(path: Path, kind: ArgumentKind | None, records: set[Path]) -> tuple[str, str] | None:
    """Return what is wrong with reading the value of `path`, and a hint, or None."""
    name = dotted(path)
    if path in records:
        return f"argument `{name}` is a record and cannot be used as a whole", f"name what you read: `{name}.…`"
    if kind is None:
        return (
            f"cannot tell what kind of value argument `{name}` is",
            "compare it with a literal, or use it where only one kind fits",
        )
    if kind == "Other":
        return (
            f"argument `{name}` is compared with what no argument can be",
            "arguments are Long, String, Bool, Set<String>, or a record read member by member",
        )
    return None


def _said(kind: ArgumentKind) -> str:
    return "something else" if kind == "Other" else kind


def _spread(kinds: dict[Path, ArgumentKind], equal: list[tuple[Path, Path]]) -> None:
    """Give an argument the kind of one that it is compared with, until nothing changes."""
    changed = True
    while changed:
        changed = False
        for a, b in [*equal, *((b, a) for a, b in equal)]:
            if a in kinds and b not in kinds:
                kinds[b] = kinds[a]
                changed = True


def argument_path(expr: pst.Expr) -> Path | None:
    """Return the path of `context.args.a.b`, () for `context.args` itself, None for anything else."""
    if not isinstance(expr, pst.GetAttr):
        return None
    if isinstance(expr.base, pst.Var):
        return () if expr.base.name == "context" and expr.attr == "args" else None
    base = argument_path(expr.base)
    return None if base is None else (*base, expr.attr)


# --- the walk ------------------------------------------------------------------------------

_LONGS = frozenset(("less", "less_eq", "greater", "greater_eq", "add", "sub", "mul"))
_UNARY_KINDS: Mapping[str, ArgumentKind] = {"not": "Bool", "neg": "Long", "is_empty": "Set<String>"}
_ATTRIBUTE_KINDS: Mapping[str, ArgumentKind] = {
    **dict.fromkeys(("trust", "risk", "price_micros", "hour", "weekday", "unix", "chain_depth"), "Long"),
    **dict.fromkeys(("issuer", "name", "native", "uri", "route", "operation"), "String"),
    **dict.fromkeys(("scopes", "tags"), "Set<String>"),
    "read_only": "Bool",
}


def _visit(reading: Reading, expr: pst.Expr, expected: ArgumentKind | None) -> None:
    path = argument_path(expr)
    if path:
        reading.values.append((path, expected))
        return
    match expr:
        case pst.Var():
            _visit_variable(reading, expr)
        case pst.GetAttr(base, attr):
            _visit_attribute(reading, base, attr)
        case pst.HasAttr(base, attrs):
            _visit_has(reading, base, attrs)
        case pst.UnaryOp(op, arg):
            if op not in _UNARY_KINDS:
                _refuse(reading, op)
            _visit(reading, arg, _UNARY_KINDS.get(op))
        case pst.BinaryOp():
            _visit_binary(reading, expr)
        case pst.Like(base, _):
            _visit(reading, base, "String")
        case pst.Is(base, _, in_expr):
            _visit_is(reading, base, in_expr)
        case _:
            _visit_compound(reading, expr, expected)


def _visit_compound(reading: Reading, expr: pst.Expr, expected: ArgumentKind | None) -> None:
    match expr:
        case pst.IfThenElse(cond, then, otherwise):
            _visit(reading, cond, "Bool")
            _visit(reading, then, expected or _kind_of(otherwise))
            _visit(reading, otherwise, expected or _kind_of(then))
        case pst.Set(elements):
            _visit_all(reading, elements, "String" if expected == "Set<String>" else _first_kind(elements))
        case pst.Record(fields):
            _visit_all(reading, fields.values(), None)
        case _:
            return  # a literal


def _visit_all(reading: Reading, exprs: Iterable[pst.Expr], expected: ArgumentKind | None) -> None:
    for expr in exprs:
        _visit(reading, expr, expected)


def _visit_variable(reading: Reading, expr: pst.Var) -> None:
    if expr.name == "resource":
        reading.resource.add("name")
    elif expr.name == "principal":
        reading.caller = True
    elif expr.name == "context":
        _refuse_whole(reading, "context")


def _visit_attribute(reading: Reading, base: pst.Expr, attr: str) -> None:
    match base:
        case pst.Var("resource"):
            reading.resource.add(attr)
        case pst.Var("context"):
            reading.now = reading.now or attr == "now"
            reading.operation = reading.operation or attr == "operation"
            reading.caller = reading.caller or attr in ("route", "chain_depth")
            if attr == "args":
                _refuse_whole(reading, "context.args")
        case _:
            _visit(reading, base, None)


def _visit_has(reading: Reading, base: pst.Expr, attrs: tuple[str, ...]) -> None:
    path = argument_path(base)
    if path is not None:
        reading.presence.add((*path, *attrs))
    elif not isinstance(base, pst.Var):
        _visit(reading, base, None)


def _visit_binary(reading: Reading, expr: pst.BinaryOp) -> None:
    left, right = expr.left, expr.right
    if expr.op in ("and", "or"):
        _visit_all(reading, (left, right), "Bool")
    elif expr.op in _LONGS:
        _visit_all(reading, (left, right), "Long")
    elif expr.op in ("eq", "not_eq"):
        _visit(reading, left, _kind_of(right))
        _visit(reading, right, _kind_of(left))
        a, b = argument_path(left), argument_path(right)
        if a and b:
            reading.equal.append((a, b))
    elif expr.op == "in":
        _visit_in(reading, left, right)
    elif expr.op == "contains":
        _visit_contains(reading, left, right)
    elif expr.op in ("contains_all", "contains_any"):
        _visit_all(reading, (left, right), "Set<String>")
    else:
        _refuse(reading, expr.op)


def _visit_contains(reading: Reading, left: pst.Expr, right: pst.Expr) -> None:
    if isinstance(left, pst.Set):
        element = _first_kind((*left.elements, right))
        _visit_all(reading, left.elements, element)
        _visit(reading, right, element)
    else:
        _visit(reading, left, "Set<String>")
        _visit(reading, right, "String")


def _visit_is(reading: Reading, base: pst.Expr, in_expr: pst.Expr | None) -> None:
    if in_expr is not None or base != pst.Var("resource"):  # its type is no attribute: groups keep types apart
        _visit_in(reading, base, in_expr)


def _visit_in(reading: Reading, left: pst.Expr, right: pst.Expr | None) -> None:
    groups = right.elements if isinstance(right, pst.Set) else () if right is None else (right,)
    if isinstance(left, pst.Var) and left.name == "resource":
        for group in groups:
            kind = str(group.value.type) if isinstance(group, pst.EntityLit) else ""
            reading.resource.add({"Upstream": "upstream", "Toolset": "toolsets"}.get(kind, "name"))
    else:
        _visit(reading, left, None)
    _visit_all(reading, groups, None)


def _refuse(reading: Reading, operator: str) -> None:
    reading.mistakes.append(
        reading.policy.mistake(
            f"`{operator}` is not supported",
            "times are `context.now.unix`, `.hour` (UTC) and `.weekday` (1 is Monday); there are no extension types",
            at=operator,
        )
    )


def _refuse_whole(reading: Reading, name: str) -> None:
    reading.mistakes.append(
        reading.policy.mistake(
            f"`{name}` cannot be used as a whole", f"name what you read: `{name}.…`", at=name.rpartition(".")[2]
        )
    )


def _first_kind(exprs: Iterable[pst.Expr]) -> ArgumentKind | None:
    return next((kind for kind in map(_kind_of, exprs) if kind is not None), None)


def _kind_of(expr: pst.Expr) -> ArgumentKind | None:
    """Return the kind of value that `expr` is, or None when only its context can tell."""
    match expr:
        case pst.LongLit():
            return "Long"
        case pst.StringLit():
            return "String"
        case pst.BoolLit() | pst.HasAttr() | pst.Like() | pst.Is():
            return "Bool"
        case pst.EntityLit() | pst.Var() | pst.Record():
            return "Other"
        case pst.UnaryOp(op, _):
            return "Long" if op == "neg" else "Bool"
        case pst.BinaryOp(op, _, _):
            return "Long" if op in ("add", "sub", "mul") else "Bool"
        case pst.IfThenElse(_, then, otherwise):
            return _first_kind((then, otherwise))
        case pst.Set(elements):
            return "Set<String>" if _first_kind(elements) in ("String", None) else "Other"
        case pst.GetAttr(_, attr) if argument_path(expr) is None:
            return _ATTRIBUTE_KINDS.get(attr, "Other")
        case _:
            return None
