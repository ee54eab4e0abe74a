"""One MCP request whose era is known: what the governed methods work on."""

from dataclasses import dataclass
from typing import cast

from agent_gateway.listeners.inbound import Inbound
from agent_gateway.listeners.mcp_client import NOBODY, Client
from agent_gateway.runtime.listing import Listing
from mcp_registry.protocol.envelope import Request
from mcp_registry.protocol.inbound import Route
from mcp_registry.protocol.results import Reader
from mcp_registry.protocol.versions import TRACE_META_KEYS, Era


@dataclass(frozen=True, slots=True)
class McpRequest:
    """A request, its era, and the session it belongs to (empty for a modern one).

    version  the one its answer is written for: negotiated, or named by the request
    client   what the client declared, with this request or for its session
    is_indirect  whether another tool named this one (`call_tool`): headers cannot mirror its arguments then
    """

    inbound: Inbound
    message: Request
    era: Era
    version: str
    session_id: str
    declared: Route
    client: Client = NOBODY
    is_indirect: bool = False

    @property
    def listing(self) -> Listing:
        """The tools that this caller sees here."""
        inbound = self.inbound
        return inbound.gateway.listing(inbound.snapshot, inbound.principal, inbound.route.path, "tools")

    @property
    def reader(self) -> Reader:
        """Who will read the answer."""
        takes_any = self.era == "modern" and self.client.has_extensions
        return Reader(self.era, self.version, self.inbound.gateway.server_info, takes_any)

    def trace_context(self) -> dict[str, str]:
        """Return the caller's trace context: of `_meta` where that has it, else of the HTTP headers."""
        meta = cast("dict[str, object]", self.message.parsed.get("_meta", {}))
        found: dict[str, str] = {}
        for key in TRACE_META_KEYS:
            value = meta.get(key)
            text = value if isinstance(value, str) else self.inbound.header(key.encode())
            if text:
                found[key] = text
        return found
