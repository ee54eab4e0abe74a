"""Authenticate: who is behind one HTTP request, phase 2 of a call.

Credentials come in one header only. Tokens go to the validator, API keys to
their hashes, and both end as a principal of the configuration at hand.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace
from urllib.parse import unquote_plus

from agent_gateway.identity import api_keys, delegation
from agent_gateway.identity.agents import Agent, Agents
from agent_gateway.identity.compact import MAX_TOKEN_BYTES, Malformed
from agent_gateway.identity.validator import Issuer, KeysNeeded, Validator, Verified
from agent_gateway.ports import Clock
from gateway_policies.principal import Hop, Principal
from gateway_policies.refusal import Unauthenticated

MAX_CACHED = 50_000
MAX_CACHED_S = 60.0
MAX_FETCHES = 2  # a token names one issuer: one fetch, and one more when the first has just failed
_VISIBLE = bytes(range(0x21, 0x7F))
_LENGTHS = frozenset({len(b"authorization"), len(b"x-api-key")})
_QUERY_NAMES = frozenset({"access_token", "api_key", "apikey", "x-api-key"})

Headers = Sequence[tuple[bytes, bytes]]  # as ASGI gives them


class Authenticator:
    """Turns the headers of a request into a `Principal`.

    scopes     what an agent without a list of its own may carry
    epoch      rises whenever agents, issuers or keys change or something is revoked; the cache forgets all then
    Made new with every configuration.
    """

    def __init__(
        self,
        agents: Agents,
        validator: Validator,
        *,
        clock: Clock,
        epoch: Callable[[], int],
        scopes: frozenset[str] = frozenset(),
        max_cached: int = MAX_CACHED,
    ) -> None:
        self._agents = agents
        self._validator = validator
        self._clock = clock
        self._epoch = epoch
        self._scopes = scopes
        self._max_cached = max_cached
        self._cached_epoch = epoch()
        # key: SHA-256 over the whole token and the resource, never a part of either
        self._cached: OrderedDict[bytes, tuple[Principal, float]] = OrderedDict()

    def authenticate(self, headers: Headers, resource: str, query: bytes = b"") -> Principal | None:
        """Return who calls the endpoint whose URL is `resource`; synchronous.

        query  the raw query string
        None   keys must be fetched first: `await authenticate_cold(...)` with the same arguments
        Raises `Unauthenticated`; its code goes into the challenge (`challenge.unauthorized`).
        """
        found = self.authenticate_until(headers, resource, query)
        return None if found is None else found[0]

    def authenticate_until(self, headers: Headers, resource: str, query: bytes = b"") -> tuple[Principal, float] | None:
        """Like `authenticate`, with the unix time up to which the answer may be remembered under this configuration."""
        try:
            return self._authenticate(headers, resource, query)
        except KeysNeeded:
            return None

    async def authenticate_cold(self, headers: Headers, resource: str, query: bytes = b"") -> Principal:
        """Like `authenticate`, fetching an issuer's keys when that is needed."""
        for _ in range(MAX_FETCHES):
            try:
                return self._authenticate(headers, resource, query)[0]
            except KeysNeeded as needed:
                await needed.source.refresh()
        raise Unauthenticated(
            "the keys of the token's issuer cannot be fetched now", code="keys_unavailable", retry_after_s=30
        )

    def _authenticate(self, headers: Headers, resource: str, query: bytes) -> tuple[Principal, float]:
        credential = credential_of(headers, query)
        if credential.startswith(api_keys.PREFIX):
            return self._by_api_key(credential)
        return self._by_token(credential, resource)

    def _by_token(self, token: str, resource: str) -> tuple[Principal, float]:
        now, epoch = self._clock(), self._epoch()
        if epoch != self._cached_epoch:
            self._cached.clear()
            self._cached_epoch = epoch
        key = hashlib.sha256(f"{resource}\n{token}".encode()).digest()
        found = self._cached.get(key)
        if found is not None and now < found[1]:
            self._cached.move_to_end(key)
            return found
        principal = self._principal(self._validator.validate(token, resource))
        until = min(now + MAX_CACHED_S, principal.expires_at or now)
        self._cached[key] = (principal, until)
        self._cached.move_to_end(key)
        if len(self._cached) > self._max_cached:
            self._cached.popitem(last=False)
        return principal, until

    def _by_api_key(self, key: str) -> tuple[Principal, float]:
        key_id = api_keys.id_of(key)
        found = self._agents.by_api_key(key_id) if key_id else None
        if found is None or not api_keys.matches(key, found[1]):
            raise Unauthenticated("the API key is not known here", code="invalid_token")
        agent, stored = found
        now = self._clock()
        if stored.expires_at is not None and now >= stored.expires_at:
            raise Unauthenticated(
                "the API key has expired", code="expired_token", hint="ask the operator for a new one"
            )
        scopes = self._scopes if agent.scopes is None else self._scopes & agent.scopes
        principal = _agent_principal(
            agent,
            issuer="api_key",
            client_id=stored.id,
            credential="api_key",
            scopes=scopes,
            expires_at=stored.expires_at,
        )
        until = now + MAX_CACHED_S
        return principal, until if stored.expires_at is None else min(until, stored.expires_at)

    def _principal(self, verified: Verified) -> Principal:
        agent = agent_of(self._agents, verified)
        if agent is not None:
            credential = "access_token" if verified.issuer.is_own else "oidc"
            return _chained(_token_principal(agent, verified, credential=credential), verified, self._agents)
        return _unbound(verified, verified.issuer)


def agent_of(agents: Agents, verified: Verified) -> Agent | None:
    """Return the configured agent that a verified token stands for, active or not; None when none is bound to it.

    Raises `Unauthenticated` (`revoked_token`) for a token of our own whose agent is gone or has moved on.
    """
    if not verified.issuer.is_own:
        return agents.by_claims(verified.issuer.name, verified.claims)
    claims = verified.claims
    acting = _acting(verified)
    agent = agents.get(acting.subject) if acting.issuer == verified.issuer.issuer else None
    is_of_agent = agent is not None and claims.get("tenant") == agent.tenant and verified.client_id == agent.id
    if agent is None or not is_of_agent or acting.generation != agent.generation:
        raise Unauthenticated(
            "the token has been revoked", code="revoked_token", hint="ask the token service for a new one"
        )
    return agent


def _acting(verified: Verified) -> Hop:
    """Return who a token of ours says acts now: the outermost `act`, or its subject."""
    try:
        return delegation.links_in(verified.claims, verified.issuer.issuer)[-1]
    except Malformed as error:
        raise Unauthenticated(str(error), code="invalid_token") from error


def _chained(principal: Principal, verified: Verified, agents: Agents) -> Principal:
    """Return the principal of a token of ours with everybody that it acts for; each of them must still stand."""
    if not verified.issuer.is_own:
        return principal
    issuer = verified.issuer.issuer
    chain = delegation.links_in(verified.claims, issuer)[:-1]
    delegation.check_links(chain, agents, principal.tenant, issuer)
    return replace(principal, chain=chain, txn=delegation.txn_in(verified.claims))


def credential_of(headers: Headers, query: bytes = b"") -> str:
    """Return the one credential of a request: a bearer token, or an API key in either of its headers.

    Raises `Unauthenticated`: `missing_token`, `ambiguous_token` for more than one, `token_in_query`,
    `invalid_token` for another scheme or bytes that no token has.
    """
    if query and not _QUERY_NAMES.isdisjoint(_names(query)):
        raise Unauthenticated(
            "a credential in the query string is not accepted", code="token_in_query", hint="send it in a header"
        )
    found: list[tuple[bytes, bytes]] = []
    for name, value in headers:
        # the length first: this runs over every header of every call
        if len(name) in _LENGTHS and (lowered := name.lower()) in (b"authorization", b"x-api-key"):
            found.append((lowered, value))
    if not found:
        raise Unauthenticated("no credential is given", code="missing_token", hint="send `Authorization: Bearer ...`")
    if len(found) > 1:
        raise Unauthenticated("more than one credential is given", code="ambiguous_token", hint="send one header")
    name, value = found[0]
    return _api_key(value) if name == b"x-api-key" else _bearer(value)


def _bearer(value: bytes) -> str:
    scheme, _, token = value.partition(b" ")
    if scheme.lower() != b"bearer":
        raise Unauthenticated("only bearer tokens are accepted", code="invalid_token")
    return _visible(token)


def _api_key(value: bytes) -> str:
    key = _visible(value)
    if not key.startswith(api_keys.PREFIX):
        raise Unauthenticated("the API key is not known here", code="invalid_token")
    return key


def _visible(token: bytes) -> str:
    if not 0 < len(token) <= MAX_TOKEN_BYTES or token.translate(None, _VISIBLE):
        raise Unauthenticated("the credential is empty, too long or holds bytes that none has", code="invalid_token")
    return token.decode()


def _names(query: bytes) -> set[str]:
    fields = query.decode("latin-1").replace(";", "&").split("&")
    return {unquote_plus(field.partition("=")[0]).strip().lower() for field in fields}


def _token_principal(agent: Agent, verified: Verified, *, credential: str) -> Principal:
    return _agent_principal(
        agent,
        issuer=verified.issuer.issuer,
        client_id=verified.client_id,
        credential=credential,
        scopes=verified.scopes if agent.scopes is None else verified.scopes & agent.scopes,
        expires_at=verified.expires_at,
    )


def _agent_principal(
    agent: Agent,
    *,
    issuer: str,
    client_id: str,
    credential: str,
    scopes: frozenset[str],
    expires_at: float | None = None,
) -> Principal:
    if not agent.is_active:
        raise Unauthenticated("this agent is suspended", code="inactive_agent", hint="ask its owner")
    return Principal(
        kind="agent",
        id=agent.id,
        tenant=agent.tenant,
        teams=tuple(sorted(agent.teams)),
        issuer=issuer,
        client_id=client_id,
        credential=credential,
        scopes=scopes,
        trust=agent.trust,
        expires_at=expires_at,
        generation=agent.generation,
    )


def _unbound(verified: Verified, issuer: Issuer) -> Principal:
    if issuer.unbound == "refuse" or not issuer.tenant:
        raise Unauthenticated(
            "the token holds, and nobody here is bound to it",
            code="unknown_principal",
            hint="ask the operator for a binding",
        )
    return Principal(
        kind=issuer.unbound,
        id=verified.subject,
        tenant=issuer.tenant,
        teams=tuple(f"{issuer.tenant}/{team}" for team in verified.teams),
        issuer=issuer.issuer,
        client_id=verified.client_id,
        credential="oidc",
        scopes=verified.scopes,
        expires_at=verified.expires_at,
    )
