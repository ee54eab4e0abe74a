"""Questions that an upstream puts while a request of ours runs: to the sink, and the answer back.

Each question waits in a task of its own, so that progress keeps flowing while a
person thinks. The clock of the request stands still meanwhile: how long an
answer may take is the sink's to say.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from msgspec import Raw

from agent_gateway.ports import AskRefused, Progressed, Sink
from agent_gateway.upstreams.speak import deadline
from gateway_policies.refusal import UpstreamFailed
from mcp_registry.protocol import envelope, progress
from mcp_registry.protocol.envelope import Request
from mcp_registry.protocol.errors import METHOD_NOT_FOUND

NOT_SERVED: Final = Raw(
    envelope.write({"code": METHOD_NOT_FOUND, "message": "the caller does not serve this method"})
)  # what an upstream hears of a caller that cannot be asked


_PONG: Final = Raw(b"{}")


class _Nobody:
    async def notify(self, method: str, params: Raw | None) -> None:
        del method, params

    async def ask(self, method: str, params: Raw | None, progressed: Progressed | None = None) -> Raw:
        del method, params, progressed
        raise AskRefused(NOT_SERVED)


NOBODY: Final[Sink] = _Nobody()  # for requests whose messages nobody reads


class Patient:
    """A sink whose questions stop the clock of the request that they belong to."""

    __slots__ = ("_limit", "_sink")

    def __init__(self, sink: Sink, limit: deadline) -> None:
        self._sink = sink
        self._limit = limit

    async def notify(self, method: str, params: Raw | None) -> None:
        await self._sink.notify(method, params)

    async def ask(self, method: str, params: Raw | None, progressed: Progressed | None = None) -> Raw:
        self._limit.pause()
        try:
            return await self._sink.ask(method, params, progressed)
        finally:
            self._limit.resume()


@dataclass(frozen=True, slots=True)
class Running:
    """A request that runs, and who put it.

    id            raw JSON, ours
    who           the caller: what names no request is for it when nobody else has one running
    may_be_asked  whether the caller declared anything that an upstream may ask of it
    """

    id: bytes
    sink: Sink
    who: Hashable = None
    may_be_asked: bool = False
    is_listening: bool = False  # it waits for changes: nothing else is for it


def only_caller(running: Sequence[Running]) -> Running | None:
    """Return the latest of these requests when all are of one caller: what names no request is for that one."""
    calls = [one for one in running if not one.is_listening]
    return calls[-1] if len({one.who for one in calls}) == 1 else None


def asked_of(running: Sequence[Running]) -> Sink:
    """Return whom a question that names no request is for; nobody when that is not sure.

    When nobody declared that it can be asked, it is the only caller there is, who refuses and hears of it.
    """
    asked = only_caller([one for one in running if one.may_be_asked] or running)
    return NOBODY if asked is None else asked.sink


class Questions:
    """The questions of one upstream that wait for an answer.

    respond  sends our answer, a whole message, to the upstream
    """

    __slots__ = ("_respond", "_tasks", "_waiting")

    def __init__(self, respond: Callable[[bytes], Awaitable[None]]) -> None:
        self._respond = respond
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiting: dict[bytes, asyncio.Task[None]] = {}

    def __len__(self) -> int:
        return len(self._tasks)

    def put(self, question: Request, sink: Sink) -> None:
        """Put `question` to the sink, and answer it with what comes back. `ping` is answered by ourselves."""
        if question.method == "ping":
            sink = NOBODY  # we answer, even if the request is over by then
        task = asyncio.get_running_loop().create_task(self._answer(question, sink))
        self._tasks.add(task)
        if sink is not NOBODY:
            self.withdraw(question.id)
            self._waiting[question.id] = task
        task.add_done_callback(lambda done: self._forget(question.id, done))

    def withdraw(self, id_raw: bytes) -> None:
        """The upstream wants no answer to this one any more."""
        task = self._waiting.pop(id_raw, None)
        if task is not None:
            task.cancel()

    def close(self) -> None:
        """The request is over: withdraw what still waits; what we answer ourselves is still said."""
        for id_raw in list(self._waiting):
            self.withdraw(id_raw)

    async def _answer(self, question: Request, sink: Sink) -> None:
        params = Raw(envelope.write(question.params)) if question.params else None
        try:
            if question.method == "ping":
                result = _PONG
            else:
                result = await sink.ask(question.method, params, self._progressed(question))
        except AskRefused as refused:
            await self._respond(envelope.failure(question.id, refused.error))
        else:
            await self._respond(envelope.response(question.id, result))

    def _progressed(self, question: Request) -> Progressed | None:
        """Return what tells the upstream how the caller gets on, by its token; None when it gave none."""
        token = progress.caller_token(question.meta)
        if token is None:
            return None
        sending: set[asyncio.Task[None]] = set()

        def progressed(params: Raw) -> None:
            if sending:
                return  # the upstream is slow: what comes meanwhile is old news by then
            task = asyncio.get_running_loop().create_task(self._tell(progress.progress(params, token)))
            sending.add(task)
            task.add_done_callback(sending.discard)

        return progressed

    async def _tell(self, body: bytes) -> None:
        with suppress(UpstreamFailed):  # whoever waits for the request meets the same
            await self._respond(body)

    def _forget(self, id_raw: bytes, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if self._waiting.get(id_raw) is task:
            del self._waiting[id_raw]
        if not task.cancelled():
            task.exception()  # what ended the sink ends the request too, and is told there
