"""Lines in from one file descriptor, lines out to another, whatever they are: pipes, terminals, files.

A thread reads, so that nothing else waits for the client; it holds no lock that
the end of the process would wait for.
"""

import asyncio
import os
import threading
from collections.abc import AsyncIterator
from typing import Final

MAX_LINE_BYTES: Final = 16 * 1024 * 1024
_CHUNK_BYTES: Final = 65_536
OVERLONG: Final = b"\n"  # stands for a line beyond the limit: no line holds its own end


class LineReader:
    """The lines of a file descriptor, without their ends; empty ones are left out."""

    def __init__(self, fd: int, max_line_bytes: int = MAX_LINE_BYTES) -> None:
        self._fd = fd
        self._max = max_line_bytes
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue(maxsize=16)

    async def lines(self) -> AsyncIterator[bytes]:
        """Yield each line until the descriptor ends; not reading makes the client wait."""
        threading.Thread(target=self._read, name="standard-input", daemon=True).start()
        while (line := await self._queue.get()) is not None:
            yield line

    def _read(self) -> None:
        rest = b""
        is_overlong = False
        try:
            while chunk := os.read(self._fd, _CHUNK_BYTES):
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    self._put(OVERLONG if is_overlong else line.strip())
                    is_overlong = False
                if len(rest) > self._max:
                    is_overlong, rest = True, b""
        except OSError:
            rest = b""
        self._put(OVERLONG if is_overlong else rest.strip())
        self._put(None)

    def _put(self, line: bytes | None) -> None:
        if line == b"":
            return
        try:
            asyncio.run_coroutine_threadsafe(self._queue.put(line), self._loop).result()
        except RuntimeError:  # the loop has ended, and nobody reads any more
            raise SystemExit from None


class LineWriter:
    """Whole lines to a file descriptor, one after another."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._lock = asyncio.Lock()

    async def write(self, message: bytes) -> None:
        """Write one JSON message as one line; raises `OSError` when nobody reads."""
        line = message.replace(b"\r", b" ").replace(b"\n", b" ") + b"\n"  # in JSON, line ends are blanks
        async with self._lock:
            await asyncio.to_thread(self._write, line)

    def _write(self, line: bytes) -> None:
        view = memoryview(line)
        while view:
            view = view[os.write(self._fd, view) :]
