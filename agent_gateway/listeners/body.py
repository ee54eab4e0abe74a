"""Reading a request's body from ASGI, within its bound."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from gateway_policies.refusal import BadRequest

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Scope = MutableMapping[str, Any]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]


class ClientGone(Exception):
    """The client left before its request was whole: there is nobody to answer."""


async def read_body(receive: Receive, headers: Mapping[bytes, bytes], max_bytes: int) -> bytes:
    """Return the whole body.

    Raises `BadRequest` (`too_large`) past `max_bytes`, before reading when the length is declared,
    and `ClientGone` when the client leaves.
    """
    declared = headers.get(b"content-length")
    if declared is not None and (not declared.isdigit() or int(declared[:20]) > max_bytes):
        raise _too_large(max_bytes)
    message = await receive()
    if message["type"] == "http.disconnect":
        raise ClientGone
    body: bytes = message.get("body", b"")
    if not message.get("more_body", False):
        if len(body) > max_bytes:
            raise _too_large(max_bytes)
        return body
    parts = [body]
    size = len(body)
    while message.get("more_body", False):
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > max_bytes:
            raise _too_large(max_bytes)
    return b"".join(parts)


async def client_left(receive: Receive) -> None:
    """Return once the client has closed its side."""
    while (await receive())["type"] != "http.disconnect":
        pass


class ClientWatch:
    """Calls `left` once the client has closed its side; for a request that takes its time.

    It begins to look after `after_s` only: most requests are answered before, and a watch costs a task.
    """

    __slots__ = ("_handle", "_left", "_receive", "_task")

    def __init__(self, receive: Receive, left: Callable[[], None], after_s: float = 0.25) -> None:
        self._receive = receive
        self._left = left
        self._task: asyncio.Task[None] | None = None
        self._handle = asyncio.get_running_loop().call_later(after_s, self._begin)

    def stop(self) -> None:
        """Look no longer."""
        self._handle.cancel()
        if self._task is not None:
            self._task.cancel()

    def _begin(self) -> None:
        self._task = asyncio.ensure_future(self._watch())

    async def _watch(self) -> None:
        await client_left(self._receive)
        self._left()


def _too_large(max_bytes: int) -> BadRequest:
    return BadRequest(f"the body is larger than {max_bytes} bytes", code="too_large")
