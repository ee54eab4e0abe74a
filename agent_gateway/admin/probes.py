"""Probes: alive, ready, metrics. Without a token; no tenant, agent or tool is named."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from starlette.responses import JSONResponse, Response

from agent_gateway.runtime.gateway import Gateway
from agent_gateway.telemetry.metrics import CONTENT_TYPE
from gateway_policies.refusal import NotFound


def alive(gateway: Gateway) -> Response:
    """Say that the process is alive."""
    return JSONResponse({"status": "ok"})


def ready(gateway: Gateway) -> Response:
    """Say whether the gateway can take calls: 503 with reasons when it cannot. A degraded upstream is no reason."""
    snapshot = gateway.snapshot
    fault = gateway.services.recorder.fault
    reasons = [f"the audit log takes no calls: {fault}"] if fault else []
    down = {name for name, one in snapshot.upstreams.items() if one.health().state == "down"}
    shown = {
        "status": "not ready" if reasons else "ready",
        "snapshot": snapshot.id,
        "reasons": reasons,
        "degraded": sorted(down | set(snapshot.missing)),
    }
    return JSONResponse(shown, 503 if reasons else 200)


def metrics(gateway: Gateway) -> Response:
    """Return what Prometheus asks for, of every worker. Raises `NotFound` where metrics are switched off."""
    if not gateway.snapshot.config.telemetry.metrics:
        raise NotFound("metrics are switched off", hint="set `telemetry.metrics: true`")
    return Response(gateway.services.metrics.render(), headers={"content-type": CONTENT_TYPE})


PROBES: Final[Mapping[str, Callable[[Gateway], Response]]] = MappingProxyType(
    {"/healthz": alive, "/readyz": ready, "/metrics": metrics}
)
