"""The endpoint of an agent: phases 1 and 2 of a call, and one answer for whatever goes wrong.

JSON-RPC is posted to the endpoint itself, HTTP+JSON lies below it, and so does the card. A
refusal becomes its wire form in the caller's dialect here and in `agent_call`, nowhere else.
"""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass

from a2a_gateway.cards import LEGACY_WELL_KNOWN, WELL_KNOWN
from a2a_gateway.inbound import JSON_TYPES, HttpIn, Unread, read
from a2a_gateway.inbound import Inbound as A2aRequest
from a2a_gateway.operations import Dialect
from a2a_gateway.versions import unsupported
from agent_gateway import errors
from agent_gateway.audit import records
from agent_gateway.identity import challenge
from agent_gateway.listeners.agent_card import serve_card
from agent_gateway.listeners.agent_door import MESSAGE_SCOPE, AgentDoor, Arrived, Door
from agent_gateway.listeners.agent_refusals import no_agent, render
from agent_gateway.listeners.body import ClientGone, Receive, Scope, Send, read_body
from agent_gateway.listeners.guard import check_head
from agent_gateway.listeners.reply import send_bytes
from agent_gateway.listeners.toolset_door import ToolsetDoor
from agent_gateway.runtime.agents import PREFIX
from agent_gateway.runtime.gateway import Gateway
from agent_gateway.snapshot import Snapshot
from agent_gateway.telemetry.logs import log
from gateway_policies.principal import Principal
from gateway_policies.refusal import BadRequest, Forbidden, Refusal, Unauthenticated, Unavailable

CARDS = frozenset({WELL_KNOWN, LEGACY_WELL_KNOWN})
_CLOSING = frozenset({"too_large", "headers_too_large", "body_timeout"})
_HTTP_METHODS = frozenset({"GET", "POST", "DELETE"})


@dataclass(slots=True)
class _Place:
    """Where a request came in.

    path   of the endpoint, which need not exist
    rest   what follows it: empty or `/` for JSON-RPC
    """

    path: str
    rest: str
    door: Door | None


def place_of(path: str, snapshot: Snapshot) -> _Place:
    """Return the endpoint that a raw path means: `/a2a/{agent}`, `/a2a/{toolset}` or `/a2a/{agent}/skills/{skill}`."""
    parts = path.removeprefix(PREFIX).split("/")
    length = 3 if len(parts) > 2 and parts[1] == "skills" else 1
    own = PREFIX + "/".join(parts[:length])
    agent, toolset = snapshot.agent_routes.get(own), snapshot.toolset_routes.get(own)
    door = AgentDoor(agent) if agent is not None else None
    if toolset is not None:
        door = ToolsetDoor(toolset)
    return _Place(own, path[len(own) :], door)


async def serve_agent(gateway: Gateway, snapshot: Snapshot, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer one HTTP request below `/a2a/`."""
    place = place_of(scope["raw_path"].decode("latin-1"), snapshot)
    request = _Request(gateway, snapshot, place, scope, send)
    try:
        await request.serve(receive)
    except ClientGone:
        return
    except Refusal as refusal:
        await request.refuse(refusal)
    except asyncio.CancelledError:
        raise
    except Exception:  # noqa: BLE001 - the listener's edge: one of the three walls
        log(logging.ERROR, "a request failed inside the gateway", route=place.path, exc_info=True)
        await request.refuse(Unavailable("the gateway failed on this request", code="internal"))


class _Request:
    """One request until it is described; from then on `agent_call` answers."""

    def __init__(self, gateway: Gateway, snapshot: Snapshot, place: _Place, scope: Scope, send: Send) -> None:
        self._gateway = gateway
        self._snapshot = snapshot
        self._place = place
        self._scope = scope
        self._send = send
        self._principal: Principal | None = None
        self._dialect = Dialect("1.0", "JSONRPC" if place.rest in ("", "/") else "HTTP+JSON")
        self._id_raw: bytes | None = None

    async def serve(self, receive: Receive) -> None:
        """Check, authenticate, read; then serve the card, or carry the operation. Raises a `Refusal`."""
        snapshot, place = self._snapshot, self._place
        headers = check_head(self._scope["headers"], snapshot.head_rules)
        door, is_card = place.door, place.rest in CARDS and self._scope["method"] in ("GET", "HEAD")
        if door is not None and is_card and door.is_public:
            await self._card(door, None, headers)
            return
        principal = self._principal = await self._authenticate()
        if door is None or not door.is_open(snapshot, principal):
            raise no_agent()
        if is_card:
            await self._card(door, principal, headers)
            return
        lacking = [scope for scope in door.scopes if scope not in principal.scopes]
        if principal.credential == "access_token" and lacking:
            raise Forbidden(
                f"the token lacks the scope `{lacking[0]}`",
                code="insufficient_scope",
                hint="ask the token service for it",
            )
        request = await self._read(door, receive, headers)
        self._dialect, self._id_raw = request.dialect, request.id_raw
        await door.answer(
            Arrived(self._gateway, snapshot, principal, headers, receive, self._send, self._scope, request)
        )

    async def _card(self, door: Door, principal: Principal | None, headers: Mapping[bytes, bytes]) -> None:
        written = door.card(self._snapshot, principal, headers)
        await serve_card(self._gateway, door.name, principal, written, headers, self._send)

    async def _authenticate(self) -> Principal:
        authenticator = self._snapshot.identity.authenticator
        raw, query = self._scope["headers"], self._scope["query_string"]
        resource = self._snapshot.identity.endpoints.url(self._place.path)
        principal = authenticator.authenticate(raw, resource, query)
        return principal if principal is not None else await authenticator.authenticate_cold(raw, resource, query)

    async def _read(self, door: Door, receive: Receive, headers: Mapping[bytes, bytes]) -> A2aRequest:
        method, limits = self._scope["method"], self._snapshot.config.limits
        if method not in _HTTP_METHODS:
            raise BadRequest(f"the method {method[:16]} is not served here", code="method_not_allowed")
        body = await read_body(receive, headers, limits.body_bytes)
        if body:
            _check_json(headers)
        found = read(
            HttpIn(
                method,
                self._place.rest,
                self._scope["query_string"].decode("latin-1"),
                {name.decode("latin-1"): value.decode("latin-1") for name, value in headers.items()},
                body,
            ),
            max_depth=limits.json_depth,
        )
        if isinstance(found, Unread):
            self._dialect, self._id_raw = found.dialect, found.id_raw
            raise found.refusal
        if found.dialect.version not in door.serve:
            self._dialect, self._id_raw = found.dialect, found.id_raw
            raise unsupported("this agent is not served in this version of A2A")
        return found

    async def refuse(self, refusal: Refusal) -> None:
        """Answer a refusal that ended the request before it described a call, and leave one record of it."""
        client = self._scope.get("client")
        peer = str(client[0]) if client else ""
        status, body, headers = render(refusal, self._dialect, self._id_raw)
        # A path that strangers made up is no route of ours.
        name = self._place.door.name if self._place.door is not None else "a2a"
        self._gateway.record_refusal(
            refusal.code, errors.wire_form(refusal).http_status, records.Origin(name, peer), self._principal
        )
        scopes = self._place.door.scopes if self._place.door is not None else (MESSAGE_SCOPE,)
        endpoints = self._snapshot.identity.endpoints
        metadata_url = endpoints.metadata_url(self._place.path)
        if isinstance(refusal, Unauthenticated):
            said = challenge.unauthorized(refusal, metadata_url, scopes)
            headers.append((b"www-authenticate", said.encode("latin-1")))
        if refusal.code == "insufficient_scope":
            said = challenge.insufficient_scope(metadata_url, scopes)
            headers.append((b"www-authenticate", said.encode("latin-1")))
        if refusal.code == "method_not_allowed":
            headers.append((b"allow", b"GET, POST, DELETE"))
        if refusal.code in _CLOSING:
            headers.append((b"connection", b"close"))
        await send_bytes(self._send, status, body, headers)


def _check_json(headers: Mapping[bytes, bytes]) -> None:
    kind = headers.get(b"content-type", b"").split(b";", 1)[0].strip().lower().decode("latin-1")
    if kind not in JSON_TYPES:
        raise BadRequest("send `content-type: application/json`", code="bad_content_type")
    if headers.get(b"content-encoding", b"identity").strip().lower() != b"identity":
        raise BadRequest("send the body uncompressed", code="bad_content_type")
