"""Spans of calls that have ended, for a collector.

A worker imports this only when a collector is configured: OpenTelemetry takes as long to import as all of the pipeline.
"""

import time
from collections.abc import Callable

from agent_gateway.pipeline.exchange import Exchange
from agent_gateway.pipeline.services import Services
from agent_gateway.telemetry.spans import EndedCall, Spans


def send_spans(services: Services, endpoint: str) -> Callable[[], None]:
    """Have a span of each sampled call sent to the collector at `endpoint`; return what sends the last and stops."""
    spans = Spans.to_collector(endpoint)
    services.on_end = _offering(spans)
    return spans.close


def _offering(spans: Spans) -> Callable[[Exchange], None]:
    def offer(exchange: Exchange) -> None:
        call = exchange.call
        if call is None or not exchange.trace.is_sampled:
            return
        start_ns = int(exchange.started_at * 1e9)
        attributes: dict[str, str | int | bool] = {
            "mcp.method.name": call.operation,
            "gen_ai.tool.name": call.capability.name,
            "agent_gateway.upstream": call.capability.upstream,
            "agent_gateway.tenant": call.principal.tenant,
            "agent_gateway.agent": call.principal.id,
            "agent_gateway.call": call.id,
        }
        end_ns = start_ns + time.monotonic_ns() - exchange.started_ns
        is_error = exchange.status != "ok"
        name = f"{call.operation} {call.capability.name}"
        spans.offer(
            exchange.trace, EndedCall(name, start_ns, end_ns, is_error, exchange.code or exchange.status, attributes)
        )

    return offer
