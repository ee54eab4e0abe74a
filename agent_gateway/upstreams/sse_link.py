"""One connection of the HTTP+SSE transport of 2024: messages out by POST, messages in on one event stream.

A link is a child without a process: who waits for which answer is the work of
`stdio_child`, and starting another one that of `mcp_stdio`.
Source: MCP 2024-11-05, basic/transports "HTTP with SSE".
"""

import asyncio
from collections import deque
from typing import Final
from urllib.parse import urljoin, urlsplit

from agent_gateway.ports import HttpClient, HttpRequest, HttpResponse
from agent_gateway.upstreams.h1_response import died
from agent_gateway.upstreams.http_exchange import garbage
from agent_gateway.upstreams.per_owner import Headers
from agent_gateway.upstreams.settings import UpstreamSettings
from agent_gateway.upstreams.stdio_child import Child
from gateway_policies.refusal import UpstreamFailed, UpstreamUnreachable
from mcp_registry.protocol import envelope
from mcp_registry.protocol.envelope import Request
from mcp_registry.protocol.sse import Decoder, Event

MAX_ENDPOINT_CHARS: Final = 2048
_ENDPOINT: Final = "endpoint"
_PLAIN: Final = (b"accept-encoding", b"identity")
_STREAM: Final = (b"accept", b"text/event-stream")
_JSON: Final = (b"content-type", b"application/json")
_SESSION_LOST: Final = frozenset({401, 403, 404, 410})


class SseLink(Child):
    """A link that is open; made by `connect`."""

    def __init__(self, settings: UpstreamSettings, http: HttpClient, headers: Headers) -> None:
        super().__init__(settings.limits)
        self._settings = settings
        self._http = http
        self._headers = headers
        self._endpoint = ""
        self._unsent: deque[bytes] = deque()
        self._unsent_bytes = 0
        self._has_mail = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        """Open the event stream and learn where messages go; raises `UpstreamFailed`."""
        sent = HttpRequest("GET", self._settings.url, [_STREAM, _PLAIN, *self._headers])
        response = await self._http.send(sent, timeout_s=self._settings.timeouts.open_s)
        try:
            kind = response.headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
            if response.status != 200 or kind != b"text/event-stream":
                raise UpstreamFailed("the upstream opens no event stream", code="upstream_http_error")
        except UpstreamFailed:
            response.close()
            raise
        told: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._tasks.append(asyncio.ensure_future(self._read(response, told)))
        self._endpoint = await told
        self._tasks.append(asyncio.ensure_future(self._send_all()))

    async def stop(self, grace_s: float) -> None:
        """Close the stream."""
        await super().stop(grace_s)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # --- in --------------------------------------------------------------------------------

    async def _read(self, response: HttpResponse, told: "asyncio.Future[str]") -> None:
        """Take what comes until the stream ends, the place for messages first."""
        decoder = Decoder(max_event_bytes=self._limits.max_result, max_line_bytes=self._limits.max_result)
        failure = died("the upstream's event stream ended")
        try:
            async for chunk in response.chunks():
                for event in decoder.feed(chunk):
                    self._hear(event, told)
        except UpstreamFailed as error:
            failure = error
        finally:
            response.close()
            self.exited.set()
            if not told.done():
                told.set_exception(failure)
            self._kill(failure)

    def _hear(self, event: Event, told: "asyncio.Future[str]") -> None:
        if event.kind == "message":
            self._take(event.data)
        elif event.kind == _ENDPOINT and not told.done():
            told.set_result(endpoint_of(self._settings.url, event.data.decode(errors="replace")))

    # --- out -------------------------------------------------------------------------------

    def _write(self, body: bytes) -> None:
        self._unsent.append(body)
        self._unsent_bytes += len(body)
        self._has_mail.set()

    def _unwritten(self) -> int:
        return self._unsent_bytes

    async def _send_all(self) -> None:
        """Post message after message, in the order in which they were written."""
        while True:
            await self._has_mail.wait()
            self._has_mail.clear()
            while self._unsent:
                body = self._unsent.popleft()
                self._unsent_bytes -= len(body)
                try:
                    await self._post(body)
                except UpstreamFailed as failure:
                    self._refused(body, failure)

    async def _post(self, body: bytes) -> None:
        sent = HttpRequest("POST", self._endpoint, [_JSON, _PLAIN, *self._headers], body)
        response = await self._http.send(sent, timeout_s=self._settings.timeouts.page_s)
        response.linger()
        if response.status in _SESSION_LOST:
            self._kill(died("the upstream no longer knows this session"))
        elif not 200 <= response.status < 300:
            code = "upstream_http_error"
            raise UpstreamFailed(f"the upstream answers with HTTP status {response.status}", code=code)

    def _refused(self, body: bytes, failure: UpstreamFailed) -> None:
        """Fail the request that could not be delivered, and nobody else's."""
        message = envelope.read_answer(body)
        waiting = self._calls.get(message.id) if isinstance(message, Request) else None
        if waiting is not None:
            waiting.fail(failure)


async def connect(settings: UpstreamSettings, http: HttpClient, headers: Headers) -> SseLink:
    """Open a link; raises `UpstreamUnreachable` or another `UpstreamFailed`, and leaves nothing open then."""
    link = SseLink(settings, http, headers)
    try:
        await link.open()
    except BaseException:
        await link.stop(0.0)
        raise
    return link


def endpoint_of(url: str, told: str) -> str:
    """Return the URL that messages are posted to; raises `UpstreamFailed` when it is not of the same origin.

    told  what the server said of it: a path, or a whole URL
    """
    if not told or len(told) > MAX_ENDPOINT_CHARS or not told.isascii() or not told.isprintable():
        raise garbage("it does not say where messages go")
    found, base = urlsplit(urljoin(url, told)), urlsplit(url)
    if (found.scheme, found.netloc) != (base.scheme, base.netloc):
        raise UpstreamUnreachable("the upstream wants messages sent elsewhere", code="egress_denied")
    return found._replace(fragment="").geturl()
