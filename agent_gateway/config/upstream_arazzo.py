"""Arazzo upstreams: workflows over APIs that are registered, each of them one tool once somebody has approved it."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from agent_gateway.config.section import FilePath, Name, Pattern, Seconds
from agent_gateway.config.upstream_openapi import APPROVED
from agent_gateway.config.upstreams import ToolRule, Upstream

SourceName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,128}$")]


class ArazzoUpstream(Upstream):
    """Workflows of an Arazzo description. `agent-gateway mesh import` writes this entry and its folder."""

    kind: Literal["arazzo"]
    """What it is."""
    spec: FilePath | None = None
    """Where the description comes from, a file or URL: for `mesh diff` to look at again."""
    folder: FilePath | None = None
    """What was imported and approved. Default: `mesh/{name}`."""
    sources: Mapping[SourceName, Name] = Field(default={}, max_length=64)
    """Which API each source description is, as the name of its upstream. Default: the upstream of the same name."""
    answer_chars: int = Field(default=32_000, ge=1000, le=10_000_000)
    """Longest text of one answer."""
    tools: Mapping[Pattern, ToolRule] = Field(default={}, max_length=1000)
    """Rules by tool name or pattern. A workflow's risk is never below the highest of its steps."""
    timeout_s: Seconds = 120.0
    """Seconds one call may take, all its steps and waits together."""

    def rules(self) -> Mapping[str, ToolRule]:
        return self.tools

    def folder_of(self, name: str) -> str:
        """Return the folder of the description, relative to the configuration file."""
        return self.folder or f"mesh/{name}"

    def files(self, name: str) -> tuple[str, ...]:
        return (f"{self.folder_of(name)}/{APPROVED}",)
