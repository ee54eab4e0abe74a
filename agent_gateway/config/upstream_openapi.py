"""OpenAPI upstreams: APIs whose operations become tools, each of them once somebody has approved it."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from agent_gateway.config.secret import Secret
from agent_gateway.config.section import FilePath, HttpUrl, Label, Origin, Pattern, Seconds, Section
from agent_gateway.config.upstreams import ClientCredentialsAuth, ToolRule, Upstream

SchemeName = Annotated[str, Field(pattern=r"^[A-Za-z0-9._ -]{1,128}$")]
ServerUrl = Annotated[str, Field(pattern=r"^[^\x00-\x20]{1,2048}$")]
VariableName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
FieldName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
Place = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}\.[^\x00-\x20]{1,128}$")]

APPROVED = "approved.json"
"""In the folder of an API: which tools were approved, and from which sources."""


class KeyAuth(Section):
    """A secret for a scheme of the description: its API key, or its bearer token."""

    kind: Literal["key"]
    value: Secret
    """The value, by reference."""


class BasicAuth(Section):
    """User and password for a scheme of the description."""

    kind: Literal["basic"]
    username: Label
    """User name."""
    password: Secret
    """Password, by reference."""


SchemeAuth = Annotated[KeyAuth | BasicAuth | ClientCredentialsAuth, Field(discriminator="kind")]


class OpenApiUpstream(Upstream):
    """An API with an OpenAPI description. `agent-gateway mesh import` writes this entry and its folder."""

    kind: Literal["openapi"]
    """What it speaks."""
    url: HttpUrl
    """Base URL; the paths of operations follow it. No call goes to another origin but those of `servers`."""
    spec: FilePath | None = None
    """Where its description comes from, a file, folder, archive or URL: for `mesh diff` to look at again."""
    refetch_s: int = Field(default=0, ge=0, le=2_592_000)
    """Seconds between two looks at `spec`. What changed without breaking anything is then served as it is now; what
    might break or be unsafe is held, and waits in `agent-gateway pins`. 0: never by itself."""
    folder: FilePath | None = None
    """What was imported and approved. Default: `mesh/{name}`."""
    servers: Mapping[ServerUrl, HttpUrl] = Field(default={}, max_length=64)
    """For operations with servers of their own: which URL to use instead of the one declared."""
    variables: Mapping[VariableName, Label] = Field(default={}, max_length=64)
    """Variables of server URLs. Default: those of the description."""
    schemes: Mapping[SchemeName, SchemeAuth] = Field(default={}, max_length=64)
    """Credentials by the name that the description gives a security scheme; `auth` goes with every call besides."""
    body_secrets: Mapping[FieldName, Secret] = Field(default={}, max_length=16)
    """Credentials that an API wants in a field of its bodies (Slack's `token`), by that field's name."""
    slashes_in: tuple[Place, ...] = Field(default=(), max_length=256)
    """Path parameters that may hold `/`, as `tool.parameter`: such a value can lead to another operation."""
    downloads: tuple[Origin, ...] = Field(default=(), max_length=64)
    """Origins that a redirect of a GET may lead to, once, without any credential."""
    poll_s: float = Field(default=0.0, ge=0, le=600)
    """Seconds to wait for work that was accepted (202) to be done, asking again where it says. 0: not at all."""
    answer_chars: int = Field(default=32_000, ge=1000, le=10_000_000)
    """Longest text of one answer; what is cut can be read on with `read_result`."""
    tools: Mapping[Pattern, ToolRule] = Field(default={}, max_length=1000)
    """Rules by tool name or pattern. Later entries win, and all win over our own grade of the operation."""
    timeout_s: Seconds = 30.0
    """Seconds one call may take."""

    def urls(self) -> Mapping[str, str]:
        return {"url": self.url, **{f"servers.{key}": url for key, url in self.servers.items()}}

    def rules(self) -> Mapping[str, ToolRule]:
        return self.tools

    def has_credential(self) -> bool:
        return bool(self.schemes) or bool(self.body_secrets) or super().has_credential()

    def folder_of(self, name: str) -> str:
        """Return the folder of the API, relative to the configuration file."""
        return self.folder or f"mesh/{name}"

    def files(self, name: str) -> tuple[str, ...]:
        return (f"{self.folder_of(name)}/{APPROVED}",)
