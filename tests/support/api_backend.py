"""A real API on loopback that echoes, makes one wait, redirects, streams and fails as a test asks."""

import base64
import gzip
import socket
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

METHODS = ["GET", "PUT", "POST", "DELETE", "PATCH", "OPTIONS"]


@dataclass
class Backend:
    """Where it is, and everything that it was asked."""

    url: str
    seen: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    jobs_left: int = 2


class EchoApi:
    """The routes; each request is remembered in `backend.seen`."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend

    async def _seen(self, request: Request) -> dict[str, Any]:
        body = await request.body()
        told: dict[str, Any] = {
            "method": request.method,
            "path": request.scope["raw_path"].decode(),
            "query": request.scope["query_string"].decode(),
            "headers": dict(request.headers),
            "body": base64.b64encode(body).decode(),
        }
        self.backend.seen.append(told)
        return told

    async def echo(self, request: Request) -> Response:
        return JSONResponse(await self._seen(request))

    async def form(self, request: Request) -> Response:
        """Parse a multipart form as any server would, and say what was in it."""
        await self._seen(request)
        told: list[list[Any]] = []
        async with request.form() as parsed:
            for name, value in parsed.multi_items():
                if isinstance(value, str):
                    told.append([name, value])
                else:
                    held = base64.b64encode(await value.read()).decode()
                    told.append([name, value.filename, value.content_type, held])
        return JSONResponse(told)

    async def mirror(self, request: Request) -> Response:
        await self._seen(request)
        kind = request.headers.get("content-type", "")
        return Response(await request.body(), headers={"content-type": kind})

    async def job(self, request: Request) -> Response:
        await self._seen(request)
        if request.method == "POST":
            return JSONResponse({"id": 1}, 202, {"location": "/jobs/1", "retry-after": "0"})
        self.backend.jobs_left -= 1
        if self.backend.jobs_left > 0:
            return JSONResponse({"state": "running"}, 202, {"location": "/jobs/1", "retry-after": "0"})
        return JSONResponse({"state": "done"})

    async def redirect(self, request: Request) -> Response:
        await self._seen(request)
        return RedirectResponse(request.query_params["to"], 302)

    async def fail(self, request: Request) -> Response:
        await self._seen(request)
        problem = {"title": "Out of stock", "detail": "no more of item 7"}
        return JSONResponse(problem, int(request.path_params["status"]), media_type="application/problem+json")

    async def many(self, request: Request) -> Response:
        await self._seen(request)
        return JSONResponse(
            {"items": [{"id": index, "name": f"item {index}", "note": "x" * 40} for index in range(400)]}
        )

    async def events(self, request: Request) -> Response:
        await self._seen(request)

        async def endless() -> AsyncIterator[bytes]:
            yield b'data: {"n": 1}\n\ndata: {"n": 2}\n\n'
            await anyio.sleep_forever()

        return StreamingResponse(endless(), media_type="text/event-stream")

    async def zipped(self, request: Request) -> Response:
        await self._seen(request)
        return Response(gzip.compress(b"{}"), headers={"content-encoding": "gzip", "content-type": "application/json"})

    def routes(self) -> list[Route]:
        return [
            Route("/form", self.form, methods=["POST"]),
            Route("/mirror", self.mirror, methods=["POST", "PUT"]),
            Route("/jobs", self.job, methods=["POST"]),
            Route("/jobs/1", self.job, methods=["GET"]),
            Route("/redirect", self.redirect),
            Route("/fail/{status:int}", self.fail, methods=METHODS),
            Route("/many", self.many),
            Route("/events", self.events),
            Route("/zipped", self.zipped),
            Route("/{rest:path}", self.echo, methods=METHODS),
        ]


@asynccontextmanager
async def serving(app: Starlette) -> AsyncGenerator[str]:
    """Serve an application on a free port of loopback; yield its base URL."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", access_log=False, lifespan="off"))
    with listener:
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: server.serve(sockets=[listener]))
            try:
                yield f"http://127.0.0.1:{listener.getsockname()[1]}"
            finally:
                server.force_exit = server.should_exit = True


@asynccontextmanager
async def backend() -> AsyncGenerator[Backend]:
    """Serve the echoing API."""
    made = Backend("")
    async with serving(Starlette(routes=EchoApi(made).routes())) as url:
        made.url = url
        yield made
