"""One POST to an MCP upstream and the reading of its answer, JSON or event stream.

Nothing here knows an era or a session: it finds the answer to one id among
whatever came, hands messages in between to an `Inbox` in order, and says what a
missing answer means.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from msgspec import Raw

from agent_gateway.ports import Heard, HttpResponse, Sink
from agent_gateway.upstreams import speak
from agent_gateway.upstreams.asking import Questions
from agent_gateway.upstreams.h1_response import died, too_large
from agent_gateway.upstreams.renewal import CredentialRefused
from agent_gateway.upstreams.settings import UpstreamLimits
from gateway_policies.refusal import UpstreamFailed
from mcp_registry.protocol import envelope, sse
from mcp_registry.protocol.envelope import Invalid, Notification, Request, Response
from mcp_registry.protocol.progress import CANCELLED
from mcp_registry.protocol.subscriptions import CHANGES

_MAX_ERROR_BODY = 64 * 1024
_RETRY_MS = 1000  # before a broken stream is opened again, when the upstream does not say
_MAX_RETRY_MS = 30_000


class Inbox:
    """Takes what the upstream says while one request runs; awaiting slows the upstream.

    questions  puts the upstream's own requests to the sink and answers them; None where it may not ask any
    changed    hears of changes that are said here and belong to no request; None: nobody does
    """

    def __init__(
        self,
        id_raw: bytes,
        sink: Sink,
        max_requests: int,
        questions: Questions | None = None,
        changed: Heard | None = None,
    ) -> None:
        self._id_raw = id_raw
        self._sink = sink
        self._left = max_requests
        self._questions = questions
        self._changed = changed

    async def notification(self, message: Notification) -> None:
        if message.method == CANCELLED and self._questions is not None:
            self._questions.withdraw(bytes(message.params.get("requestId", b"")))
            return
        if message.method in CHANGES and self._changed is not None:
            self._changed(message.method, Raw(envelope.write(message.params)) if message.params else None)
            return
        await speak.deliver(message, self._id_raw, self._sink)

    def request(self, message: Request) -> None:
        self._left -= 1
        if self._left < 0:
            raise garbage("the upstream asks too much while it should answer")
        if self._questions is None:
            return
        self._questions.put(message, self._sink)


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back for one POST.

    body    the message as sent: the HTTP body, or the data of the event that answered
    answer  the JSON-RPC answer to our id, if there was one
    """

    status: int
    headers: Mapping[bytes, bytes]
    body: bytes
    answer: Response | None


Resume = Callable[[str], Awaitable[HttpResponse]]


async def receive(
    response: HttpResponse, wanted: bytes, inbox: Inbox, limits: UpstreamLimits, resume: Resume | None = None
) -> Reply:
    """Read until the answer to the id `wanted` is there; whatever the status.

    resume  opens the stream again after the event id it is given; None: a broken stream is the end

    The rest of an event stream is let go by. Raises `UpstreamFailed` for garbage, an answer to
    another id, too much of anything, or an end without an answer; closes the response then.
    """
    try:
        if response.headers.get(b"content-encoding", b"identity").strip().lower() != b"identity":
            raise garbage("it is compressed, and nobody asked for that")
        if not is_event_stream(response):
            return await _from_body(response, wanted, limits)
        reader = _Reader(wanted, inbox, limits)
        return await (reader.read(response) if resume is None else _read_on(reader, response, resume, limits))
    except BaseException:
        response.close()
        raise


async def _read_on(reader: "_Reader", response: HttpResponse, resume: Resume, limits: UpstreamLimits) -> Reply:
    """Read the answer from a stream that may break and be opened again, `max_resumes` times."""
    for _ in range(limits.max_resumes):
        try:
            return await reader.read(response)
        except UpstreamFailed as failure:
            response.close()
            if failure.code != "upstream_died" or not reader.last_id:
                raise
        await asyncio.sleep(min(reader.retry_ms, _MAX_RETRY_MS) / 1000)
        response = await resume(reader.last_id)
        if not is_event_stream(response):
            response.close()
            break
    raise _ended()


def _ended() -> UpstreamFailed:
    return died("the upstream ended its stream before it answered")


def is_event_stream(response: HttpResponse) -> bool:
    """Say whether this is a stream of events."""
    return _kind(response) == b"text/event-stream" and 200 <= response.status < 300


def _kind(response: HttpResponse) -> bytes:
    return response.headers.get(b"content-type", b"").partition(b";")[0].strip().lower()


def answer_of(reply: Reply) -> Response:
    """Return the answer, or raise what its absence means (`UpstreamFailed`, a code for each case)."""
    status = reply.status
    if status in (401, 403, 407):
        raise CredentialRefused(status, reply.headers.get(b"www-authenticate", b"").decode("latin-1"))
    if reply.answer is not None and (status < 300 or status >= 400):
        return reply.answer
    if 300 <= status < 400:
        raise UpstreamFailed("the upstream redirects, and redirects are not followed", code="upstream_redirect")
    if status in (429, 503):
        raise UpstreamFailed(
            "the upstream is too busy", code="upstream_busy", retry_after_s=_retry_after(reply.headers)
        )
    if status in (502, 504):
        raise UpstreamFailed(f"the upstream answers with HTTP status {status}", code="upstream_bad_gateway")
    if status >= 400:
        raise UpstreamFailed(f"the upstream answers with HTTP status {status}", code="upstream_http_error")
    raise garbage("it holds no answer to the request")


def garbage(what: str) -> UpstreamFailed:
    """Return the refusal for an answer that is no MCP; `what` says which rule it breaks."""
    return UpstreamFailed(f"the upstream's answer is not valid MCP: {what}", code="upstream_garbage")


async def _from_body(response: HttpResponse, wanted: bytes, limits: UpstreamLimits) -> Reply:
    is_error = not 200 <= response.status < 300
    if _kind(response) != b"application/json":
        if is_error or response.status == 202:
            response.linger()
            return Reply(response.status, response.headers, b"", None)
        raise garbage("its content type is neither JSON nor an event stream")
    try:
        body = await response.read(min(limits.max_result, _MAX_ERROR_BODY) if is_error else limits.max_result)
    except UpstreamFailed as failure:
        if not is_error or failure.code != "upstream_too_large":
            raise
        body = b""
    message = envelope.read_answer(body) if body else None
    if isinstance(message, Response):
        # One POST, one answer: an error whose sender could not read the id is still ours.
        is_ours = message.id == wanted or (message.id is None and is_error)
        if is_ours:
            return Reply(response.status, response.headers, body, message)
    if is_error or (response.status == 202 and not body):
        return Reply(response.status, response.headers, body, None)
    raise garbage("it is no answer to the request")


class _Reader:
    """Reads the stream, or the streams, that carry one answer; what it counts lasts over all of them."""

    def __init__(self, wanted: bytes, inbox: Inbox, limits: UpstreamLimits) -> None:
        self._wanted = wanted
        self._inbox = inbox
        self._limits = limits
        self._size = self._strays = 0
        self.last_id = ""
        self.retry_ms = _RETRY_MS

    async def read(self, response: HttpResponse) -> Reply:
        """Return the answer; raises `UpstreamFailed` (`upstream_died`) when the stream ends before it."""
        limits = self._limits
        decoder = sse.Decoder(max_line_bytes=limits.max_result + 64, max_event_bytes=limits.max_result)
        try:
            return await self._read(response, decoder)
        finally:
            self.last_id = decoder.last_id or self.last_id
            self.retry_ms = decoder.retry_ms or self.retry_ms

    async def _read(self, response: HttpResponse, decoder: sse.Decoder) -> Reply:
        async for chunk in response.chunks():
            self._size += len(chunk)
            if self._size > self._limits.max_stream:
                raise too_large(self._limits.max_stream)
            for event in decoder.feed(chunk):
                if event.kind != "message" or not event.data:
                    continue
                answer = await self._take(event.data)
                if answer is not None:
                    response.linger()
                    return Reply(response.status, response.headers, event.data, answer)
        raise _ended()

    async def _take(self, data: bytes) -> Response | None:
        message = envelope.read_answer(data)
        if isinstance(message, Response) and message.id == self._wanted:
            return message
        if isinstance(message, Notification):
            await self._inbox.notification(message)
        elif isinstance(message, Request):
            self._inbox.request(message)
        elif isinstance(message, Invalid):
            raise garbage("an event is no message")
        else:
            self._strays += 1
            if self._strays > self._limits.max_strays:
                raise garbage("it answers what nobody asked")
        return None


def _retry_after(headers: Mapping[bytes, bytes]) -> float | None:
    raw = headers.get(b"retry-after", b"")
    return float(raw) if raw.isdigit() and len(raw) < 6 else None
