"""Agents: the configured identities, and which credential proves which of them.

Values, immutable, made new with every configuration. Checking a credential is
the work of `token_service`, `validator` and `authenticate`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations

from joserfc.jwk import Key

from agent_gateway.identity.api_keys import ApiKey
from agent_gateway.identity.client_secrets import SecretHash
from agent_gateway.identity.compact import ASYMMETRIC

ClaimValue = str | int | bool


class ConfigurationConflict(ValueError):
    """Two configured identities that one credential could prove. The message names both."""


@dataclass(frozen=True, slots=True)
class PrivateKeyJwt:
    """The public keys that a client signs its assertions with, and the algorithms it may use."""

    keys: tuple[Key, ...]
    algorithms: frozenset[str] = ASYMMETRIC


@dataclass(frozen=True, slots=True)
class OidcBinding:
    """Claims of an external issuer's tokens that together mean one agent; every one must be equal.

    issuer  the configured name, not the URL
    match   claim (a name, or a dotted path) to exact value; at least one
    """

    issuer: str
    match: tuple[tuple[str, ClaimValue], ...]


Credential = SecretHash | PrivateKeyJwt | ApiKey | OidcBinding


@dataclass(frozen=True, slots=True)
class Agent:
    """One configured agent.

    scopes  what its tokens may carry; None: all that the token service knows
    """

    id: str
    tenant: str
    teams: tuple[str, ...] = ()  # full names, `tenant/team`
    trust: int = 0
    generation: int = 0
    is_active: bool = True
    scopes: frozenset[str] | None = None
    credentials: tuple[Credential, ...] = ()

    def secrets(self) -> tuple[SecretHash, ...]:
        return tuple(credential for credential in self.credentials if isinstance(credential, SecretHash))

    def signers(self) -> tuple[PrivateKeyJwt, ...]:
        return tuple(credential for credential in self.credentials if isinstance(credential, PrivateKeyJwt))


class Agents:
    """Every configured agent, found by id, by API key and by the claims of an external token.

    Raises `ConfigurationConflict` when an id or an API key appears twice, or when two bindings
    of different agents could hold for the same token: no claim keeps them apart.
    """

    def __init__(self, agents: Iterable[Agent]) -> None:
        self._by_id: dict[str, Agent] = {}
        self._by_api_key: dict[str, tuple[Agent, ApiKey]] = {}
        self._by_issuer: dict[str, list[tuple[OidcBinding, Agent]]] = {}
        for agent in agents:
            if agent.id in self._by_id:
                raise ConfigurationConflict(f"agent `{agent.id}` is configured twice")
            self._by_id[agent.id] = agent
            for credential in agent.credentials:
                self._index(agent, credential)
        for bindings in self._by_issuer.values():
            _refuse_overlap(bindings)

    def get(self, agent_id: str) -> Agent | None:
        return self._by_id.get(agent_id)

    def by_api_key(self, key_id: str) -> tuple[Agent, ApiKey] | None:
        return self._by_api_key.get(key_id)

    def by_claims(self, issuer: str, claims: Mapping[str, object]) -> Agent | None:
        """Return the agent that a verified token of the issuer named `issuer` stands for, if one is bound."""
        for binding, agent in self._by_issuer.get(issuer, ()):
            if all(_is_same(claim(claims, name), value) for name, value in binding.match):
                return agent
        return None

    def _index(self, agent: Agent, credential: Credential) -> None:
        if isinstance(credential, ApiKey):
            if credential.id in self._by_api_key:
                raise ConfigurationConflict(f"API key `{credential.id}` is configured twice")
            self._by_api_key[credential.id] = (agent, credential)
        elif isinstance(credential, OidcBinding):
            if not credential.match:
                raise ConfigurationConflict(f"a binding of agent `{agent.id}` matches every token of its issuer")
            self._by_issuer.setdefault(credential.issuer, []).append((credential, agent))


def claim(claims: Mapping[str, object], name: str) -> object:
    """Return a claim by its name or, when there is none of that name, by a dotted path; None when absent."""
    if name in claims:
        return claims[name]
    value: object = claims
    for part in name.split("."):
        if not isinstance(value, dict):
            return None
        value = value.get(part)  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
    return value  # pyright: ignore[reportUnknownVariableType]


def _is_same(found: object, wanted: ClaimValue) -> bool:
    # 1, 1.0 and True are equal in Python and three things in JSON
    return type(found) is type(wanted) and found == wanted


def _refuse_overlap(bindings: list[tuple[OidcBinding, Agent]]) -> None:
    for (one, first), (other, second) in combinations(bindings, 2):
        theirs = dict(other.match)
        is_apart = any(name in theirs and not _is_same(theirs[name], value) for name, value in one.match)
        if first.id != second.id and not is_apart:
            raise ConfigurationConflict(
                f"one token of issuer `{one.issuer}` could be agent `{first.id}` and agent `{second.id}`; "
                "match both on the same claim with different values"
            )
