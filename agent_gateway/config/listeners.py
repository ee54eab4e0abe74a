"""Listeners and limits: where the gateway listens and how much it takes."""

from pydantic import Field

from agent_gateway.config.section import BaseUrl, HostName, Origin, Port, Seconds, Section


class Listener(Section):
    host: HostName = "127.0.0.1"
    """Address to bind. `0.0.0.0` and `::` bind every interface, and then `allowed_hosts` must say the names."""
    port: Port
    """TCP port."""
    public_url: BaseUrl | None = None
    """URL that clients use, without a path's final slash. Default: `http://{host}:{port}`."""
    audience: BaseUrl | None = None
    """Audience that tokens for this listener must carry. Default: `public_url`."""
    allowed_hosts: tuple[HostName, ...] = Field(default=(), max_length=64)
    """Further Host headers to accept, `name` or `name:port`; that of `public_url` always is."""
    allowed_origins: tuple[Origin, ...] = Field(default=(), max_length=64)
    """Origins of web pages that may call. None by default: browsers are refused."""

    @property
    def url(self) -> str:
        """`public_url`, or the one that follows from host and port."""
        host = f"[{self.host}]" if ":" in self.host and not self.host.startswith("[") else self.host
        return self.public_url or f"http://{host}:{self.port}"

    @property
    def token_audience(self) -> str:
        return self.audience or self.url


class DataListener(Listener):
    port: Port = 8080
    """TCP port for agents: MCP, OAuth token endpoint, metadata."""
    fast_path: bool = True
    """Whether plain tool calls skip what only other requests need: same rules, records and answers. Read at start."""
    http_sse: bool = False
    """Whether each MCP endpoint has an HTTP+SSE form too, the transport of 2024-11-05, at its path plus `/sse`."""


class AdminListener(Listener):
    port: Port = 8081
    """TCP port for operators: admin API, health, metrics."""


class GrpcListener(Section):
    """A2A over gRPC, in the clear: put TLS in front. Needs the extra `grpc`. Read at start."""

    host: HostName = "127.0.0.1"
    """Address to bind."""
    port: Port = 8082
    """TCP port; workers share it."""
    public_address: str | None = Field(default=None, min_length=1, max_length=255, pattern=r"^[A-Za-z0-9.\-:\[\]]+$")
    """What cards say of where it is, `name:port`. Default: `{host}:{port}`."""
    calls: int = Field(default=1000, ge=1, le=100_000)
    """Most calls at once, of one worker."""

    @property
    def address(self) -> str:
        return self.public_address or f"{self.host}:{self.port}"


class Listeners(Section):
    data: DataListener = DataListener()
    """Where agents connect."""
    admin: AdminListener = AdminListener()
    """Where operators, probes and Prometheus connect; keep it off the public network."""
    grpc: GrpcListener | None = None
    """Where agents connect over gRPC. Default: nowhere."""


class Limits(Section):
    """Every bound of the data path. A request beyond one is refused by that name."""

    body_bytes: int = Field(default=4_194_304, ge=1024, le=268_435_456)
    """Largest request body, in bytes."""
    header_bytes: int = Field(default=32_768, ge=4096, le=1_048_576)
    """Largest request head, in bytes."""
    headers: int = Field(default=100, ge=16, le=1000)
    """Most header fields of one request."""
    json_depth: int = Field(default=64, ge=8, le=256)
    """Deepest nesting of a JSON body."""
    result_bytes: int = Field(default=16_777_216, ge=1024, le=1_073_741_824)
    """Largest result of one call, in bytes."""
    header_timeout_s: Seconds = 10.0
    """Seconds a client may take to send a request head."""
    body_timeout_s: Seconds = 30.0
    """Seconds a client may take to send a body."""
    idle_timeout_s: Seconds = 75.0
    """Seconds an idle connection stays open."""
    list_timeout_s: Seconds = 5.0
    """Seconds a list waits for one upstream before it is answered without it, marked degraded."""
    call_timeout_s: Seconds = 300.0
    """Longest a call may run, whatever the upstream's own `timeout_s` says."""
    drain_timeout_s: Seconds = 30.0
    """Seconds that running calls get to end at shutdown or reload."""
    connections: int = Field(default=10_000, ge=1, le=1_000_000)
    """Most open client connections per worker."""
    concurrency_per_principal: int = Field(default=256, ge=1, le=100_000)
    """Most calls one principal may have running per worker."""
    sessions_per_principal: int = Field(default=1000, ge=1, le=100_000)
    """Most MCP sessions one principal may keep open per worker; beyond that the one used least recently ends."""
    session_idle_s: Seconds = 3600.0
    """Seconds after which an MCP session that nobody used is over."""
    answer_timeout_s: Seconds = 240.0
    """Seconds a client may take to answer what an upstream asks of it (elicitation, sampling, roots)."""
    page_items: int = Field(default=1000, ge=1, le=100_000)
    """Most entries on one page of a list."""
