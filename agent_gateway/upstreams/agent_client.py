"""How one agent is reached: over HTTP, and over gRPC where a request is for the path of that service.

What is sent over gRPC arrives here as the JSON-RPC request that says the same. Its libraries are imported by
the first such request.
"""

from collections.abc import Callable
from importlib.util import find_spec
from typing import Final
from urllib.parse import urlsplit

from agent_gateway.ports import HttpClient, HttpRequest, HttpResponse
from gateway_policies.refusal import UpstreamUnreachable

GRPC_PATH: Final = "/lf.a2a.v1.A2AService"
"""What all of the service's own paths begin with; a target that is this path is spoken to over gRPC."""


class AgentClient:
    """Implements `ports.HttpClient`.

    make_grpc  called once, by the first request for gRPC
    """

    def __init__(self, http: HttpClient, make_grpc: Callable[[], HttpClient]) -> None:
        self._http = http
        self._make_grpc = make_grpc
        self._grpc: HttpClient | None = None

    async def send(self, request: HttpRequest, *, timeout_s: float, idempotent: bool = False) -> HttpResponse:
        """Send by the way that the request's path names; see `ports.HttpClient`."""
        if request.method != "POST" or urlsplit(request.url).path != GRPC_PATH:
            return await self._http.send(request, timeout_s=timeout_s, idempotent=idempotent)
        if find_spec("grpc") is None:
            raise UpstreamUnreachable(
                "this agent speaks gRPC alone, which the gateway was installed without",
                code="upstream_misconfigured",
                hint="an operator can `pip install agent-gateway-server[grpc]`",
            )
        if self._grpc is None:
            self._grpc = self._make_grpc()
        return await self._grpc.send(request, timeout_s=timeout_s, idempotent=idempotent)

    async def aclose(self) -> None:
        """End every connection."""
        if self._grpc is not None:
            await self._grpc.aclose()
        await self._http.aclose()
