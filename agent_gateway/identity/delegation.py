"""Delegation: who calls for whom, as the claims of a token and back.

    sub   on whose behalf everything happens: the first of the chain
    act   who acts now; inside it, whoever acted before, one level for each hop
    txn   the transaction that all these calls are part of

A chain is never taken from anything but a token that we signed. Every hop that is an agent of
ours carries its generation, so that revoking one agent ends every chain it is part of.
Source: RFC 8693 4.1; draft-ietf-oauth-transaction-tokens for `txn`.
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast

from joserfc import jwt

from agent_gateway.identity.agents import Agents
from agent_gateway.identity.compact import Malformed, text
from agent_gateway.identity.keys import ALGORITHM, SigningKeys
from agent_gateway.ports import Clock
from gateway_policies.principal import Hop, Principal
from gateway_policies.refusal import Forbidden, Unauthenticated

MAX_HOPS: Final = 16  # that a token is read for; how many a call may have is the operator's to say
HOP_TOKEN_LIFE_S: Final = 300
_MAX_NAME_CHARS: Final = 255


@dataclass(frozen=True, slots=True)
class Grant:
    """What a delegated token is to say besides who is in its chain."""

    audience: str
    client_id: str
    tenant: str
    scopes: Sequence[str]
    txn: str
    expires_at: float = 0.0  # unix seconds: never later than this; 0: as late as tokens go


class Delegator:
    """Signs tokens that name a chain, with the keys of the embedded token service."""

    def __init__(self, issuer: str, keys: SigningKeys, clock: Clock) -> None:
        self.issuer = issuer
        self._keys = keys
        self._clock = clock

    def token(self, links: Sequence[Hop], grant: Grant) -> tuple[str, int]:
        """Return a token whose chain is `links`, the first of them its subject, and its life in seconds."""
        now = int(self._clock())
        expires_at = now + HOP_TOKEN_LIFE_S
        if grant.expires_at:
            expires_at = min(expires_at, int(grant.expires_at))
        key_id, key = self._keys.current()
        claims: dict[str, object] = {
            "iss": self.issuer,
            "client_id": grant.client_id,
            "aud": grant.audience,
            "tenant": grant.tenant,
            "scope": " ".join(grant.scopes),
            "txn": grant.txn,
            "jti": secrets.token_urlsafe(16),
            "iat": now,
            "exp": expires_at,
            **_claims(links, self.issuer),
        }
        token = jwt.encode({"alg": ALGORITHM, "typ": "at+jwt", "kid": key_id}, claims, key, algorithms=[ALGORITHM])
        return token, max(0, expires_at - now)

    def hop_token(self, principal: Principal, audience: str) -> str:
        """Return the token with which `principal`'s call arrives at the upstream that `audience` names."""
        links = (*principal.chain, link_of(principal, self.issuer))
        scopes = sorted(principal.scopes)
        expires_at = principal.expires_at or 0.0
        grant = Grant(audience, principal.client_id, principal.tenant, scopes, principal.txn, expires_at)
        return self.token(links, grant)[0]


def link_of(principal: Principal, own_issuer: str) -> Hop:
    """Return `principal` as a link of a chain: a configured agent is ours, whatever proved it."""
    issuer = own_issuer if principal.kind == "agent" else principal.issuer
    return Hop(
        issuer, principal.id, True, principal.generation, principal.kind,
        () if principal.kind == "agent" else principal.teams, principal.trust,
    )  # fmt: skip


def links_in(claims: Mapping[str, object], own_issuer: str) -> tuple[Hop, ...]:
    """Return the chain of a token of ours, from its subject to who acts now; raises `Malformed`."""
    first = _link(claims, "sub_", own_issuer)
    actors: list[Hop] = []
    act: object = claims.get("act")
    while act is not None:
        if not isinstance(act, dict) or len(actors) >= MAX_HOPS:
            raise Malformed("the token's chain cannot be read")
        claim = cast("dict[str, object]", act)
        actors.append(_link(claim, "", own_issuer))
        act = claim.get("act")
    return (first, *reversed(actors))


def check_links(links: Sequence[Hop], agents: Agents, tenant: str, own_issuer: str) -> None:
    """Refuse a chain with a link that is an agent of ours no more, or suspended, or revoked, or another tenant's."""
    for link in links:
        if link.issuer != own_issuer:
            continue
        agent = agents.get(link.subject)
        is_as_it_was = agent is not None and agent.generation == link.generation and agent.tenant == tenant
        if agent is None or not is_as_it_was or not agent.is_active:
            raise Unauthenticated(
                "the token has been revoked", code="revoked_token", hint="begin again with whoever it is for"
            )


def check_chain(name: str, acts_as: str | None, principal: Principal, max_chain: int) -> None:
    """Refuse a call of the agent `name` that would close a loop or make its chain too long, in words to act on.

    acts_as  who the agent is when it calls on itself, None when it cannot
    """
    if acts_as is not None and acts_as in {principal.id, *(hop.subject for hop in principal.chain)}:
        raise Forbidden(
            f"`{name}` is part of this chain of calls already",
            code="delegation_loop",
            hint="answer with what you know, or ask another agent",
        )
    length = len(principal.chain) + 2  # who calls, and who is called
    if length > max_chain:
        raise Forbidden(
            f"with this call its chain has {length} principals, and {max_chain} are the most",
            code="delegation_depth",
            hint="let an agent nearer to the task's owner ask",
        )


def txn_in(claims: Mapping[str, object]) -> str:
    """Return the transaction that a token of ours is part of, empty for none."""
    return text(claims, "txn")[:_MAX_NAME_CHARS]


def _claims(links: Sequence[Hop], own_issuer: str) -> dict[str, object]:
    first, *actors = links
    claims = _claim(first, "sub_", own_issuer)
    act: dict[str, object] | None = None
    for actor in actors:
        claim = _claim(actor, "", own_issuer)
        if act is not None:
            claim["act"] = act
        act = claim
    return claims if act is None else {**claims, "act": act}


def _claim(link: Hop, prefix: str, own_issuer: str) -> dict[str, object]:
    """Return what a token says of one link; of an agent of ours no more than who it is."""
    claim: dict[str, object] = {"sub": link.subject, "generation": link.generation}
    if link.issuer != own_issuer:
        claim[f"{prefix}iss"] = link.issuer
    if link.kind != "agent":
        claim |= {f"{prefix}kind": link.kind, f"{prefix}teams": list(link.teams), f"{prefix}trust": link.trust}
    return claim


def _link(claims: Mapping[str, object], prefix: str, own_issuer: str) -> Hop:
    subject, issuer = claims.get("sub"), claims.get(f"{prefix}iss", own_issuer)
    generation, trust = claims.get("generation", 0), claims.get(f"{prefix}trust", 0)
    kind, teams = claims.get(f"{prefix}kind"), claims.get(f"{prefix}teams", [])
    if not isinstance(subject, str) or not isinstance(issuer, str) or not 0 < len(subject) <= _MAX_NAME_CHARS:
        raise Malformed("the token's chain cannot be read")
    if not _is_number(generation) or not _is_number(trust) or not isinstance(teams, list):
        raise Malformed("the token's chain cannot be read")
    named = tuple(str(team) for team in cast("list[object]", teams))
    if issuer == own_issuer:
        return Hop(issuer, subject, True, cast("int", generation), "agent")
    as_kind = "workload" if kind == "workload" else "user"
    return Hop(issuer, subject, True, cast("int", generation), as_kind, named, cast("int", trust))


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
