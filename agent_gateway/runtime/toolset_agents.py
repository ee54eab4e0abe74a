"""Toolsets that are served as agents: their endpoints, and the cards that say what may be asked of them."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Final, cast

from a2a_gateway import raw, skills, tool_messages
from a2a_gateway.cards import Card, Skill
from agent_gateway.config.root import Config
from agent_gateway.identity.metadata import Endpoints
from agent_gateway.runtime.agents import PREFIX
from agent_gateway.snapshot import Route, ToolsetRoute
from mcp_registry.entries import Entry

MAX_SCHEMA_BYTES: Final = 128 * 1024  # of all that one card says of arguments
_TEXT: Final = "Calls tools. A message holds a data part that names one, with its arguments."


def toolset_paths_of(config: Config) -> Sequence[str]:
    """Return the paths at which toolsets are agents."""
    return [f"{PREFIX}{name}" for name, one in config.toolsets.items() if one.agent is not None]


def toolset_routes_of(config: Config, routes: Mapping[str, Route], endpoints: Endpoints) -> dict[str, ToolsetRoute]:
    """Return the endpoints of toolsets that are agents, by path.

    routes  of MCP, by path: the tools are those of the toolset's own endpoint
    """
    found: dict[str, ToolsetRoute] = {}
    for name, one in config.toolsets.items():
        if one.agent is not None:
            path = f"{PREFIX}{name}"
            title = one.agent.name or one.title or name
            found[path] = ToolsetRoute(
                path, path.removeprefix("/"), endpoints.url(path), one.agent, title, routes[f"/mcp/{name}"]
            )
    return found


def published(route: ToolsetRoute) -> list[str]:
    """Return the names of the tools that everybody may know of."""
    patterns = route.config.publish
    return [name for name in route.tools.view.entries if any(fnmatchcase(name, one) for one in patterns)]


def card_of(route: ToolsetRoute, names: Sequence[str], *, tells_arguments: bool) -> Card:
    """Return the card of a toolset that shows these tools.

    tells_arguments  say of each which arguments it takes, as far as there is room
    """
    view, shown = route.tools.view, list[Skill]()
    schemas: dict[str, object] = {}
    room = MAX_SCHEMA_BYTES
    for name in names:
        entry = view.entries[name]
        shown.append(_skill(name, entry))
        room -= len(bytes(entry.input_schema))
        if tells_arguments and room >= 0:
            schemas[name] = raw.parse(entry.input_schema)
    said: dict[str, object] = {"uri": tool_messages.EXTENSION, "description": tool_messages.HOW, "required": False}
    if schemas:
        said["params"] = {"inputSchemas": schemas}
    config = route.config
    members: dict[str, object] = {
        "name": route.title,
        "description": config.description or _TEXT,
        "version": config.version,
        "capabilities": {"extensions": [said]},
        "defaultInputModes": ["application/json", "text/plain"],
        "defaultOutputModes": ["application/json", "text/plain"],
    }
    return Card(
        members,
        "dual",
        route.title,
        config.description or _TEXT,
        config.version,
        interfaces=(),
        skills=tuple(shown),
        is_streaming=True,
        is_pushing=False,
        has_extended_card=True,
    )


def extensions_of(names: Sequence[str]) -> tuple[Mapping[str, object], ...]:
    """Return the declaration of the extension by which a message names a tool as a skill."""
    return (skills.declaration(names, is_required=False),) if names else ()


def _skill(name: str, entry: Entry) -> Skill:
    definition = cast("Mapping[str, object]", raw.parse(entry.modern))
    title, description = definition.get("title"), definition.get("description")
    members: dict[str, object] = {
        "id": name,
        "name": title if isinstance(title, str) and title else name,
        "description": description if isinstance(description, str) else "",
        "tags": sorted(entry.capability.tags) or ["tool"],
        "inputModes": ["application/json"],
        "outputModes": ["application/json", "text/plain"],
    }
    tags = tuple(cast("list[str]", members["tags"]))
    return Skill(name, str(members["name"]), str(members["description"]), tags, members)
