"""What both transports say and read alike: ids, outgoing messages, server info, pages of lists.

Values and small pure functions; connections, children and sessions are left to
`mcp_http` and `mcp_stdio`.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import lru_cache
from types import TracebackType
from typing import Final

import msgspec
from msgspec import Raw

from agent_gateway import VERSION
from agent_gateway.ports import AskRefused, Heard, Listed, Progressed, ServerInfo, Sink, UpstreamAnswer, UpstreamRequest
from agent_gateway.upstreams.settings import UpstreamLimits
from gateway_policies.refusal import UpstreamFailed, UpstreamTimeout
from mcp_registry.protocol import envelope, tasks
from mcp_registry.protocol.envelope import Notification, Response
from mcp_registry.protocol.errors import METHOD_NOT_FOUND
from mcp_registry.protocol.headers import HeaderParam, header_params
from mcp_registry.protocol.inbound import LOG_LEVELS, declares
from mcp_registry.protocol.lists import ListShape
from mcp_registry.protocol.outbound import Outgoing, Speaker
from mcp_registry.protocol.subscriptions import CHANGES, LISTEN, Filter, write_filter
from mcp_registry.protocol.versions import META_SERVER_INFO, Era

GATEWAY: Final = Speaker(info=Raw(envelope.write({"name": "agent-gateway", "version": VERSION})))
MAX_TTL_MS: Final = 3_600_000  # an hour: no upstream's word holds longer
_ANNOTATION: Final = b"x-mcp-header"


class deadline:  # noqa: N801 - used like a function
    """Cancel the block after `timeout_s` seconds and raise `UpstreamTimeout`.

    What `asyncio.timeout` does, for the one case at hand and at a quarter of its cost.
    """

    __slots__ = ("_cancelling", "_handle", "_is_late", "_is_over", "_left_s", "_pauses", "_task", "_timeout_s")

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._is_late = False
        self._is_over = False
        self._pauses = 0
        self._left_s = 0.0

    def __enter__(self) -> "deadline":
        loop = asyncio.get_running_loop()
        task = asyncio.current_task(loop)
        assert task is not None
        self._task = task
        self._cancelling = task.cancelling()
        self._handle = loop.call_later(self._timeout_s, self._expire)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._is_over = True
        self._handle.cancel()
        if self._is_late and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise too_late(self._timeout_s) from error

    def pause(self) -> None:
        """Stop the clock: the other side waits for us. Pauses nest."""
        self._pauses += 1
        if self._pauses == 1:
            self._left_s = max(0.0, self._handle.when() - asyncio.get_running_loop().time())
            self._handle.cancel()

    def resume(self) -> None:
        """Let the clock go on with the time that was left."""
        self._pauses -= 1
        if not self._pauses and not self._is_over:
            self._handle = asyncio.get_running_loop().call_later(self._left_s, self._expire)

    def _expire(self) -> None:
        self._is_late = True
        self._task.cancel()


def too_late(timeout_s: float) -> UpstreamTimeout:
    """Return the refusal for an upstream that took longer than its caller waits."""
    return UpstreamTimeout(f"the upstream did not answer within {timeout_s:g} seconds")


def outgoing(request: UpstreamRequest, id_raw: bytes, *, mirrors_arguments: bool) -> Outgoing:
    """Return `request` under our own id, which is its progress token too.

    mirrors_arguments  whether the transport wants `Mcp-Param-*`; raises `UpstreamFailed` when the
                       tool's schema asks for ones that cannot be written
    """
    params: tuple[HeaderParam, ...] = ()
    arguments: dict[str, object] = {}
    if mirrors_arguments and request.input_schema is not None:
        schema = bytes(request.input_schema)
        if _ANNOTATION in schema:
            params = _params_of(schema)
            if params and "arguments" in request.params:
                arguments = _VALUES.decode(request.params["arguments"])
    return Outgoing(
        id=id_raw,
        method=request.method,
        params=request.params,
        name=request.name_header,
        header_params=params,
        arguments=arguments,
        progress_token=id_raw if request.wants_progress else None,
        log_level=None if request.log_level is None else envelope.write(request.log_level),
        trace=request.trace,
    )


def answer(era: Era, response: Response, size_bytes: int) -> UpstreamAnswer:
    """Return the answer in the words of the port."""
    return UpstreamAnswer(era=era, result=response.result, error=response.error, size_bytes=size_bytes)


async def deliver(message: Notification, id_raw: bytes, sink: Sink) -> None:
    """Hand a notification to the request `id_raw`, unless it is progress of another; the sink knows what it wants."""
    if message.method == "notifications/progress":
        token = message.params.get("progressToken")
        if token is None or bytes(token) != id_raw:
            return
    await sink.notify(message.method, Raw(envelope.write(message.params)) if message.params else None)


class Hearing:
    """The sink of a listening: changes go to `heard`, nothing else does, and nobody can be asked."""

    def __init__(self, heard: Heard) -> None:
        self._heard = heard

    async def notify(self, method: str, params: Raw | None) -> None:
        if method in CHANGES or method == tasks.CHANGED:
            self._heard(method, params)

    async def ask(self, method: str, params: Raw | None, progressed: Progressed | None = None) -> Raw:
        raise AskRefused(Raw(envelope.write({"code": METHOD_NOT_FOUND, "message": f"`{method}` is not served"})))


def listening(id_raw: bytes, wanted: Filter) -> Outgoing:
    """Return the modern request whose answer is a stream of these changes."""
    return Outgoing(id_raw, LISTEN, {"notifications": Raw(envelope.write(write_filter(wanted)))})


def cancelled(id_raw: bytes) -> bytes:
    """Return the notice that nobody waits for the request `id_raw` any more."""
    return envelope.notification("notifications/cancelled", {"requestId": Raw(id_raw)})


def speaker(request: UpstreamRequest, version: str) -> Speaker:
    """Return who the upstream is told is calling: the caller, with what the caller declared and no more."""
    if request.client_info is None and request.client_capabilities is None and version == GATEWAY.version:
        return GATEWAY
    return Speaker(
        info=request.client_info or GATEWAY.info,
        capabilities=request.client_capabilities or GATEWAY.capabilities,
        version=version,
    )


def wants_level(known: str | None, level: str, info: ServerInfo) -> bool:
    """Say whether a legacy server that sends log messages from `known` on must be told to begin at `level`."""
    is_enough = known is not None and LOG_LEVELS.index(known) <= LOG_LEVELS.index(level)
    return not is_enough and info.capabilities is not None and declares(info.capabilities, "logging")


def set_level(id_raw: bytes, level: str) -> bytes:
    """Write the legacy request that has a server send log messages from `level` on."""
    return envelope.request(id_raw, "logging/setLevel", {"level": Raw(envelope.write(level))})


def can_be_asked(request: UpstreamRequest) -> bool:
    """Say whether the caller declared anything that an upstream may ask of it."""
    return request.client_capabilities is not None and bytes(request.client_capabilities) != b"{}"


@lru_cache(maxsize=1024)
def declared(capabilities: bytes) -> bytes:
    """Return capabilities (a raw JSON object) in the one spelling of equal ones: what sessions are kept apart by."""
    return _SORTED.encode(_ANY.decode(capabilities))


def server_info(era: Era, version: str, result: Raw | None) -> ServerInfo:
    """Return what a raw discover or initialize result says; odd members count as absent."""
    members = envelope.read_object(result) if result is not None else {}
    info = members.get("serverInfo")
    try:
        meta = envelope.read_object(members["_meta"]) if "_meta" in members else {}
    except msgspec.DecodeError:
        meta = {}
    try:
        instructions = _TEXT.decode(members["instructions"]) if "instructions" in members else None
    except msgspec.DecodeError:
        instructions = None
    return ServerInfo(era, version, meta.get(META_SERVER_INFO, info), members.get("capabilities"), instructions)


Ask = Callable[[envelope.RawObject], Awaitable[UpstreamAnswer]]


async def list_all(ask: Ask, shape: ListShape, limits: UpstreamLimits) -> Listed:
    """Return the items of every page that `ask(params)` gives, and the least time that one of them may be kept.

    An absent or null cursor ends the list; an empty one does not. Raises `UpstreamFailed` when a
    cursor comes twice, or beyond `max_pages` or `max_items`. An upstream without the method has none.
    """
    items: list[Raw] = []
    seen: set[bytes] = set()
    params: envelope.RawObject = {}
    ttl_ms = MAX_TTL_MS
    for _ in range(limits.max_pages):
        page = _page(await ask(params), shape)
        items.extend(page.items)
        ttl_ms = min(ttl_ms, page.ttl_ms)
        if len(items) > limits.max_items:
            raise _bad_list(shape, f"it has more than {limits.max_items} items")
        if page.cursor is None:
            return Listed(items, ttl_ms)
        cursor = envelope.write(page.cursor)
        if cursor in seen:
            raise _bad_list(shape, "its pages go round in a circle")
        seen.add(cursor)
        params = {"cursor": Raw(cursor)}
    raise _bad_list(shape, f"it has more than {limits.max_pages} pages")


def offers(info: ServerInfo, shape: ListShape) -> bool:
    """Say whether a server declares such a list."""
    return info.capabilities is not None and declares(info.capabilities, shape.declared)


@dataclass(frozen=True, slots=True)
class _Page:
    items: list[Raw]
    cursor: str | None = None
    ttl_ms: int = 0


class _Error(msgspec.Struct):
    code: int = 0


def error_code(error: Raw | None) -> int | None:
    """Return the code of a raw JSON-RPC error, None when there is none to read."""
    try:
        return None if error is None else _ERROR.decode(error).code
    except msgspec.DecodeError:
        return None


def _page(found: UpstreamAnswer, shape: ListShape) -> _Page:
    if found.result is None:
        if error_code(found.error) == METHOD_NOT_FOUND:
            return _Page([])
        raise UpstreamFailed(f"the upstream does not list its {shape.declared}", code="upstream_error")
    try:
        members = envelope.read_object(found.result)
        cursor = _CURSOR.decode(members.get("nextCursor", b"null"))
        return _Page(_ITEMS.decode(members.get(shape.member, b"null")), cursor, _ttl_ms(members.get("ttlMs")))
    except msgspec.DecodeError as error:
        raise _bad_list(shape, "it is not a list") from error


def _ttl_ms(raw: Raw | None) -> int:
    try:
        return 0 if raw is None else min(MAX_TTL_MS, max(0, _TTL.decode(raw)))
    except msgspec.DecodeError:
        return 0


def _bad_list(shape: ListShape, what: str) -> UpstreamFailed:
    return UpstreamFailed(f"the upstream's list of {shape.declared} cannot be used: {what}", code="upstream_garbage")


@lru_cache(maxsize=4096)
def _params_of(schema: bytes) -> tuple[HeaderParam, ...]:
    try:
        return header_params(msgspec.json.decode(schema))
    except (ValueError, msgspec.DecodeError) as error:
        message = "the tool's schema wants headers that cannot be written"
        raise UpstreamFailed(message, code="upstream_bad_tool") from error


_ITEMS: Final = msgspec.json.Decoder(list[Raw])
_CURSOR: Final = msgspec.json.Decoder(str | None)
_TTL: Final = msgspec.json.Decoder(int)
_ERROR: Final = msgspec.json.Decoder(_Error)
_ANY: Final = msgspec.json.Decoder()
_SORTED: Final = msgspec.json.Encoder(order="deterministic")
_TEXT: Final = msgspec.json.Decoder(str)
_VALUES: Final = msgspec.json.Decoder(dict[str, object])
