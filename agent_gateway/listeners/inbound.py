"""One request at an MCP endpoint, authenticated: what every part of the listener needs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agent_gateway.listeners.body import Receive, Scope, Send
from agent_gateway.runtime.gateway import Gateway
from agent_gateway.snapshot import Route, Snapshot
from gateway_policies.principal import Principal


@dataclass(slots=True)
class Inbound:
    """The request, who sent it, and the state of the gateway it is served from."""

    gateway: Gateway
    snapshot: Snapshot
    route: Route
    principal: Principal
    headers: Mapping[bytes, bytes]
    receive: Receive
    send: Send
    peer: str
    body: bytes = b""
    scope: Scope = field(default_factory=dict[str, Any])  # as it came, to hand it over whole

    def header(self, name: bytes) -> str:
        """Return a header as text, empty when it is not there."""
        return self.headers.get(name, b"").decode("latin-1")

    def mcp_headers(self) -> dict[str, str]:
        """Return the protocol's own headers as text, names in lower case."""
        found = self.headers.items()
        return {name.decode("latin-1"): value.decode("latin-1") for name, value in found if name[:4] == b"mcp-"}

    async def hand_over(self, node: str) -> bool:
        """Have the worker `node` answer this request; False when it is ours to answer: `node` is this one, or gone."""
        siblings = self.gateway.siblings
        if not siblings.knows(node, self.scope):
            return False
        await siblings.relay(node, self.scope, self.body, self.receive, self.send)
        return True
