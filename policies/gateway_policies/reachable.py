"""Reachable: can a policy ever match, in any world?

Cedar's validator accepts `resource.risk < 3 && resource.risk > 5`. Here every
number, flag and name that a condition only compares with literals is tried on
all values that could make a difference; everything else stays unknown. When
every trial is false or an error, no call can ever satisfy the condition.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from math import prod

from cedarpy import pst

from gateway_policies.kinds import TYPES
from gateway_policies.partial import Scene, compile_clauses
from gateway_policies.scopes import types_in
from gateway_policies.sources import Policy
from gateway_policies.values import Plain, Unknown, unknown

MAX_TRIALS = 2048  # beyond it the policy is taken to be reachable

_RANGES: Mapping[str, tuple[int, int]] = {
    "principal.trust": (0, 10),
    "resource.risk": (0, 10),
    "resource.price_micros": (0, 2**63 - 1),
    "context.now.hour": (0, 23),
    "context.now.weekday": (1, 7),
    "context.now.unix": (0, 2**63 - 1),
    "context.chain_depth": (0, 2**63 - 1),
}
_ANY = (-(2**63), 2**63 - 1)
_FRESH = "\x00 no such name"  # stands for every string that the policy does not name
_COMPARE = frozenset(("eq", "not_eq", "less", "less_eq", "greater", "greater_eq"))
_PRINCIPALS = frozenset(("Agent", "User", "Workload"))


def can_match(policy: Policy) -> bool:
    """Say whether some principal, capability, arguments and time could satisfy `policy`."""
    facts = _Facts()
    for clause in policy.tree.clauses:
        _gather(facts, clause.expr)
    leaves = sorted(leaf for leaf in facts.literals if leaf not in facts.other_uses)
    domains = [_domain(leaf, facts.literals[leaf]) for leaf in leaves]
    if prod(len(domain) for domain in domains) > MAX_TRIALS:
        leaves, domains = [], []
    condition = compile_clauses(policy.tree)
    resources = sorted(types_in(policy.tree.action) & _types(policy.tree.resource, TYPES))
    for caller, resource in product(sorted(_types(policy.tree.principal, _PRINCIPALS)), resources):
        for values in product(*domains):
            value = condition(_scene(caller, resource, dict(zip(leaves, values, strict=True))))
            if value is True or isinstance(value, Unknown):
                return True
    return False


@dataclass(slots=True)
class _Facts:
    """How each leaf (`resource.risk`) is used: with which literals, and whether otherwise too."""

    literals: dict[str, set[str | int | bool]] = field(default_factory=dict[str, set[str | int | bool]])
    other_uses: set[str] = field(default_factory=set[str])


def _gather(facts: _Facts, expr: pst.Expr) -> None:
    pair = _comparison(expr)
    if pair is not None:
        leaf, values = pair
        facts.literals.setdefault(leaf, set()).update(values)
        return
    leaf = _leaf(expr)
    if leaf:
        facts.other_uses.add(leaf)
        return
    for child in _children(expr):
        name = _leaf(child)
        if name and _is_test(expr):
            facts.literals.setdefault(name, set()).update((True, False))
        else:
            _gather(facts, child)


def _is_test(expr: pst.Expr) -> bool:
    """Whether a leaf directly below `expr` must be a Bool."""
    if isinstance(expr, pst.BinaryOp):
        return expr.op in ("and", "or")
    return isinstance(expr, pst.UnaryOp) and expr.op == "not"


def _comparison(expr: pst.Expr) -> tuple[str, list[str | int | bool]] | None:
    """Return (leaf, literals) when `expr` only compares a leaf with literals."""
    if not isinstance(expr, pst.BinaryOp):
        return None
    if expr.op == "contains" and isinstance(expr.left, pst.Set):
        values = [_literal(element) for element in expr.left.elements]
        leaf = _leaf(expr.right)
        known = [value for value in values if value is not None]
        return (leaf, known) if leaf and len(known) == len(values) else None
    if expr.op in _COMPARE:
        for side, other in ((expr.left, expr.right), (expr.right, expr.left)):
            leaf, value = _leaf(side), _literal(other)
            if leaf and value is not None:
                return leaf, [value]
    return None


def _literal(expr: pst.Expr) -> str | int | bool | None:
    return expr.value if isinstance(expr, pst.LongLit | pst.StringLit | pst.BoolLit) else None


def _leaf(expr: pst.Expr) -> str:
    """Return `resource.risk`, `context.args.a.b`, …, or nothing."""
    names: list[str] = []
    while isinstance(expr, pst.GetAttr):
        names.append(expr.attr)
        expr = expr.base
    if not names or not isinstance(expr, pst.Var):
        return ""
    return ".".join((expr.name, *reversed(names)))


def _children(expr: pst.Expr) -> Iterator[pst.Expr]:
    match expr:
        case pst.BinaryOp(_, left, right):
            yield from (left, right)
        case pst.UnaryOp(_, arg):
            yield arg
        case pst.IfThenElse(cond, then, otherwise):
            yield from (cond, then, otherwise)
        case pst.Set(elements):
            yield from elements
        case pst.Record(fields):
            yield from fields.values()
        case pst.GetAttr(base, _) | pst.Like(base, _) | pst.Is(base, _, _):
            yield base
        case _:
            return


def _domain(leaf: str, literals: set[str | int | bool]) -> list[str | int | bool]:
    """Return a value for every way in which `leaf` can stand to the literals."""
    if any(isinstance(value, str) for value in literals):
        return [*sorted(value for value in literals if isinstance(value, str)), _FRESH]
    if any(isinstance(value, bool) for value in literals):
        return [True, False]
    low, high = _RANGES.get(leaf, _ANY)
    near = {low, high}
    near.update(value + step for value in literals if isinstance(value, int) for step in (-1, 0, 1))
    return sorted(value for value in near if low <= value <= high)


def _types(constraint: pst.PrincipalOrResourceConstraint, every: frozenset[str]) -> frozenset[str]:
    match constraint:
        case pst.ScopeEq(pst.EntityUid() as uid):
            return frozenset((str(uid.type),))
        case pst.ScopeIs(entity_type) | pst.ScopeIsIn(entity_type, _):
            return frozenset((str(entity_type),))
        case _:
            return every


def _scene(caller: str, resource: str, assumed: Mapping[str, Plain]) -> Scene:
    return Scene(
        principal=Unknown(frozenset(("principal",)), "principal", frozenset((caller,))),
        resource=Unknown(frozenset(("resource",)), "resource", frozenset((resource,))),
        context=unknown("context"),
        assumed=assumed,
        is_open=True,
    )
