"""Bundles: what a decision says, and how lists agree with it."""

from dataclasses import replace

import pytest
from msgspec import structs

from gateway_policies.bundle import MAX_MEMO, MAX_NEAR, compile_bundle
from gateway_policies.call import Capability
from gateway_policies.decision import Decision, Permit
from gateway_policies.sources import PolicyErrors, PolicySource
from gateway_policies.world import World
from support.policy_worlds import (
    ANA,
    BUILD,
    EVERYONE,
    LOG,
    MOLE,
    MONDAY_NOON,
    NOW,
    PLANNER,
    PUSH,
    ROBOT,
    WIPE,
    WORLD,
    bundle,
    call,
    listing,
    names,
)

TOOLS = (LOG, PUSH, WIPE, NOW)
PATHS = """
@id("own-repo")
@hint("stay below /repo/")
permit(principal, action, resource in Upstream::"git")
when { context.args has path && context.args.path like "/repo/*" };
"""


def test_nothing_is_permitted_without_a_policy() -> None:
    made = bundle("")
    decision = made.decide(call(PLANNER, LOG))
    assert (decision.effect, decision.code, decision.reasons, decision.is_visible) == ("forbid", "no_permit", (), False)
    assert made.visible(PLANNER, TOOLS) == []


def test_a_permit_names_every_policy_that_allowed_it() -> None:
    made = bundle('@id("b") permit(principal, action, resource);', "permit(principal, action, resource);")
    decision = made.decide(call(PLANNER, LOG))
    assert (decision.policies, decision.code, decision.is_visible) == (("b", "b.cedar:1"), "", True)
    assert Permit.of(call(PLANNER, LOG), decision).decision is decision


@pytest.mark.requirement("policy.reason")
def test_a_forbid_names_every_policy_that_forbids_with_reason_and_hint() -> None:
    made = bundle(
        """permit(principal, action, resource);
@id("no-push") @reason("pushing is for people") @hint("open a merge request")
forbid(principal, action, resource) when { resource.native == "push" };
@id("a") forbid(principal, action, resource in Upstream::"git");"""
    )
    decision = made.decide(call(PLANNER, PUSH))
    assert (decision.code, decision.policies) == ("forbidden", ("a", "no-push"))
    assert [(reason.policy, reason.text, reason.hint) for reason in decision.reasons] == [
        ("a", "forbid policy `a` (a.cedar:4)", ""),
        ("no-push", "pushing is for people", "open a merge request"),
    ]


@pytest.mark.requirement("policy.arguments", "policy.reason")
def test_an_argument_decides_and_the_nearest_permit_says_what_would_satisfy_it() -> None:
    made = bundle(PATHS)
    assert made.decide(call(PLANNER, LOG, {"path": "/repo/a"})).is_permit
    decision = made.decide(call(PLANNER, LOG, {"path": "/etc"}))
    assert (decision.code, decision.policies, decision.is_visible) == ("no_permit", (), True)
    (reason,) = decision.reasons
    assert (reason.policy, reason.hint) == ("own-repo", "stay below /repo/")
    assert reason.text == "permit policy `own-repo` (a.cedar:2) speaks of this call, but its conditions do not hold"


def test_without_a_hint_the_unmet_condition_is_quoted() -> None:
    made = bundle(PATHS.replace('@hint("stay below /repo/")', ""))
    hints = [made.decide(call(PLANNER, LOG, arguments)).reasons[0].hint for arguments in ({}, {"path": "/x"})]
    assert hints == ["it needs context.args has path", 'it needs context.args.path like "/repo/*"']


def test_a_reason_never_quotes_what_names_another_tenant() -> None:
    made = bundle('permit(principal, action, resource) when { principal in Tenant::"rival" };')
    decision = made.decide(call(PLANNER, LOG))
    assert not any("rival" in reason.text + reason.hint for reason in decision.reasons)


def test_time_is_read_in_utc_and_monday_is_one() -> None:
    made = bundle(
        "permit(principal, action, resource) when { context.now.hour == 12 && context.now.weekday == 1"
        f" && context.now.unix == {int(MONDAY_NOON)} }};"
    )
    assert made.decide(call(PLANNER, LOG, at=MONDAY_NOON + 0.9)).is_permit
    assert made.decide(call(PLANNER, LOG, at=MONDAY_NOON + 3600)).code == "no_permit"
    assert made.visible(PLANNER, [LOG]) == [LOG]


def test_what_is_forbidden_for_all_arguments_is_hidden_and_says_so() -> None:
    made = bundle(
        "permit(principal, action, resource); forbid(principal, action, resource) when { resource.risk > 8 };"
    )
    assert names(made.visible(PLANNER, TOOLS)) == ["git__log", "git__push", "time__now"]
    assert made.decide(call(PLANNER, WIPE)).is_visible is False


def test_a_list_keeps_its_order_and_its_repetitions() -> None:
    made = bundle("permit(principal, action, resource);")
    assert made.visible(PLANNER, [WIPE, LOG, WIPE]) == [WIPE, LOG, WIPE]


def test_a_changed_definition_is_not_the_known_one() -> None:
    made = bundle("permit(principal, action, resource);")
    assert made.visible(PLANNER, [replace(LOG, risk=0), replace(PUSH)]) == [PUSH]
    assert made.decide(call(PLANNER, replace(LOG, pin="other"))).code == "policy_error"


def test_arguments_are_completed_where_some_may_be_used_here_and_now() -> None:
    made = bundle(
        PATHS
        + 'forbid(principal, action, resource) when { context.operation like "completion/*" && resource.risk > 5 };'
        + "forbid(principal, action, resource) unless { context.now.hour == 12 };"
    )

    def completing(capability: Capability, at: float = MONDAY_NOON) -> Decision:
        asked = call(PLANNER, capability, at=at, operation="completion/complete")
        return made.decide(structs.replace(asked, action="complete"))

    assert completing(LOG).is_permit
    assert not made.decide(call(PLANNER, LOG)).is_permit
    later = completing(LOG, MONDAY_NOON + 3600)
    assert (later.code, later.is_visible) == ("no_permit", True)
    assert completing(PUSH).code == "no_permit"
    assert (completing(NOW).code, completing(NOW).is_visible) == ("no_permit", False)
    assert completing(LOG, float("nan")).code == "policy_error"
    assert completing(Capability("git__new", "new", "git")).code == "policy_error"


def test_listing_one_capability_is_permitted_when_it_is_visible() -> None:
    made = bundle(PATHS)
    assert made.decide(listing(PLANNER, LOG)).is_permit
    refused = made.decide(listing(PLANNER, NOW))
    assert (refused.effect, refused.code, refused.is_visible) == ("forbid", "no_permit", False)


def test_the_id_is_of_policies_and_schema_and_the_stamp_of_the_world_too() -> None:
    text = "permit(principal, action, resource) when { resource.risk < 3 };"
    made = bundle(text)
    other = made.with_world(replace(WORLD, agents={}))
    assert bundle("// a comment\npermit (principal, action,resource)\nwhen { resource.risk < 3 };").id != bundle("").id
    assert bundle(text.replace("when {", "when  {")).id == made.id == other.id
    assert bundle(text.replace("3", "4")).id != made.id
    assert other.entities_id != made.entities_id
    assert made.decide(call(PLANNER, LOG)).bundle == made.stamp == f"{made.id}.{made.entities_id[:16]}"


def test_another_world_takes_effect_without_compiling_again() -> None:
    made = bundle('permit(principal in Team::"acme/research", action, resource);')
    assert made.decide(call(PLANNER, LOG)).is_permit
    moved = made.with_world(
        replace(WORLD, agents={"planner": replace(WORLD.agents["planner"], teams=("acme/platform",))})
    )
    assert moved.decide(call(PLANNER, LOG)).code == "no_permit"
    assert moved.visible(PLANNER, [LOG]) == []


def test_a_bundle_over_an_empty_world_denies() -> None:
    made = compile_bundle([PolicySource("a", "permit(principal, action, resource);")], World())
    assert made.decide(call(PLANNER, LOG)).code == "policy_error"
    assert made.visible(PLANNER, TOOLS) == []


def test_every_mistake_of_every_file_is_raised_at_once() -> None:
    with pytest.raises(PolicyErrors) as caught:
        bundle(
            'permit(principal in Team::"acme/reserch", action, resource);\nforbid(principal, action, resource) when {',
            "permit(principal, action, resource) when { false };",
        )
    assert [(error.source, error.line) for error in caught.value.errors] == [
        ("a.cedar", 1),
        ("a.cedar", 2),
        ("b.cedar", 1),
    ]


def test_principals_of_every_kind_are_told_apart() -> None:
    made = bundle(
        """permit(principal == Agent::"planner", action, resource);
permit(principal == User::"https://idp.example#ana", action, resource);
permit(principal is Workload in Tenant::"rival", action, resource) when { principal.trust == 1 };"""
    )
    permitted = [principal for principal in EVERYONE if made.decide(call(principal, LOG)).is_permit]
    assert permitted == [PLANNER, ANA, BUILD]
    assert [bool(made.visible(principal, [LOG])) for principal in (ROBOT, MOLE)] == [False, False]


def test_more_arguments_than_are_remembered_are_still_decided_each_on_its_own() -> None:
    made = bundle(PATHS)
    for _ in range(2):
        for n in range(MAX_MEMO + 5):
            assert made.decide(call(PLANNER, LOG, {"path": f"/repo/{n}"})).is_permit
            assert not made.decide(call(PLANNER, LOG, {"path": f"/etc/{n}"})).is_permit


def test_more_plans_than_are_kept_near_are_found_again() -> None:
    made = bundle('@id("all") permit(principal, action, resource);')
    first = made.plan(PLANNER, NOW, "r")
    for n in range(MAX_NEAR + 1):
        made.plan(PLANNER, NOW, f"r{n}")
    assert made.plan(PLANNER, NOW, "r") is first


def test_an_equal_principal_that_is_another_object_gets_the_same_plan() -> None:
    made = bundle(PATHS)
    assert made.plan(replace(PLANNER), LOG, "r") is made.plan(PLANNER, LOG, "r")


def test_permits_for_the_same_policies_are_one_object_and_no_more_are_kept_than_bounds_allow() -> None:
    letters = "abcdefg"
    made = bundle(
        *(
            "permit(principal, action, resource)"
            f' when {{ context.args has labels && context.args.labels.contains("{letter}") }};'
            for letter in letters
        )
    )
    chosen = [[letter for bit, letter in enumerate(letters) if n >> bit & 1] for n in range(1, MAX_MEMO + 10)]
    decisions = [made.decide(call(PLANNER, LOG, {"labels": labels})) for labels in chosen]
    assert [len(decision.policies) for decision in decisions] == [len(labels) for labels in chosen]
    assert len(made.plan(PLANNER, LOG, "mcp").permits) <= MAX_MEMO
    again = [made.decide(call(PLANNER, LOG, {"labels": ["a", "b", extra]})) for extra in ("x", "y")]
    assert again[0] is again[1]
