"""A TCP relay that counts what really reaches a server: the demonstration's independent witness.

It knows nothing of the gateway. It relays bytes and counts the `tools/call`
requests that pass on their way in.
"""

import asyncio
import contextlib

_MARK = b'"tools/call"'


class Tap:
    """Relay `127.0.0.1:port` (0 takes a free one) to `127.0.0.1:target`."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._server: asyncio.Server | None = None
        self.calls = 0

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    async def start(self, port: int = 0) -> None:
        """Begin to listen."""
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", port)

    async def stop(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            onward_reader, onward_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.close()
            return
        await asyncio.gather(
            self._pump(reader, onward_writer, is_inward=True), self._pump(onward_reader, writer, is_inward=False)
        )

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_inward: bool) -> None:
        tail = b""
        with contextlib.suppress(ConnectionError, OSError):
            while data := await reader.read(65536):
                if is_inward:
                    seen = tail + data
                    self.calls += seen.count(_MARK)
                    tail = seen[-(len(_MARK) - 1) :]
                writer.write(data)
                await writer.drain()
        with contextlib.suppress(ConnectionError, OSError):
            writer.close()
