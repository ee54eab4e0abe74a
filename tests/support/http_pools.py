"""An HTTP pool on loopback for tests."""

import contextlib
from collections.abc import AsyncGenerator, Sequence

import anyio
from anyio.lowlevel import checkpoint

from agent_gateway.egress.resolve import EgressRules
from agent_gateway.ports import HttpRequest
from agent_gateway.upstreams.http_pool import HttpPool, PoolSettings

LOCAL = EgressRules(allow_private=True)


@contextlib.asynccontextmanager
async def pool(settings: PoolSettings | None = None) -> AsyncGenerator[HttpPool]:
    made = HttpPool(settings or PoolSettings(rules=LOCAL, tick_s=0.01))
    try:
        with anyio.fail_after(10):
            yield made
    finally:
        await made.aclose()


async def emptied(client: HttpPool) -> None:
    while client.connection_count:
        await checkpoint()


def post(url: str, body: bytes = b"{}", headers: Sequence[tuple[bytes, bytes]] = ()) -> HttpRequest:
    return HttpRequest("POST", url, headers, body)
