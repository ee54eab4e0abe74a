"""The caller's connection, as a plain call sees it, and stand-ins for parts of uvicorn that it has no need of."""

import asyncio
from typing import Final, Protocol

from agent_gateway.listeners.body import Message, Receive, Send
from agent_gateway.listeners.mcp_error import Headers


class Answered(Protocol):
    """What the connection looks at of a call, in the place of uvicorn's cycle."""

    keep_alive: bool
    disconnected: bool
    response_complete: bool


class Line(Protocol):
    """The connection to the caller, from the call's side."""

    loop: asyncio.AbstractEventLoop
    tasks: set[asyncio.Task[None]]

    @property
    def peer(self) -> str: ...
    def answer(self, call: Answered, status: int, body: bytes, headers: Headers) -> None: ...
    def open_reply(self, call: Answered) -> tuple[Receive, Send]: ...


async def never_receive() -> Message:
    raise AssertionError("this request is read already")


async def never_send(message: Message) -> None:
    del message
    raise AssertionError("this request is not answered this way")


class _Event:
    """In the place of uvicorn's event: nobody waits for it."""

    def set(self) -> None: ...


EVENT: Final = _Event()
