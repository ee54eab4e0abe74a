"""The compiled engine: sure of what it says, and silent otherwise."""

from gateway_policies.bundle import PolicyBundle
from gateway_policies.compiled import judge
from gateway_policies.engine import Verdict
from gateway_policies.entities import capability_entity, principal_entity
from gateway_policies.partial import Scene
from support.policy_worlds import LOG, PLANNER, PUSH, WORLD, bundle, call, known


def _judged(made: PolicyBundle, args: dict[str, str | int | bool]) -> Verdict | None:
    subject, tool = known(principal_entity(WORLD, PLANNER)), known(capability_entity(WORLD, LOG))
    scene = Scene(subject, tool, {"args": args, "route": "mcp", "chain_depth": 0}, made.standing)
    return judge(made.rules, range(len(made.policies)), scene)


def test_permits_allow_and_one_forbid_denies_them_all() -> None:
    permits = "permit(principal, action, resource);\npermit(principal, action, resource) when { resource.risk < 3 };\n"
    assert _judged(bundle(permits), {}) == Verdict(is_allowed=True, determining=(0, 1), failed=(), is_complete=True)
    forbidden = bundle(permits + "forbid(principal, action, resource) when { context.args has path };")
    assert _judged(forbidden, {"path": "/"}) == Verdict(is_allowed=False, determining=(2,), failed=(), is_complete=True)
    assert _judged(forbidden, {}) == Verdict(is_allowed=True, determining=(0, 1), failed=(), is_complete=True)


def test_where_nothing_holds_nothing_is_allowed() -> None:
    made = bundle("permit(principal, action, resource) when { resource.risk > 3 };")
    assert _judged(made, {}) == Verdict(is_allowed=False, determining=(), failed=(), is_complete=True)


def test_a_condition_that_fails_is_left_to_cedar() -> None:
    made = bundle(
        "permit(principal, action, resource);\n"
        "forbid(principal, action, resource) when { context.args has n && context.args.n + 9223372036854775807 > 0 };"
    )
    assert _judged(made, {"n": 1}) is None
    assert made.decide(call(PLANNER, LOG, {"n": 1})).code == "policy_error"


def test_what_the_subset_does_not_hold_is_left_to_cedar_and_still_decided() -> None:
    made = bundle('permit(principal, action, resource) when { [{a: context.route}].contains({a: "mcp"}) };')
    assert _judged(made, {}) is None
    assert [made.decide(call(PLANNER, item)).is_permit for item in (LOG, PUSH)] == [True, True]
