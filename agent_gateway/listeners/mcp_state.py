"""`requestState`: what a modern client hands back with its answers, sealed to it and to what it asked.

Inside is where the answers are awaited: the upstream's own state, or the name of a call
that is parked here. The digest ties it to one request, the number to one round.
"""

import hashlib
from collections.abc import Mapping
from typing import Final, cast

import msgspec
from msgspec import Raw

from agent_gateway.listeners.mcp_request import McpRequest
from gateway_policies.refusal import Refusal, UpstreamFailed
from mcp_registry.protocol.errors import INVALID_PARAMS, ProtocolError
from mcp_registry.protocol.questions import INPUT_RESPONSES, REQUEST_STATE

MAX_STATE_BYTES: Final = 64 * 1024
LIFE_S: Final = 3600.0  # an upstream's own state may end sooner
_PURPOSE: Final = "mcp-round"


class RoundState(msgspec.Struct, array_like=True, frozen=True):
    """Where a logical call stands.

    node        the worker that knows the call
    call        id of the first request's call: names the logical call
    number      of the round that ends with this state, from 1
    capability  the public name it was authorized under
    digest      of the request, without what may differ from round to round
    is_parked   the call goes on here, under (call, number); else `inner` goes to the upstream
    inner       the upstream's state, raw JSON; empty for none
    """

    node: str
    call: str
    number: int
    capability: str
    digest: bytes
    is_parked: bool = False
    inner: bytes = b""

    @property
    def name(self) -> str:
        """What the call is parked under, and what is used up when the client comes back."""
        return f"{self.call}/{self.number}"


def seal(request: McpRequest, state: RoundState, life_s: float = LIFE_S) -> str:
    """Return the text that the client hands back; raises `UpstreamFailed` when the upstream's state is too long."""
    inbound = request.inbound
    until = inbound.gateway.services.clock() + life_s
    payload = _ENCODER.encode(state)
    if len(payload) > MAX_STATE_BYTES:
        raise UpstreamFailed(f"the upstream's state holds more than {MAX_STATE_BYTES} bytes", code="upstream_too_large")
    return inbound.gateway.sealer.seal(_purpose(request), inbound.principal, payload, until, MAX_STATE_BYTES)


def opened(request: McpRequest) -> RoundState | None:
    """Return the state that a request hands back; None when it hands back none.

    Raises `ProtocolError` (-32602) for one that is forged, foreign, over, or of another request.
    """
    text = request.message.parsed.get(REQUEST_STATE)
    if text is None:
        return None
    inbound = request.inbound
    sealer, now = inbound.gateway.sealer, inbound.gateway.services.clock()
    try:
        payload = sealer.open(_purpose(request), inbound.principal, str(text), now, MAX_STATE_BYTES)
    except Refusal:
        raise unknown_state() from None
    state = _DECODER.decode(payload)
    if state.digest != digest(request):
        raise unknown_state()
    return state


async def is_known_elsewhere(request: McpRequest) -> bool:
    """Have the worker that knows a call answer the request that goes on with it; return whether it did."""
    if request.era == "legacy" or REQUEST_STATE not in request.message.parsed:
        return False
    state = opened(request)
    return state is not None and await request.inbound.hand_over(state.node)


def digest(request: McpRequest) -> bytes:
    """Return what tells this request from another: method and params, however they are spelled."""
    kept = {name: value for name, value in request.message.parsed.items() if name not in _PER_ROUND}
    return hashlib.sha256(_SORTED.encode([request.message.method, kept])).digest()[:16]


def responses_of(request: McpRequest) -> dict[str, Raw]:
    """Return the answers a request carries, raw; raises `ProtocolError` for what is no object of objects."""
    found = request.message.parsed.get(INPUT_RESPONSES, {})
    if not isinstance(found, dict):
        raise ProtocolError(INVALID_PARAMS, f"`{INPUT_RESPONSES}` must be an object")
    if any(not isinstance(value, dict) for value in cast("Mapping[str, object]", found).values()):
        raise ProtocolError(INVALID_PARAMS, f"each of `{INPUT_RESPONSES}` must be an object")
    raw = request.message.params.get(INPUT_RESPONSES)
    return {} if raw is None else _RESPONSES.decode(raw)


def unknown_state() -> ProtocolError:
    """Return the one refusal for a state that is not (or no longer) this caller's for this request."""
    return ProtocolError(
        INVALID_PARAMS, f"this `{REQUEST_STATE}` is not known here", hint="send the request again without it"
    )


def _purpose(request: McpRequest) -> str:
    return f"{_PURPOSE}:{request.inbound.route.name}"


_PER_ROUND: Final = frozenset({"_meta", INPUT_RESPONSES, REQUEST_STATE})
_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(RoundState)
_SORTED: Final = msgspec.json.Encoder(order="deterministic")
_RESPONSES: Final = msgspec.json.Decoder(dict[str, Raw])
