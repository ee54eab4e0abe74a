"""Principals and tools as entities."""

from dataclasses import replace

from gateway_policies.entities import (
    Uid,
    capability_entity,
    entity_json,
    principal_entity,
    principal_uid,
    standing_entities,
)
from gateway_policies.principal import Principal
from support.policy_worlds import ANA, LOG, MOLE, PLANNER, WORLD


def test_a_configured_agent_has_the_teams_of_the_configuration_whatever_its_token_says() -> None:
    entity = principal_entity(WORLD, replace(PLANNER, teams=("acme/platform", "rival/spies")))
    assert entity is not None
    assert entity.parents == (Uid("Tenant", "acme"), Uid("Team", "acme/research"))


def test_trust_is_the_lower_of_configured_and_presented() -> None:
    seen = [principal_entity(WORLD, replace(PLANNER, trust=trust)) for trust in (10, 1)]
    assert [entity.attrs["trust"] for entity in seen if entity] == [3, 1]


def test_an_agent_that_is_not_configured_or_of_another_tenant_is_unknown() -> None:
    assert principal_entity(WORLD, replace(PLANNER, id="ghost")) is None
    assert principal_entity(WORLD, replace(PLANNER, tenant="rival")) is None


def test_an_agent_of_a_tenant_that_is_gone_is_unknown() -> None:
    assert principal_entity(replace(WORLD, tenants=frozenset({"acme"})), MOLE) is None


def test_the_same_subject_of_two_issuers_is_two_people() -> None:
    assert principal_uid(ANA) == Uid("User", "https://idp.example#ana")
    assert principal_uid(replace(ANA, issuer="https://evil.example")) != principal_uid(ANA)


def test_an_outside_subject_that_is_called_like_an_agent_is_not_that_agent() -> None:
    assert principal_uid(Principal("workload", "planner", "acme", issuer="https://i")) == Uid(
        "Workload", "https://i#planner"
    )


def test_a_team_of_another_tenant_makes_a_principal_unknown() -> None:
    assert principal_entity(WORLD, replace(ANA, teams=("rival/spies",))) is None


def test_a_team_that_no_policy_can_name_is_dropped() -> None:
    entity = principal_entity(WORLD, replace(ANA, teams=("acme/new", "acme/research")))
    assert entity is not None
    assert entity.parents == (Uid("Tenant", "acme"), Uid("Team", "acme/research"))


def test_a_tool_that_is_not_exactly_the_known_one_is_unknown() -> None:
    assert capability_entity(WORLD, replace(LOG, risk=0)) is None
    assert capability_entity(WORLD, replace(LOG, name="git__other")) is None
    assert capability_entity(replace(WORLD, upstreams={}), LOG) is None
    assert capability_entity(WORLD, replace(LOG)) is not None


def test_only_named_tools_and_agents_stand_ready() -> None:
    named = [
        Uid("Tool", "git__log"),
        Uid("Tool", "git__gone"),
        Uid("Agent", "robot"),
        Uid("Agent", "ghost"),
        Uid("User", "x#y"),
    ]
    standing = standing_entities(WORLD, named)
    assert {uid for uid in standing if uid.type in ("Tool", "Agent", "User")} == {named[0], named[2]}
    assert standing[Uid("Team", "acme/research")].parents == (Uid("Tenant", "acme"),)


def test_an_entity_is_written_in_cedars_format() -> None:
    entity = capability_entity(WORLD, LOG)
    assert entity is not None
    assert entity_json(entity) == {
        "uid": {"type": "Tool", "id": "git__log"},
        "attrs": {
            "name": "git__log",
            "native": "log",
            "upstream": {"__entity": {"type": "Upstream", "id": "git"}},
            "tags": ["code"],
            "risk": 1,
            "read_only": True,
            "price_micros": 0,
        },
        "parents": [{"type": "Upstream", "id": "git"}, {"type": "Toolset", "id": "reading"}],
    }
    assert str(entity.uid) == 'Tool::"git__log"'
