"""Build an upstream from its settings."""

import importlib
from collections.abc import Mapping

from agent_gateway.ports import Clock, HttpClient
from agent_gateway.upstreams.a2a_http import AgentSettings, HttpAgent
from agent_gateway.upstreams.agent_client import AgentClient
from agent_gateway.upstreams.h1_response import H1Limits
from agent_gateway.upstreams.http_pool import HttpPool, PoolSettings
from agent_gateway.upstreams.mcp_http import Credentials, HttpUpstream
from agent_gateway.upstreams.mcp_sse import SseUpstream
from agent_gateway.upstreams.mcp_stdio import StdioUpstream
from agent_gateway.upstreams.renewal import Renewal
from agent_gateway.upstreams.settings import UpstreamSettings

LONGEST_RESPONSE_S = 3600.0
LONGEST_STREAM_S = 24 * 3600.0  # the one event stream of an HTTP+SSE upstream


def build_upstream(
    settings: UpstreamSettings,
    *,
    credentials: Credentials,
    clock: Clock,
    environ: Mapping[str, str],
    http: HttpClient | None = None,
    renewal: Renewal | None = None,
) -> HttpUpstream | SseUpstream | StdioUpstream:
    """Return the upstream, connected to nothing yet; `aclose` it.

    credentials  headers of a principal's requests at this upstream; not asked for stdio
    environ      our own environment, for children: only `PATH` and inherited names are taken
    renewal      replaces credentials that the upstream refuses (streamable HTTP alone)
    http         instead of a pool of its own; closed with the upstream
    """
    if settings.kind == "stdio":
        return StdioUpstream(settings, clock, environ=environ)
    if settings.kind == "sse":
        return SseUpstream(settings, http or http_pool(settings, LONGEST_STREAM_S), credentials, clock)
    return HttpUpstream(settings, http or http_pool(settings), credentials, clock, renewal=renewal)


def build_agent(settings: AgentSettings, *, credentials: Credentials, clock: Clock) -> HttpAgent:
    """Return the agent, connected to nothing yet; `aclose` it."""
    limits = settings.limits
    pool = PoolSettings(
        rules=settings.rules,
        max_connections=limits.max_connections,
        max_waiting=limits.max_waiting,
        connect_timeout_s=settings.timeouts.connect_s,
        h1=H1Limits(idle_timeout_s=settings.timeouts.idle_s, max_response_s=settings.longest_s),
    )
    return HttpAgent(settings, AgentClient(HttpPool(pool), lambda: _grpc_client(settings)), credentials, clock)


def _grpc_client(settings: AgentSettings) -> HttpClient:
    client: HttpClient = importlib.import_module("agent_gateway.upstreams.a2a_grpc").GrpcClient(settings)
    return client


def http_pool(settings: UpstreamSettings, longest_s: float = LONGEST_RESPONSE_S) -> HttpPool:
    """Return a pool with the limits, the egress rules and the TLS identity of this upstream.

    longest_s  how long one response may take, in seconds
    """
    limits, timeouts = settings.limits, settings.timeouts
    pool = PoolSettings(
        rules=settings.rules,
        max_connections=limits.max_connections,
        max_waiting=limits.max_waiting,
        connect_timeout_s=timeouts.connect_s,
        h1=H1Limits(idle_timeout_s=timeouts.idle_s, max_response_s=longest_s),
    )
    return HttpPool(pool, tls=settings.tls)
