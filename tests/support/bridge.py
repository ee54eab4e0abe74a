"""An in-process ASGI transport that streams.

The stock `ASGITransport` runs the app to its end before it hands back a byte,
so an event stream deadlocks. Here the app runs beside the test: body chunks
arrive as they are sent, one at a time (back-pressure is real), and closing the
response is a disconnect the app can see.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from types import TracebackType
from typing import Any

import httpx2

Message = MutableMapping[str, Any]
App = Callable[
    [MutableMapping[str, Any], Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]
]


class _Run:
    """One request through the app."""

    def __init__(self, app: App, scope: MutableMapping[str, Any], body: bytes, *, lingers: bool) -> None:
        self._lingers = lingers
        self._body: bytes | None = body
        self._gone = asyncio.Event()
        self._chunks: asyncio.Queue[bytes | None] = asyncio.Queue(maxsize=1)
        self.started: asyncio.Future[tuple[int, list[tuple[bytes, bytes]]]] = asyncio.get_running_loop().create_future()
        self.task = asyncio.ensure_future(self._run(app, scope))

    async def _run(self, app: App, scope: MutableMapping[str, Any]) -> None:
        try:
            await app(scope, self._receive, self._send)
        except BaseException as error:
            if not self.started.done():
                self.started.set_exception(error)
                return
            raise
        finally:
            if not self._gone.is_set():
                await self._chunks.put(None)
        if self._gone.is_set():
            self.started.cancel()
        elif not self.started.done():
            self.started.set_exception(RuntimeError("the app returned without an answer"))

    async def _receive(self) -> Message:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if self._gone.is_set():
            return
        if message["type"] == "http.response.start":
            self.started.set_result((message["status"], list(message["headers"])))
        elif message.get("body"):
            await self._chunks.put(bytes(message["body"]))

    async def chunks(self) -> AsyncIterator[bytes]:
        while (chunk := await self._chunks.get()) is not None:
            yield chunk

    async def close(self) -> None:
        self._gone.set()
        while not self._chunks.empty():
            self._chunks.get_nowait()
        if self._lingers:
            return
        try:
            async with asyncio.timeout(5):
                await asyncio.shield(self.task)
        except TimeoutError:
            self.task.cancel()
            raise AssertionError("the app kept running after its client left") from None
        except asyncio.CancelledError:
            self.task.cancel()


class _Body(httpx2.AsyncByteStream):
    def __init__(self, run: _Run) -> None:
        self._run = run

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._run.chunks():
            yield chunk

    async def aclose(self) -> None:
        await self._run.close()


class StreamingTransport(httpx2.AsyncBaseTransport):
    """Send an httpx2 client's requests straight into an ASGI app.

    lingers  the app may keep running after its client left; a mistake otherwise
    """

    def __init__(self, app: App, peer: tuple[str, int] = ("127.0.0.1", 1), *, lingers: bool = False) -> None:
        self._lingers = lingers
        self._app = app
        self._peer = peer

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        body = await request.aread()
        path, _, query = request.url.raw_path.partition(b"?")
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": request.method,
            "scheme": request.url.scheme,
            "path": request.url.path,
            "raw_path": path,
            "query_string": query,
            "root_path": "",
            "headers": [(name.lower(), value) for name, value in request.headers.raw],
            "client": self._peer,
            "server": (request.url.host, request.url.port or 80),
            "state": {},
        }
        run = _Run(self._app, scope, body, lingers=self._lingers)
        try:
            status, headers = await asyncio.shield(run.started)
        except asyncio.CancelledError:
            await run.close()
            raise
        return httpx2.Response(status, headers=headers, stream=_Body(run))

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        return None
