"""The admin listener: health, readiness and metrics for probes; the admin API for operators."""

from fastapi import FastAPI, Response

from agent_gateway.listeners.body import Receive, Scope, Send
from agent_gateway.runtime.books import DataDir
from agent_gateway.runtime.gateway import VERSION, Gateway
from agent_gateway.runtime.keeper import Keeper
from agent_gateway.telemetry.metrics import CONTENT_TYPE


class AdminApp:
    """The ASGI app of the admin listener."""

    def __init__(self, gateway: Gateway, keeper: Keeper, data: DataDir) -> None:
        self._app = FastAPI(title="Agent Gateway admin API", version=VERSION)

        @self._app.get("/healthz")
        async def healthz() -> dict[str, str]:
            return {"status": "ok"}

        @self._app.get("/metrics")
        async def metrics() -> Response:
            return Response(gateway.services.metrics.render(), media_type=CONTENT_TYPE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)
