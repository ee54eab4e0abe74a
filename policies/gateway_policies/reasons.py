"""Reasons: what a caller is told about the policies that decided.

A caller hears of policies whose scope matches it, by their ids, `@reason` and
`@hint`. Of a condition it is told only what is about its own arguments or the
time; nothing that names an entity, which could be another tenant's.
"""

from cedarpy import pst

from gateway_policies.decision import Reason
from gateway_policies.partial import Scene, compile_expr, conjuncts
from gateway_policies.reads import argument_path
from gateway_policies.render import render
from gateway_policies.sources import Policy

MAX_NEAREST = 5  # permits named when none holds
MAX_TEXT_CHARS = 300


def forbid_reason(policy: Policy) -> Reason:
    """Say that a forbid decided."""
    text = policy.annotation("reason") or f"forbid policy `{policy.id}` ({policy.place})"
    return Reason(policy.id, _short(text), _short(policy.annotation("hint")))


def failed_reason(policy: Policy) -> Reason:
    """Say that a policy could not be evaluated."""
    return Reason(
        policy.id,
        f"policy `{policy.id}` could not be evaluated for this call, so the call is refused",
        "send other arguments, or ask the operator to look at the policy",
    )


def nearest_reason(policy: Policy, scene: Scene) -> Reason:
    """Say that a permit speaks of this caller and tool, and which of its conditions does not hold.

    scene  the call as it was, arguments and all
    """
    text = f"permit policy `{policy.id}` ({policy.place}) speaks of this call, but its conditions do not hold"
    unmet = next((expr for expr in unmet_conditions(policy, scene) if _is_callers_own(expr)), None)
    hint = policy.annotation("hint")
    if not hint and unmet is not None:
        hint = f"it needs {render(unmet)}"
    return Reason(policy.id, _short(text), _short(hint))


def unmet_conditions(policy: Policy, scene: Scene) -> list[pst.Expr]:
    """Return the conditions of `policy` that are false in `scene`."""
    return [expr for expr in conjuncts(policy.tree) if compile_expr(expr)(scene) is False]


def _is_callers_own(expr: pst.Expr) -> bool:
    """Whether `expr` speaks of arguments, the time and literals only."""
    match expr:
        case pst.GetAttr(base, _) | pst.HasAttr(base, _):
            return argument_path(expr) is not None or _is_context(base) or _is_callers_own(base)
        case pst.BinaryOp(_, left, right):
            return _is_callers_own(left) and _is_callers_own(right)
        case pst.UnaryOp(_, arg):
            return _is_callers_own(arg)
        case pst.Like(base, _):
            return _is_callers_own(base)
        case pst.Set(elements):
            return all(_is_callers_own(element) for element in elements)
        case _:
            return isinstance(expr, pst.LongLit | pst.StringLit | pst.BoolLit)


def _is_context(expr: pst.Expr) -> bool:
    return isinstance(expr, pst.Var) and expr.name == "context"


def _short(text: str) -> str:
    return text if len(text) <= MAX_TEXT_CHARS else f"{text[: MAX_TEXT_CHARS - 1]}…"
