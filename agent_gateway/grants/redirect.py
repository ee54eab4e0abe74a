"""A listener on loopback for the one redirect that ends a login. Source: RFC 8252 7.3."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

PATH: Final = "/callback"
MAX_HEAD_BYTES: Final = 16 * 1024
READ_TIMEOUT_S: Final = 10.0
_PAGE: Final = b"<!doctype html><title>agent-gateway</title><p>You can close this window and go back to the terminal."


class Redirect:
    """Where the authorization server sends the person back to: `uri`."""

    def __init__(self) -> None:
        self.uri = ""
        self._came: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def query(self) -> str:
        """Return what follows the `?` of the first redirect that comes."""
        return await self._came

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection; what is no redirect gets 404."""
        try:
            async with asyncio.timeout(READ_TIMEOUT_S):
                head = await reader.readuntil(b"\r\n\r\n")
            method, target, *_ = [*head.split(b"\r\n", 1)[0].decode("latin-1").split(" "), "", ""]
            path, _, query = target.partition("?")
            is_good = (method, path) == ("GET", PATH)
            if is_good and not self._came.done():
                self._came.set_result(query)
            status, body = (b"200 OK", _PAGE) if is_good else (b"404 Not Found", b"")
            writer.write(
                b"HTTP/1.1 %b\r\ncontent-type: text/html; charset=utf-8\r\ncontent-length: %d\r\n"
                b"cache-control: no-store\r\nreferrer-policy: no-referrer\r\nconnection: close\r\n\r\n%b"
                % (status, len(body), body)
            )
            await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # whoever that was, it was no browser that came back
        finally:
            writer.close()


@asynccontextmanager
async def redirect_listener(port: int) -> AsyncGenerator[Redirect]:
    """Listen on 127.0.0.1 while the block runs; port 0 is any that is free. Raises `OSError` for one that is taken."""
    redirect = Redirect()
    server = await asyncio.start_server(redirect.serve, "127.0.0.1", port, limit=MAX_HEAD_BYTES)
    async with server:
        redirect.uri = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}{PATH}"
        yield redirect
