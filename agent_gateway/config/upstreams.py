"""Upstreams: what the gateway forwards to, with which credential and within which bounds."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from agent_gateway.config.secret import Secret, TextOrSecret
from agent_gateway.config.section import (
    FilePath,
    HttpUrl,
    Label,
    Pattern,
    Seconds,
    Section,
    Tag,
    is_secret_name,
    refuse,
)

HeaderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}$")]
Argument = Annotated[str, Field(max_length=4096, pattern=r"^[^\x00]*$")]
EnvName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}$")]
Isolation = Literal["shared", "tenant", "principal"]

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


Auth = Annotated[NoAuth | HeaderAuth | ClientCredentialsAuth, Field(discriminator="kind")]


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
    """A server we forward to, reached by `url`, or started by `command`."""

    kind: Literal["mcp"] = "mcp"
    """What it speaks."""
    title: Label | None = None
    """Name for people."""
    owner: Label | None = None
    """Person or team who answers for it."""
    enabled: bool = True
    """False keeps the entry and connects to nothing."""
    url: HttpUrl | None = None
    """Streamable HTTP endpoint."""
    command: tuple[Argument, ...] | None = Field(default=None, min_length=1, max_length=256)
    """Program and arguments of a stdio server; no shell reads them."""
    env: Mapping[EnvName, TextOrSecret] = Field(default={}, max_length=128)
    """The child's environment besides PATH and HOME: text, or a secret by reference. Nothing else is inherited."""
    cwd: FilePath | None = None
    """The child's working directory. Default: that of this file."""
    auth: Auth = NoAuth()
    """How the gateway proves itself to the upstream. The caller's token never travels on."""
    isolation: Isolation | None = None
    """Who shares a child or a legacy session: all, a tenant, none. Default: `tenant`; with `url`, `principal`."""
    era: Literal["auto", "modern", "legacy"] = "auto"
    """MCP 2026-07-28 and later, the handshake before it, or find out."""
    allow_private: bool = False
    """Let `url` lead to loopback and private addresses."""
    tags: tuple[Tag, ...] = Field(default=(), max_length=32)
    """For policies; every tool of the upstream has them."""
    tools: Mapping[Pattern, ToolRule] = Field(default={}, max_length=1000)
    """Rules by tool name or pattern, the upstream's own names. Later entries win, key by key; tags add up."""
    timeout_s: Seconds = 30.0
    """Seconds one call may take."""
    connect_timeout_s: Seconds = 5.0
    """Seconds to connect, or to start and greet a child."""
    max_connections: int = Field(default=64, ge=1, le=10_000)
    """Most connections per worker to `url`."""
    max_children: int = Field(default=16, ge=1, le=1000)
    """Most children per worker of `command`."""
    max_waiting: int = Field(default=256, ge=0, le=100_000)
    """Most calls that wait for a connection or child; the next is refused."""
    idle_timeout_s: Seconds = 300.0
    """Seconds after which an unused child or legacy session ends."""
    result_bytes: int | None = Field(default=None, ge=1024, le=1_073_741_824)
    """Largest result in bytes. Default: `limits.result_bytes`."""

    @property
    def isolated_by(self) -> Isolation:
        return self.isolation or ("tenant" if self.command is not None else "principal")

    @field_validator("env")
    @classmethod
    def _no_inline_secret(cls, env: Mapping[str, str | Secret]) -> Mapping[str, str | Secret]:
        bare = sorted(name for name, value in env.items() if isinstance(value, str) and value and is_secret_name(name))
        if bare:
            names = ", ".join(f"`{name}`" for name in bare)
            raise refuse(f"{names} seems to be a secret written out", "write `env:NAME` or `file:path`")
        return env

    @model_validator(mode="after")
    def _one_way(self) -> "Upstream":
        if (self.url is None) == (self.command is None):
            raise refuse("an upstream has either `url` or `command`", "write exactly one of them")
        if self.command is None and (self.env or self.cwd is not None):
            raise refuse("`env` and `cwd` belong to `command`", "leave them out with `url`")
        if self.url is None and (self.auth.kind != "none" or self.allow_private):
            raise refuse("`auth` and `allow_private` belong to `url`", "give a child its secret under `env`")
        return self
