"""The standing stream of a legacy session: what a server says that belongs to no request.

One per session, however many listen. It is opened again when it breaks, after the last event
that came; a server that has no such stream says so once.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Literal

from msgspec import Raw

from agent_gateway.ports import Heard, HttpResponse
from agent_gateway.upstreams.settings import UpstreamLimits
from gateway_policies.refusal import UpstreamFailed
from mcp_registry.protocol import envelope, sse
from mcp_registry.protocol.envelope import Notification, Request

MAX_PAUSE_S: Final = 30.0
_FIRST_PAUSE_S: Final = 1.0

Ending = Literal["unserved", "lost"]


class Standing:
    """The standing stream of one session.

    open   opens it, after an event id or from now on (empty)
    put    takes what the server asks on it
    tell   takes what it says, method and raw params
    """

    def __init__(
        self,
        open: Callable[[str], Awaitable[HttpResponse]],  # noqa: A002 - it opens
        put: Callable[[Request], None],
        tell: Heard,
        limits: UpstreamLimits,
    ) -> None:
        self._open = open
        self._put = put
        self._tell = tell
        self._limits = limits
        self._last_id = ""
        self._pause_s = _FIRST_PAUSE_S
        self.listeners: set[Heard] = set()
        self.is_open = asyncio.Event()
        self.task: asyncio.Task[Ending] = asyncio.get_running_loop().create_task(self._run())
        self.task.add_done_callback(lambda _: self.is_open.set())

    async def _run(self) -> Ending:
        """Read until the session is over; return why there is nothing more to read."""
        while True:
            try:
                response = await self._open(self._last_id)
                if response.status == 404:
                    response.close()
                    return "lost"
                if response.status != 200:
                    response.close()
                    return "unserved"
                try:
                    await self._read(response)
                finally:
                    response.close()
            except UpstreamFailed:  # it is away: calls find that out and tell it
                self._pause_s = min(self._pause_s * 2, MAX_PAUSE_S)
            await asyncio.sleep(self._pause_s)

    async def _read(self, response: HttpResponse) -> None:
        limits = self._limits
        decoder = sse.Decoder(max_line_bytes=limits.max_result, max_event_bytes=limits.max_result)
        self.is_open.set()
        self._pause_s = _FIRST_PAUSE_S
        try:
            async for chunk in response.chunks():
                for event in decoder.feed(chunk):
                    if event.data:
                        self._take(event.data)
        finally:
            self._last_id = decoder.last_id or self._last_id
            if decoder.retry_ms is not None:
                self._pause_s = min(decoder.retry_ms / 1000, MAX_PAUSE_S)

    def _take(self, data: bytes) -> None:
        message = envelope.read_answer(data)
        if isinstance(message, Request):
            self._put(message)
        elif isinstance(message, Notification):
            self._tell(message.method, Raw(envelope.write(message.params)) if message.params else None)
