"""Between the workers of one gateway: a request goes to the one that knows its call, and all hear what all must know.

Each worker listens on a Unix socket named after its slot, in a directory that only this
user can open and that the supervisor makes (`AGENT_GATEWAY_RUN_DIR`). A gateway of one
worker has none, and everything here does nothing.

    relay   a whole request goes to another worker, which answers it as its own (it checks the
            caller again); its answer streams back. Closing either end closes the other.
    tell    a few words to every other worker, without an answer. Use it for what is rare:
            a cancelled call (`cancel`), a session that ended. `on` says who listens.

Frames are msgpack behind four bytes of length.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Final

import msgspec

from agent_gateway.listeners.body import AsgiApp, Message, Receive, Scope, Send
from agent_gateway.telemetry.logs import log
from gateway_policies.refusal import Unavailable

MAX_FRAME_BYTES: Final = (1 << 30) + (1 << 20)  # the largest result that may be configured, and its head
MAX_TELLING: Final = 1000  # words on their way at once; what is beyond is dropped
TELL_TIMEOUT_S: Final = 2.0
RUN_DIR: Final = "AGENT_GATEWAY_RUN_DIR"
_RELAYED: Final = "agent_gateway.relayed"
_LENGTH_BYTES: Final = 4

Listener = Callable[..., None]
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class _Frame(msgspec.Struct, array_like=True):
    """One frame. Which members are used depends on `kind`: request, start, body, gone or tell."""

    kind: str
    words: list[str] = []  # tell: what, and its arguments. request: method, path, peer
    head: list[tuple[bytes, bytes]] = []
    body: bytes = b""
    number: int = 0  # start: the status. body: whether more comes
    query: bytes = b""


class Siblings:
    """The other workers, as this one sees them.

    directory  where their sockets are; None: there are none
    node       this worker's slot
    """

    def __init__(self, directory: Path | None, node: str) -> None:
        self._directory = directory
        self.node = node
        self._listeners: dict[str, Listener] = {}
        self._telling: set[asyncio.Task[None]] = set()

    def on(self, what: str, listener: Listener) -> None:
        """Have `listener` called with the arguments of every `tell(what, …)` of another worker."""
        self._listeners[what] = listener

    def tell(self, what: str, *arguments: str) -> None:
        """Say this to every other worker; nobody waits for it and nobody answers."""
        others = self._others()
        if not others or len(self._telling) >= MAX_TELLING:
            return
        task = asyncio.get_running_loop().create_task(self._tell(others, _Frame("tell", [what, *arguments])))
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    def knows(self, node: str, scope: Scope) -> bool:
        """Say whether a request should be handed to `node`: another worker that is there, and not on its second way."""
        if self._directory is None or node == self.node or not node.isdigit() or scope.get(_RELAYED):
            return False
        return self._socket(node).exists()

    async def relay(self, node: str, scope: Scope, body: bytes, receive: Receive, send: Send) -> None:
        """Have another worker answer a request. Raises `Unavailable` when it cannot be reached or dies of it."""
        try:
            reader, writer = await asyncio.open_unix_connection(str(self._socket(node)))
        except OSError:
            raise Unavailable("the worker that knows this call is gone", code="worker_gone") from None
        gone = asyncio.ensure_future(_client_gone(receive, writer))
        try:
            client = scope.get("client") or ("", 0)
            words = [scope["method"], scope["raw_path"].decode("latin-1"), str(client[0])]
            await _write(writer, _Frame("request", words, list(scope["headers"]), body, query=scope["query_string"]))
            await _pass_back(reader, send)
        except (OSError, asyncio.IncompleteReadError):
            raise Unavailable("the worker that knows this call is gone", code="worker_gone") from None
        finally:
            gone.cancel()
            writer.close()

    @contextlib.asynccontextmanager
    async def serving(self, app: AsgiApp) -> AsyncGenerator[None]:
        """Answer what other workers hand over and say, while the block runs; `app` serves the data listener."""
        if self._directory is None:
            yield
            return
        path = self._socket(self.node)
        path.unlink(missing_ok=True)
        tasks: set[asyncio.Task[None]] = set()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            tasks.add(task)
            try:
                await self._serve(app, reader, writer)
            except (OSError, asyncio.IncompleteReadError, msgspec.DecodeError):
                log(logging.INFO, "another worker left in the middle of a word")
            finally:
                tasks.discard(task)
                writer.close()

        server = await asyncio.start_unix_server(serve, str(path))
        try:
            yield
        finally:
            server.close()
            path.unlink(missing_ok=True)
            for task in [*tasks, *self._telling]:
                task.cancel()
            await asyncio.gather(*tasks, *self._telling, return_exceptions=True)

    async def _serve(self, app: AsgiApp, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        frame = await _read(reader)
        if frame.kind == "tell":
            listener = self._listeners.get(frame.words[0])
            if listener is not None:
                listener(*frame.words[1:])
        elif frame.kind == "request":
            await app(_scope(frame), _receiving(frame.body, reader), _sending(writer))

    async def _tell(self, others: list[Path], frame: _Frame) -> None:
        for path in others:
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(TELL_TIMEOUT_S):
                    _, writer = await asyncio.open_unix_connection(str(path))
                    try:
                        await _write(writer, frame)
                    finally:
                        writer.close()

    def _others(self) -> list[Path]:
        if self._directory is None:
            return []
        return [path for path in self._directory.glob("*.sock") if path.stem != self.node]

    def _socket(self, node: str) -> Path:
        assert self._directory is not None
        return self._directory / f"{node}.sock"


def not_to_be_relayed(scope: Scope) -> Scope:
    """Return `scope` as that of a request which only this worker can answer."""
    return {**scope, _RELAYED: True}


def _scope(frame: _Frame) -> Scope:
    method, path, peer = frame.words
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode("latin-1"),
        "query_string": frame.query,
        "root_path": "",
        "headers": frame.head,
        "client": (peer, 0),
        "server": None,
        "state": {},
        _RELAYED: True,
    }


def _receiving(body: bytes, reader: asyncio.StreamReader) -> Receive:
    """Return an ASGI `receive`: the body, then the end of the other worker's interest."""
    is_read = False

    async def receive() -> Message:
        nonlocal is_read
        if not is_read:
            is_read = True
            return {"type": "http.request", "body": body, "more_body": False}
        await reader.read(1)  # nothing comes but the end
        return {"type": "http.disconnect"}

    return receive


def _sending(writer: asyncio.StreamWriter) -> Send:
    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            await _write(writer, _Frame("start", head=list(message["headers"]), number=message["status"]))
        elif message["type"] == "http.response.body":
            frame = _Frame("body", body=message.get("body", b""), number=int(message.get("more_body", False)))
            await _write(writer, frame)

    return send


async def _pass_back(reader: asyncio.StreamReader, send: Send) -> None:
    while True:
        frame = await _read(reader)
        if frame.kind == "start":
            await send({"type": "http.response.start", "status": frame.number, "headers": frame.head})
            continue
        await send({"type": "http.response.body", "body": frame.body, "more_body": bool(frame.number)})
        if not frame.number:
            return


async def _client_gone(receive: Receive, writer: asyncio.StreamWriter) -> None:
    """Close the way to the other worker once the client has left: that is how it learns of it."""
    while (await receive())["type"] != "http.disconnect":
        pass
    writer.close()


async def _write(writer: asyncio.StreamWriter, frame: _Frame) -> None:
    data = _ENCODER.encode(frame)
    writer.write(len(data).to_bytes(_LENGTH_BYTES) + data)
    await writer.drain()


async def _read(reader: asyncio.StreamReader) -> _Frame:
    length = int.from_bytes(await reader.readexactly(_LENGTH_BYTES))
    if length > MAX_FRAME_BYTES:
        raise OSError("a frame is too long")
    return _DECODER.decode(await reader.readexactly(length))


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(_Frame)
