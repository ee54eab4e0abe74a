"""How tasks change, told on a standing stream: `notifications/tasks` of a listen, `…/status` of a legacy session.

An upstream of the extension tells at once. It need not tell at all, and others cannot, so each task is
asked about now and then as well, as its caller would: decided and recorded, until it is over.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Final

import msgspec
from msgspec import Raw

from agent_gateway.listeners.mcp_ask import CallSink
from agent_gateway.listeners.mcp_request import McpRequest
from agent_gateway.listeners.mcp_task_ids import Handle, opened
from agent_gateway.listeners.mcp_tasks import task_now
from agent_gateway.listeners.reply import Reply
from gateway_policies.call import Call
from gateway_policies.refusal import OverRate, Refusal, Unavailable, UpstreamFailed
from mcp_registry.entries import Entry
from mcp_registry.protocol import envelope, legacy_tasks, tasks
from mcp_registry.protocol.envelope import RawObject

MIN_PAUSE_S: Final = 1.0
MAX_PAUSE_S: Final = 15.0
SLOWER: Final = 1.5  # while nothing changes
MAX_MISSES: Final = 3  # answers without the task; then nothing more is said of it

Say = Callable[[str, RawObject], None]  # a notification for the stream; must not block


class TaskFollower:
    """Tells one stream of its caller's tasks.

    operation  what following them this way is called in records
    say        takes each notification
    """

    def __init__(self, request: McpRequest, reply: Reply, operation: str, say: Say) -> None:
        self._request = request
        self._sink = CallSink(request, reply)
        self._operation = operation
        self._say = say
        self._open: dict[str, tuple[Handle, Entry]] = {}
        self._told: dict[str, bytes] = {}
        self._misses: dict[str, int] = {}
        self._pauses: defaultdict[str, float] = defaultdict(lambda: MIN_PAUSE_S)
        self._taken = asyncio.Event()

    def take(self, task_ids: Iterable[str]) -> frozenset[str]:
        """Follow these tasks too; return those that are followed: one's own that are known at this worker."""
        gateway, scope = self._request.inbound.gateway, self._request.inbound.scope
        for task_id in task_ids:
            if task_id in self._open or task_id in self._told:
                continue
            try:
                handle, entry = opened(self._request, task_id)
            except Refusal:
                continue
            if not (handle.node and gateway.siblings.knows(handle.node, scope)):
                self._open[task_id] = (handle, entry)
                self._taken.set()
        return frozenset(self._open)

    @asynccontextmanager
    async def following(self) -> AsyncGenerator[None]:
        """Tell what changes until the block ends."""
        running = asyncio.ensure_future(self._run())
        running.add_done_callback(lambda done: done.cancelled() or done.exception())
        try:
            yield
        finally:
            running.cancel()

    async def _run(self) -> None:
        ends: dict[str, Callable[[], None]] = {}
        due: dict[str, float] = {}  # when to ask about each again
        now = asyncio.get_running_loop().time
        follow, principal = self._request.inbound.gateway.subscriptions.follow, self._request.inbound.principal
        try:
            while True:
                for task_id in self._open.keys() - ends.keys():
                    handle, _ = self._open[task_id]
                    if not handle.node:  # else its upstream tells nothing by itself
                        pushed = partial(self._pushed, task_id)
                        ends[task_id] = follow(principal, handle.upstream, handle.native, pushed)
                self._taken.clear()
                for task_id in sorted(self._open):
                    if task_id in self._open and due.get(task_id, 0.0) <= now():
                        due[task_id] = now() + await self._look(task_id)
                until = [due[task_id] for task_id in self._open if task_id in due]
                with suppress(TimeoutError):
                    async with asyncio.timeout_at(min(until) if until else None):
                        await self._taken.wait()
        finally:
            for end in ends.values():
                end()

    async def _look(self, task_id: str) -> float:
        """Ask about a task, tell it if it changed, and return for how long to leave it alone."""
        try:
            task = await task_now(self._request, self._sink, task_id, self._operation)
        except (OverRate, Unavailable, UpstreamFailed):
            return MAX_PAUSE_S
        if task is None:
            self._misses[task_id] = self._misses.get(task_id, 0) + 1
            if self._misses[task_id] >= MAX_MISSES:
                self._open.pop(task_id, None)
            return MAX_PAUSE_S
        self._misses.pop(task_id, None)
        before = self._told.get(task_id)
        self._tell(task_id, task)
        has_changed = self._told.get(task_id) != before
        self._pauses[task_id] = _wish_s(task) if has_changed else self._pauses[task_id] * SLOWER
        return min(MAX_PAUSE_S, self._pauses[task_id])

    def _pushed(self, task_id: str, params: Raw) -> None:
        """Take what the upstream tells of a task by itself."""
        if task_id not in self._open or not self._may(task_id):
            return
        handle = self._open[task_id][0]
        try:
            if tasks.read_task(params).id == handle.native:
                named = tasks.renamed(tasks.with_id(params, task_id), {handle.native: task_id}.get)
                self._tell(task_id, legacy_tasks.to_legacy(named) if self._request.era == "legacy" else named)
        except ValueError:
            return

    def _may(self, task_id: str) -> bool:
        inbound = self._request.inbound
        snapshot, now = inbound.gateway.snapshot, inbound.gateway.services.clock()
        capability = self._open[task_id][1].capability
        call = Call("", inbound.principal, "complete", capability, {}, now, inbound.route.name, self._operation)
        return snapshot.bundle.decide(call).is_permit

    def _tell(self, task_id: str, task: Raw) -> None:
        members = envelope.edit(envelope.read_object(task), {"resultType": None, "_meta": None})
        said = envelope.write(members)
        if task_id in self._open and self._told.get(task_id) != said:
            self._told[task_id] = said
            self._say(tasks.CHANGED if self._request.era == "modern" else legacy_tasks.CHANGED, members)
            if tasks.read_task(task).status in tasks.TERMINAL:
                del self._open[task_id]


def _wish_s(task: Raw) -> float:
    """Return how long its upstream wishes a task to be left alone."""
    wish = _WISH.decode(task)
    ms = wish.modern if isinstance(wish.modern, int | float) else wish.legacy
    return max(MIN_PAUSE_S, ms / 1000) if isinstance(ms, int | float) else MIN_PAUSE_S


class _Wish(msgspec.Struct):
    modern: object = msgspec.field(name="pollIntervalMs", default=None)
    legacy: object = msgspec.field(name="pollInterval", default=None)


_WISH: Final = msgspec.json.Decoder(_Wish)
