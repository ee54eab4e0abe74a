"""What comes back over HTTP for one message: JSON, or an event stream up to the answer.

Messages on the way go to the client at once, in order; the answer is returned,
because the bridge may have to look at it first.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from msgspec import Raw

from agent_gateway.ports import HttpResponse
from gateway_policies.refusal import UpstreamFailed
from mcp_registry.protocol import envelope
from mcp_registry.protocol.envelope import Response
from mcp_registry.protocol.errors import INTERNAL_ERROR
from mcp_registry.protocol.sse import Decoder

MAX_BODY_BYTES: Final = 256 * 1024 * 1024
_SHORTEST_WAIT_S: Final = 0.05


class Lost(Exception):
    """An event stream ended before the answer was there.

    last_id  where to go on, empty when the stream named no place
    """

    def __init__(self, last_id: str, retry_ms: int | None) -> None:
        super().__init__("the stream ended before the answer")
        self.last_id = last_id
        self.retry_s = max((retry_ms or 1000) / 1000, _SHORTEST_WAIT_S)


@dataclass(frozen=True, slots=True)
class Ending:
    """The answer to one message; `body` is empty when none is to be expected.

    session  the session id that came with it
    """

    body: bytes
    status: int = 200
    result: Raw | None = None
    error: Raw | None = None
    session: str = ""


async def read_answer(
    response: HttpResponse, wanted: bytes | None, write: Callable[[bytes], Awaitable[None]]
) -> Ending:
    """Read a response up to the answer to the id `wanted`, handing on what comes before it.

    wanted  None for a standing stream, which has no answer

    Raises `Lost` when an event stream ends early, `UpstreamFailed` when the connection breaks while JSON is read.
    """
    kind = response.headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    session = response.headers.get(b"mcp-session-id", b"").decode("latin-1")
    if kind == b"text/event-stream" and response.status == 200:
        return await _from_stream(response, wanted, write, session)
    body = await response.read(MAX_BODY_BYTES)
    if wanted is None:
        return Ending(b"", response.status)
    message = envelope.read_answer(body)
    if not isinstance(message, Response):
        text = f"the gateway answered with HTTP status {response.status}, and not in MCP"
        return Ending(envelope.error(wanted, INTERNAL_ERROR, text), response.status)
    if message.id is None and message.error is not None:  # refused before it was read
        return Ending(envelope.failure(wanted, message.error), response.status, None, message.error)
    return Ending(body, response.status, message.result, message.error, session)


async def _from_stream(
    response: HttpResponse, wanted: bytes | None, write: Callable[[bytes], Awaitable[None]], session: str
) -> Ending:
    decoder = Decoder(max_event_bytes=MAX_BODY_BYTES, max_line_bytes=MAX_BODY_BYTES)
    try:
        async for chunk in response.chunks():
            for event in decoder.feed(chunk):
                message = envelope.read_answer(event.data)
                if isinstance(message, Response) and message.id == wanted and wanted is not None:
                    return Ending(event.data, 200, message.result, message.error, session)
                await write(event.data)
    except UpstreamFailed:
        raise Lost(decoder.last_id, decoder.retry_ms) from None
    finally:
        response.close()
    raise Lost(decoder.last_id, decoder.retry_ms)
