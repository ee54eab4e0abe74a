"""A2A upstreams: remote agents, each behind an endpoint of its own, `/a2a/{name}`."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from agent_gateway.config.section import AgentId, HttpUrl, Pattern, Seconds, is_same_origin, refuse
from agent_gateway.config.upstreams import ToolRule, Upstream

A2aVersion = Literal["1.0", "0.3"]


class A2aUpstream(Upstream):
    """An agent we forward to. Where its card says it is counts only on the origin that is written here."""

    kind: Literal["a2a"]
    """What it speaks."""
    url: HttpUrl
    """Base URL of the agent. No message goes to another origin, whatever its card says."""
    card: HttpUrl | None = None
    """Where its card is. Default: `/.well-known/agent-card.json` below `url`."""
    card_keys: Annotated[str, Field(pattern=r"^file:\S.*$", max_length=1024)] | None = None
    """Public keys that its card must be signed with: `file:path` of a JWK set. Default: signatures do not count."""
    endpoint: HttpUrl | None = None
    """Where its operations are, on the origin of `url`. Default: the path that its card names."""
    binding: Literal["auto", "jsonrpc", "http+json", "grpc"] = "auto"
    """How it is spoken to. Default: as its card prefers; gRPC where it offers nothing else. With gRPC (1.0 alone,
    the extra `grpc`) `url` is the origin of the service, https unless it is private, and `card` usually elsewhere."""
    version: Literal["auto", "1.0", "0.3"] = "auto"
    """Which protocol version it speaks. Default: the newest in its card."""
    serve: tuple[A2aVersion, ...] = Field(default=("1.0", "0.3"), min_length=1, max_length=2)
    """Versions that callers may speak; messages are translated where the agent speaks another one."""
    card_shape: Literal["auto", "1.0", "0.3", "dual"] = "auto"
    """How its card is written for a request without `A2A-Version`. Default: in 1.0 when its own is in 1.0 alone, else
    in both at once. Strict readers of 1.0 refuse `dual`; clients of 0.3 cannot read `1.0`."""
    visibility: Literal["entitled", "public"] = "entitled"
    """Who may read its card: those who may use it, or everybody."""
    acts_as: AgentId | None = None
    """The entry of `agents` that this agent calls with: who it is in chains, and what keeps a loop from closing."""
    risk: int | None = Field(default=None, ge=0, le=10)
    """Risk of a message to it, and of its skills unless they say otherwise. Default: 5."""
    read_only: bool | None = None
    """It changes nothing. Default: false."""
    price_micros: int | None = Field(default=None, ge=0, le=1_000_000_000_000)
    """Price of one message in millionths of the currency. Default: 0."""
    skills: Mapping[Pattern, ToolRule] = Field(default={}, max_length=1000)
    """Rules by skill id or pattern. Later entries win, key by key; tags add up."""
    as_tools: bool = False
    """Show its skills as MCP tools too, `{name}__{skill}`, and itself as `{name}__ask`."""
    push: Literal["off", "relay"] = "off"
    """Push notifications: refused, or relayed by the gateway, so that the agent never learns where to."""
    push_private: bool = False
    """Let webhooks of callers be plain http, and on loopback and private addresses."""
    client_contexts: Literal["refuse", "accept"] = "refuse"
    """Context ids that a caller made up: like unknown ones, or taken and then the caller's own."""
    timeout_s: Seconds = 300.0
    """Seconds until the answer to a message begins; a blocking one may take long."""
    stream_timeout_s: Seconds = 3600.0
    """Longest one event stream lasts, in seconds."""

    def urls(self) -> Mapping[str, str]:
        named = {"url": self.url, "card": self.card, "endpoint": self.endpoint}
        return {key: url for key, url in named.items() if url is not None}

    @property
    def card_keys_path(self) -> str | None:
        return None if self.card_keys is None else self.card_keys.removeprefix("file:")

    def rules(self) -> Mapping[str, ToolRule]:
        return self.skills

    def rules_for(self, kind: str) -> Mapping[str, ToolRule]:
        """Return the rules of its skills as tools; what is said of the agent as a whole comes first."""
        if kind != "tools":
            return {}
        own = ToolRule(risk=self.risk, read_only=self.read_only, price_micros=self.price_micros)
        every = own.model_copy(update=self.skills.get("*", ToolRule()).model_dump(exclude_unset=True))
        return {"*": every, **{name: rule for name, rule in self.skills.items() if name != "*"}}

    @field_validator("serve")
    @classmethod
    def _once(cls, serve: tuple[A2aVersion, ...]) -> tuple[A2aVersion, ...]:
        if len(set(serve)) != len(serve):
            raise refuse("a version is here twice")
        return serve

    @model_validator(mode="after")
    def _served_shape(self) -> "A2aUpstream":
        named = {"auto": (), "dual": ("1.0", "0.3")}.get(self.card_shape, (self.card_shape,))
        if not set(named) <= set(self.serve):
            raise refuse("`card_shape` names a version that is not served", "add it to `serve`")
        return self

    @model_validator(mode="after")
    def _grpc_is_new(self) -> "A2aUpstream":
        if self.binding == "grpc" and self.version == "0.3":
            raise refuse("gRPC is spoken in version 1.0 alone", "leave `version` out")
        return self

    @model_validator(mode="after")
    def _one_origin(self) -> "A2aUpstream":
        if self.endpoint is not None and not is_same_origin(self.endpoint, self.url):
            raise refuse("`endpoint` is on another origin than `url`", "the credential goes to one origin only")
        return self
