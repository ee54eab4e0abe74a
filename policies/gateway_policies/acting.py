"""Acting for others: whose rights a call needs besides those of who makes it.

A chain names for whom a call is made, hop by hop. Where everybody's rights count, each must be permitted
what is done in its name, so that a chain can only narrow what may be done.
Source: DESIGN.md, "delegation chain"; RFC 8693 4.1.
"""

from dataclasses import replace
from typing import Final

from gateway_policies.decision import Decision, Reason
from gateway_policies.principal import Hop, Principal

MAX_TRUST: Final = 10  # an agent of ours is trusted as the configuration says


def everyone_behind(principal: Principal) -> tuple[Principal, ...]:
    """Return the hops of a chain as principals, each with the chain that it had itself; the first of all first.

    A hop is of the tenant of who acts: chains do not cross tenants. It has the scopes of the token that is
    presented, for they only shrink on the way.
    """
    return tuple(_as_principal(hop, principal, principal.chain[:at]) for at, hop in enumerate(principal.chain))


def _as_principal(hop: Hop, actor: Principal, chain: tuple[Hop, ...]) -> Principal:
    return Principal(
        hop.kind,
        hop.subject,
        actor.tenant,
        teams=hop.teams,
        issuer=hop.issuer,
        scopes=actor.scopes,
        trust=MAX_TRUST if hop.kind == "agent" else hop.trust,
        chain=chain,
        generation=hop.generation,
    )


def denied_to(principal: Principal, decision: Decision) -> Decision:
    """Return a forbid of somebody's rights as one of the call that is made in its name."""
    because = f"`{principal.id}`, for whom this is done, may not do it"
    reasons = tuple(replace(one, text=f"{because}: {one.text}") for one in decision.reasons)
    return replace(decision, reasons=reasons or (Reason("", because),), denied_to=principal.id)
