"""Acting for others: where everybody's rights count, a chain only narrows what may be done."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from gateway_policies.acting import denied_to, everyone_behind
from gateway_policies.bundle import PolicyBundle, compile_bundle
from gateway_policies.call import Capability
from gateway_policies.decision import Decision, Reason
from gateway_policies.explain import explain
from gateway_policies.principal import Hop, Principal
from gateway_policies.sources import PolicySource
from support.policy_worlds import LOG, MONDAY_NOON, NOW, PLANNER, PUSH, ROBOT, WIPE, WORLD, call

TOOLS = (LOG, PUSH, WIPE, NOW)
RIGHTS = """
@id("planner-git") permit(principal == Agent::"planner", action, resource in Upstream::"git");
@id("robot-log") permit(principal == Agent::"robot", action, resource == Tool::"git__log");
@id("robot-push") @hint("push below /repo/") permit(principal == Agent::"robot", action, resource == Tool::"git__push")
when { context.args has path && context.args.path like "/repo/*" };
@id("users-log") permit(principal is User in Team::"acme/research", action, resource == Tool::"git__log");
"""
ROBOTS = Hop("us", "robot", is_verified=True, kind="agent")
ANAS = Hop("https://idp.example", "ana", is_verified=True, teams=("acme/research",), trust=2)


def bundle(*, everyone: bool = True) -> PolicyBundle:
    chains = "everyone" if everyone else "actor"
    return compile_bundle([PolicySource("r.cedar", RIGHTS)], replace(WORLD, chains=chains))


def acting(*hops: Hop) -> Principal:
    return replace(PLANNER, chain=hops, scopes=frozenset({"tools:call"}))


def test_the_hops_of_a_chain_are_principals_with_the_chain_that_they_had() -> None:
    first, second = everyone_behind(acting(ANAS, ROBOTS))
    assert (first.kind, first.id, first.tenant, first.teams, first.trust, first.chain) == (
        "user", "ana", "acme", ("acme/research",), 2, (),
    )  # fmt: skip
    assert (second.kind, second.id, second.trust, second.chain) == ("agent", "robot", 10, (ANAS,))
    assert first.scopes == second.scopes == {"tools:call"}
    assert everyone_behind(PLANNER) == ()


def test_a_forbid_says_of_whom_it_is() -> None:
    robot = everyone_behind(acting(ROBOTS))[0]
    plain = denied_to(robot, Decision("forbid", (), "b"))
    assert (plain.denied_to, plain.reasons) == (
        "robot", (Reason("", "`robot`, for whom this is done, may not do it"),),
    )  # fmt: skip
    told = denied_to(robot, Decision("forbid", ("p",), "b", (Reason("p", "not now", "later"),), "forbidden"))
    assert told.reasons == (Reason("p", "`robot`, for whom this is done, may not do it: not now", "later"),)


@pytest.mark.parametrize(
    ("hops", "tool", "arguments", "outcome"),
    [
        ((ROBOTS,), LOG, {}, ("permit", "")),
        ((ROBOTS,), WIPE, {}, ("forbid", "robot")),
        ((ROBOTS,), PUSH, {"path": "/repo/x"}, ("permit", "")),
        ((ROBOTS,), PUSH, {"path": "/etc"}, ("forbid", "robot")),
        ((ROBOTS,), NOW, {}, ("forbid", "")),
        ((ANAS, ROBOTS), LOG, {}, ("permit", "")),
        ((replace(ANAS, teams=()), ROBOTS), LOG, {}, ("forbid", "ana")),
        ((replace(ANAS, kind="workload"),), LOG, {}, ("forbid", "ana")),
        ((replace(ANAS, teams=("rival/spies",)),), LOG, {}, ("forbid", "ana")),
        ((replace(ROBOTS, subject="gone"),), LOG, {}, ("forbid", "gone")),
        ((replace(ROBOTS, subject="mole"),), LOG, {}, ("forbid", "mole")),
    ],
)
def test_everyone_in_a_chain_must_be_permitted(
    hops: tuple[Hop, ...], tool: Capability, arguments: dict[str, object], outcome: tuple[str, str]
) -> None:
    decided = bundle().decide(structs.replace(call(PLANNER, tool, arguments), principal=acting(*hops)))
    assert (decided.effect, decided.denied_to) == outcome
    assert bundle().decide(call(PLANNER, tool, arguments)).denied_to == ""


def test_a_permit_names_the_policies_of_everyone() -> None:
    made = bundle()
    asked = structs.replace(call(PLANNER, LOG), principal=acting(ANAS, ROBOTS))
    assert made.decide(asked).policies == ("planner-git", "robot-log", "users-log")
    assert made.decide(asked) == made.decide(asked)


def test_who_acts_alone_counts_unless_the_operator_says_otherwise() -> None:
    made = bundle(everyone=False)
    assert made.decide(structs.replace(call(PLANNER, WIPE), principal=acting(ROBOTS))).is_permit
    assert made.behind(acting(ROBOTS)) == ()
    assert made.visible(acting(ROBOTS), TOOLS) == [LOG, PUSH, WIPE]


def test_what_one_of_them_does_not_see_is_not_there() -> None:
    made = bundle()
    assert made.visible(acting(ROBOTS), TOOLS) == [LOG, PUSH]
    assert made.visible(acting(ANAS, ROBOTS), TOOLS) == [LOG]
    hidden = made.decide(structs.replace(call(PLANNER, WIPE), principal=acting(ROBOTS)))
    shown = made.decide(structs.replace(call(PLANNER, PUSH, {"path": "/etc"}), principal=acting(ROBOTS)))
    assert (hidden.is_visible, shown.is_visible) == (False, True)
    assert "push below /repo/" in [reason.hint for reason in shown.reasons]


hops = st.lists(st.sampled_from([ROBOTS, ANAS, replace(ANAS, teams=()), replace(ROBOTS, subject="gone")]), max_size=3)


@given(hops=hops, tool=st.sampled_from(TOOLS), path=st.sampled_from(["/repo/x", "/etc"]))
def test_a_chain_never_widens(hops: list[Hop], tool: Capability, path: str) -> None:
    made = bundle()
    asked = call(PLANNER, tool, {"path": path})
    chained = made.decide(structs.replace(asked, principal=acting(*hops)))
    shorter = made.decide(structs.replace(asked, principal=acting(*hops[1:])))
    assert not chained.is_permit or shorter.is_permit
    assert not chained.is_permit or tool in made.visible(acting(*hops), TOOLS)


def test_an_explanation_says_whose_rights_fall_short() -> None:
    made = bundle()
    found = explain(made, acting(ANAS, ROBOTS), WIPE)
    assert (found.effect, found.denied_to, found.is_visible) == ("forbid", ("ana", "robot"), False)
    assert {view.who for view in found.policies} == {"", "ana", "robot"}
    assert any(change.startswith("for `robot`: ") for change in found.changes)
    depends = explain(made, acting(ROBOTS), PUSH)
    assert (depends.effect, depends.denied_to) == ("depends", ())
    decided = explain(made, acting(ROBOTS), PUSH, {"path": "/etc"}, at=MONDAY_NOON)
    assert (decided.effect, decided.denied_to) == ("forbid", ("robot",))
    assert decided.decision is not None
    assert not decided.decision.is_permit
    assert explain(made, acting(ROBOTS), LOG).effect == "permit"
    assert explain(made, PLANNER, WIPE).denied_to == ()
    assert explain(made, replace(ROBOT, chain=(replace(ANAS, teams=()),)), NOW).denied_to == ("robot", "ana")
