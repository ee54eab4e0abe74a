"""Operators: who may use the admin API, and how they prove it.

A bearer token whose audience is the admin listener, of one of three kinds: an
agent's from our token service, an external issuer's whose claims a rule names,
or the *local operator's*, which the command line makes for whoever can read
the data directory. API keys name no audience and are not taken.

INVARIANT: the local operator's tokens have an issuer, a key ring and a claim of
their own. The token service signs with other keys under another issuer, and no
data listener knows this issuer, so neither kind is ever taken for the other.
"""

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from joserfc import jwt

from agent_gateway.identity.agents import Agent, Agents, ClaimValue, claim
from agent_gateway.identity.api_keys import PREFIX
from agent_gateway.identity.authenticate import MAX_FETCHES, Headers, agent_of, credential_of
from agent_gateway.identity.keys import ALGORITHM, SigningKeys
from agent_gateway.identity.validator import Issuer, KeysNeeded, Validator, Verified
from gateway_policies.principal import Principal
from gateway_policies.refusal import Forbidden, Unauthenticated

LOCAL_ISSUER: Final = "urn:agent-gateway:local-operator"
LOCAL_SUBJECT: Final = "operator:local"
LOCAL_CLAIM: Final = "agent_gateway_operator"
LOCAL_LIFE_S: Final = 120
MAX_LOCAL_LIFE_S: Final = 900
_LOCAL_NAME: Final = "operator:local"  # a colon: no configured issuer can be called so


@dataclass(frozen=True, slots=True)
class OperatorRule:
    """One way to be an operator: an agent's id, or claims of one issuer's tokens that must all be equal."""

    agent: str = ""
    issuer: str = ""
    match: tuple[tuple[str, ClaimValue], ...] = ()

    def holds_for_claims(self, issuer: str, claims: Mapping[str, object]) -> bool:
        if not self.match or self.issuer != issuer:
            return False
        return all(_is_same(claim(claims, name), value) for name, value in self.match)


class Operators:
    """Turns the headers of a request at the admin listener into the operator who sent it.

    audience  what a token's `aud` must be: the admin listener's own
    Made new with every configuration; nothing is cached, so a revoked token ends at once.
    """

    def __init__(self, rules: Iterable[OperatorRule], agents: Agents, validator: Validator, audience: str) -> None:
        self._rules = tuple(rules)
        self._agents = agents
        self._validator = validator
        self._audience = audience

    async def authenticate(self, headers: Headers, query: bytes = b"") -> Principal:
        """Return the operator, fetching an issuer's keys when that is needed.

        Raises `Unauthenticated`, and `Forbidden` (`not_an_operator`) for a token that holds and is nobody's here.
        """
        credential = credential_of(headers, query)
        if credential.startswith(PREFIX):
            raise Unauthenticated(
                "API keys do not open the admin API", code="invalid_token", hint="send a token for the admin audience"
            )
        for _ in range(MAX_FETCHES):
            try:
                return self._operator(self._validator.validate(credential, self._audience))
            except KeysNeeded as needed:
                await needed.source.refresh()
        raise Unauthenticated(
            "the keys of the token's issuer cannot be fetched now", code="keys_unavailable", retry_after_s=30
        )

    def _operator(self, verified: Verified) -> Principal:
        if verified.issuer.name == _LOCAL_NAME:
            return _local_operator(verified)
        agent = agent_of(self._agents, verified)
        if agent is not None:
            if not agent.is_active:
                raise Unauthenticated("this agent is suspended", code="inactive_agent", hint="ask its owner")
            if any(rule.agent == agent.id for rule in self._rules):
                return _agent_operator(agent, verified)
        elif any(rule.holds_for_claims(verified.issuer.name, verified.claims) for rule in self._rules):
            return Principal(
                kind="user",
                id=verified.subject,
                tenant=verified.issuer.tenant,
                issuer=verified.issuer.issuer,
                client_id=verified.client_id,
                credential="oidc",
                expires_at=verified.expires_at,
            )
        raise Forbidden(
            "this identity is no operator of this gateway",
            code="not_an_operator",
            hint="an operator can add it under `admins` in the configuration",
        )


def local_issuer() -> Issuer:
    """Return the validator's row for the local operator; its keys are `operator_keys`."""
    algorithms = frozenset({ALGORITHM})
    return Issuer(_LOCAL_NAME, LOCAL_ISSUER, algorithms=algorithms, max_lifetime_s=MAX_LOCAL_LIFE_S)


def mint_local(keys: SigningKeys, audience: str, now: float, life_s: int = LOCAL_LIFE_S) -> str:
    """Return a token of the local operator for one admin listener.

    keys    the operator's ring, never the token service's
    life_s  seconds, at most `MAX_LOCAL_LIFE_S`
    """
    key_id, key = keys.current()
    claims: dict[str, object] = {
        "iss": LOCAL_ISSUER,
        "sub": LOCAL_SUBJECT,
        "aud": audience,
        LOCAL_CLAIM: True,
        "jti": secrets.token_urlsafe(16),
        "iat": int(now),
        "exp": int(now) + max(1, min(life_s, MAX_LOCAL_LIFE_S)),
    }
    return jwt.encode({"alg": ALGORITHM, "typ": "at+jwt", "kid": key_id}, claims, key, algorithms=[ALGORITHM])


def _local_operator(verified: Verified) -> Principal:
    if verified.subject != LOCAL_SUBJECT or verified.claims.get(LOCAL_CLAIM) is not True:
        raise Unauthenticated("the token is not one of the local operator", code="invalid_token")
    return Principal(
        kind="user",
        id=LOCAL_SUBJECT,
        tenant="",
        issuer=LOCAL_ISSUER,
        credential="local_operator",
        expires_at=verified.expires_at,
    )


def _agent_operator(agent: Agent, verified: Verified) -> Principal:
    return Principal(
        kind="agent",
        id=agent.id,
        tenant=agent.tenant,
        teams=agent.teams,
        issuer=verified.issuer.issuer,
        client_id=verified.client_id,
        credential="access_token" if verified.issuer.is_own else "oidc",
        scopes=verified.scopes,
        trust=agent.trust,
        expires_at=verified.expires_at,
        generation=agent.generation,
    )


def _is_same(found: object, wanted: ClaimValue) -> bool:
    return type(found) is type(wanted) and found == wanted  # 1, 1.0 and True are three things in JSON
