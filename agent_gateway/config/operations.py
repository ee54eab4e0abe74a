"""Operations: the audit log and telemetry."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from agent_gateway.config.section import HttpUrl, Name, Seconds, Section


class Audit(Section):
    """The tamper-evident log of every decision and outcome. It cannot be switched off."""

    origin: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9./_-]{0,127}$")] = "agent-gateway.local"
    """Name in signed checkpoints, unique to this gateway; a host name you own is best."""
    checkpoint_every_s: Seconds = 1.0
    """Seconds between signed checkpoints while records come in."""
    checkpoint_every_records: int = Field(default=1000, ge=1, le=1_000_000)
    """Records after which a checkpoint is signed at the latest."""
    pending_records: int = Field(default=10_000, ge=16, le=1_000_000)
    """Most records that wait to be durable; further calls are refused."""
    pending_bytes: int = Field(default=67_108_864, ge=65_536, le=1_073_741_824)
    """Most bytes of records that wait to be durable."""


class Mirror(Section):
    """Another registry of the same API, followed: what is in it waits here for approval, and its statuses hold here."""

    url: HttpUrl
    """Up to `/v0.1`."""
    search: Annotated[str, Field(max_length=200)] = ""
    """Only servers that are found by this."""
    every_s: Annotated[float, Field(ge=60, le=604_800)] = 3600.0
    """Seconds between two looks at it."""
    allow_private: bool = False
    """Let its URL lead to private addresses; loopback always may."""


class Registry(Section):
    """The registry of MCP servers at `/registry/v0.1`."""

    mirrors: Mapping[Name, Mirror] = Field(default={}, max_length=32)
    """Other registries to follow, by a name of yours."""

    public: bool = False
    """Let everybody read it: every endpoint, and what operators imported. Otherwise callers see what they may use."""


class Telemetry(Section):
    """Logs, metrics and traces. When they fail, calls go on."""

    logs: Literal["json", "console"] = "json"
    """One JSON object a line, or text for people."""
    level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severity to log."""
    metrics: bool = True
    """Serve Prometheus metrics at `/metrics` of the admin listener."""
    otlp_endpoint: HttpUrl | None = None
    """OTLP/HTTP traces endpoint, such as `http://127.0.0.1:4318/v1/traces`. Default: no traces."""
    sample_ratio: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of calls to trace when the caller did not decide."""
