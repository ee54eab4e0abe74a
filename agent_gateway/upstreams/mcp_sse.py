"""An MCP upstream over HTTP+SSE, the transport of 2024. Implements `ports.McpUpstream`.

Such a server keeps one event stream for each client: what `mcp_stdio` does with
children is done here with streams (`sse_link`), each opened with its caller's credential.
"""

from typing import ClassVar

from agent_gateway.ports import Clock, HttpClient, ServerInfo
from agent_gateway.upstreams.mcp_http import Credentials
from agent_gateway.upstreams.mcp_stdio import StdioUpstream
from agent_gateway.upstreams.per_owner import Headers
from agent_gateway.upstreams.settings import UpstreamSettings
from agent_gateway.upstreams.sse_link import SseLink, connect
from gateway_policies.principal import Principal


class SseUpstream(StdioUpstream):
    """One upstream behind one URL.

    http         its own client, closed with it
    credentials  the headers that a principal's requests carry at this upstream
    """

    _what: ClassVar[str] = "event stream"

    def __init__(self, settings: UpstreamSettings, http: HttpClient, credentials: Credentials, clock: Clock) -> None:
        super().__init__(settings, clock, environ={})
        self._http = http
        self._credentials = credentials

    async def server_info(self, principal: Principal) -> ServerInfo:
        """Return what the upstream says of itself to this principal: what one is told is not for another."""
        self._known = None
        return await super().server_info(principal)

    async def aclose(self) -> None:
        """End every stream and connection."""
        await super().aclose()
        await self._http.aclose()

    async def _proof(self, principal: Principal) -> Headers:
        return tuple(await self._credentials(principal))

    async def _start(self, proof: Headers) -> SseLink:
        return await connect(self._settings, self._http, proof)
