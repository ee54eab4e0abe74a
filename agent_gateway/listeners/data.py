"""The data listener: where agents connect. MCP endpoints by exact path, OAuth beside them."""

from collections.abc import Awaitable, Callable

from starlette.applications import Starlette

from agent_gateway.audit import records
from agent_gateway.errors import problem
from agent_gateway.identity.oauth_app import OAuthRoutes
from agent_gateway.listeners.agent import PREFIX, serve_agent
from agent_gateway.listeners.agent_push import serve_push
from agent_gateway.listeners.body import Receive, Scope, Send
from agent_gateway.listeners.guard import check_head
from agent_gateway.listeners.mcp import Arrival, serve_mcp
from agent_gateway.listeners.mcp_sse import SUFFIX, serve_sse
from agent_gateway.listeners.registry import PATHS as REGISTRY_PATHS
from agent_gateway.listeners.registry import serve_registry
from agent_gateway.listeners.reply import send_bytes
from agent_gateway.listeners.servers import SERVERS_PREFIX, serve_servers
from agent_gateway.runtime.gateway import Gateway
from agent_gateway.runtime.push_relay import PATH as PUSH_PATH
from agent_gateway.snapshot import Route, Snapshot
from gateway_policies.refusal import BadRequest, NotFound, Refusal, Unavailable
from mcp_registry.protocol import envelope

_OAUTH_PREFIXES = ("/oauth/", "/.well-known/oauth-")

Serve = Callable[[Gateway, Snapshot, Scope, Receive, Send], Awaitable[None]]


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
        route = _of_stream(snapshot, path)
        if route is not None:
            await serve_sse(Arrival(self._gateway, snapshot, route, scope, receive, send))
            return
        if path.startswith(PREFIX):
            await serve_agent(self._gateway, snapshot, scope, receive, send)
            return
        serve = _plain(path)
        if serve is not None:
            await self._guarded(serve, snapshot, scope, receive, send)
            return
        try:
            check_head(scope["headers"], snapshot.head_rules)
            if not path.startswith(_OAUTH_PREFIXES):
                raise NotFound("nothing is served here", hint="MCP is at /mcp, agents are at /a2a/{name}")
        except (BadRequest, NotFound) as refusal:
            await self._refuse(scope, send, refusal)
            return
        await self._oauth(scope, receive, send)

    async def _guarded(self, serve: Serve, snapshot: Snapshot, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve what answers whole, after everything that may fail in it."""
        try:
            await serve(self._gateway, snapshot, scope, receive, send)
        except Exception:  # the server logs it; the caller and the audit log are told here
            await self._refuse(scope, send, Unavailable("the gateway failed on this request", code="internal"))
            raise

    async def _refuse(self, scope: Scope, send: Send, refusal: Refusal) -> None:
        body = problem(refusal)
        status = body["status"]
        assert isinstance(status, int)
        client = scope.get("client")
        origin = records.Origin("", str(client[0]) if client else "")
        self._gateway.record_refusal(refusal.code, status, origin, None)
        await send_bytes(send, status, envelope.write(body), ((b"content-type", b"application/problem+json"),))


def _of_stream(snapshot: Snapshot, path: str) -> Route | None:
    """Return the endpoint whose HTTP+SSE form is at `path`, None when there is none."""
    if not path.endswith(SUFFIX) or not snapshot.config.listeners.data.http_sse:
        return None
    return snapshot.routes.get(path.removesuffix(SUFFIX))


def _plain(path: str) -> Serve | None:
    """Return what serves a path beside the protocols' own endpoints, None when nothing does."""
    if path.startswith(PUSH_PATH):
        return serve_push
    if path.startswith(SERVERS_PREFIX):
        return serve_servers
    return serve_registry if path in REGISTRY_PATHS else None
