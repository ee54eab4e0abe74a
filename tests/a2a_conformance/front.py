"""A front for referees that know neither tokens nor paths: `/a2a/v1/` and the card, passed on with a credential.

In-process, on a free loopback port, in a thread of its own; used before the agent and before the gateway alike.
"""

import threading
from collections.abc import AsyncIterator, Generator, Mapping
from contextlib import contextmanager

import httpx2
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from support.processes import free_port

CARD = "/.well-known/agent-card.json"
START_S = 60.0
_KEPT = ("content-type", "accept", "a2a-version", "a2a-extensions", "if-none-match")


@contextmanager
def front(endpoint: str, headers: Mapping[str, str]) -> Generator[str]:
    """Serve `endpoint` (JSON-RPC) at `{url}/a2a/v1/`, and its card below `{url}`; yields the URL."""

    async def onward(request: Request) -> Response:
        target = endpoint + CARD if request.url.path == CARD else endpoint
        sent = {name: value for name, value in request.headers.items() if name in _KEPT} | dict(headers)
        http = httpx2.AsyncClient(timeout=60)
        asked = http.build_request(request.method, target, headers=sent, content=await request.body())
        answer = await http.send(asked, stream=True)

        async def body() -> AsyncIterator[bytes]:
            try:
                async for chunk in answer.aiter_raw():
                    yield chunk
            finally:
                await answer.aclose()
                await http.aclose()

        kept = {
            name: answer.headers[name] for name in ("content-type", "etag", "cache-control") if name in answer.headers
        }
        return StreamingResponse(body(), answer.status_code, kept)

    app = Starlette(routes=[Route(CARD, onward), Route("/a2a/v1/", onward, methods=["POST"])])
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error", lifespan="off", loop="asyncio"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(START_S)
