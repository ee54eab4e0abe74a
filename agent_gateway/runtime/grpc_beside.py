"""gRPC beside the data listener, where it is configured: its libraries are imported then alone."""

import contextlib
import importlib
from collections.abc import AsyncGenerator
from urllib.parse import urlsplit

from agent_gateway.config.root import Config
from agent_gateway.listeners.body import AsgiApp


@contextlib.asynccontextmanager
async def grpc_beside(config: Config, app: AsgiApp) -> AsyncGenerator[None]:
    """Serve A2A over gRPC while the block runs, answered by `app`, the data listener's; nothing unless configured."""
    listener = config.listeners.grpc
    if listener is None:
        yield
        return
    front = importlib.import_module("agent_gateway.listeners.grpc_front")
    host = urlsplit(config.listeners.data.url).netloc
    async with front.serving_grpc(app, listener, host, config.limits):
        yield
