"""Heads of requests that a connection sends again and again: checked and authenticated once.

A client repeats its head from request to request, all but what names or measures the one request.
What was found out about the rest holds as long as the same snapshot is served and the credential is.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from agent_gateway.listeners.fast_lane import Lane
from agent_gateway.listeners.guard import accepts, check_head, check_json_post
from agent_gateway.listeners.mcp_carry import CALL_SCOPE
from agent_gateway.runtime.gateway import Gateway
from agent_gateway.snapshot import Route, Snapshot
from gateway_policies.principal import Principal
from gateway_policies.refusal import Refusal

Pairs = Sequence[tuple[bytes, bytes]]

VARYING: Final = frozenset({b"content-length", b"mcp-name", b"traceparent"})
_UNUSUAL: Final = frozenset(
    {b"mcp-session-id", b"transfer-encoding", b"expect", b"upgrade", b"tracestate", b"baggage", b"last-event-id"}
)


@dataclass(slots=True)
class Head:
    """What is known of a head without its varying headers.

    until  unix seconds up to which the credential was found good; 0 for a head that is not served the short way
    lanes  what its calls have in common, by their kind
    """

    snapshot: Snapshot
    url: bytes
    steady: Pairs
    until: float = 0.0
    route: Route | None = None
    principal: Principal | None = None
    caller: tuple[str, str, str, str] = ("", "", "", "")
    can_stream: bool = False
    lanes: dict[object, Lane] = field(default_factory=dict[object, Lane])
    lane: Lane | None = None  # of the last call


def read_head(gateway: Gateway, url: bytes, headers: Pairs, steady: Pairs) -> Head:
    """Return what is known of a head; one with `until` 0 is for the long way, which says why when it is wrong."""
    snapshot = gateway.snapshot
    head = Head(snapshot, url, steady)
    route = snapshot.routes.get(url.decode("latin-1"))
    if route is None or any(name in VARYING for name, _ in steady):  # one that is there twice
        return head
    try:
        named = check_head(headers, snapshot.head_rules)
        check_json_post(named)
        found = snapshot.identity.authenticator.authenticate_until(headers, route.resource)
    except Refusal:
        return head
    if found is None or named.get(b"mcp-method") != b"tools/call" or not _UNUSUAL.isdisjoint(named):
        return head
    principal, until = found
    if principal.credential == "access_token" and CALL_SCOPE not in principal.scopes:
        return head
    head.route, head.principal, head.caller, head.until = route, principal, principal.key, until
    head.can_stream = accepts(named, b"text/event-stream")
    return head
