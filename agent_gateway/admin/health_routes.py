"""The probes as part of the admin API's document. The door answers them itself (`probes`), with or without this."""

from fastapi import APIRouter, Response

from agent_gateway.admin import probes
from agent_gateway.admin.models import Alive, Ready
from agent_gateway.runtime.gateway import Gateway


def health_routes(gateway: Gateway) -> APIRouter:
    """Return the routes that probes and Prometheus call."""
    router = APIRouter(tags=["probes"])

    @router.get("/healthz", response_model=Alive)
    async def healthz() -> Response:
        """The process is alive."""
        return probes.alive(gateway)

    @router.get("/readyz", response_model=Ready, responses={503: {"model": Ready}})
    async def readyz() -> Response:
        """The gateway can take calls: 503 with reasons when it cannot. A degraded upstream is listed, and no reason."""
        return probes.ready(gateway)

    @router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    async def metrics() -> Response:
        """Prometheus metrics of every worker."""
        return probes.metrics(gateway)

    return router
