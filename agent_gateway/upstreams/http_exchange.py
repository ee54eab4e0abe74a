"""One POST to an MCP upstream and the reading of its answer, JSON or event stream.

Nothing here knows an era or a session: it finds the answer to one id among
whatever came, hands messages in between to an `Inbox` in order, and says what a
missing answer means.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from msgspec import Raw

from agent_gateway.ports import HttpResponse, Sink
from agent_gateway.upstreams import speak
from agent_gateway.upstreams.h1_response import died, too_large
from agent_gateway.upstreams.settings import UpstreamLimits
from gateway_policies.refusal import UpstreamFailed
from mcp_registry.protocol import envelope, sse
from mcp_registry.protocol.envelope import Invalid, Notification, Request, Response

_MAX_ERROR_BODY = 64 * 1024


class Inbox:
    """Takes what the upstream says while one request runs; awaiting slows the upstream.

    respond  posts our answer to a request of the upstream's own; None where it may not ask any
    """

    def __init__(
        self, id_raw: bytes, sink: Sink, max_requests: int, respond: Callable[[bytes], None] | None = None
    ) -> None:
        self._id_raw = id_raw
        self._sink = sink
        self._left = max_requests
        self._respond = respond

    async def notification(self, message: Notification) -> None:
        await speak.deliver(message, self._id_raw, self._sink)

    def request(self, message: Request) -> None:
        self._left -= 1
        if self._left < 0:
            raise garbage("the upstream asks too much while it should answer")
        if self._respond is not None:
            self._respond(speak.reply_to(message))


class _Nobody:
    async def notify(self, method: str, params: Raw | None) -> None:
        del method, params


NOBODY: Final[Sink] = _Nobody()  # for requests whose messages nobody reads


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


async def receive(response: HttpResponse, wanted: bytes, inbox: Inbox, limits: UpstreamLimits) -> Reply:
    """Read until the answer to the id `wanted` is there; whatever the status.

    The rest of an event stream is let go by. Raises `UpstreamFailed` for garbage, an answer to
    another id, too much of anything, or an end without an answer; closes the response then.
    """
    try:
        if response.headers.get(b"content-encoding", b"identity").strip().lower() != b"identity":
            raise garbage("it is compressed, and nobody asked for that")
        kind = response.headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        if kind == b"text/event-stream" and 200 <= response.status < 300:
            return await _from_stream(response, wanted, inbox, limits)
        return await _from_body(response, wanted, kind, limits)
    except BaseException:
        response.close()
        raise


def answer_of(reply: Reply) -> Response:
    """Return the answer, or raise what its absence means (`UpstreamFailed`, a code for each case)."""
    status = reply.status
    if status in (401, 403, 407):
        raise UpstreamFailed(
            "the upstream does not accept the gateway's credential",
            code="upstream_unauthorized",
            hint="an operator can check the credential of this upstream",
        )
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


async def _from_body(response: HttpResponse, wanted: bytes, kind: bytes, limits: UpstreamLimits) -> Reply:
    is_error = not 200 <= response.status < 300
    if kind != b"application/json":
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


async def _from_stream(response: HttpResponse, wanted: bytes, inbox: Inbox, limits: UpstreamLimits) -> Reply:
    decoder = sse.Decoder(max_line_bytes=limits.max_result + 64, max_event_bytes=limits.max_result)
    size = strays = 0
    async for chunk in response.chunks():
        size += len(chunk)
        if size > limits.max_stream:
            raise too_large(limits.max_stream)
        for event in decoder.feed(chunk):
            if event.kind != "message" or not event.data:
                continue
            message = envelope.read_answer(event.data)
            if isinstance(message, Response) and message.id == wanted:
                response.linger()
                return Reply(response.status, response.headers, event.data, message)
            if isinstance(message, Notification):
                await inbox.notification(message)
            elif isinstance(message, Request):
                inbox.request(message)
            elif isinstance(message, Invalid):
                raise garbage("an event is no message")
            else:
                strays += 1
                if strays > limits.max_strays:
                    raise garbage("it answers what nobody asked")
    raise died("the upstream ended its stream before it answered")


def _retry_after(headers: Mapping[bytes, bytes]) -> float | None:
    raw = headers.get(b"retry-after", b"")
    return float(raw) if raw.isdigit() and len(raw) < 6 else None
