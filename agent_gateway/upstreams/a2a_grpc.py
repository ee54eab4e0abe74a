"""A2A 1.0 over gRPC to one agent: a JSON-RPC request becomes a call, and what the call brings its JSON-RPC answer.

Implements `ports.HttpClient` for the requests of one path, so that nothing above knows of gRPC. What protobuf
does not know (unknown members, integers beyond 2^53 in free-form data) does not pass.
Needs the extra `grpc`. Source: A2A 1.0.1, 5.4 and 10; ProtoJSON.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from google.protobuf import json_format
from google.protobuf.message import DecodeError
from msgspec import Raw

from a2a_gateway import streams
from agent_gateway.egress.resolve import Getaddrinfo, system_getaddrinfo
from agent_gateway.ports import HttpRequest, HttpResponse
from agent_gateway.upstreams.a2a_http import AgentSettings
from agent_gateway.upstreams.grpc_link import Link, Links
from agent_gateway.upstreams.grpc_service import METHODS, SERVICE, Method, grpc_library
from agent_gateway.upstreams.grpc_status import Said, problem
from agent_gateway.upstreams.http_places import closed
from gateway_policies.refusal import BadRequest, UpstreamFailed, UpstreamTimeout, UpstreamUnreachable

_OF_HTTP: Final = frozenset({b"accept", b"accept-encoding", b"content-type"})  # gRPC has its own
_NAME = re.compile(rb"(?!grpc-)[0-9a-z_.-]+(?<!-bin)")
_VALUE = re.compile(rb"[\x20-\x7e]*")
_PASSED_BACK: Final = ("a2a-extensions",)
_JSON: Final = {b"content-type": b"application/json"}


class _Rpc(msgspec.Struct):
    """A JSON-RPC request as the gateway writes it."""

    method: str
    id: Raw = Raw(b"null")
    params: Raw = Raw(b"{}")


@dataclass(frozen=True, slots=True)
class _Asked:
    """One call that is to be made."""

    method: Method
    path: str
    message: bytes
    metadata: Sequence[tuple[str, str]]
    id_raw: bytes


class GrpcClient:
    """Calls to one agent.

    roots, getaddrinfo  as `Links` takes them
    """

    def __init__(
        self, settings: AgentSettings, *, roots: bytes | None = None, getaddrinfo: Getaddrinfo = system_getaddrinfo
    ) -> None:
        self._grpc = grpc_library()
        self._settings = settings
        self._links = Links(settings, roots=roots, getaddrinfo=getaddrinfo)

    async def send(self, request: HttpRequest, *, timeout_s: float, idempotent: bool = False) -> HttpResponse:
        """Make the call that a JSON-RPC request stands for; see `ports.HttpClient`.

        timeout_s  until the answer, or the first message of a stream

        Nothing is tried twice. Raises `BadRequest` for params that have no form in protobuf.
        """
        del idempotent
        asked = _asked(request)
        try:
            async with asyncio.timeout(timeout_s):
                link = await self._links.ready()
                return await self._call(link, asked, timeout_s)
        except TimeoutError as error:
            raise UpstreamTimeout("the agent did not answer in time") from error

    async def aclose(self) -> None:
        """End every call and the channel."""
        await self._links.aclose()

    async def _call(self, link: Link, asked: _Asked, timeout_s: float) -> HttpResponse:
        make = link.channel.unary_stream if asked.method.is_streamed else link.channel.unary_unary
        limit_s = self._settings.longest_s if asked.method.is_streamed else timeout_s
        call = make(asked.path)(asked.message, timeout=limit_s, metadata=asked.metadata)
        running = _Call(self._grpc, link, call, asked)
        link.calls.add(call)
        try:
            told = await running.next() if asked.method.is_streamed else await running.whole()
            headers = {**_JSON, **await running.headers()}
        except BaseException:
            running.close()
            raise
        if isinstance(told, Said) or not asked.method.is_streamed:
            running.close()
            return _Whole(told.http_status if isinstance(told, Said) else 200, headers, _answer(asked, told))
        return _Events(running, told, headers, self._settings.limits.max_stream)


class _Call:
    """A call that runs, in the words of this package: messages, what the agent says instead, or a failure."""

    def __init__(self, grpc: Any, link: Link, call: Any, asked: _Asked) -> None:
        self._grpc = grpc
        self._link = link
        self._call = call
        self.asked = asked

    async def whole(self) -> bytes | Said | None:
        """Return the one answer as JSON, or the error that the agent says."""
        return await self._coming(self._call)

    async def next(self) -> bytes | Said | None:
        """Return the next message as JSON, or the error that the agent says; None at the end."""
        return await self._coming(self._call.read())

    async def headers(self) -> Mapping[bytes, bytes]:
        """Return what goes back of the metadata that came first."""
        came = await self._call.initial_metadata() or ()
        return {name.encode(): str(value).encode() for name, value in came if name in _PASSED_BACK}

    def close(self) -> None:
        """Let go: what is still running ends at the agent too."""
        self._call.cancel()
        self._link.calls.discard(self._call)

    async def _coming(self, message: Any) -> bytes | Said | None:
        try:
            got = await message
        except self._grpc.aio.AioRpcError as error:
            return problem(error)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if self._link.is_closed and not (task and task.cancelling()):
                raise closed() from None  # the call was cancelled, and nobody cancelled us
            raise
        return None if got is self._grpc.aio.EOF else _json(self.asked.method, got)


class _Whole:
    """An answer that is there; see `ports.HttpResponse`."""

    def __init__(self, status: int, headers: Mapping[bytes, bytes], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self._body = body

    async def read(self, max_bytes: int) -> bytes:
        _check_size(len(self._body), max_bytes)
        return self._body

    async def chunks(self) -> AsyncIterator[bytes]:
        yield self._body

    def close(self) -> None:
        """Nothing is open."""

    def linger(self) -> None:
        """Nothing is open."""


class _Events:
    """An answer that comes as events, each of them one message; see `ports.HttpResponse`."""

    def __init__(self, running: _Call, first: bytes | None, headers: Mapping[bytes, bytes], max_bytes: int) -> None:
        self.status = 200
        self.headers: Mapping[bytes, bytes] = {**headers, b"content-type": b"text/event-stream"}
        self._running = running
        self._first = first
        self._max_bytes = max_bytes

    async def read(self, max_bytes: int) -> bytes:
        body = b""
        async for chunk in self.chunks():
            body += chunk
            _check_size(len(body), max_bytes)
        return body

    async def chunks(self) -> AsyncIterator[bytes]:
        told: bytes | Said | None = self._first
        size = 0
        try:
            while told is not None:
                event = streams.event(_answer(self._running.asked, told))
                size += len(event)
                _check_size(size, self._max_bytes)
                yield event
                told = None if isinstance(told, Said) else await self._running.next()
        finally:
            self.close()

    def close(self) -> None:
        self._running.close()

    def linger(self) -> None:
        self.close()


# --- values ------------------------------------------------------------------------------------


def _asked(request: HttpRequest) -> _Asked:
    rpc = msgspec.json.decode(request.body, type=_Rpc)
    path = f"/{SERVICE}/{rpc.method}"
    method = METHODS[path]
    try:
        message = json_format.Parse(bytes(rpc.params), method.request(), ignore_unknown_fields=True)
        body = message.SerializeToString()
    except (json_format.ParseError, ValueError, RecursionError) as error:
        raise BadRequest("the params have no form in gRPC, which this agent speaks", code="invalid_params") from error
    return _Asked(method, path, body, _metadata(request.headers), bytes(rpc.id))


def _metadata(headers: Sequence[tuple[bytes, bytes]]) -> Sequence[tuple[str, str]]:
    kept = [(name.lower(), value) for name, value in headers if name.lower() not in _OF_HTTP]
    # INVARIANT: no value opens a header of its own, and none is one of gRPC's own.
    if not all(_NAME.fullmatch(name) and _VALUE.fullmatch(value) for name, value in kept):
        raise UpstreamUnreachable(
            "this agent cannot be called: one of the headers for it is not valid over gRPC",
            code="upstream_misconfigured",
        )
    return [(name.decode(), value.decode()) for name, value in kept]


def _json(method: Method, message: bytes) -> bytes:
    try:
        return msgspec.json.encode(json_format.MessageToDict(method.response.FromString(message)))
    except (DecodeError, json_format.Error, ValueError, TypeError, RecursionError) as error:
        raise UpstreamFailed("the agent's answer is no message of A2A", code="upstream_garbage") from error


def _answer(asked: _Asked, told: bytes | Said | None) -> bytes:
    if isinstance(told, Said):
        return b'{"jsonrpc":"2.0","id":%b,"error":%b}' % (asked.id_raw, msgspec.json.encode(told.error))
    return b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (asked.id_raw, told or b"{}")


def _check_size(size: int, max_bytes: int) -> None:
    if size > max_bytes:
        raise UpstreamFailed(f"the agent's answer has more than {max_bytes} bytes", code="upstream_too_large")
