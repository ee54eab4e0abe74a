"""Identities: tenants, teams, the issuers we trust, and the agents with their credentials."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, WithJsonSchema, model_validator

from agent_gateway.config.secret import Secret
from agent_gateway.config.section import AgentId, BaseUrl, HttpUrl, Label, Name, Section, refuse

Algorithm = Literal["ES256", "ES384", "ES512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "Ed25519", "EdDSA"]
ClaimName = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[^\x00-\x20]+$")]
Scope = Annotated[str, Field(pattern=r"^[\x21\x23-\x5b\x5d-\x7e]{1,128}$")]


def _claim_value(value: object) -> str | int | bool:
    if isinstance(value, (str, int, bool)):
        return value
    raise refuse("a claim is compared with text, a whole number, `true` or `false`")


ClaimValue = Annotated[Any, AfterValidator(_claim_value), WithJsonSchema({"type": ["string", "integer", "boolean"]})]
ClaimMatch = Annotated[Mapping[ClaimName, ClaimValue], Field(min_length=1, max_length=16)]
"""Claims and what each must equal."""


class Team(Section):
    title: Label | None = None
    """Name for people."""


class Tenant(Section):
    title: Label | None = None
    """Name for people."""
    teams: Mapping[Name, Team] = Field(default={}, max_length=10_000)
    """Teams of this tenant by name. Policies and budgets know them as `tenant/team`."""


class Claims(Section):
    """Which claim of the issuer's tokens says what."""

    subject: ClaimName = "sub"
    """Who the token is about."""
    client: ClaimName = "azp"
    """The OAuth client that asked for the token; `client_id` is tried next."""
    scopes: ClaimName = "scope"
    """Space-separated text, or a list."""
    teams: ClaimName | None = None
    """List of team names of the issuer's tenant; names that the tenant does not have are ignored. Default: no teams."""


class Issuer(Section):
    """An external OpenID Connect or OAuth issuer whose tokens we accept."""

    issuer: HttpUrl
    """Issuer identifier, compared exactly with `iss`."""
    audiences: tuple[Label, ...] = Field(default=(), max_length=16)
    """Audiences to accept. Default: only the URL of the endpoint that is called."""
    algorithms: tuple[Algorithm, ...] = Field(default=("ES256", "RS256"), min_length=1, max_length=11)
    """Signature algorithms to accept. Symmetric ones and `none` never are."""
    jwks_url: HttpUrl | None = None
    """Where the keys are. Default: found by OIDC discovery or RFC 8414 metadata."""
    tenant: Name
    """Tenant that this issuer's subjects belong to. An issuer speaks for one tenant."""
    claims: Claims = Claims()
    """Names of the claims that matter."""
    unbound: Literal["refuse", "user", "workload"] = "refuse"
    """What a subject is that no agent's credential matches: nobody, a user, or a workload."""
    legacy_typ: bool = False
    """Accept tokens whose `typ` is `JWT` or missing, for issuers without RFC 9068."""
    may_name_others: bool = False
    """Accept tokens that are meant for other audiences too, besides one of ours."""
    max_lifetime_s: int = Field(default=86_400, ge=60, le=86_400)
    """Refuse tokens that live longer, in seconds."""
    allow_private: bool = False
    """Let the issuer's URLs lead to private addresses."""


class TokenService(Section):
    """The embedded OAuth token service for machine clients."""

    enabled: bool = True
    """Serve `/oauth/token` for the agents below."""
    issuer: BaseUrl | None = None
    """Issuer identifier. Default: the data listener's public URL."""
    access_token_ttl_s: int = Field(default=900, ge=60, le=3600)
    """Life of an access token, in seconds."""
    max_chain: int = Field(default=4, ge=1, le=16)
    """Most principals in a chain of calls, from whom it is for to the agent that is called."""
    key_rotation_days: int = Field(default=30, ge=1, le=365)
    """Days after which a new signing key is made; the old one stays published while its tokens live."""


class ClientSecret(Section):
    """OAuth client credentials with a shared secret; the client id is the agent's name."""

    kind: Literal["client_secret"]
    secret: Secret
    """At least 16 characters; `agent-gateway key secret` makes a good one."""


class PrivateKeyJwt(Section):
    """OAuth client credentials with a signed assertion (RFC 7523); we hold public keys only."""

    kind: Literal["private_key_jwt"]
    jwks: Annotated[str, Field(pattern=r"^file:\S.*$", max_length=1024)]
    """The agent's public keys: `file:path` of a JWK set."""
    algorithms: tuple[Algorithm, ...] = Field(default=("ES256",), min_length=1, max_length=11)
    """Signature algorithms to accept."""

    @property
    def jwks_path(self) -> str:
        return self.jwks.removeprefix("file:")


class ApiKey(Section):
    """A hashed API key; `agent-gateway key new` prints the key once and this entry."""

    kind: Literal["api_key"]
    id: Annotated[str, Field(pattern=r"^[a-z0-9]{12}$")]
    """The 12 characters after `agw_`; not secret."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    """SHA-256 of the whole key, in lower-case hexadecimal."""
    expires: Annotated[str | None, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")] = None
    """Last day of validity, `2027-01-31`, UTC. Default: until it is removed."""


class Oidc(Section):
    """Tokens of an external issuer whose claims match."""

    kind: Literal["oidc"]
    issuer: Name
    """Name of an entry under `issuers`."""
    match: ClaimMatch
    """Claims that make a token this agent's; all must match exactly."""


Credential = Annotated[ClientSecret | PrivateKeyJwt | ApiKey | Oidc, Field(discriminator="kind")]


class Agent(Section):
    """Someone who may call, and how they prove who they are."""

    tenant: Name
    """Tenant the agent belongs to."""
    teams: tuple[Name, ...] = Field(default=(), max_length=64)
    """Teams of that tenant."""
    owner: Label
    """Person or group who answers for this agent."""
    trust: int = Field(default=0, ge=0, le=10)
    """Trust from 0 to 10, for policies."""
    state: Literal["active", "suspended"] = "active"
    """A suspended agent is refused whatever it presents."""
    scopes: tuple[Scope, ...] | None = Field(default=None, max_length=64)
    """Scopes its tokens may carry. Default: all that the token service knows."""
    list_tokens: int | None = Field(default=None, ge=0, le=10_000_000)
    """Most tokens, about, that a list of tools may cost it; above it, any endpoint is compact for it."""
    generation: int = Field(default=0, ge=0, le=2_147_483_647)
    """Raise it to revoke every token, session and returned id of this agent."""
    credentials: tuple[Credential, ...] = Field(default=(), max_length=16)
    """Ways to prove it is this agent; none means that it cannot call."""


class AdminRule(Section):
    """One way to be an operator: an agent, or the claims of an issuer's token."""

    agent: AgentId | None = None
    """Name of an entry under `agents`."""
    issuer: Name | None = None
    """Name of an entry under `issuers`."""
    match: ClaimMatch | None = None
    """Claims that make a token of that issuer an operator's; all must match exactly."""

    @model_validator(mode="after")
    def _one_way(self) -> "AdminRule":
        by_claims = self.issuer is not None and self.match is not None
        if (self.agent is not None) == by_claims or (self.issuer is None) != (self.match is None):
            raise refuse("an operator is named by `agent`, or by `issuer` and `match`", "write one of the two")
        return self
