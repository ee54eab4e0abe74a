"""From configuration to identity: agents with hashed credentials, trusted issuers, the token service.

Made new with every configuration; signing keys, replay memory and throttle
outlive it (`Keep`).
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import cast

from joserfc.jwk import Key

from agent_gateway.config.identities import Agent as AgentConfig
from agent_gateway.config.identities import ApiKey as ApiKeyConfig
from agent_gateway.config.identities import ClientSecret, Oidc
from agent_gateway.config.identities import Issuer as IssuerConfig
from agent_gateway.config.identities import PrivateKeyJwt as PrivateKeyJwtConfig
from agent_gateway.config.load import Loaded
from agent_gateway.config.upstream_a2a import A2aUpstream
from agent_gateway.config.upstreams import DelegatedAuth
from agent_gateway.egress.control_client import ControlClient
from agent_gateway.egress.resolve import EgressRules
from agent_gateway.identity.agents import Agent, Agents, ConfigurationConflict, Credential, OidcBinding, PrivateKeyJwt
from agent_gateway.identity.api_keys import ApiKey
from agent_gateway.identity.authenticate import Authenticator
from agent_gateway.identity.client_secrets import SecretHash, WeakSecret, hash_secret
from agent_gateway.identity.delegation import Delegator
from agent_gateway.identity.exchange import Exchange
from agent_gateway.identity.jwks import JwksCache, fetching, public_key
from agent_gateway.identity.keys import SigningKeys
from agent_gateway.identity.metadata import Endpoints
from agent_gateway.identity.operators import OperatorRule, Operators, local_issuer
from agent_gateway.identity.token_service import TokenGuards, TokenService, TokenSettings
from agent_gateway.identity.validator import ClaimMap, Issuer, KeySource, Validator, own_issuer
from agent_gateway.ports import Clock
from agent_gateway.snapshot import Identity

SCOPES = ("tools:call", "agents:message")
_DAY_S = 86_400


class BadIdentity(ValueError):
    """The configuration names an identity that cannot be; the message says where."""


@dataclass(slots=True)
class Keep:
    """What of identity outlives a configuration.

    keys           what the token service signs with
    operator_keys  what the command line signs the local operator's tokens with: another ring
    caches         key sets of external issuers, by everything they were made from
    secrets        hashes by (secret, agent): a slow hash is not made again for an unchanged secret
    """

    keys: SigningKeys
    operator_keys: SigningKeys
    guards: TokenGuards
    clock: Clock
    epoch: int = 0
    caches: dict[tuple[str, str, bool], JwksCache] | None = None
    secrets: dict[tuple[str, str], SecretHash] | None = None


def make_identity(loaded: Loaded, endpoints: Endpoints, keep: Keep) -> Identity:
    """Return who may call under this configuration. May take 50 ms per short secret: run it in a thread.

    Raises `BadIdentity`.
    """
    config = loaded.config
    try:
        agents = Agents([_agent(name, agent, loaded, keep) for name, agent in config.agents.items()])
    except ConfigurationConflict as error:
        raise BadIdentity(str(error)) from error
    service: TokenService | None = None
    rows: list[tuple[Issuer, KeySource]] = []
    if config.token_service.enabled:
        own = (own_issuer(issuer_url(loaded)), keep.keys)
        life_s, exchange = config.token_service.access_token_ttl_s, _exchange(loaded, agents, own, keep)
        settings = TokenSettings(issuer_url(loaded), life_s, exchange)
        service = TokenService(settings, agents, endpoints, keys=keep.keys, guards=keep.guards, clock=keep.clock)
        rows.append(own)
    rows.extend((_issuer(name, issuer, loaded), _key_source(issuer, keep)) for name, issuer in config.issuers.items())
    keep.epoch += 1
    epoch = keep.epoch
    try:
        validator = Validator(rows, clock=keep.clock)
        operators = _operators(loaded, agents, rows, keep)
    except ValueError as error:
        raise BadIdentity(str(error)) from error
    authenticator = Authenticator(
        agents, validator, clock=keep.clock, epoch=_constant(epoch), scopes=frozenset(endpoints.scopes)
    )
    return Identity(agents, authenticator, endpoints, service, operators)


def _operators(loaded: Loaded, agents: Agents, rows: Sequence[tuple[Issuer, KeySource]], keep: Keep) -> Operators:
    """Return who may use the admin API. Raises `ValueError`.

    Whatever audiences an issuer may use for agents, here a token must name the admin listener's own.
    """
    strict = [(replace(issuer, audiences=frozenset[str]()), source) for issuer, source in rows]
    validator = Validator([*strict, (local_issuer(), keep.operator_keys)], clock=keep.clock)
    rules = [
        OperatorRule(one.agent or "", one.issuer or "", tuple((one.match or {}).items()))
        for one in loaded.config.admins
    ]
    return Operators(rules, agents, validator, loaded.config.listeners.admin.token_audience)


def _exchange(loaded: Loaded, agents: Agents, own: tuple[Issuer, KeySource], keep: Keep) -> Exchange:
    """Return the token exchange, for the agents that are called with tokens of ours."""
    audiences: dict[str, list[str]] = {}
    for upstream in loaded.config.upstreams.values():
        if isinstance(upstream, A2aUpstream) and isinstance(upstream.auth, DelegatedAuth) and upstream.acts_as:
            audiences.setdefault(upstream.acts_as, []).append(upstream.auth.audience or upstream.url)
    delegator = delegator_of(loaded, keep.keys, keep.clock)
    validator = Validator([own], clock=keep.clock)
    return Exchange(delegator, validator, agents, audiences, loaded.config.token_service.max_chain)


def delegator_of(loaded: Loaded, keys: SigningKeys, clock: Clock) -> Delegator:
    """Return what signs the tokens with which calls arrive at upstreams."""
    return Delegator(issuer_url(loaded), keys, clock)


def issuer_url(loaded: Loaded) -> str:
    """Return the issuer identifier of the embedded token service."""
    return loaded.config.token_service.issuer or loaded.config.listeners.data.url


def _constant(value: int) -> Callable[[], int]:
    return lambda: value


def known_agent(name: str, agent: AgentConfig) -> Agent:
    """Return a configured agent without its credentials: enough to speak of it, or to mint for it."""
    return Agent(
        id=name,
        tenant=agent.tenant,
        teams=tuple(sorted(f"{agent.tenant}/{team}" for team in agent.teams)),
        trust=agent.trust,
        generation=agent.generation,
        is_active=agent.state == "active",
        scopes=None if agent.scopes is None else frozenset(agent.scopes),
    )


def _agent(name: str, agent: AgentConfig, loaded: Loaded, keep: Keep) -> Agent:
    credentials = tuple(_credential(name, one, loaded, keep) for one in agent.credentials)
    return replace(known_agent(name, agent), credentials=credentials)


def _credential(
    name: str, credential: ClientSecret | PrivateKeyJwtConfig | ApiKeyConfig | Oidc, loaded: Loaded, keep: Keep
) -> Credential:
    if isinstance(credential, ClientSecret):
        return _hashed(name, loaded.reveal(credential.secret), keep)
    if isinstance(credential, PrivateKeyJwtConfig):
        keys = _public_keys(name, loaded.key_sets[credential.jwks_path])
        return PrivateKeyJwt(keys, frozenset(credential.algorithms))
    if isinstance(credential, ApiKeyConfig):
        return ApiKey(credential.id, credential.sha256, _end_of(credential.expires))
    return OidcBinding(credential.issuer, tuple(sorted(credential.match.items())))


def _public_keys(name: str, text: str) -> tuple[Key, ...]:
    """Return the usable keys of a JWK set; raises `BadIdentity` when there is none."""
    try:
        document = json.loads(text)
        entries = document["keys"]
    except (ValueError, KeyError, TypeError) as error:
        raise BadIdentity(f"the key set of agent `{name}` cannot be read") from error
    found = [public_key(cast("dict[str, object]", entry)) for entry in entries if isinstance(entry, dict)]
    keys = tuple(key for key in found if key is not None)
    if not keys:
        raise BadIdentity(f"the key set of agent `{name}` holds no public signature key that is strong enough")
    return keys


def _end_of(day: str | None) -> float | None:
    """Return the unix second at which the last day of validity is over. Raises `BadIdentity` for no day."""
    if day is None:
        return None
    try:
        return datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=UTC).timestamp() + _DAY_S
    except ValueError as error:
        raise BadIdentity(f"`{day}` is no day of the calendar") from error


def _hashed(name: str, secret: str, keep: Keep) -> SecretHash:
    if keep.secrets is None:
        keep.secrets = {}
    key = (name, secret)
    if key not in keep.secrets:
        try:
            keep.secrets[key] = hash_secret(secret)
        except WeakSecret as error:
            raise BadIdentity(f"the client secret of agent `{name}`: {error}") from error
    return keep.secrets[key]


def _issuer(name: str, issuer: IssuerConfig, loaded: Loaded) -> Issuer:
    claims = issuer.claims
    return Issuer(
        name=name,
        issuer=issuer.issuer,
        tenant=issuer.tenant,
        audiences=frozenset(issuer.audiences),
        algorithms=frozenset(issuer.algorithms),
        claims=ClaimMap(claims.subject, claims.client, claims.scopes, claims.teams or ""),
        teams=frozenset(loaded.config.tenants[issuer.tenant].teams),
        unbound=issuer.unbound,
        is_legacy_typ=issuer.legacy_typ,
        may_name_others=issuer.may_name_others,
        max_lifetime_s=int(issuer.max_lifetime_s),
    )


def _key_source(issuer: IssuerConfig, keep: Keep) -> JwksCache:
    if keep.caches is None:
        keep.caches = {}
    key = (issuer.issuer, issuer.jwks_url or "", issuer.allow_private)
    if key not in keep.caches:
        client = ControlClient(EgressRules(allow_private=issuer.allow_private))
        keep.caches[key] = JwksCache(
            issuer.issuer, fetch=fetching(client), clock=keep.clock, jwks_url=issuer.jwks_url or ""
        )
    return keep.caches[key]
