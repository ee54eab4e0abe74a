"""Explanations for operators."""

from dataclasses import replace

from gateway_policies.explain import explain, who_can
from support.policy_worlds import ANA, LOG, MOLE, MONDAY_NOON, PLANNER, PUSH, ROBOT, WIPE, bundle

RULES = """
@id("read") permit(principal in Tenant::"acme", action, resource) when { resource.read_only };
@id("push") @hint("stay below /repo/") permit(principal, action, resource in Upstream::"git")
when { principal.trust > 5 && context.args has path && context.args.path like "/repo/*" };
@id("night") forbid(principal, action, resource == Tool::"git__push") when { context.now.hour < 6 };
@id("wipe") forbid(principal, action, resource == Tool::"git__wipe");
@id("time-only") permit(principal, action, resource in Upstream::"time");
"""


def test_every_policy_is_considered_and_says_how_it_stands() -> None:
    found = explain(bundle(RULES), ROBOT, PUSH)
    assert (found.effect, found.is_visible, found.decision, found.problem) == ("depends", True, None, "")
    stands = {view.id: (view.condition, view.depends) for view in found.policies}
    assert stands == {
        "read": ("fails", ()),
        "push": ("depends", ("context.args.path",)),
        "night": ("depends", ("context.now.hour",)),
        "wipe": ("out of scope", ()),
        "time-only": ("out of scope", ()),
    }
    assert [view.id for view in found.policies if view.is_in_scope] == ["read", "push", "night"]
    assert found.changes == (
        "permit policy `push` (a.cedar:3) permits it only when context.args has path and "
        'context.args.path like "/repo/*": stay below /repo/',
        "forbid policy `night` (a.cedar:5) forbids it only when context.now.hour < 6",
    )


def test_with_arguments_and_time_the_effect_is_the_decision() -> None:
    made = bundle(RULES)
    good = explain(made, ROBOT, PUSH, {"path": "/repo/x"}, at=MONDAY_NOON)
    assert (good.effect, good.changes) == ("permit", ())
    assert good.decision is not None
    assert good.decision.policies == ("push",)
    bad = explain(made, ROBOT, PUSH, {"path": "/etc"}, at=MONDAY_NOON)
    assert (bad.effect, bad.is_visible) == ("forbid", True)
    assert bad.changes == (
        "permit policy `read` (a.cedar:2) would permit it when resource.read_only",
        'permit policy `push` (a.cedar:3) would permit it when context.args.path like "/repo/*": stay below /repo/',
    )


def test_with_arguments_alone_only_time_is_left_open() -> None:
    found = explain(bundle(RULES), ROBOT, PUSH, {"path": "/repo/x"})
    assert found.effect == "depends"
    assert {view.id: view.condition for view in found.policies if view.is_in_scope} == {
        "read": "fails",
        "push": "holds",
        "night": "depends",
    }


def test_a_forbid_that_holds_is_what_must_change() -> None:
    found = explain(bundle(RULES), ROBOT, WIPE)
    assert (found.effect, found.is_visible) == ("forbid", False)
    assert "forbid policy `wipe` (a.cedar:6) forbids it: make its conditions false" in found.changes


def test_with_no_policy_in_scope_a_permit_is_missing() -> None:
    found = explain(bundle('permit(principal, action, resource in Upstream::"time");'), ANA, LOG)
    assert found.changes == ("add a permit policy that speaks of this principal and this capability",)


def test_arguments_that_policies_cannot_read_are_the_problem() -> None:
    for at in (None, MONDAY_NOON):
        found = explain(bundle(RULES), ROBOT, PUSH, {"path": 3}, at=at)
        assert (found.effect, found.problem) == ("forbid", "argument `path` must be text")
        assert found.changes == ("send arguments that policies can read: argument `path` must be text",)


def test_a_policy_that_fails_is_what_must_change() -> None:
    found = explain(
        bundle("permit(principal, action, resource) when { resource.risk * 9223372036854775807 > 0 };"), PLANNER, PUSH
    )
    assert (found.effect, found.policies[0].condition) == ("forbid", "error")
    assert found.changes == (
        "permit policy `a.cedar:1` (a.cedar:1) fails to evaluate: mend it, or send other arguments",
    )


def test_an_unknown_principal_is_said_to_be_unknown() -> None:
    found = explain(bundle(RULES), replace(PLANNER, id="ghost"), LOG)
    assert (found.effect, found.problem) == ("forbid", "the gateway does not know this principal or this capability")
    assert found.decision is not None


def test_who_can_call_a_capability() -> None:
    made = bundle(RULES)
    assert [answer for _, answer in who_can(made, (PLANNER, ROBOT, MOLE), LOG)] == ["permit", "depends", "forbid"]
    assert [answer for _, answer in who_can(made, (PLANNER, ROBOT), PUSH)] == ["forbid", "depends"]
