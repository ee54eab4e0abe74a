"""The data listener: where agents connect. MCP endpoints by exact path, OAuth beside them."""

from starlette.applications import Starlette

from agent_gateway.audit import records
from agent_gateway.errors import problem
from agent_gateway.identity.oauth_app import OAuthRoutes
from agent_gateway.listeners.agent import PREFIX, serve_agent
from agent_gateway.listeners.agent_push import serve_push
from agent_gateway.listeners.body import Receive, Scope, Send
from agent_gateway.listeners.guard import check_head
from agent_gateway.listeners.mcp import serve_mcp
from agent_gateway.listeners.registry import PATHS as REGISTRY_PATHS
from agent_gateway.listeners.registry import serve_registry
from agent_gateway.listeners.reply import send_bytes
from agent_gateway.listeners.servers import SERVERS_PREFIX, serve_servers
from agent_gateway.runtime.gateway import Gateway
from agent_gateway.runtime.push_relay import PATH as PUSH_PATH
from gateway_policies.refusal import BadRequest, NotFound, Refusal
from mcp_registry.protocol import envelope

_OAUTH_PREFIXES = ("/oauth/", "/.well-known/oauth-")


class DataApp:
    """The ASGI app of the data listener."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        routes = OAuthRoutes(
            service=lambda: gateway.snapshot.identity.token_service,
            endpoints=lambda: gateway.snapshot.identity.endpoints,
        )
        self._oauth = Starlette(routes=routes.routes())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        snapshot = self._gateway.snapshot
        # Decided on the raw path: an encoded slash or dot is part of a name, never of the way to it.
        path = scope["raw_path"].decode("latin-1")
        route = snapshot.routes.get(path)
        if route is not None:
            await serve_mcp(self._gateway, snapshot, route, scope, receive, send)
            return
        if path.startswith(PREFIX):
            await serve_agent(self._gateway, snapshot, scope, receive, send)
            return
        if path.startswith(PUSH_PATH):
            await serve_push(self._gateway, snapshot, scope, receive, send)
            return
        if path.startswith(SERVERS_PREFIX):
            await serve_servers(self._gateway, snapshot, scope, receive, send)
            return
        if path in REGISTRY_PATHS:
            await serve_registry(self._gateway, snapshot, scope, receive, send)
            return
        try:
            check_head(scope["headers"], snapshot.head_rules)
            if not path.startswith(_OAUTH_PREFIXES):
                raise NotFound("nothing is served here", hint="MCP is at /mcp, agents are at /a2a/{name}")
        except (BadRequest, NotFound) as refusal:
            await self._refuse(scope, send, refusal)
            return
        await self._oauth(scope, receive, send)

    async def _refuse(self, scope: Scope, send: Send, refusal: Refusal) -> None:
        body = problem(refusal)
        status = body["status"]
        assert isinstance(status, int)
        client = scope.get("client")
        origin = records.Origin("", str(client[0]) if client else "")
        self._gateway.record_refusal(refusal.code, status, origin, None)
        await send_bytes(send, status, envelope.write(body), ((b"content-type", b"application/problem+json"),))
