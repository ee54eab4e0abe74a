"""The kinds of upstream, as one: `kind` says which keys follow, and `mcp` is meant when it is left out."""

from typing import Annotated, cast

from pydantic import Discriminator, Tag

from agent_gateway.config.upstream_a2a import A2aUpstream
from agent_gateway.config.upstream_arazzo import ArazzoUpstream
from agent_gateway.config.upstream_mcp import McpUpstream
from agent_gateway.config.upstream_openapi import OpenApiUpstream
from agent_gateway.config.upstreams import Upstream


def _kind_of(value: object) -> str:
    """Return the kind that a value claims; what is no mapping is told so as an MCP upstream."""
    if isinstance(value, Upstream):
        return str(getattr(value, "kind", ""))
    if not isinstance(value, dict):
        return "mcp"
    kind = cast("dict[str, object]", value).get("kind", "mcp")
    return kind if isinstance(kind, str) else "?"


AnyUpstream = Annotated[
    Annotated[McpUpstream, Tag("mcp")]
    | Annotated[A2aUpstream, Tag("a2a")]
    | Annotated[OpenApiUpstream, Tag("openapi")]
    | Annotated[ArazzoUpstream, Tag("arazzo")],
    Discriminator(_kind_of),
]
"""One upstream of any kind."""
