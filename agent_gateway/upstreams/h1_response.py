"""A response on the data path: its head, its body as it comes, and the ways it can fail.

The bytes come from a `Line`, which is the connection in `h1`; the response tells
it when its reader is slow, has enough, or is gone.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from gateway_policies.refusal import UpstreamFailed


@dataclass(frozen=True, slots=True)
class H1Limits:
    """What one response may cost. The size of a body is its reader's limit."""

    max_head_bytes: int = 32 * 1024  # 1xx heads included
    max_headers: int = 100
    high_water_bytes: int = 64 * 1024  # body bytes waiting for the reader before the upstream is paused
    idle_timeout_s: float = 60.0  # between two pieces of a body
    max_response_s: float = 3600.0  # from the request to the end of the body, however slow the reader


class Line(Protocol):
    """The connection below a response, from the response's side."""

    limits: H1Limits

    def resume(self) -> None: ...
    def linger(self) -> None: ...
    def abort(self) -> None: ...


def died(message: str = "the upstream closed the connection before its answer was complete") -> UpstreamFailed:
    """Return the refusal for an upstream that went away."""
    return UpstreamFailed(message, code="upstream_died")


def garbled(what: str) -> UpstreamFailed:
    """Return the refusal for bytes that are no acceptable HTTP answer; `what` says which rule they break."""
    return UpstreamFailed(f"the upstream's answer is not valid HTTP: {what}", code="upstream_garbage")


def too_large(max_bytes: int) -> UpstreamFailed:
    """Return the refusal for an answer beyond `max_bytes`."""
    return UpstreamFailed(f"the upstream's answer is larger than {max_bytes} bytes", code="upstream_too_large")


class Waker(Protocol):
    """Who waits for more of a body: a future, or whoever is called on the spot and must not raise."""

    def done(self) -> bool: ...
    def set_result(self, result: None, /) -> None: ...


class H1Response:
    """A response whose head was read; implements `ports.HttpResponse`."""

    __slots__ = ("_buffered", "_connection", "_failure", "_is_complete", "_parts", "_waker", "headers", "status")

    def __init__(self, status: int, headers: Mapping[bytes, bytes], connection: "Line | None") -> None:
        self.status = status
        self.headers = headers
        self._connection = connection
        self._parts: list[bytes] = []
        self._buffered = 0
        self._is_complete = False
        self._failure: UpstreamFailed | None = None
        self._waker: Waker | None = None

    @classmethod
    def whole_of(cls, status: int, headers: Mapping[bytes, bytes], body: bytes) -> "H1Response":
        """Return a response that came in one piece; no connection is below it any more."""
        response = cls(status, headers, None)
        response._parts.append(body)
        response._buffered = len(body)
        response._is_complete = True
        return response

    async def read(self, max_bytes: int) -> bytes:
        """Return the whole body; raises `UpstreamFailed` beyond `max_bytes`, and closes."""
        if self._is_complete and self._buffered <= max_bytes:
            return self._take()
        declared = self.headers.get(b"content-length", b"")
        parts: list[bytes] = []
        size = 0
        try:
            if not self._is_complete and declared.isdigit() and int(declared) > max_bytes:
                raise too_large(max_bytes)
            async for part in self.chunks():
                size += len(part)
                if size > max_bytes:
                    raise too_large(max_bytes)
                parts.append(part)
        except BaseException:
            self.close()
            raise
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body as it comes; not reading pauses the upstream."""
        while True:
            if self._parts:
                yield self._take()
            elif self._failure is not None:
                raise self._failure
            elif self._is_complete:
                return
            else:
                waker: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                self._waker = waker
                try:
                    await waker
                finally:
                    self._waker = None

    def watch(self, waker: Waker | None) -> None:
        """Have `waker` called with each change, until `chunks` is read or None is given."""
        self._waker = waker

    def whole(self) -> bytes | None:
        """Return the whole body, once; None while it is not complete. Raises what the body failed with."""
        if self._failure is not None:
            raise self._failure
        return self._take() if self._is_complete else None

    @property
    def is_complete(self) -> bool:
        """Whether the whole body is here."""
        return self._is_complete

    @property
    def buffered(self) -> int:
        """How many bytes of the body wait here."""
        return self._buffered

    def close(self) -> None:
        """Drop the connection unless the body came to its end."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self.fail(UpstreamFailed("this response was closed"))
            connection.abort()

    def linger(self) -> None:
        """Read no more; see `ports.HttpResponse.linger`."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._parts.clear()
            connection.linger()

    def push(self, data: bytes) -> bool:
        """Take body bytes; return whether more than `high_water_bytes` now wait."""
        self._parts.append(data)
        self._buffered += len(data)
        self._wake()
        return self._connection is not None and self._buffered > self._connection.limits.high_water_bytes

    def complete(self) -> None:
        self._is_complete = True
        self._connection = None
        self._wake()

    def fail(self, failure: UpstreamFailed) -> None:
        if self._failure is None and not self._is_complete:
            self._failure = failure
        self._connection = None
        self._wake()

    def _take(self) -> bytes:
        parts = self._parts
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        parts.clear()
        self._buffered = 0
        if self._connection is not None:
            self._connection.resume()
        return data

    def _wake(self) -> None:
        if self._waker is not None and not self._waker.done():
            self._waker.set_result(None)
