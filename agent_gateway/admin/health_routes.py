"""Probes: alive, ready, metrics. Without a token; no tenant, agent or tool is named."""

from fastapi import APIRouter, Response

from agent_gateway.admin.models import Alive, Ready
from agent_gateway.runtime.gateway import Gateway
from agent_gateway.telemetry.metrics import CONTENT_TYPE
from gateway_policies.refusal import NotFound


def health_routes(gateway: Gateway) -> APIRouter:
    """Return the routes that probes and Prometheus call."""
    router = APIRouter(tags=["probes"])

    @router.get("/healthz")
    async def healthz() -> Alive:
        """The process is alive."""
        return Alive()

    @router.get("/readyz", responses={503: {"model": Ready}})
    async def readyz(response: Response) -> Ready:
        """The gateway can take calls: 503 with reasons when it cannot. A degraded upstream is listed, and no reason."""
        snapshot = gateway.snapshot
        fault = gateway.services.recorder.fault
        reasons = [f"the audit log takes no calls: {fault}"] if fault else []
        degraded = {name for name, one in snapshot.upstreams.items() if one.health().state == "down"}
        response.status_code = 503 if reasons else 200
        return Ready(
            status="not ready" if reasons else "ready",
            snapshot=snapshot.id,
            reasons=reasons,
            degraded=sorted(degraded | set(snapshot.missing)),
        )

    @router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    async def metrics() -> Response:
        """Prometheus metrics of every worker."""
        if not gateway.snapshot.config.telemetry.metrics:
            raise NotFound("metrics are switched off", hint="set `telemetry.metrics: true`")
        return Response(gateway.services.metrics.render(), headers={"content-type": CONTENT_TYPE})

    return router
