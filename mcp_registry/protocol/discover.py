"""What the gateway says of itself, and which methods each era may ask for.

Answers come as raw results; minting the session is left to the listener.
Source: MCP 2026-07-28, basic/discovery; 2025-11-25, basic/lifecycle.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from msgspec import Raw

from mcp_registry.protocol import legacy_tasks, tasks
from mcp_registry.protocol.envelope import write
from mcp_registry.protocol.errors import METHOD_NOT_FOUND, ProtocolError, http_status
from mcp_registry.protocol.lists import BY_METHOD
from mcp_registry.protocol.versions import LATEST_LEGACY, LEGACY_VERSIONS, META_SERVER_INFO, MODERN_VERSIONS, Era

MAX_INSTRUCTIONS_CHARS: Final = 4_096  # of one upstream
MAX_MERGED_CHARS: Final = 32_768

_OF_SESSIONS: Final = ("logging/setLevel", "resources/subscribe", "resources/unsubscribe")
USES: Final = ("tools/call", "prompts/get", "resources/read", "completion/complete")  # governed calls
SERVED_METHODS: Final[Mapping[Era, frozenset[str]]] = MappingProxyType(
    {
        "legacy": frozenset({"initialize", "ping", *BY_METHOD, *USES, *_OF_SESSIONS, *legacy_tasks.METHODS}),
        "modern": frozenset({"server/discover", "subscriptions/listen", *BY_METHOD, *USES, *tasks.METHODS}),
    }
)

EMPTY_RESULT: Final = b"{}"  # the answer to a legacy `ping`


@dataclass(frozen=True, slots=True)
class Server:
    """An endpoint as it shows itself to one caller.

    info          raw JSON: name and version, of the gateway or of the one upstream behind it
    capabilities  as `offers.join_capabilities` makes them
    """

    info: Raw
    instructions: str | None = None
    capabilities: Mapping[str, object] = field(default_factory=lambda: {"tools": {}})


def require_method(method: str, era: Era) -> None:
    """Refuse a method that the era lacks, one that it removed, and one that we do not serve: all alike."""
    if method not in SERVED_METHODS[era]:
        raise ProtocolError(
            METHOD_NOT_FOUND,
            f"no method `{method}` here",
            http_status=http_status(METHOD_NOT_FOUND, era),
            hint=f"this endpoint serves {', '.join(sorted(SERVED_METHODS[era]))}",
        )


def negotiate(requested: object) -> str:
    """Return the version of a new session: the one asked for when we speak it, else our newest."""
    return requested if isinstance(requested, str) and requested in LEGACY_VERSIONS else LATEST_LEGACY


def initialize_result(version: str, server: Server) -> bytes:
    """Write the raw result of `initialize`; `version` comes from `negotiate`."""
    result: dict[str, object] = {
        "protocolVersion": version,
        "capabilities": {
            name: value
            for name, value in server.capabilities.items()
            if name != "tasks" or version == LATEST_LEGACY  # which brought them
        },
        "serverInfo": server.info,
    }
    if server.instructions:
        result["instructions"] = server.instructions
    return write(result)


def discover_result(server: Server) -> bytes:
    """Write the raw result of `server/discover`; private, for what is listed depends on the caller."""
    result: dict[str, object] = {
        "resultType": "complete",
        "supportedVersions": list(MODERN_VERSIONS),
        "capabilities": server.capabilities,
        "ttlMs": 0,
        "cacheScope": "private",
        "_meta": {META_SERVER_INFO: server.info},
    }
    if server.instructions:
        result["instructions"] = server.instructions
    return write(result)


def merge_instructions(parts: Sequence[tuple[str, str | None]]) -> str | None:
    """Return the instructions of several upstreams under their names, or None when none has any.

    parts  (upstream, its instructions) in the order to show; each is cut at 4 096 characters, and
           what does not fit into 32 768 in all is left out. One upstream alone speaks without a heading.
    """
    spoken = [(name, text.strip()[:MAX_INSTRUCTIONS_CHARS]) for name, text in parts if text and text.strip()]
    if len(parts) == 1 and spoken:
        return spoken[0][1]
    merged = ""
    for name, text in spoken:
        section = f"## {name}\n{text}\n"
        if len(merged) + len(section) > MAX_MERGED_CHARS:
            break
        merged += section
    return merged.rstrip() or None
