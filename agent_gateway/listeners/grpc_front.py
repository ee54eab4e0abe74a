"""A2A over gRPC: each call becomes the JSON-RPC request that says the same, and is answered by the same app.

An agent is named by `tenant`, as its card says: gRPC has no paths. Nothing is decided here: authentication,
policies, budgets and records are those of the data listener, which is asked in this process.
Needs the extra `grpc`. Source: A2A 1.0.1, 10 "gRPC protocol binding".
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast
from urllib.parse import quote

from google.protobuf.json_format import MessageToDict, ParseDict, ParseError, SerializeToJsonError
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from a2a_gateway.errors import ERROR_INFO, FORMS
from a2a_gateway.streams import Frames
from agent_gateway.config.listeners import GrpcListener, Limits
from agent_gateway.listeners.body import AsgiApp, Scope
from agent_gateway.listeners.body import Message as AsgiMessage
from agent_gateway.upstreams.grpc_service import METHODS, Method, grpc_library

PREFIX: Final = "/a2a/"
MAX_TENANT_CHARS: Final = 1024
QUEUED_CHUNKS: Final = 4  # of one answer, read and not yet sent on
GRACE_S: Final = 5.0
_PASSED: Final = (
    "authorization", "x-api-key", "a2a-version", "a2a-extensions", "traceparent", "tracestate", "baggage",
)  # fmt: skip
_BY_HTTP: Final[Mapping[int, str]] = {
    400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND",
    405: "UNIMPLEMENTED", 408: "DEADLINE_EXCEEDED", 413: "RESOURCE_EXHAUSTED", 415: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED", 502: "UNAVAILABLE", 503: "UNAVAILABLE", 504: "DEADLINE_EXCEEDED",
}  # fmt: skip
_BY_CODE: Final = {form.jsonrpc_code: form.grpc_status for form in FORMS.values() if form.is_protocol}


@dataclass(slots=True)
class Failure(Exception):
    """A call that is answered with a status."""

    code: str
    message: str
    details: Sequence[Mapping[str, Any]] = ()
    trailing: list[tuple[str, str | bytes]] = field(default_factory=list[tuple[str, str | bytes]])


@contextlib.asynccontextmanager
async def serving_grpc(app: AsgiApp, config: GrpcListener, host: str, limits: Limits) -> AsyncGenerator[None]:
    """Serve A2A over gRPC while the block runs.

    app     the data listener's
    host    a Host header that it takes
    limits  of request bodies: how large, and how long until they are here

    Raises `GrpcMissing`, and `OSError` when the port cannot be had.
    """
    grpc = grpc_library()
    front = GrpcFront(app, host, limits.body_timeout_s)
    options = [("grpc.max_receive_message_length", limits.body_bytes), ("grpc.so_reuseport", 1)]
    server = grpc.aio.server(options=options, maximum_concurrent_rpcs=config.calls)

    class Handler(grpc.GenericRpcHandler):
        def service(self, details: Any) -> Any:
            method = METHODS.get(details.method)
            if method is None:
                return None
            # Served as if more messages might come: what grpcio reads by itself it waits for without a limit.
            make = grpc.stream_stream_rpc_method_handler if method.is_streamed else grpc.stream_unary_rpc_method_handler
            serve = front.streamed(method, grpc) if method.is_streamed else front.whole(method, grpc)
            return make(serve, method.request.FromString, _bytes)

    server.add_generic_rpc_handlers((Handler(),))
    try:
        server.add_insecure_port(f"{config.host}:{config.port}")
    except RuntimeError as error:
        raise OSError(f"nothing can listen for gRPC on {config.host}:{config.port}") from error
    await server.start()
    try:
        yield
    finally:
        await server.stop(GRACE_S)


class GrpcFront:
    """Turns calls into requests to `app` and its answers into messages."""

    def __init__(self, app: AsgiApp, host: str, body_timeout_s: float) -> None:
        self._app = app
        self._host = host
        self._body_timeout_s = body_timeout_s

    def whole(self, method: Method, grpc: Any) -> Any:
        """Return what answers a call with one message."""

        async def serve(messages: AsyncIterator[Message], context: Any) -> Message:
            try:
                async with self._asked(method, await self._first(messages), context) as answer:
                    return _message(method, _result(answer.status, answer.headers, await answer.read()))
            except Failure as failure:
                await _abort(context, grpc, failure)
                raise

        return serve

    def streamed(self, method: Method, grpc: Any) -> Any:
        """Return what answers a call with messages as they come."""

        async def serve(messages: AsyncIterator[Message], context: Any) -> AsyncGenerator[Message]:
            try:
                async with self._asked(method, await self._first(messages), context) as answer:
                    if b"event-stream" not in answer.headers.get(b"content-type", b""):
                        _result(answer.status, answer.headers, await answer.read())
                        raise Failure("INTERNAL", "the agent answers without a stream")
                    frames = Frames()
                    async for chunk in answer.chunks():
                        for frame in frames.feed(chunk):
                            if frame.data is not None:
                                yield _message(method, _result(200, answer.headers, frame.data))
            except Failure as failure:
                await _abort(context, grpc, failure)

        return serve

    async def _first(self, messages: AsyncIterator[Message]) -> Message:
        """Return the one message of a call; raises `Failure` when it does not come in time."""
        try:
            async with asyncio.timeout(self._body_timeout_s):
                return await anext(messages)
        except TimeoutError:
            raise Failure("DEADLINE_EXCEEDED", "the message took too long") from None
        except StopAsyncIteration:
            raise Failure("INVALID_ARGUMENT", "the call has no message") from None

    @contextlib.asynccontextmanager
    async def _asked(self, method: Method, request: Message, context: Any) -> AsyncGenerator["_Answer"]:
        """Put a call to the app; whoever leaves the block leaves the request."""
        params = _params(request)
        tenant = str(params.pop("tenant", ""))
        if not 0 < len(tenant) <= MAX_TENANT_CHARS:
            raise Failure("NOT_FOUND", "no such agent here: `tenant` names one, as its card says")
        body = {"jsonrpc": "2.0", "id": 1, "method": method.operation.value, "params": params}
        answer = _Answer(json.dumps(body).encode())
        scope = _scope(f"{PREFIX}{quote(tenant, safe='/')}", self._host, context)
        running = asyncio.get_running_loop().create_task(self._run(scope, answer))
        try:
            await answer.started.wait()
            yield answer
        finally:
            answer.gone.set()
            answer.drop()
            await asyncio.wait({running}, timeout=GRACE_S)
            running.cancel()

    async def _run(self, scope: Scope, answer: "_Answer") -> None:
        try:
            await self._app(scope, answer.receive, answer.send)
        finally:
            answer.end()


class _Answer:
    """One request to the app, in the making, and its answer."""

    def __init__(self, body: bytes) -> None:
        self._body: bytes | None = body
        self._chunks: asyncio.Queue[bytes | None] = asyncio.Queue(QUEUED_CHUNKS)
        self._is_dropped = False
        self._is_over = False
        self.started = asyncio.Event()
        self.gone = asyncio.Event()
        self.status = 500
        self.headers: Mapping[bytes, bytes] = {}

    async def receive(self) -> AsgiMessage:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: AsgiMessage) -> None:
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], dict(message["headers"])
            self.started.set()
        elif not self._is_dropped:
            if message.get("body"):
                await self._chunks.put(message["body"])
            if not message.get("more_body", False):
                await self._chunks.put(None)

    def end(self) -> None:
        """Say that nothing more comes, whatever the app has said."""
        self._is_over = True
        self.started.set()
        with contextlib.suppress(asyncio.QueueFull):
            self._chunks.put_nowait(None)

    def drop(self) -> None:
        """Take nothing more: whoever waits to send goes on."""
        self._is_dropped = True
        while not self._chunks.empty():
            self._chunks.get_nowait()

    async def chunks(self) -> AsyncGenerator[bytes]:
        while not (self._is_over and self._chunks.empty()) and (chunk := await self._chunks.get()) is not None:
            yield chunk

    async def read(self) -> bytes:
        return b"".join([chunk async for chunk in self.chunks()])


# --- values ------------------------------------------------------------------------------------


def _scope(path: str, host: str, context: Any) -> Scope:
    # One that stands there twice goes on twice: the listener refuses it.
    headers = [
        (str(name).encode(), str(value).encode("latin-1", "replace"))
        for name, value in context.invocation_metadata() or ()
        if name in _PASSED
    ]
    if not any(name == b"a2a-version" for name, _ in headers):
        headers.append((b"a2a-version", b"1.0"))  # the service itself is of that version
    peer = str(context.peer()).removeprefix("ipv4:").removeprefix("ipv6:").rpartition(":")[0]
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", host.encode()), (b"content-type", b"application/json"), *headers],
        "client": (peer, 0),
        "server": None,
        "state": {},
    }


def _params(request: Message) -> dict[str, Any]:
    """Return a request as the params of JSON-RPC; raises `Failure` for what JSON cannot say."""
    try:
        return MessageToDict(request)
    except (SerializeToJsonError, ValueError):
        raise Failure("INVALID_ARGUMENT", "the request has no form in JSON: a number or a time in it is none") from None


def _result(status: int, headers: Mapping[bytes, bytes], body: bytes) -> Mapping[str, Any]:
    """Return the result of a JSON-RPC answer; raises `Failure` for an error."""
    try:
        answer: object = json.loads(body)
    except ValueError:
        raise Failure(_BY_HTTP.get(status, "INTERNAL"), "the answer cannot be read") from None
    members = cast("dict[str, Any]", answer) if isinstance(answer, dict) else {}
    if "result" in members:
        return cast("Mapping[str, Any]", members["result"] or {})
    error = cast("dict[str, Any]", members.get("error") or {})
    code = _BY_HTTP.get(status) if status >= 400 else _BY_CODE.get(error.get("code", 0))
    trailing: list[tuple[str, str | bytes]] = [
        (name, headers[name.encode()].decode("latin-1"))
        for name in ("www-authenticate", "retry-after")
        if name.encode() in headers
    ]
    details = error.get("data")
    listed = cast("list[object]", details) if isinstance(details, list) else []
    shown = [cast("dict[str, Any]", one) for one in listed if isinstance(one, dict)]
    raise Failure(code or "INTERNAL", str(error.get("message", "refused")), shown, trailing)


def _message(method: Method, result: Mapping[str, Any]) -> Message:
    try:
        return ParseDict(dict(result), method.response(), ignore_unknown_fields=True)
    except (ParseError, TypeError, ValueError):
        raise Failure("INTERNAL", "the agent's answer has no form in gRPC") from None


def _bytes(message: Message) -> bytes:
    return message.SerializeToString()


async def _abort(context: Any, grpc: Any, failure: Failure) -> None:
    code = getattr(grpc.StatusCode, failure.code)
    status = status_pb2.Status(code=code.value[0], message=failure.message)
    for detail in failure.details:
        if detail.get("@type") == ERROR_INFO:
            given = detail.get("metadata")
            members = cast("dict[str, object]", given) if isinstance(given, dict) else {}
            metadata = {str(name): str(value) for name, value in members.items()}
            info = error_details_pb2.ErrorInfo(
                reason=str(detail.get("reason")), domain=str(detail.get("domain")), metadata=metadata
            )
            status.details.add().Pack(info)
    trailing = (*failure.trailing, ("grpc-status-details-bin", status.SerializeToString()))
    await context.abort(code, failure.message, trailing)
