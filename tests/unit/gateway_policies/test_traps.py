"""Every way found in which Cedar, used plainly, lets through what should be denied."""

import math

import cedarpy
import pytest

from gateway_policies.engine import Question, entities_handle, evaluate, policy_set
from gateway_policies.entities import Uid, capability_entity, principal_entity
from gateway_policies.sources import PolicySource, parse
from gateway_policies.vocabulary import schema_json
from support.policy_worlds import ANA, LOG, NOW, PLANNER, PUSH, WORLD, bundle, call, known, mistakes

ALL = '@id("all") permit(principal, action, resource);\n'
OVERFLOW = """@id("sum") forbid(principal, action, resource)
when { context.args has n && context.args.n + 9223372036854775807 > 0 };"""


@pytest.mark.requirement("invariant.doubt-denies.policy-error")
def test_a_forbid_that_overflows_denies() -> None:
    made = bundle(ALL + OVERFLOW)
    decision = made.decide(call(PLANNER, LOG, {"n": 1}))
    assert (decision.effect, decision.code, decision.policies) == ("forbid", "policy_error", ("sum",))
    assert decision.reasons[0].policy == "sum"
    assert made.decide(call(PLANNER, LOG, {"n": -(2**63) + 1})).is_permit


@pytest.mark.requirement("invariant.doubt-denies.policy-error")
def test_a_permit_that_overflows_denies_even_beside_one_that_holds() -> None:
    made = bundle(ALL + OVERFLOW.replace("forbid", "permit"))
    assert made.decide(call(PLANNER, LOG, {"n": 1})).code == "policy_error"


def test_a_policy_that_always_fails_for_a_tool_hides_it() -> None:
    made = bundle(ALL + "forbid(principal, action, resource) when { resource.price_micros * 9223372036854775807 > 7 };")
    decision = made.decide(call(PLANNER, PUSH))
    assert (decision.code, decision.is_visible) == ("policy_error", False)
    assert made.visible(PLANNER, [LOG, PUSH]) == [LOG]


def test_a_tool_that_the_world_does_not_hold_is_denied_and_hidden() -> None:
    made = bundle(ALL)
    stranger = call(PLANNER, PUSH.__class__("git__new", "new", "git"))
    decision = made.decide(stranger)
    assert (decision.effect, decision.code, decision.is_visible) == ("forbid", "policy_error", False)
    assert made.visible(PLANNER, [stranger.capability]) == []


def test_a_principal_that_the_world_does_not_hold_is_denied_and_sees_nothing() -> None:
    made = bundle(ALL)
    ghost = PLANNER.__class__("agent", "ghost", "acme")
    assert made.decide(call(ghost, LOG)).code == "policy_error"
    assert made.visible(ghost, [LOG, PUSH]) == []


def test_an_entity_that_a_policy_names_and_nobody_knows_yet_denies() -> None:
    world = WORLD.__class__(
        tenants=WORLD.tenants,
        teams=WORLD.teams,
        agents=WORLD.agents,
        upstreams={**WORLD.upstreams},
        capabilities=WORLD.capabilities,
        known=frozenset({"time"}),
    )
    made = bundle(ALL + 'forbid(principal, action, resource) when { Tool::"git__later".risk > 3 };', world=world)
    assert made.decide(call(PLANNER, LOG)).code == "policy_error"


def test_without_a_schema_a_forbid_on_an_action_group_vanishes_so_we_always_give_one() -> None:
    text = ALL + 'forbid(principal, action in Action::"use", resource);'
    request: dict[str, object] = {
        "principal": 'Agent::"a"',
        "action": 'Action::"call"',
        "resource": 'Tool::"t"',
    }
    plain = cedarpy.is_authorized(request, text, "[]")  # pyright: ignore[reportUnknownMemberType]
    assert plain.decision is cedarpy.Decision.Allow, "Cedar no longer has this trap"
    assert bundle(text).decide(call(PLANNER, LOG)).code == "forbidden"


def test_no_decision_is_not_a_permit() -> None:
    policies = parse([PolicySource("a", ALL)])[0]
    principal, tool = known(principal_entity(WORLD, PLANNER)), known(capability_entity(WORLD, LOG))
    schema = cedarpy.Schema.from_json_str(schema_json({}))
    question = Question(principal.uid, "call", tool.uid, {"args": {"n": 1.5}})
    verdict = evaluate(question, policy_set(policies), entities_handle([principal, tool], schema), schema)
    assert (verdict.is_allowed, verdict.is_complete) == (False, False)


def test_a_question_that_cannot_be_asked_is_not_a_permit() -> None:
    schema = cedarpy.Schema.from_json_str(schema_json({}))
    question = Question(Uid("No Type", "x"), "call", Uid("Tool", "t"), {})
    assert not evaluate(question, policy_set([]), entities_handle([], schema), schema).is_complete


@pytest.mark.parametrize("value", [1.5, math.nan, None, 2**63, -(2**63) - 1, "1", True, [1]])
def test_what_cedar_cannot_hold_is_an_argument_type_error_that_names_the_argument(value: object) -> None:
    made = bundle(
        ALL + '@id("cap") forbid(principal, action, resource) when { context.args has n && context.args.n > 9 };'
    )
    decision = made.decide(call(PLANNER, LOG, {"n": value}))
    assert (decision.effect, decision.code) == ("forbid", "argument_type")
    assert decision.reasons[0].policy == "cap"
    assert "`n`" in decision.reasons[0].text


def test_an_argument_that_no_policy_in_scope_reads_may_be_anything() -> None:
    made = bundle(
        ALL
        + 'forbid(principal, action, resource in Upstream::"git") when { context.args has n && context.args.n > 9 };'
    )
    junk = {"n": 1.5, "x": None, "y": {"__entity": {"type": "Agent", "id": "robot"}}}
    assert made.decide(call(PLANNER, NOW, junk)).is_permit


@pytest.mark.parametrize("escape", ["__entity", "__extn", "__expr"])
def test_cedars_json_escapes_in_arguments_are_denied(escape: str) -> None:
    made = bundle(
        ALL + "forbid(principal, action, resource) when { context.args has opts.deep && !context.args.opts.deep };"
    )
    attacks: list[dict[str, object]] = [
        {escape: 1},
        {"opts": {escape: {"type": "Agent", "id": "robot"}}},
        {"opts": {"deep": {escape: 1}}},
    ]
    for arguments in attacks:
        assert made.decide(call(PLANNER, LOG, arguments)).code == "argument_type"


def test_a_policy_cannot_read_an_escape_as_an_argument() -> None:
    found = mistakes(ALL + "forbid(principal, action, resource) when { context.args has __entity.id };")
    assert "`__entity.id` is not an argument's name" in [mistake.message for mistake in found]


@pytest.mark.parametrize("at", [math.nan, math.inf, -1.0, 1e300])
def test_a_call_without_a_possible_time_is_denied(at: float) -> None:
    made = bundle("permit(principal, action, resource) when { context.now.hour < 24 && context.now.unix >= 0 };")
    assert made.decide(call(PLANNER, LOG, at=at)).code == "policy_error"
    assert made.decide(call(PLANNER, LOG)).is_permit


def test_a_principal_with_text_that_json_cannot_carry_is_denied() -> None:
    odd = ANA.__class__("user", "\ud800", "acme", (), "https://idp.example")
    assert bundle(ALL).decide(call(odd, LOG)).code == "policy_error"


def test_the_cache_key_is_the_whole_principal() -> None:
    made = bundle(
        'permit(principal, action, resource) when { principal.scopes.contains("code") && principal.issuer == "a" };'
    )
    good = ANA.__class__("user", "ana", "acme", (), "a", scopes=frozenset({"code"}))
    others = (
        ANA.__class__("user", "ana", "acme", (), "a"),
        ANA.__class__("user", "ana", "acme", (), "b", scopes=frozenset({"code"})),
    )
    for _ in range(2):
        assert made.decide(call(good, LOG)).is_permit
        assert [made.decide(call(other, LOG)).is_permit for other in others] == [False, False]
        assert [made.visible(other, [LOG]) for other in (good, *others)] == [[LOG], [], []]


def test_the_cache_key_holds_the_route() -> None:
    made = bundle('permit(principal, action, resource) when { context.route == "mcp" };')
    assert made.decide(call(PLANNER, LOG, route="mcp")).is_permit
    assert not made.decide(call(PLANNER, LOG, route="other")).is_permit
    assert made.visible(PLANNER, [LOG], route="other") == []
    assert made.visible(PLANNER, [LOG]) == [LOG]
