"""The card of an agent as the gateway serves it: its URLs are ours, its skills are those that the caller may use."""

from collections.abc import Collection, Mapping, Sequence

import msgspec

from a2a_gateway import offer as offering
from a2a_gateway import skills
from a2a_gateway.cards import Card
from a2a_gateway.offer import Offer, Scheme
from a2a_gateway.operations import Dialect, Version
from a2a_gateway.versions import HEADER, negotiate
from agent_gateway.identity.metadata import AUTHORIZATION_SERVER, TOKEN_PATH, well_known
from agent_gateway.listeners.body import Send
from agent_gateway.listeners.reply import send_bytes
from agent_gateway.runtime.agents import PREFIX
from agent_gateway.runtime.gateway import Gateway
from agent_gateway.snapshot import AgentRoute, Snapshot
from gateway_policies.principal import Principal
from gateway_policies.refusal import BadRequest

SCOPES: Mapping[str, str] = {
    "agents:message": "send messages to agents, and ask after one's tasks",
    "tools:call": "call tools",
}
MAX_AGE_S = 300


async def serve_card(
    gateway: Gateway, route: str, principal: Principal | None, written: dict[str, object],
    headers: Mapping[bytes, bytes], send: Send,
) -> None:  # fmt: skip
    """Answer with the card that was written for `principal`; None: for everybody."""
    tag, body = offering.etag(written), msgspec.json.encode(signed(gateway.snapshot, written))
    shared = b"public" if principal is None else b"private"
    common: list[tuple[bytes, bytes]] = [
        (b"cache-control", b"%b, max-age=%d" % (shared, MAX_AGE_S)),
        (b"etag", tag.encode()),
        (b"vary", b"authorization, a2a-version"),
    ]
    asked = headers.get(b"if-none-match")
    if offering.is_current(None if asked is None else asked.decode("latin-1"), tag):
        await send({"type": "http.response.start", "status": 304, "headers": common})
        await send({"type": "http.response.body", "body": b""})
        return
    if principal is not None:
        gateway.record_list("GetAgentCard", principal, route, {}, len(body))
    await send_bytes(send, 200, body, [(b"content-type", b"application/json"), *common])


def asked_in(headers: Mapping[bytes, bytes]) -> Version | None:
    """Return the version that a request for a card speaks, None when it names none that we know."""
    header = headers.get(HEADER.encode())
    try:
        return None if not header else negotiate(header.decode("latin-1"))
    except BadRequest:
        return None


def card_for(
    snapshot: Snapshot, route: AgentRoute, principal: Principal | None, card: Card, asked: Version | None = None
) -> dict[str, object]:
    """Return a card written anew for `principal`: nothing in it leads to the agent itself.

    asked  the version that the caller speaks, None when it is not known
    """
    agent = route.agent
    config = agent.config
    known = list(agent.skills.values())
    if principal is not None:
        known = snapshot.bundle.visible(principal, known, route=route.name)
    names = [capability.native for capability in known]
    dialects = tuple(Dialect(version, binding) for version in config.serve for binding in ("JSONRPC", "HTTP+JSON"))
    shape = offering.shape_for(card, config.serve, asked)
    if asked is None and config.card_shape != "auto":
        shape = config.card_shape
    offer = Offer(
        url=route.resource,
        dialects=dialects,
        scheme=scheme_of(snapshot),
        shape=shape,
        hidden=tuple(config.urls().values()),
        skills=names,
        facade=route.skill,
        is_pushing=config.push == "relay",
        has_extended=card.has_extended_card,
        grpc=grpc_of(snapshot, route.path, config.serve),
        extensions=() if route.skill or not names else (skills.declaration(names, is_required=False),),
    )
    return offering.write(card, offer)


def grpc_of(snapshot: Snapshot, path: str, served: Collection[Version]) -> tuple[str, str] | None:
    """Return where an endpoint is to be found over gRPC, and the tenant that names it there."""
    listener = snapshot.config.listeners.grpc
    return None if listener is None or "1.0" not in served else (listener.address, path.removeprefix(PREFIX))


def signed(snapshot: Snapshot, written: dict[str, object]) -> dict[str, object]:
    """Return a card with our signature, where there is a key that readers can look up."""
    service = snapshot.identity.token_service
    return written if service is None else service.sign_card(written)


def scheme_of(snapshot: Snapshot, scopes: Sequence[str] = ("agents:message",)) -> Scheme:
    """Return how the gateway wants to be called, with a token for these scopes."""
    service = snapshot.identity.token_service
    if service is None:
        return offering.bearer("gateway")
    return offering.oauth2(
        "gateway",
        token_url=f"{service.issuer}{TOKEN_PATH}",
        metadata_url=well_known(service.issuer, AUTHORIZATION_SERVER),
        scopes={scope: SCOPES[scope] for scope in scopes},
    )
