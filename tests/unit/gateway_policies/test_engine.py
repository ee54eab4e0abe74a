"""The reference engine."""

import cedarpy

from gateway_policies.engine import Question, entities_handle, evaluate, policy_set, reachable_entities
from gateway_policies.entities import Uid, capability_entity, principal_entity, standing_entities
from gateway_policies.sources import PolicySource, parse
from gateway_policies.vocabulary import schema_json
from support.policy_worlds import LOG, PLANNER, WORLD, known

SCHEMA = cedarpy.Schema.from_json_str(schema_json({}))
CONTEXT = {
    "args": {},
    "now": {"hour": 1, "weekday": 1, "unix": 1},
    "route": "",
    "operation": "tools/call",
    "chain_depth": 0,
}
SUBJECT, TOOL = known(principal_entity(WORLD, PLANNER)), known(capability_entity(WORLD, LOG))


def ask(text: str, resource: Uid = TOOL.uid) -> tuple[bool, tuple[int, ...], tuple[int, ...], bool]:
    policies, mistakes = parse([PolicySource("f", text)])
    assert mistakes == []
    verdict = evaluate(
        Question(SUBJECT.uid, "call", resource, CONTEXT),
        policy_set(policies),
        entities_handle([SUBJECT, TOOL], SCHEMA),
        SCHEMA,
    )
    return verdict.is_allowed, verdict.determining, verdict.failed, verdict.is_complete


def test_a_verdict_names_policies_by_their_position() -> None:
    one, two = "permit(principal, action, resource) when { false };", "permit(principal, action, resource);"
    assert ask(f"{one}{two}{two}") == (True, (1, 2), (), True)
    assert ask(f"{two}forbid(principal, action, resource);") == (False, (1,), (), True)
    assert ask("") == (False, (), (), True)


def test_policies_that_fail_are_named_and_the_verdict_is_not_complete() -> None:
    failing = "forbid(principal, action, resource) when { resource.risk + 9223372036854775807 > 0 };"
    assert ask(f"permit(principal, action, resource);{failing}") == (False, (0,), (1,), False)


def test_what_cannot_be_handed_to_cedar_is_not_allowed() -> None:
    assert ask("permit(principal, action, resource);", Uid("Tool", "\ud800")) == (False, (), (), False)


def test_entities_are_gathered_through_what_policies_name() -> None:
    named = [Uid("Tool", "git__push"), Uid("Tool", "git__log"), Uid("Agent", "ghost")]
    found = reachable_entities(SUBJECT, TOOL, named, standing_entities(WORLD, named))
    assert {str(entity.uid) for entity in found} == {
        'Agent::"planner"',
        'Tenant::"acme"',
        'Team::"acme/research"',
        'Tool::"git__log"',
        'Tool::"git__push"',
        'Upstream::"git"',
        'Toolset::"reading"',
    }
