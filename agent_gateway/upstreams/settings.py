"""What an operator says of one upstream: where it is, how it speaks, what it may cost."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from agent_gateway.egress.resolve import EgressRules
from gateway_policies.principal import Principal
from mcp_registry.protocol.versions import Era

Isolation = Literal["shared", "tenant", "principal"]
EraPin = Literal["auto", "caller", "modern", "legacy"]

_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class UpstreamTimeouts:
    """Seconds. The deadline of a whole request is the caller's (`UpstreamRequest.timeout_s`)."""

    connect_s: float = 5.0  # name, address, TLS
    open_s: float = 20.0  # era probe, handshake, start of a child: all of it
    probe_s: float = 5.0  # a silent `server/discover` on stdio means the handshake era
    page_s: float = 20.0  # one page of a list
    idle_s: float = 300.0  # between two pieces of an HTTP body; a tool may think for long on an open stream
    session_idle_s: float = 600.0  # a session or child that nobody uses is ended
    farewell_s: float = 2.0  # for ending politely, before it is done by force


@dataclass(frozen=True, slots=True)
class UpstreamLimits:
    """What one upstream may cost. Bytes unless the name says otherwise."""

    max_result: int = 16 * _MIB  # one answer; also one event, and one line on stdio
    max_stream: int = 256 * _MIB  # one event stream
    max_connections: int = 256
    max_waiting: int = 1024  # requests waiting for a connection
    max_sessions: int = 256  # legacy sessions
    max_children: int = 32
    max_inflight: int = 512  # requests running on one child
    max_unwritten: int = 16 * _MIB  # waiting for a child that does not read
    max_strays: int = 32  # messages of one stream that answer nothing we asked
    max_server_requests: int = 64  # of the upstream's own, during one request
    max_sessions_per_owner: int = 16  # of one caller: one for each set of capabilities it declares
    max_resumes: int = 16  # times that the stream of one answer may break and be opened again
    max_notifications: int = 256  # waiting for the reader of one request on a shared child
    max_pages: int = 100
    max_items: int = 20_000  # of one list
    max_garbage_lines: int = 100  # of a child's stdout, before it is restarted
    max_log_lines: int = 200  # of a child's stderr, kept
    max_log_line: int = 4096
    max_restarts: int = 5  # within `restart_window_s`, before the child counts as down
    restart_window_s: float = 60.0


@dataclass(frozen=True, slots=True)
class UpstreamSettings:
    """One registered MCP upstream.

    kind       `http`: `url` (streamable HTTP). `sse`: `url` (HTTP+SSE). `stdio`: `command`, `args`, `cwd`, `env`
    era        the one it speaks, `auto` to find out, `caller` for that of each caller where it speaks both
    env        the child's environment, to which `inherit` adds variables of ours by name, and `PATH`
    isolation  who shares a legacy session or a child; None: `principal` for HTTP, `tenant` for stdio
    tls        trust and client certificate, None: the system's trust
    has_fixed_credentials  whether its requests carry the same credential, or none, as long as these settings hold
    """

    name: str
    kind: Literal["http", "sse", "stdio"]
    url: str = ""
    command: str = ""
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    inherit: tuple[str, ...] = ()
    cwd: str | None = None
    era: EraPin = "auto"
    isolation: Isolation | None = None
    timeouts: UpstreamTimeouts = field(default_factory=UpstreamTimeouts)
    limits: UpstreamLimits = field(default_factory=UpstreamLimits)
    rules: EgressRules = field(default_factory=EgressRules)
    tls: ssl.SSLContext | None = None
    has_fixed_credentials: bool = False

    def __post_init__(self) -> None:
        if (self.kind != "stdio") != bool(self.url) or (self.kind == "stdio") != bool(self.command):
            raise ValueError("an http upstream has a url, a stdio upstream a command, and neither the other's")

    @property
    def pinned_era(self) -> Era | None:
        """Return the era that an operator says it speaks, None to find out."""
        return self.era if self.era in ("modern", "legacy") else None

    def owner(self, principal: Principal) -> tuple[str, ...]:
        """Return who shares state at this upstream with `principal`: equal for two who do."""
        isolation = self.isolation or ("tenant" if self.kind == "stdio" else "principal")
        if isolation == "shared":
            return ()
        return (principal.tenant,) if isolation == "tenant" else principal.key
