"""Calls that wait for a modern client between two of its requests.

A legacy upstream asks in the middle of a call; a modern client is asked by an answer
and comes back with another request. So the call at the upstream goes on in a task of
its own: while a request of the client is there it speaks through that one's sink, in
between it is parked here, for a limited time. It ends at the upstream when its time is
up or when the client leaves.
"""

import asyncio
from collections.abc import Callable, Coroutine, Hashable, Mapping
from itertools import count
from typing import Final

from msgspec import Raw

from agent_gateway.ports import AskRefused, Progressed, Sink, UpstreamAnswer
from agent_gateway.runtime.counting import Tally
from agent_gateway.upstreams.asking import NOT_SERVED
from gateway_policies.refusal import TooMuch
from mcp_registry.protocol import envelope
from mcp_registry.protocol.questions import MAX_QUESTIONS, Question, may_be_asked

MAX_PER_PRINCIPAL: Final = 64
MAX_IN_ALL: Final = 10_000


class Parked:
    """One call at a legacy upstream, over all the requests of its client. It is the upstream's sink.

    capabilities  what the client declared: nothing else is asked of it
    prefix        how the keys of its questions begin
    """

    def __init__(self, capabilities: Raw, prefix: str = "q") -> None:
        self._capabilities = capabilities
        self._prefix = prefix
        self._sink: Sink | None = None
        self._task: asyncio.Task[UpstreamAnswer] | None = None
        self._numbers = count(1)
        self._waiting: dict[str, tuple[Question, asyncio.Future[Raw]]] = {}
        self._asked = asyncio.Event()
        self.missing: Question | None = None  # the last one that the client did not declare

    def begin(self, work: Callable[[Sink], Coroutine[object, object, UpstreamAnswer]]) -> None:
        """Start the call; `work` gets the sink to give the upstream."""
        self._task = asyncio.get_running_loop().create_task(work(self))
        self._task.add_done_callback(lambda done: done.cancelled() or done.exception())

    @property
    def questions(self) -> Mapping[str, Question]:
        """What waits for an answer of the client, by keys that stay the same until it is answered."""
        return {key: question for key, (question, _) in self._waiting.items()}

    @property
    def is_over(self) -> bool:
        """Whether the call has ended, however."""
        return self._task is None or self._task.done()

    async def settled(self, limit_s: float) -> None:
        """Return once the call waits for the client or has ended, after `limit_s` seconds at the latest."""
        if self._task is None or self._waiting:
            return
        self._asked.clear()
        asked = asyncio.ensure_future(self._asked.wait())
        try:
            await asyncio.wait({self._task, asked}, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.sleep(0)  # questions that come together are put together
        finally:
            asked.cancel()

    async def turn(self, sink: Sink) -> UpstreamAnswer | None:
        """Let the call go on with `sink`; return its answer, or None once it waits for the client.

        Raises what the call raises. Cancelled, it cancels the call: the client left.
        """
        task = self._task
        assert task is not None
        self._sink = sink
        try:
            while not task.done():
                if self._waiting:
                    await asyncio.sleep(0)  # questions that come together are put together
                    if self._waiting:
                        return None
                self._asked.clear()
                asked = asyncio.ensure_future(self._asked.wait())
                try:
                    await asyncio.wait({task, asked}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    asked.cancel()
            return task.result()
        except asyncio.CancelledError:
            self.cancel()
            raise
        finally:
            self._sink = None

    def answer(self, responses: Mapping[str, Raw]) -> None:
        """Give the client's answers to their questions; what is not asked is passed over."""
        for key, result in responses.items():
            waiting = self._waiting.pop(key, None)
            if waiting is not None and not waiting[1].done():
                waiting[1].set_result(result)

    def cancel(self) -> None:
        """End the call at the upstream."""
        if self._task is not None:
            self._task.cancel()

    async def notify(self, method: str, params: Raw | None) -> None:
        if self._sink is not None:
            await self._sink.notify(method, params)

    async def ask(self, method: str, params: Raw | None, progressed: Progressed | None = None) -> Raw:
        del progressed  # a modern client tells nothing of the kind
        question = Question(method, {} if params is None else envelope.read_object(params))
        if not may_be_asked(question, self._capabilities):
            self.missing = question
            raise AskRefused(NOT_SERVED)
        if len(self._waiting) >= MAX_QUESTIONS:
            raise AskRefused(NOT_SERVED)
        key = f"{self._prefix}{next(self._numbers)}"
        future: asyncio.Future[Raw] = asyncio.get_running_loop().create_future()
        self._waiting[key] = (question, future)
        self._asked.set()
        try:
            return await future
        finally:
            self._waiting.pop(key, None)


class ParkingLot:
    """The parked calls of this worker, each for a limited time."""

    def __init__(self) -> None:
        self._parked: dict[tuple[Hashable, str], tuple[Parked, asyncio.TimerHandle]] = {}
        self._tally = Tally()

    def __len__(self) -> int:
        return len(self._parked)

    def park(self, owner: Hashable, name: str, call: Parked, limit_s: float) -> None:
        """Keep a call for `limit_s` seconds; then it ends. Raises `TooMuch` (and ends it) when too many wait."""
        if len(self._parked) >= MAX_IN_ALL or not self._tally.enter(owner, MAX_PER_PRINCIPAL):
            call.cancel()
            raise TooMuch(
                "too many calls of this caller wait for answers", code="over_concurrency", retry_after_s=limit_s
            )
        timer = asyncio.get_running_loop().call_later(limit_s, self._expire, owner, name)
        self._parked[owner, name] = (call, timer)

    def take(self, owner: Hashable, name: str) -> Parked | None:
        """Return the call and keep it no more; None when there is none of this owner by that name."""
        found = self._parked.pop((owner, name), None)
        if found is None:
            return None
        found[1].cancel()
        self._tally.leave(owner)
        return found[0]

    def close(self) -> None:
        """End every call: the process is about to end."""
        for owner, name in list(self._parked):
            self._expire(owner, name)

    def _expire(self, owner: Hashable, name: str) -> None:
        call = self.take(owner, name)
        if call is not None:
            call.cancel()
