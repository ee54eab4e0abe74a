"""What may be found here, told the outside in its own documents: AI Catalog and RFC 9727.

Agents and MCP servers stand in one list. Which entries a caller may see is decided by
others, who hand in those alone. Searching the list is done by `ard`.
Source: AI Catalog 1.0 draft; Agentic Resource Discovery 0.9, 4; RFC 9264; RFC 9727.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from a2a_gateway.values import Value

CATALOG_PATH: Final = "/.well-known/ai-catalog.json"
CATALOG_TYPE: Final = "application/ai-catalog+json"
LINKSET_PATH: Final = "/.well-known/api-catalog"
LINKSET_TYPE: Final = 'application/linkset+json; profile="https://www.rfc-editor.org/info/rfc9727"'

AGENT_TYPE: Final = "application/a2a-agent-card+json"
SERVER_TYPE: Final = "application/mcp-server-card+json"
REGISTRY_TYPE: Final = "application/ai-registry+json"

MAX_LISTED_CAPABILITIES: Final = 200

_PUBLISHER: Final = re.compile(r"(?!-)[a-z0-9-]+(?<!-)(?:\.(?!-)[a-z0-9-]+(?<!-))+")
_UNFIT: Final = re.compile(r"[^a-zA-Z0-9._-]")


@dataclass(frozen=True, slots=True)
class Entry:
    """One agent or MCP server, as a caller may know it.

    name          at the gateway, unique among its kind
    endpoint      where it is called; `document` is where its card is, and is what catalogues link to
    capabilities  names of skills or tools that the caller may use
    updated_at    RFC 3339 in UTC, empty when it is not known
    """

    kind: Literal["agent", "server"]
    name: str
    display_name: str
    endpoint: str
    document: str
    description: str = ""
    version: str = ""
    tags: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()
    updated_at: str = ""


@dataclass(frozen=True, slots=True)
class Publisher:
    """Who publishes the entries.

    domain    a fully qualified name, the root of every identifier; `localhost` is none, `agent.localhost` is
    registry  the base URL of the search interface, empty when there is none
    """

    domain: str
    display_name: str
    registry: str = ""

    def __post_init__(self) -> None:
        if not _PUBLISHER.fullmatch(self.domain):
            raise ValueError("a publisher is a fully qualified domain name in lower case")


def identifier(publisher: Publisher, kind: str, name: str) -> str:
    """Return the identifier of an entry, which says who publishes it and not where it is."""
    return f"urn:air:{publisher.domain}:{kind}:{_UNFIT.sub('-', name)}"


def catalog_entry(publisher: Publisher, entry: Entry) -> Value:
    """Return one entry of a catalogue; what is empty is left out."""
    value: Value = {
        "identifier": identifier(publisher, entry.kind, entry.name),
        "displayName": entry.display_name,
        "type": AGENT_TYPE if entry.kind == "agent" else SERVER_TYPE,
        "url": entry.document,
        "description": entry.description,
        "tags": list(entry.tags),
        "capabilities": list(entry.capabilities[:MAX_LISTED_CAPABILITIES]),
        "version": entry.version,
        "updatedAt": entry.updated_at,
    }
    return {name: member for name, member in value.items() if member}


def catalog(publisher: Publisher, entries: Sequence[Entry]) -> Value:
    """Return the document at `CATALOG_PATH`, of type `CATALOG_TYPE`."""
    listed = [catalog_entry(publisher, entry) for entry in entries]
    if publisher.registry:
        listed.append(
            {
                "identifier": identifier(publisher, "registry", "gateway"),
                "displayName": publisher.display_name,
                "type": REGISTRY_TYPE,
                "url": publisher.registry,
            }
        )
    return {"specVersion": "1.0", "host": {"displayName": publisher.display_name}, "entries": listed}


def linkset(anchor: str, entries: Sequence[Entry]) -> Value:
    """Return the document at `LINKSET_PATH`, of type `LINKSET_TYPE`.

    anchor  the URL of the document itself
    """
    items = [{"href": entry.endpoint, "title": entry.display_name} for entry in entries]
    described = [
        {"anchor": entry.endpoint, "service-desc": [{"href": entry.document, "type": "application/json"}]}
        for entry in entries
    ]
    return {"linkset": [{"anchor": anchor, "item": items}, *described]}
