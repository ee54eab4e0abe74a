"""Scopes and the index over them."""

import pytest
from cedarpy import pst

from gateway_policies.entities import Entity, Uid
from gateway_policies.scopes import ScopeIndex, scope_key
from gateway_policies.sources import PolicySource, parse

AGENT = Entity(Uid("Agent", "a"), parents=(Uid("Team", "t"),), ancestors=frozenset({Uid("Team", "t")}))
TOOL = Entity(Uid("Tool", "x"), parents=(Uid("Upstream", "u"),), ancestors=frozenset({Uid("Upstream", "u")}))


def index(*scopes: str) -> ScopeIndex:
    policies, mistakes = parse([PolicySource("f", "\n".join(f"permit({scope});" for scope in scopes))])
    assert mistakes == []
    return ScopeIndex(policies)


def test_every_form_of_a_principal_finds_its_entity() -> None:
    matching = [
        "principal, action, resource",
        'principal == Agent::"a", action, resource',
        'principal in Team::"t", action, resource',
        'principal in Agent::"a", action, resource',
        "principal is Agent, action, resource",
        'principal is Agent in Team::"t", action, resource',
    ]
    others = [
        'principal == Agent::"b", action, resource',
        'principal in Team::"s", action, resource',
        "principal is User, action, resource",
        'principal is User in Team::"t", action, resource',
    ]
    assert index(*others, *matching).for_principal(AGENT) == [4, 5, 6, 7, 8, 9]


def test_both_scopes_must_match() -> None:
    made = index(
        'principal, action, resource in Upstream::"u"',
        'principal == Agent::"b", action, resource',
        'principal, action, resource == Tool::"y"',
        "principal, action, resource is Tool",
    )
    assert made.for_both(AGENT, TOOL) == (0, 3)
    assert made.resource_key(2) == ("eq", "", Uid("Tool", "y"))


def test_a_slot_has_no_key() -> None:
    with pytest.raises(ValueError, match="templates"):
        scope_key(pst.ScopeEq(pst.Slot("principal")))
