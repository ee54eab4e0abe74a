"""Legacy sessions: sealed ids that need no table, and the end of a session.

A session id is a box only we can open, bound to its principal and its endpoint;
whoever presents it must prove to be that principal with every request. It holds
what the client declared, survives a restart and needs no affinity between workers;
what a worker remembers of it besides may be forgotten (`runtime.sessions`). The
upstreams' own sessions are another matter (`agent_gateway.upstreams`).
"""

from dataclasses import dataclass

import msgspec

from agent_gateway.listeners.inbound import Inbound
from agent_gateway.listeners.mcp_client import Client
from agent_gateway.listeners.reply import send_bytes
from agent_gateway.runtime.sessions import SessionState, key_of
from gateway_policies.refusal import BadRequest, NotFound

PURPOSE = "mcp-session"
LIFE_S = 24 * 3600.0
_HEADER = b"mcp-session-id"
_NULL = msgspec.Raw(b"null")


@dataclass(frozen=True, slots=True)
class Session:
    """What a session id says: negotiated version, endpoint, client, and the id's own text for looking things up.

    state  what this worker remembers of it
    """

    id: str
    version: str
    route: str
    client: Client
    state: SessionState


class _Payload(msgspec.Struct, array_like=True):
    version: str
    route: str
    minted_at: float
    capabilities: msgspec.Raw
    info: msgspec.Raw


def mint(inbound: Inbound, version: str, client: Client) -> str:
    """Return a new session id for this caller at this endpoint."""
    now = inbound.gateway.services.clock()
    payload = _Payload(version, inbound.route.name, now, client.capabilities, client.info or _NULL)
    text = inbound.gateway.sealer.seal(PURPOSE, inbound.principal, msgspec.json.encode(payload), now + LIFE_S)
    inbound.gateway.sessions.use(inbound.principal.key, key_of(text), now)
    return text


def session_of(inbound: Inbound) -> Session | None:
    """Return the live session that the request names; None when it names none, or none of this caller's here."""
    text = inbound.headers.get(_HEADER)
    if text is None:
        return None
    session_id = text.decode("latin-1")
    gateway = inbound.gateway
    try:
        opened = gateway.sealer.open(PURPOSE, inbound.principal, session_id, gateway.services.clock())
    except NotFound:
        return None
    payload = _PAYLOAD.decode(opened)
    if payload.route != inbound.route.name:
        return None
    state = gateway.sessions.use(inbound.principal.key, key_of(session_id), payload.minted_at)
    if state is None:
        return None
    info = None if bytes(payload.info) == b"null" else payload.info
    client = Client(payload.capabilities, info, state.log_level)
    return Session(session_id, payload.version, payload.route, client, state)


def required_session(inbound: Inbound) -> Session:
    """Return the live session that the request names; raises `NotFound`, or `BadRequest` when it names none."""
    session = session_of(inbound)
    if session is not None:
        return session
    if _HEADER in inbound.headers:
        raise NotFound("this session is over or was never here", code="no_session", hint="initialize again")
    raise BadRequest("no session is named", code="method_not_allowed", hint="only legacy sessions have streams")


async def end_session(inbound: Inbound) -> None:
    """Answer DELETE: the session id opens nothing from now on."""
    session = required_session(inbound)
    key = key_of(session.id)
    inbound.gateway.sessions.end(key)
    inbound.gateway.events.forget_session((inbound.principal.key, key))
    await send_bytes(inbound.send, 204, b"")


_PAYLOAD = msgspec.json.Decoder(_Payload)
