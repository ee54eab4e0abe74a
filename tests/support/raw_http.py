"""A raw-socket HTTP peer: says exactly the bytes that a test wants, and tells what it was sent."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

JSON_OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"


@dataclass
class Peer:
    """One connection, from the server's side."""

    number: int  # 0 for the first connection
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def request(self) -> tuple[bytes, dict[bytes, bytes], bytes]:
        """Read one request: (request line, headers in lower case, body); empty at the end of the connection."""
        try:
            head = await self.reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return b"", {}, b""
        line, *rest = head[:-4].split(b"\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (each.partition(b":") for each in rest)}
        body = await self.reader.readexactly(int(headers.get(b"content-length", b"0")))
        return line, headers, body

    async def say(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def until_closed(self) -> bytes:
        """Return what else came, once the other side has closed."""
        return await self.reader.read()


Behaviour = Callable[[Peer], Awaitable[None]]


@dataclass
class RawServer:
    port: int
    peers: list[Peer] = field(default_factory=list[Peer])

    def url(self, path: str = "/mcp") -> str:
        return f"http://127.0.0.1:{self.port}{path}"


@asynccontextmanager
async def raw_server(behaviour: Behaviour) -> AsyncGenerator[RawServer]:
    """Serve each connection with `behaviour` until the block ends; the connection closes when it returns."""
    server = RawServer(0)
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(len(server.peers), reader, writer)
        server.peers.append(peer)
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await behaviour(peer)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            tasks.discard(task)
            writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0, limit=64 * 1024 * 1024)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        for task in list(tasks):
            task.cancel()
        for peer in server.peers:
            if not peer.writer.transport.is_closing():
                peer.writer.transport.abort()
        await asyncio.gather(*tasks, return_exceptions=True)
        await listener.wait_closed()


def answers(*replies: bytes) -> Behaviour:
    """Answer each request of a connection with the next reply, the last one for ever after."""

    async def behave(peer: Peer) -> None:
        index = 0
        while (await peer.request())[0]:
            await peer.say(replies[min(index, len(replies) - 1)])
            index += 1

    return behave
