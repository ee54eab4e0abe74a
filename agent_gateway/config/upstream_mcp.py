"""MCP upstreams: servers reached by `url`, or started by `command`."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from agent_gateway.config.secret import Secret, TextOrSecret
from agent_gateway.config.section import FilePath, HttpUrl, Pattern, Seconds, UriPattern, is_secret_name, refuse
from agent_gateway.config.upstreams import ToolRule, Upstream

Argument = Annotated[str, Field(max_length=4096, pattern=r"^[^\x00]*$")]
EnvName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}$")]
Isolation = Literal["shared", "tenant", "principal"]


class McpUpstream(Upstream):
    """A server we forward to, reached by `url`, or started by `command`."""

    kind: Literal["mcp"] = "mcp"
    """What it speaks."""
    url: HttpUrl | None = None
    """Streamable HTTP endpoint; with `transport: sse`, the URL of the event stream."""
    transport: Literal["streamable-http", "sse"] = "streamable-http"
    """How `url` speaks: `sse` for the HTTP+SSE transport of 2024."""
    command: tuple[Argument, ...] | None = Field(default=None, min_length=1, max_length=256)
    """Program and arguments of a stdio server; no shell reads them."""
    env: Mapping[EnvName, TextOrSecret] = Field(default={}, max_length=128)
    """The child's environment besides PATH and HOME: text, or a secret by reference. Nothing else is inherited."""
    cwd: FilePath | None = None
    """The child's working directory. Default: that of this file."""
    isolation: Isolation | None = None
    """Who shares a child or a legacy session: all, a tenant, none. Default: `tenant`; with `url`, `principal`."""
    era: Literal["auto", "caller", "modern", "legacy"] = "auto"
    """MCP 2026-07-28 and later, the handshake before it, or find out. `caller`, with `url`: a server of both eras is
    called in its caller's, at the price of sessions; then nothing is translated on the way."""
    tools: Mapping[Pattern, ToolRule] = Field(default={}, max_length=1000)
    """Rules by tool name or pattern, the upstream's own names. Later entries win, key by key; tags add up."""
    prompts: Mapping[Pattern, ToolRule] = Field(default={}, max_length=1000)
    """Rules by prompt, likewise. A prompt reads only unless a rule says otherwise."""
    resources: Mapping[UriPattern, ToolRule] = Field(default={}, max_length=1000)
    """Rules by the URI of a resource or resource template, likewise."""
    pin: Literal["trust_first", "approve", "off"] = "trust_first"
    """Whose word makes a definition shown: the first one's (`trust_first`) or an operator's (`approve`); a changed
    one waits for an operator in both. `off`: whatever the upstream says."""
    timeout_s: Seconds = 30.0
    """Seconds one call may take."""
    max_children: int = Field(default=16, ge=1, le=1000)
    """Most children per worker of `command`."""
    idle_timeout_s: Seconds = 300.0
    """Seconds after which an unused child or legacy session ends."""

    def urls(self) -> Mapping[str, str]:
        return {} if self.url is None else {"url": self.url}

    def rules(self) -> Mapping[str, ToolRule]:
        return self.tools

    def rules_for(self, kind: str) -> Mapping[str, ToolRule]:
        return {"tools": self.tools, "prompts": self.prompts}.get(kind, self.resources)

    @property
    def pinning(self) -> Literal["trust_first", "approve", "off"]:
        return self.pin

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
    def _one_way(self) -> "McpUpstream":
        if (self.url is None) == (self.command is None):
            raise refuse("an upstream has either `url` or `command`", "write exactly one of them")
        if self.command is None and (self.env or self.cwd is not None):
            raise refuse("`env` and `cwd` belong to `command`", "leave them out with `url`")
        if self.transport == "sse" and (self.url is None or self.era == "modern"):
            raise refuse("`transport: sse` is for a `url` of the handshake era", "leave one of them out")
        if self.era == "caller" and (self.url is None or self.transport == "sse"):
            raise refuse("`era: caller` is for a `url` of streamable HTTP", "leave `era` out")
        if self.url is None and (self.auth.kind != "none" or self.allow_private):
            raise refuse("`auth` and `allow_private` belong to `url`", "give a child its secret under `env`")
        return self
