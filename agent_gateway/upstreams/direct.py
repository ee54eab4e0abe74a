"""Requests to a modern upstream without a task: written once per tool with gaps, sent on the next free connection.

Which calls may go this way is for the listener to say. Whatever is not warm (an era not known, a
token to be fetched) is left to `mcp_http`, and so is every answer but one JSON body with status 200.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from agent_gateway.gaps import NUMBER_MARKS, TEXT_MARKS, Gaps
from agent_gateway.ports import HttpClient, HttpRequest, UpstreamAnswer, UpstreamRequest
from agent_gateway.upstreams import speak
from agent_gateway.upstreams.breaker import Breaker
from agent_gateway.upstreams.h1 import H1Connection
from agent_gateway.upstreams.h1_request import Target, payload_of, target_of
from agent_gateway.upstreams.h1_response import H1Response
from agent_gateway.upstreams.http_exchange import garbage
from agent_gateway.upstreams.http_pool import HttpPool
from agent_gateway.upstreams.http_posting import Posting, Sender
from agent_gateway.upstreams.legacy_sessions import PLAIN
from gateway_policies.refusal import UpstreamFailed, UpstreamTimeout
from mcp_registry.protocol import envelope, outbound
from mcp_registry.protocol.envelope import Response

ID_MARK, ARGUMENTS_MARK, TRACE_MARK, _HEAD_TRACE_MARK = TEXT_MARKS
_LENGTH_MARK = NUMBER_MARKS[0]
_LENGTH = b"content-length: "


@dataclass(frozen=True, slots=True)
class Form:
    """A request with gaps.

    text        gaps: traceparent, length of the body, and in the body id, arguments, traceparent
    body_bytes  of the body with nothing in its gaps
    """

    target: Target
    text: Gaps
    body_bytes: int

    def fill(self, id_raw: bytes, arguments: bytes, traceparent: bytes) -> bytes:
        """Return the request as it goes over the wire."""
        size = self.body_bytes + len(id_raw) + len(arguments) + len(traceparent)
        return self.text.fill(traceparent, size, id_raw, arguments, traceparent)


class Direct:
    """The short way to one HTTP upstream; its breaker, connections and ids are those of the long one."""

    def __init__(self, url: str, http: HttpClient, breaker: Breaker, next_id: Callable[[], bytes]) -> None:
        self._url = url
        self._pool = http if isinstance(http, HttpPool) else None
        self._breaker = breaker
        self._next_id = next_id

    @property
    def is_open(self) -> bool:
        """Whether the upstream may be called at all, as far as is known."""
        return self._pool is not None and self._breaker.health().state != "down"

    def form(self, request: UpstreamRequest, version: str, credentials: Sequence[tuple[bytes, bytes]]) -> Form | None:
        """Write `request`, whose arguments and traceparent are marks; None when it cannot have gaps."""
        speaker = speak.speaker(request, version)
        message = speak.outgoing(request, ID_MARK.encode(), mirrors_arguments=True)
        headers = [*outbound.modern_headers(message, speaker), PLAIN, *credentials]
        body = outbound.modern_body(message, speaker)
        try:
            target = target_of(self._url)
            payload = payload_of(HttpRequest("POST", self._url, headers, body), target)
            head = payload[: payload.index(b"\r\n\r\n")]
            head = head[: head.rindex(_LENGTH) + len(_LENGTH)].replace(TRACE_MARK.encode(), _HEAD_TRACE_MARK.encode())
            text = b"%b%d\r\n\r\n%b" % (head, _LENGTH_MARK, body)
            marks = (_HEAD_TRACE_MARK, _LENGTH_MARK, ID_MARK, ARGUMENTS_MARK, TRACE_MARK)
            own_bytes = len(body) - len(ID_MARK) - len(ARGUMENTS_MARK) - len(TRACE_MARK)
            return Form(target, Gaps(text, marks), own_bytes)
        except (UpstreamFailed, ValueError):
            return None

    def send(self, form: Form, sending: "Sending", *, timeout_s: float) -> None:
        """Send on the next connection that is free; raises like `Breaker.check` and `HttpPool.post`."""
        assert self._pool is not None
        self._breaker.check()
        sending.id = self._next_id()
        payload = form.fill(sending.id, sending.arguments, sending.traceparent)
        try:
            self._pool.post(form.target, payload, sending, timeout_s=timeout_s)
        except UpstreamFailed as failure:
            self._breaker.failed(failure)
            raise

    def failed(self, failure: UpstreamFailed, timeout_s: float) -> UpstreamFailed:
        """Take note of a failure, and return it in the words of the long way."""
        if isinstance(failure, UpstreamTimeout):
            failure = speak.too_late(timeout_s)
        self._breaker.failed(failure)
        return failure

    def heard(self) -> None:
        """Take note that the upstream answered."""
        self._breaker.succeeded()

    def answer(self, body: bytes, id_raw: bytes) -> UpstreamAnswer:
        """Read the JSON body of a response with status 200; raises `UpstreamFailed`."""
        message = envelope.read_answer(body)
        if not isinstance(message, Response) or message.id != id_raw:
            failure = garbage("it is no answer to the request")
            self._breaker.failed(failure)
            raise failure
        self._breaker.succeeded()
        return speak.answer("modern", message, len(body))


class Sending(Sender):
    """One request on its way: a `Taker` of its response that knows what it was sent with."""

    id: bytes
    arguments: bytes
    traceparent: bytes
    connection: H1Connection | None
    posting: Posting | None


def is_plain_json(response: H1Response) -> bool:
    """Say whether a response is what the short way reads: 200, JSON, not compressed."""
    headers = response.headers
    kind = headers.get(b"content-type")
    is_json = kind == b"application/json" or (
        kind is not None and kind.partition(b";")[0].strip().lower() == b"application/json"
    )
    return response.status == 200 and is_json and b"content-encoding" not in headers
