"""The MCP endpoint: phases 1 and 2 of a call, and one answer for whatever goes wrong.

By HTTP method: POST carries messages (`mcp_post`), GET and DELETE belong to
legacy sessions (`mcp_stream`, `mcp_session`). A refusal becomes its wire form here and
nowhere else.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from agent_gateway import errors
from agent_gateway.audit import records
from agent_gateway.identity import challenge
from agent_gateway.listeners.body import ClientGone, Receive, Scope, Send, read_body
from agent_gateway.listeners.guard import check_head, check_json_post
from agent_gateway.listeners.inbound import Inbound
from agent_gateway.listeners.mcp_carry import CALL_SCOPE
from agent_gateway.listeners.mcp_error import retry_header
from agent_gateway.listeners.mcp_post import serve_post
from agent_gateway.listeners.mcp_session import end_session
from agent_gateway.listeners.mcp_stream import serve_stream
from agent_gateway.listeners.reply import send_bytes
from agent_gateway.runtime.gateway import Gateway
from agent_gateway.snapshot import Route, Snapshot
from agent_gateway.telemetry.logs import log
from gateway_policies.principal import Principal
from gateway_policies.refusal import BadRequest, Refusal, Unauthenticated, Unavailable
from mcp_registry.protocol import envelope
from mcp_registry.protocol.errors import ProtocolError


@dataclass(frozen=True, slots=True)
class Arrival:
    """One HTTP request for an endpoint, of nobody we know yet."""

    gateway: Gateway
    snapshot: Snapshot
    route: Route
    scope: Scope
    receive: Receive
    send: Send


Serve = Callable[[Arrival, Principal, Mapping[bytes, bytes]], Awaitable[None]]


async def serve_mcp(
    gateway: Gateway, snapshot: Snapshot, route: Route, scope: Scope, receive: Receive, send: Send
) -> None:
    """Answer one HTTP request at an MCP endpoint."""
    await serve_guarded(Arrival(gateway, snapshot, route, scope, receive, send), _serve)


async def serve_guarded(arrival: Arrival, serve: Serve) -> None:
    """Check the head and the caller of a request, have `serve` answer it, and answer whatever is refused."""
    gateway, route, scope, send = arrival.gateway, arrival.route, arrival.scope, arrival.send
    principal: Principal | None = None
    try:
        headers = check_head(scope["headers"], arrival.snapshot.head_rules)
        principal = await _authenticate(arrival.snapshot, route, scope)
        await serve(arrival, principal, headers)
    except ClientGone:
        return
    except Refusal as refusal:
        await _answer(gateway, route, scope, send, refusal, principal)
    except asyncio.CancelledError:
        raise
    except Exception:  # noqa: BLE001 - the listener's edge: one of the three walls
        log(logging.ERROR, "a request failed inside the gateway", route=route.name, exc_info=True)
        refusal = Unavailable("the gateway failed on this request", code="internal")
        await _answer(gateway, route, scope, send, refusal, principal)


def admit(arrival: Arrival, principal: Principal, headers: Mapping[bytes, bytes]) -> Inbound:
    """Return the request with the caller that it turned out to have."""
    one, peer = arrival, _peer(arrival.scope)
    return Inbound(
        one.gateway, one.snapshot, one.route, principal, headers, one.receive, one.send, peer, scope=one.scope
    )


async def _serve(arrival: Arrival, principal: Principal, headers: Mapping[bytes, bytes]) -> None:
    inbound = admit(arrival, principal, headers)
    method: str = inbound.scope["method"]
    if method == "POST":
        check_json_post(headers)
        inbound.body = await read_body(inbound.receive, headers, inbound.snapshot.config.limits.body_bytes)
        await serve_post(inbound)
    elif method == "GET":
        await serve_stream(inbound)
    elif method == "DELETE":
        await end_session(inbound)
    else:
        raise BadRequest(f"the method {method[:16]} is not served here", code="method_not_allowed")


async def _authenticate(snapshot: Snapshot, route: Route, scope: Scope) -> Principal:
    authenticator = snapshot.identity.authenticator
    raw = scope["headers"]
    principal = authenticator.authenticate(raw, route.resource, scope["query_string"])
    if principal is None:
        principal = await authenticator.authenticate_cold(raw, route.resource, scope["query_string"])
    return principal


async def _answer(
    gateway: Gateway, route: Route, scope: Scope, send: Send, refusal: Refusal, principal: Principal | None
) -> None:
    """Answer a refusal that ended the request before it described a call, and leave one record of it."""
    form = errors.wire_form(refusal)
    status, code, data = form.http_status, form.jsonrpc_code, errors.public_data(refusal, "")
    if isinstance(refusal, ProtocolError):
        status, code = refusal.http_status, refusal.rpc_code
    gateway.record_refusal(refusal.code, status, records.Origin(route.name, _peer(scope)), principal)
    headers: list[tuple[bytes, bytes]] = []
    if isinstance(refusal, Unauthenticated):
        headers.append(
            (b"www-authenticate", challenge.unauthorized(refusal, route.metadata_url, (CALL_SCOPE,)).encode("latin-1"))
        )
    if refusal.code == "insufficient_scope":
        headers.append(
            (b"www-authenticate", challenge.insufficient_scope(route.metadata_url, (CALL_SCOPE,)).encode("latin-1"))
        )
    if refusal.code == "method_not_allowed":
        headers.append((b"allow", b"GET, POST, DELETE"))
    headers.extend(retry_header(refusal))
    if refusal.code in _CLOSING:
        headers.append((b"connection", b"close"))
    await send_bytes(send, status, envelope.error(None, code, refusal.message, data), headers)


_CLOSING = frozenset({"too_large", "headers_too_large", "body_timeout"})


def _peer(scope: Scope) -> str:
    client = scope.get("client")
    return str(client[0]) if client else ""
