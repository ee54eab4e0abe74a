"""The audit log: records by page and as they come, one call, its receipt, checkpoints."""

import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Annotated, Final, Literal

import anyio
import orjson
from fastapi import APIRouter, Header, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from sse_starlette import EventSourceResponse, ServerSentEvent

from agent_gateway.admin.models import CallShown, Checkpoints, CheckpointShown, Receipt, Records, RecordShown
from agent_gateway.admin.reading import Readers, Streams
from agent_gateway.audit.prove import prove
from agent_gateway.audit.reader import Criteria, Entry, Tail, checkpoints, find, log_paths, page
from agent_gateway.audit.rotation import vkeys
from agent_gateway.runtime.books import DataDir
from agent_gateway.runtime.gateway import Gateway
from gateway_policies.refusal import BadRequest, NotFound, Refusal, TooMuch

MAX_RECORDS: Final = 500
MAX_CHECKPOINTS: Final = 100
MAX_STREAMS: Final = 16
MAX_STREAM_S: Final = 3600.0
MAX_CURSOR: Final = 8192
POLL_EVERY_S: Final = 0.5
PING_EVERY_S: Final = 15
SEND_TIMEOUT_S: Final = 30
_PLACE: Final = re.compile(r"([\w.-]{1,64}):(\d{1,18})", re.ASCII)
_LAST_MS: Final = 2**53 - 1

CallId = Annotated[str, Path(pattern=r"^[0-9a-f]{32}$")]
Text = Annotated[str | None, Field(max_length=128)]


class Wanted(BaseModel):
    """Which records are asked for."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    tenant: Text = None
    agent: Text = None
    capability: Text = None
    kind: Literal["decision", "outcome", "refusal", "approval", "key"] | None = None
    effect: Literal["permit", "forbid"] | None = None
    code: Text = None
    call: Text = None
    after_ms: Annotated[int | None, Field(ge=0, le=_LAST_MS)] = None
    """Unix milliseconds: at or after."""
    before_ms: Annotated[int | None, Field(ge=0, le=_LAST_MS)] = None
    """Unix milliseconds: strictly before."""

    def criteria(self) -> Criteria:
        return Criteria(**self.model_dump(include=set(Wanted.model_fields)))


class WantedPage(Wanted):
    """A page of them."""

    limit: Annotated[int, Field(ge=1, le=MAX_RECORDS)] = 100
    cursor: Annotated[str | None, Field(max_length=MAX_CURSOR)] = None
    """`next` of the page before."""


def audit_routes(gateway: Gateway, data: DataDir, readers: Readers, streams: Streams) -> APIRouter:
    """Return the routes under `/audit`."""
    router = APIRouter(prefix="/audit", tags=["audit"])
    _records(router, data, readers)
    _calls(router, data, readers)
    _checkpoints(router, gateway, data, readers)
    _stream(router, gateway, _StreamParts(data.audit, readers, streams))
    return router


def _records(router: APIRouter, data: DataDir, readers: Readers) -> None:
    @router.get("/records")
    async def records(wanted: Annotated[WantedPage, Query()]) -> Records:
        """Records of every worker, newest first."""
        before = None if wanted.cursor is None else places(wanted.cursor)
        found = await readers.read(lambda: page(data.audit, wanted.criteria(), wanted.limit, before))
        following = None if found.before is None else cursor(found.before)
        return Records(items=[record_shown(entry) for entry in found.entries], next=following)


def _calls(router: APIRouter, data: DataDir, readers: Readers) -> None:
    @router.get("/calls/{call}")
    async def one_call(call: CallId) -> CallShown:
        """All that is recorded of one call."""
        history = await readers.read(lambda: find(data.audit, call))
        if history is None:
            raise NotFound(f"no call `{call}` is recorded here")
        outcome = None if history.outcome is None else record_shown(history.outcome)
        return CallShown(call=call, decision=record_shown(history.decision), outcome=outcome)

    @router.get("/calls/{call}/receipt")
    async def receipt(call: CallId) -> Receipt:
        """What proves, with the public key alone, that the log holds the records of this call."""
        return Receipt.model_validate(await readers.read(lambda: prove(data.audit, call)))


def _checkpoints(router: APIRouter, gateway: Gateway, data: DataDir, readers: Readers) -> None:
    @router.get("/checkpoints")
    async def latest() -> Checkpoints:
        """The last signed heads of each log, newest first, and the key that checks them."""
        origin = gateway.snapshot.config.audit.origin
        vkey, *retired = await readers.read(lambda: vkeys(data.keys, origin))
        items = await readers.read(lambda: latest_checkpoints(data.audit))
        return Checkpoints(vkey=vkey, retired=retired, items=items)


@dataclass(frozen=True, slots=True)
class _StreamParts:
    directory: FilePath
    readers: Readers
    streams: Streams


def _stream(router: APIRouter, gateway: Gateway, parts: _StreamParts) -> None:
    @router.get("/stream", response_class=EventSourceResponse)
    async def stream(
        request: Request,
        wanted: Annotated[Wanted, Query()],
        last_event_id: Annotated[str | None, Header(max_length=MAX_CURSOR)] = None,
    ) -> EventSourceResponse:
        """Records as they become durable, as server-sent events named by their kind.

        Begins with what comes next, or after `Last-Event-ID`. Ends with the operator's token.
        """
        position = None if last_event_id is None else places(last_event_id)
        if parts.streams.count >= MAX_STREAMS:
            raise TooMuch(f"{MAX_STREAMS} streams are open", code="over_concurrency", retry_after_s=5)
        tail = await parts.readers.read(lambda: Tail(parts.directory, wanted.criteria(), position))
        now = gateway.services.clock()
        life_s = min(MAX_STREAM_S, (request.state.operator.expires_at or now + MAX_STREAM_S) - now)
        return EventSourceResponse(_events(parts, tail, life_s), ping=PING_EVERY_S, send_timeout=SEND_TIMEOUT_S)


async def _events(parts: _StreamParts, tail: Tail, life_s: float) -> AsyncIterator[ServerSentEvent]:
    closing = parts.streams.closing
    until = anyio.current_time() + life_s
    sent = dict(tail.position)
    parts.streams.count += 1
    try:
        while anyio.current_time() < until and not closing.is_set():
            try:
                news = await parts.readers.read(tail.news)
            except Refusal:  # the client comes back with `Last-Event-ID`, and is told then
                return
            for entry in news:
                sent[entry.log] = entry.index + 1
                text = orjson.dumps(record_shown(entry).model_dump()).decode()
                yield ServerSentEvent(text, event=str(entry.record.get("kind", "unknown")), id=cursor(sent))
            if not news:
                with anyio.move_on_after(POLL_EVERY_S):
                    await closing.wait()
    finally:
        parts.streams.count -= 1


def latest_checkpoints(directory: FilePath) -> list[CheckpointShown]:
    """Return the last signed heads of each log, newest first. Raises `sqlite3.Error`."""
    return [
        CheckpointShown(log=path.stem, size=size, note=note)
        for path in log_paths(directory)
        for size, note in reversed(checkpoints(path)[-MAX_CHECKPOINTS:])
    ]


def record_shown(entry: Entry) -> RecordShown:
    return RecordShown(log=entry.log, index=entry.index, record=dict(entry.record))


def cursor(places: Mapping[str, int]) -> str:
    """Return a place in every log as text: `0:12,1:30`."""
    return ",".join(f"{log}:{index}" for log, index in sorted(places.items()))


def places(text: str) -> dict[str, int]:
    """Read what `cursor` wrote; raises `BadRequest`."""
    found = [_PLACE.fullmatch(part) for part in text.split(",")]
    if not all(found):
        raise BadRequest("the cursor is not one of ours", code="invalid_params", hint="send `next` as it came")
    return {match[1]: int(match[2]) for match in found if match is not None}
