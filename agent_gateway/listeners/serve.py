"""Running ASGI apps on sockets: uvicorn, with our deadlines, in one event loop.

Signals belong to the caller, not to uvicorn: a gateway runs two listeners and
decides itself what a signal means.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator, Generator, Sequence
from dataclasses import dataclass

import uvicorn

from agent_gateway.listeners.bind import BACKLOG
from agent_gateway.listeners.body import AsgiApp
from agent_gateway.listeners.deadlines import EdgeLimits, EdgeProtocol, Refused, protocol_with, sweep
from agent_gateway.listeners.fast_protocol import fast_protocol
from agent_gateway.runtime.gateway import Gateway

_SWEEP_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class Listener:
    """One app on one bound socket."""

    name: str
    app: AsgiApp
    sock: socket.socket
    limits: EdgeLimits
    idle_timeout_s: int = 75
    drain_timeout_s: int = 20
    max_connections: int = 10_000
    refused: Refused | None = None  # hears of what is refused before the app is asked
    fast_for: Gateway | None = None  # plain calls go the short way, to this gateway


class _Server(uvicorn.Server):
    """uvicorn's server without its signal handlers."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


def _server(listener: Listener) -> _Server:
    base = EdgeProtocol if listener.fast_for is None else fast_protocol(listener.fast_for)
    config = uvicorn.Config(
        listener.app,
        http=protocol_with(listener.limits, listener.refused, base),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=True,
        proxy_headers=False,
        timeout_keep_alive=listener.idle_timeout_s,
        timeout_graceful_shutdown=listener.drain_timeout_s,
        limit_concurrency=listener.max_connections,
        backlog=BACKLOG,
    )
    return _Server(config)


@contextlib.asynccontextmanager
async def serving(listeners: Sequence[Listener]) -> AsyncGenerator[None]:
    """Serve while the block runs; on leaving, stop accepting, drain, close."""
    servers = [_server(listener) for listener in listeners]
    tasks = [
        asyncio.ensure_future(server.serve(sockets=[listener.sock]))
        for server, listener in zip(servers, listeners, strict=True)
    ]
    sweeper = asyncio.ensure_future(_sweep_forever(servers))
    try:
        while not all(server.started for server in servers):
            if any(task.done() for task in tasks):
                break
            await asyncio.sleep(0.005)
        yield
    finally:
        sweeper.cancel()
        for server in servers:
            server.should_exit = True
        await asyncio.gather(*tasks, return_exceptions=True)
        with contextlib.suppress(asyncio.CancelledError):
            await sweeper


async def _sweep_forever(servers: Sequence[_Server]) -> None:
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(_SWEEP_EVERY_S)
        for server in servers:
            sweep(server.server_state.connections, loop.time())
