"""Explain: who may call what, which policies say so, and what would change it.

For operators: unlike a decision's reasons, an explanation quotes policies whole.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from gateway_policies.arguments import WrongArgument, as_values, seen_arguments
from gateway_policies.bundle import Plan, PolicyBundle
from gateway_policies.call import Call, Capability
from gateway_policies.context import call_context, clock_parts
from gateway_policies.decision import Decision, Effect
from gateway_policies.kinds import ACTION_OF, KIND_OF, USUAL_OPERATION
from gateway_policies.partial import Scene, compile_expr, conjuncts
from gateway_policies.principal import Principal
from gateway_policies.render import render
from gateway_policies.sources import Policy
from gateway_policies.values import Failed, Value, depends_on

Condition = Literal["holds", "fails", "depends", "error", "out of scope"]
Answer = Literal["permit", "forbid", "depends"]


@dataclass(frozen=True, slots=True)
class PolicyView:
    """How one policy stands to a call.

    who      whose rights it is about: empty for who acts, else the id of somebody it acts for
    depends  names its condition waits for (`context.args.path`, `context.now`)
    unmet    its conditions that are false, and those that wait, as Cedar text
    """

    id: str
    effect: Effect
    place: str  # `file:line`
    condition: Condition
    depends: tuple[str, ...] = ()
    unmet: tuple[str, ...] = ()
    reason: str = ""
    hint: str = ""
    who: str = ""

    @property
    def is_in_scope(self) -> bool:
        return self.condition != "out of scope"


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a principal may or may not call a capability.

    effect    `depends`: permitted for some arguments or times, and not for others
    decision  the decision itself, when arguments and time were given
    problem   what is wrong with the arguments or unknown to the gateway, or empty
    changes   what would change the answer, most direct first
    denied_to  ids of those of the chain whose own rights fall short, who acts included
    """

    effect: Answer
    is_visible: bool
    policies: tuple[PolicyView, ...]
    changes: tuple[str, ...]
    decision: Decision | None = None
    problem: str = ""
    denied_to: tuple[str, ...] = ()


def explain(
    bundle: PolicyBundle,
    principal: Principal,
    capability: Capability,
    arguments: Mapping[str, object] | None = None,
    *,
    at: float | None = None,
    route: str = "",
) -> Explanation:
    """Say which policies speak of this call and what they make of it.

    arguments  None: any
    at         unix seconds; None: at some time
    """
    own = _explained(bundle, principal, capability, arguments, at, route)
    behind = [(one.id, _explained(bundle, one, capability, arguments, at, route)) for one in bundle.behind(principal)]
    return _joined(principal, own, behind) if behind else own


def _joined(principal: Principal, own: Explanation, behind: Sequence[tuple[str, Explanation]]) -> Explanation:
    """Return what may be done where everybody's rights count: what each of them may do."""
    everyone = [(principal.id, own), *behind]
    effects = {one.effect for _, one in everyone}
    first = next((one for _, one in everyone if one.effect == "forbid"), own)
    return replace(
        own,
        effect="forbid" if "forbid" in effects else "depends" if "depends" in effects else "permit",
        is_visible=all(one.is_visible for _, one in everyone),
        policies=(*own.policies, *(replace(view, who=who) for who, one in behind for view in one.policies)),
        changes=(*own.changes, *(f"for `{who}`: {change}" for who, one in behind for change in one.changes)),
        decision=first.decision,
        problem=first.problem,
        denied_to=tuple(who for who, one in everyone if one.effect == "forbid"),
    )


def _explained(
    bundle: PolicyBundle,
    principal: Principal,
    capability: Capability,
    arguments: Mapping[str, object] | None,
    at: float | None,
    route: str,
) -> Explanation:
    plan = bundle.plan(principal, capability, route)
    if not plan.is_known:
        return Explanation(
            "forbid", False, (), ("register the principal, its tenant, or the capability",), plan.fixed, _UNKNOWN
        )
    context, problem = _known_context(bundle, plan, arguments, at)
    context = {**call_context(principal, route), **context}
    scene = Scene(plan.principal, plan.resource, context, bundle.standing)
    views = tuple(
        _view(policy, scene, bundle.rules.conditions[position](scene), position in plan.policies)
        for position, policy in enumerate(bundle.policies)
    )
    decision = None
    if arguments is not None and at is not None:
        kind = capability.kind
        call = Call("", principal, ACTION_OF[kind], capability, arguments, at, route, USUAL_OPERATION[kind])
        decision = bundle.decide_for(call)
    effect = decision.effect if decision is not None else "forbid" if problem else _effect(views)
    return Explanation(effect, plan.is_visible, views, _changes(views, effect, problem), decision, problem)


_UNKNOWN = "the gateway does not know this principal or this capability"


def who_can(
    bundle: PolicyBundle, principals: Iterable[Principal], capability: Capability, *, route: str = ""
) -> list[tuple[Principal, Answer]]:
    """Return, for each principal, whether it may call `capability`: always, never, or it depends."""
    return [(principal, explain(bundle, principal, capability, route=route).effect) for principal in principals]


def _known_context(
    bundle: PolicyBundle, plan: Plan, arguments: Mapping[str, object] | None, at: float | None
) -> tuple[dict[str, Value], str]:
    """Return what is known of the context beside caller and route, and what is wrong with the arguments."""
    context: dict[str, Value] = {}
    problem = ""
    if arguments is not None:
        seen = seen_arguments(arguments, plan.reads.values, plan.reads.presence, bundle.rules.kinds)
        if isinstance(seen, WrongArgument):
            problem = seen.text
        else:
            context["args"] = as_values(seen)
    now = None if at is None else clock_parts(at)
    if now is not None:
        context["now"] = now
        context["operation"] = USUAL_OPERATION[KIND_OF[plan.resource.uid.type]]
    return context, problem


def _view(policy: Policy, scene: Scene, value: Value, is_in_scope: bool) -> PolicyView:
    if not is_in_scope:
        return PolicyView(policy.id, policy.effect, policy.place, "out of scope")
    unmet = tuple(render(expr) for expr in conjuncts(policy.tree) if compile_expr(expr)(scene) is not True)
    return PolicyView(
        policy.id,
        policy.effect,
        policy.place,
        _condition(value),
        tuple(sorted(depends_on(value))),
        unmet,
        policy.annotation("reason"),
        policy.annotation("hint"),
    )


def _condition(value: Value) -> Condition:
    if isinstance(value, Failed):
        return "error"
    return "holds" if value is True else "fails" if value is False else "depends"


def _effect(views: Iterable[PolicyView]) -> Answer:
    states = {(view.effect, view.condition) for view in views}
    is_denied = ("forbid", "holds") in states or {condition for _, condition in states} & {"error"}
    if is_denied or not states & {("permit", "holds"), ("permit", "depends")}:
        return "forbid"
    return "permit" if ("permit", "holds") in states and not _waits(views) else "depends"


def _waits(views: Iterable[PolicyView]) -> bool:
    """Whether a forbid waits for something, or a policy that waits could fail."""
    return any(view.condition == "depends" for view in views)


def _changes(views: Iterable[PolicyView], effect: Answer, problem: str) -> tuple[str, ...]:
    if problem:
        return (f"send arguments that policies can read: {problem}",)
    changes: list[str] = []
    for view in views:
        changes += _change(view, effect)
    if not changes and effect == "forbid":
        changes.append("add a permit policy that speaks of this principal and this capability")
    return tuple(changes)


def _change(view: PolicyView, effect: Answer) -> list[str]:
    name = f"{view.effect} policy `{view.id}` ({view.place})"
    hint = f": {view.hint}" if view.hint else ""
    if view.condition == "error":
        return [f"{name} fails to evaluate: mend it, or send other arguments{hint}"]
    if view.effect == "forbid" and view.condition == "holds":
        return [f"{name} forbids it: make its conditions false{hint}"]
    if view.condition == "depends":
        verb = "permits" if view.effect == "permit" else "forbids"
        return [f"{name} {verb} it only when {' and '.join(view.unmet)}{hint}"]
    if effect == "forbid" and view.effect == "permit" and view.condition == "fails":
        return [f"{name} would permit it when {' and '.join(view.unmet)}{hint}"]
    return []
