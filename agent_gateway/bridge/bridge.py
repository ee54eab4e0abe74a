"""The bridge: MCP on standard streams on one side, an MCP endpoint over HTTP on the other. Both eras.

A message goes on as it came, and so does what comes back; only headers are made
here (`speech`). A modern request that is cancelled is left; a legacy session has
its standing stream, is opened again when the gateway lost it, and is ended at
the end.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from agent_gateway.bridge.exchange import Ending, Lost, read_answer
from agent_gateway.bridge.speech import Speech, list_message
from agent_gateway.bridge.standard_streams import OVERLONG
from agent_gateway.errors import public_data, wire_form
from agent_gateway.ports import HttpClient, HttpRequest, HttpResponse
from agent_gateway.upstreams.speak import error_code
from gateway_policies.refusal import Refusal, UpstreamFailed
from mcp_registry.protocol import envelope, progress
from mcp_registry.protocol.envelope import Invalid, Notification, Request, Response
from mcp_registry.protocol.errors import HEADER_MISMATCH, INTERNAL_ERROR, INVALID_REQUEST
from mcp_registry.protocol.outbound import HeaderList

MAX_RUNNING: Final = 256  # requests of the client at once
MAX_PAGES: Final = 100
FAREWELL_S: Final = 3.0  # for answers that are on their way when the client has closed its side
HEAD_TIMEOUT_S: Final = 3600.0  # the gateway has its own limits on calls
QUICK_TIMEOUT_S: Final = 30.0
_FIRST_WAIT_S: Final = 1.0
_LONGEST_WAIT_S: Final = 30.0

Write = Callable[[bytes], Awaitable[None]]
Token = Callable[[bool], str]  # whether the last one was refused → a token


@dataclass(slots=True, eq=False)
class Bridge:
    """One client's way to one endpoint.

    write  takes each message for the client
    """

    url: str
    http: HttpClient
    token: Token
    write: Write
    speech: Speech = field(default_factory=Speech)
    _running: dict[str | int, "asyncio.Task[None]"] = field(default_factory=dict[str | int, "asyncio.Task[None]"])
    _others: set["asyncio.Task[None]"] = field(default_factory=set["asyncio.Task[None]"])
    _opening: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def run(self, lines: AsyncIterator[bytes]) -> None:
        """Carry messages until the client's lines end; then let running requests end, for a moment."""
        try:
            async for line in lines:
                await self._take(line)
            if self._running:
                await asyncio.wait(self._running.values(), timeout=FAREWELL_S)
        finally:
            await self._end()

    async def _end(self) -> None:
        tasks = [*self._running.values(), *self._others]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self.speech.session:
            with suppress(Refusal, TimeoutError):
                async with asyncio.timeout(FAREWELL_S):
                    (await self._send("DELETE", self.speech.stream_headers(""))).close()
        await self.http.aclose()

    # --- from the client ---------------------------------------------------------------------

    async def _take(self, line: bytes) -> None:
        if line == OVERLONG:
            await self.write(envelope.error(None, INVALID_REQUEST, "this line is too long"))
            return
        message = envelope.read_message(line, allow_response=True)
        if isinstance(message, Invalid):
            error = message.error
            await self.write(envelope.error(message.id, error.rpc_code, error.message))
        elif isinstance(message, Request):
            await self._start(message, line)
        elif isinstance(message, Notification):
            await self._tell(message, line)
        elif self.speech.session:
            self._beside(self._post_quietly(message, line))

    async def _start(self, message: Request, line: bytes) -> None:
        key = progress.id_key(message.id)
        if key in self._running or len(self._running) >= MAX_RUNNING:
            await self.write(envelope.error(message.id, INVALID_REQUEST, "this id is in use, or too many are"))
            return
        task = asyncio.create_task(self._answer(message, line))
        self._running[key] = task
        task.add_done_callback(lambda _: self._running.pop(key, None))
        if message.method == "initialize" and self.speech.is_legacy(message):
            self.speech.opening = line
            await asyncio.wait([task])  # what follows belongs to the session that this opens

    async def _tell(self, message: Notification, line: bytes) -> None:
        if self.speech.session:
            await self._post_quietly(message, line)
        if message.method == progress.CANCELLED:
            key = progress.cancelled_id(message.params)
            task = self._running.get(key) if key is not None else None
            if task is not None:
                task.cancel()  # leaving is how 2026-07-28 cancels over HTTP, and nobody waits for an answer any more
        elif message.method == "notifications/initialized" and self.speech.session:
            self._beside(self._stand())

    def _beside(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._others.add(task)
        task.add_done_callback(self._others.discard)

    async def _post_quietly(self, message: Notification | Response, line: bytes) -> None:
        with suppress(Refusal):
            (await self._send("POST", self.speech.headers(message), line, QUICK_TIMEOUT_S)).close()

    # --- to the gateway ----------------------------------------------------------------------

    async def _answer(self, message: Request, line: bytes) -> None:
        """Send a request and hand on what comes; one answer to it, whatever happens."""
        try:
            ending = await self._ask(message, line)
        except Lost:
            ending = Ending(envelope.error(message.id, INTERNAL_ERROR, "the gateway's answer broke off"))
        except Refusal as refusal:
            code = wire_form(refusal).jsonrpc_code
            text = f"the gateway cannot be asked: {refusal.message.replace('upstream', 'gateway')}"
            ending = Ending(envelope.error(message.id, code, text, public_data(refusal, "")))
        if ending.body:
            await self.write(ending.body)

    async def _ask(self, message: Request, line: bytes) -> Ending:
        was_open = self.speech.session
        ending = await self._exchange(message, line)
        if was_open and ending.status == 404 and self.speech.is_legacy(message):
            await self._open_again(was_open)  # it surely did not run: the gateway knows no such session
            ending = await self._exchange(message, line)
        is_call = message.method == "tools/call" and not self.speech.is_legacy(message)
        if is_call and error_code(ending.error) == HEADER_MISMATCH:
            await self._learn(message)
            ending = await self._exchange(message, line)
        if ending.result is not None:
            self._note(message, ending)
        return ending

    async def _exchange(self, message: Request, line: bytes) -> Ending:
        response = await self._send("POST", self.speech.headers(message), line)
        last_id = ""
        while True:
            try:
                return await read_answer(response, message.id, self.write)
            except Lost as lost:
                last_id = lost.last_id or last_id
                if not last_id or not self.speech.session:
                    raise
                await asyncio.sleep(lost.retry_s)
            response = await self._send("GET", self.speech.stream_headers(last_id))

    def _note(self, message: Request, ending: Ending) -> None:
        assert ending.result is not None
        if message.method == "initialize":
            self.speech.opened(ending.result, ending.session)
        elif message.method == "tools/list":
            self.speech.listed(ending.result)

    async def _open_again(self, lost: str) -> None:
        """Open the session that the gateway no longer knows once more, with the client's own words."""
        async with self._opening:
            if self.speech.session != lost:
                return
            again = Speech()
            message = envelope.read_message(self.speech.opening)
            assert isinstance(message, Request)
            response = await self._send("POST", again.headers(message), self.speech.opening)
            ending = await read_answer(response, message.id, self.write)
            if ending.result is not None:
                self.speech.opened(ending.result, ending.session)
                told = envelope.notification("notifications/initialized", {})
                headers = [*self.speech.headers(Notification("notifications/initialized", {}, {}, {}))]
                (await self._send("POST", headers, told, QUICK_TIMEOUT_S)).close()

    async def _learn(self, like: Request) -> None:
        """List the tools, for the schemas that say which arguments headers mirror."""
        cursor: str | None = None
        for page in range(MAX_PAGES):
            message = list_message(b'"agent-gateway-stdio-%d"' % page, cursor, like)
            line = envelope.request(message.id, message.method, message.params)
            ending = await self._exchange(message, line)
            cursor = self.speech.listed(ending.result) if ending.result is not None else None
            if cursor is None:
                return

    async def _stand(self) -> None:
        """Keep the session's standing stream: what the gateway says or asks outside of any request."""
        last_id, wait_s = "", _FIRST_WAIT_S
        while True:
            try:
                response = await self._send("GET", self.speech.stream_headers(last_id))
                if response.status != 200:
                    response.close()
                    return
                await read_answer(response, None, self.write)
            except Lost as lost:
                last_id = lost.last_id or last_id
                wait_s = max(lost.retry_s, _FIRST_WAIT_S)
            except Refusal:
                wait_s = min(2 * wait_s, _LONGEST_WAIT_S)
            await asyncio.sleep(wait_s)

    async def _send(
        self, method: str, headers: HeaderList, body: bytes = b"", timeout_s: float = HEAD_TIMEOUT_S
    ) -> HttpResponse:
        """Send one HTTP request with the token; a refused token is made anew, once."""
        for is_refused in (False, True):
            credential = (b"authorization", b"Bearer " + self.token(is_refused).encode())
            request = HttpRequest(method, self.url, [*headers, credential], body)
            response = await self.http.send(request, timeout_s=timeout_s)
            if response.status != 401 or is_refused:
                return response
            response.close()
        raise UpstreamFailed("the gateway did not answer")
