"""A TCP relay that counts what really reaches a server: the demonstration's independent witness.

It knows nothing of the gateway. It relays bytes and counts the `tools/call`
requests that pass on their way in.
"""

import asyncio
import contextlib

_MARK = b'"tools/call"'
_PIECE_BYTES = 65_536


class Count:
    """Counts the calls in a stream of bytes, however it is cut into pieces."""

    def __init__(self) -> None:
        self._tail = b""

    def feed(self, piece: bytes) -> int:
        """Return how many calls this piece completes."""
        seen = self._tail + piece
        self._tail = seen[-(len(_MARK) - 1) :]
        return seen.count(_MARK)


class Tap:
    """Relay `127.0.0.1:port` (0 takes a free one) to `127.0.0.1:target`."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self.calls = 0

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    async def start(self, port: int = 0) -> None:
        """Begin to listen."""
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", port)

    async def stop(self) -> None:
        """Stop listening and cut every connection, so that the server looks gone."""
        if self._server is not None:
            self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            onward_reader, onward_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        both = {writer, onward_writer}
        self._writers |= both
        try:
            inward = self._pump(reader, onward_writer, Count())
            await asyncio.gather(inward, self._pump(onward_reader, writer, None))
        finally:
            self._writers -= both

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, count: Count | None) -> None:
        with contextlib.suppress(OSError):
            while piece := await reader.read(_PIECE_BYTES):
                if count is not None:
                    self.calls += count.feed(piece)
                writer.write(piece)
                await writer.drain()
        with contextlib.suppress(OSError):
            writer.close()
