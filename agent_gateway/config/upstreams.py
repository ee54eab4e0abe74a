"""Upstreams: what all kinds of them share: credentials, bounds, and the operator's word on what they offer.

A kind has a module of its own (`upstream_mcp` and others); `upstream_kinds` puts them together.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from agent_gateway.config.secret import Secret
from agent_gateway.config.section import HttpUrl, Label, Seconds, Section, Tag, refuse

HeaderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}$")]

RESERVED_HEADERS = frozenset(
    {"host", "content-length", "content-type", "transfer-encoding", "connection", "accept", "te", "upgrade", "trailer"}
)


class NoAuth(Section):
    """The upstream asks for no credential."""

    kind: Literal["none"] = "none"


class HeaderAuth(Section):
    """A fixed header with every request."""

    kind: Literal["header"]
    name: HeaderName = "Authorization"
    """Name of the header."""
    prefix: Annotated[str, Field(max_length=32, pattern=r"^[\x20-\x7e]*$")] = ""
    """Text before the value, such as `Bearer ` with its blank."""
    value: Secret
    """The value, by reference."""

    @field_validator("name")
    @classmethod
    def _ours(cls, name: str) -> str:
        if name.lower() in RESERVED_HEADERS or name.lower().startswith("mcp-"):
            raise refuse("this header is the gateway's own to set", "use `Authorization` or the upstream's own header")
        return name


class ClientCredentialsAuth(Section):
    """OAuth client credentials: the gateway gets tokens for itself."""

    kind: Literal["client_credentials"]
    token_url: HttpUrl
    """Token endpoint."""
    client_id: Label
    """The gateway's client id there."""
    client_secret: Secret
    """Its secret, by reference."""
    scope: Label | None = None
    """Scopes to ask for, separated by blanks."""
    resource: HttpUrl | None = None
    """Resource indicator (RFC 8707). Default: the upstream's URL."""


class DelegatedAuth(Section):
    """A short token of our own token service with every call: for whom it is made, and through whom.

    The upstream trusts our keys (`/oauth/jwks`), and may exchange the token for one that calls on.
    """

    kind: Literal["delegated"]
    audience: HttpUrl | None = None
    """Audience of the token. Default: the upstream's URL."""


class DiscoverAuth(Section):
    """OAuth as the upstream announces it: its authorization server is found by its metadata, checked and asked."""

    kind: Literal["discover"]
    grant: Literal["client_credentials", "authorization_code", "jwt_bearer"] = "client_credentials"
    """How tokens are had: for the gateway itself, by a person's word (`agent-gateway login`), or for a workload."""
    issuer: HttpUrl | None = None
    """The only authorization server that may be asked. Default: the one that the upstream names first."""
    client_id: Annotated[str, Field(min_length=1, max_length=2048, pattern=r"^[\x21-\x7e]+$")] | None = None
    """The gateway's client id there, or an `https:` URL of its metadata document. Default: it registers itself."""
    client_secret: Secret | None = None
    """Its secret, by reference; it goes to `issuer` alone."""
    client_key: Secret | None = None
    """Its private key in PEM, by reference, in place of a secret."""
    assertion: Secret | None = None
    """The token of a workload, by reference, for `jwt_bearer`; it goes to `issuer` alone. A file is followed."""
    scope: Label | None = None
    """Scopes to ask for, separated by blanks. Default: those that the upstream asks for, or else offers."""
    redirect_port: int = Field(default=0, ge=0, le=65535)
    """Port on loopback where a login ends. Default: any; a client that is registered with one needs it."""

    @model_validator(mode="after")
    def _fits(self) -> "DiscoverAuth":
        proofs = [self.client_secret, self.client_key]
        if self.grant == "client_credentials" and (self.client_id is None or proofs.count(None) != 1):
            raise refuse(
                "`client_credentials` needs `client_id` and its secret or key", "or `grant: authorization_code`"
            )
        if self.client_id is None and proofs.count(None) != 2:
            raise refuse("a secret or key without `client_id`", "say whose it is")
        if self.client_secret is not None and self.issuer is None:
            raise refuse("a secret needs the `issuer` that it is for", "or else the upstream says who gets it")
        if (self.grant == "jwt_bearer") != (self.assertion is not None):
            raise refuse("`assertion` belongs to `grant: jwt_bearer`", "write both, or neither")
        if self.assertion is not None and self.issuer is None:
            raise refuse("an assertion needs the `issuer` that it is for", "or else the upstream says who gets it")
        return self


Auth = Annotated[
    NoAuth | HeaderAuth | ClientCredentialsAuth | DiscoverAuth | DelegatedAuth, Field(discriminator="kind")
]


class ToolRule(Section):
    """What the operator says of a tool; the upstream's own word on it is never believed."""

    risk: int | None = Field(default=None, ge=0, le=10)
    """Risk from 0 (harmless) to 10 (destructive). Default: 5."""
    read_only: bool | None = None
    """The tool changes nothing. Default: false."""
    price_micros: int | None = Field(default=None, ge=0, le=1_000_000_000_000)
    """Price of one call in millionths of the currency. Default: 0."""
    tags: tuple[Tag, ...] = Field(default=(), max_length=32)
    """Tags besides those of the upstream."""
    hide: bool | None = None
    """Leave the tool out of every catalogue. Default: false."""


class Upstream(Section):
    """What every upstream has, whatever it speaks; each kind adds its own in a module of its own."""

    title: Label | None = None
    """Name for people."""
    owner: Label | None = None
    """Person or team who answers for it."""
    enabled: bool = True
    """False keeps the entry and connects to nothing."""
    auth: Auth = NoAuth()
    """How the gateway proves itself to the upstream. The caller's token never travels on."""
    allow_private: bool = False
    """Let its URL lead to loopback and private addresses."""
    tags: tuple[Tag, ...] = Field(default=(), max_length=32)
    """For policies; everything the upstream offers has them."""
    connect_timeout_s: Seconds = 5.0
    """Seconds to connect, or to start and greet a child."""
    max_connections: int = Field(default=64, ge=1, le=10_000)
    """Most connections per worker to its URL."""
    max_waiting: int = Field(default=256, ge=0, le=100_000)
    """Most calls that wait for a connection or child; the next is refused."""
    result_bytes: int | None = Field(default=None, ge=1024, le=1_073_741_824)
    """Largest result in bytes. Default: `limits.result_bytes`."""

    def urls(self) -> Mapping[str, str]:
        """Return the URLs that connections may go to, by the key that holds each."""
        return {}

    @property
    def pinning(self) -> Literal["trust_first", "approve", "off"]:
        """Whose word makes a definition of its lists shown."""
        return "off"

    def rules(self) -> Mapping[str, ToolRule]:
        """Return the operator's word on what it offers, by the upstream's own name or a pattern."""
        return {}

    def rules_for(self, kind: str) -> Mapping[str, ToolRule]:
        """Return the operator's word on one kind of list: tools, prompts, resources, resource_templates."""
        return self.rules() if kind == "tools" else {}

    def has_credential(self) -> bool:
        """Say whether calls carry a secret."""
        return self.auth.kind != "none"

    def files(self, name: str) -> tuple[str, ...]:
        """Return the files, relative to the configuration's, whose change changes the upstream called `name`."""
        del name
        return ()
