"""Catalogues: every entry once, named by who publishes it, in the documents that others read."""

import json
import re

import jsonschema
import pytest

from a2a_gateway.directory import Entry, Publisher, catalog, catalog_entry, identifier, linkset

PUBLISHER = Publisher("gw.example", "Acme agents", "https://gw.example/registry")
AGENT = Entry(
    "agent", "planner", "Planner", "https://gw.example/a2a/planner", "https://gw.example/a2a/planner/card",
    description="Plans trips", version="2", tags=("travel",), capabilities=("plan_trip",),
    updated_at="2026-11-01T00:00:00Z",
)  # fmt: skip
SERVER = Entry("server", "git", "Git", "https://gw.example/servers/git/mcp", "https://gw.example/servers/git/card")

# The part of ARD's published schema that an entry of ours can break.
ENTRY_SCHEMA = {
    "type": "object",
    "required": ["identifier", "displayName", "type", "url"],
    "properties": {
        "identifier": {"type": "string", "pattern": "^urn:air:[a-zA-Z0-9.-]+(:[a-zA-Z0-9._-]+)+$"},
        "displayName": {"type": "string"},
        "type": {"type": "string"},
        "url": {"type": "string", "pattern": "^https?://"},
        "description": {"type": "string"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "capabilities": {"type": "array", "items": {"type": "string"}},
        "version": {"type": "string"},
        "updatedAt": {"type": "string"},
    },
    "additionalProperties": False,
}
SCHEMA = {
    "type": "object",
    "required": ["specVersion", "host", "entries"],
    "properties": {
        "specVersion": {"const": "1.0"},
        "host": {"type": "object", "required": ["displayName"]},
        "entries": {"type": "array", "items": ENTRY_SCHEMA},
    },
    "additionalProperties": False,
}


@pytest.mark.requirement("a2a.ai-catalog")
def test_a_catalogue_holds_agents_servers_and_the_registry() -> None:
    document = json.loads(json.dumps(catalog(PUBLISHER, [AGENT, SERVER])))
    jsonschema.validate(document, SCHEMA)
    assert [entry["type"] for entry in document["entries"]] == [
        "application/a2a-agent-card+json", "application/mcp-server-card+json", "application/ai-registry+json"
    ]  # fmt: skip
    assert document["entries"][0] == {
        "identifier": "urn:air:gw.example:agent:planner",
        "displayName": "Planner",
        "type": "application/a2a-agent-card+json",
        "url": "https://gw.example/a2a/planner/card",
        "description": "Plans trips",
        "tags": ["travel"],
        "capabilities": ["plan_trip"],
        "version": "2",
        "updatedAt": "2026-11-01T00:00:00Z",
    }
    assert set(document["entries"][1]) == {"identifier", "displayName", "type", "url"}
    assert document["entries"][2]["url"] == "https://gw.example/registry"


def test_without_a_registry_none_is_named() -> None:
    assert catalog(Publisher("gw.example", "Acme"), [])["entries"] == []


def test_an_identifier_fits_the_specification_s_pattern() -> None:
    for name in ("planner", "pl anner", "plänner", "a:b", "a/b"):
        assert re.fullmatch(r"urn:air:[a-zA-Z0-9.-]+(:[a-zA-Z0-9._-]+)+", identifier(PUBLISHER, "agent", name))


@pytest.mark.parametrize(
    "domain", ["localhost", "", "-a.example", "a-.example", "GW.example", "a..b", "a.example/x", "1"]
)
def test_a_publisher_is_a_domain_name(domain: str) -> None:
    with pytest.raises(ValueError, match="domain name"):
        Publisher(domain, "x")
    assert Publisher("agent.localhost", "x").domain == "agent.localhost"


def test_many_capabilities_are_cut() -> None:
    many = Entry("server", "a", "A", "https://x", "https://x", capabilities=tuple(str(n) for n in range(300)))
    assert catalog_entry(PUBLISHER, many)["capabilities"] == [str(n) for n in range(200)]


@pytest.mark.requirement("a2a.ai-catalog")
def test_a_linkset_describes_each_endpoint() -> None:
    document = linkset("https://gw.example/.well-known/api-catalog", [AGENT])
    assert document == {
        "linkset": [
            {
                "anchor": "https://gw.example/.well-known/api-catalog",
                "item": [{"href": "https://gw.example/a2a/planner", "title": "Planner"}],
            },
            {
                "anchor": "https://gw.example/a2a/planner",
                "service-desc": [{"href": "https://gw.example/a2a/planner/card", "type": "application/json"}],
            },
        ]
    }
