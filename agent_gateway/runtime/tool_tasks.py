"""Tasks that toolsets work on, in the worker that runs them: what has happened to each, and who listens.

Every event is written once, in the words of 1.0; listeners follow at their own pace, and one who is too
slow misses what is said on the way, never how it ends. What a task came to is kept by `ended_tasks`.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping
from datetime import UTC, datetime
from typing import Final

import msgspec
from msgspec import Raw

from a2a_gateway.answers import State
from a2a_gateway.tool_messages import Question
from agent_gateway.ports import Clock
from agent_gateway.runtime.counting import Tally
from agent_gateway.stores.ended_tasks import EndedTasks
from agent_gateway.stores.task_store import Owner, Seen, Tasks, Where
from gateway_policies.refusal import NotFound, Refusal, TooMuch, Unavailable

MAX_EVENTS: Final = 256  # of one task that are remembered for slow listeners
MAX_HISTORY: Final = 64  # messages
MAX_HISTORY_BYTES: Final = 4 * 1024 * 1024  # of one task; the last message is kept whatever its size
MAX_SAID_CHARS: Final = 4096  # of one report of progress
MAX_LIVE: Final = 10_000
Object = Mapping[str, object]


class ToolTask:
    """One task, from the message that began it until it has ended.

    tool, arguments  what is called, by the name it has in the toolset; the arguments raw
    handle           what the tool wants back with answers, raw
    is_taken         it is known to its owner: the pipeline has let its call through
    decided          set once the last message was let through, or `refused` (with the call's id) says why not
    """

    def __init__(self, task_id: str, context: str, where: Where, clock: Clock) -> None:
        self.id = task_id
        self.context = context
        self.where = where
        self.state = State.SUBMITTED
        self.tool = ""
        self.arguments = Raw(b"{}")
        self.handle: Raw | None = None
        self.questions: Mapping[str, Question] = {}
        self.let_go: Callable[[], None] = lambda: None  # ends what waits for an answer
        self.timer: asyncio.TimerHandle | None = None  # of that waiting
        self.is_taken = False
        self.decided = asyncio.Event()
        self.refused: tuple[Refusal, str] | None = None
        self.work: asyncio.Task[None] | None = None
        self.is_kept = False  # its end is where every worker finds it
        self._clock = clock
        self._status: Object = {}
        self._artifacts: list[Object] = []
        self._history: deque[Raw] = deque(maxlen=MAX_HISTORY)
        self._events: deque[tuple[int, bytes]] = deque(maxlen=MAX_EVENTS)
        self._count = 0
        self._news = asyncio.Event()
        self._note(State.SUBMITTED, None)

    @property
    def is_at_rest(self) -> bool:
        """Whether nothing happens until somebody does something, if anything ever does."""
        return self.state.is_terminal or self.state.is_interrupted

    def pause(self) -> None:
        """Take a message up that is not let through yet: nobody else's counts until then."""
        self.decided, self.refused = asyncio.Event(), None
        self.state = State.WORKING

    def resume(self) -> None:
        """Wait again: the message was refused."""
        self.state = State.INPUT_REQUIRED

    def hear(self, message: Raw) -> None:
        """Add a message of the caller to the history; the oldest are forgotten beyond its bounds."""
        self._history.append(message)
        while len(self._history) > 1 and sum(len(bytes(one)) for one in self._history) > MAX_HISTORY_BYTES:
            self._history.popleft()

    def work_on(self, said: str = "") -> None:
        """Say that it is worked on, and how far it has come."""
        if not self.state.is_terminal:
            self._moved(State.WORKING, [{"text": said[:MAX_SAID_CHARS]}] if said else None)

    def produce(self, parts: object) -> None:
        """Add the artifact that the task comes to."""
        artifact = {"artifactId": f"{self.id}-1", "name": "result", "parts": parts}
        self._artifacts.append(artifact)
        told = {"taskId": self.id, "contextId": self.context, "artifact": artifact, "append": False, "lastChunk": True}
        self._tell({"artifactUpdate": told})

    def rest(self, state: State, parts: object = None, questions: Mapping[str, Question] | None = None) -> None:
        """Come to an end, or to where the caller has to say something; an end is final."""
        if not self.state.is_terminal:
            self.questions = questions or {}
            self._moved(state, parts)

    def body(self) -> bytes:
        """Return the task as it stands, whole."""
        task: dict[str, object] = {"id": self.id, "contextId": self.context, "status": self._status}
        if self._artifacts:
            task["artifacts"] = self._artifacts
        return _ENCODER.encode(task | {"history": list(self._history)})

    async def until_rest(self) -> None:
        """Return once the task is at rest."""
        while not self.is_at_rest:
            news = self._news
            await news.wait()

    async def events(self, *, ends_at_rest: bool) -> AsyncGenerator[bytes]:
        """Yield what there is, then what happens, until the task ends."""
        at = self._count
        yield _ENCODER.encode({"task": Raw(self.body())})
        while True:
            news, missed = self._news, [event for number, event in self._events if number > at]
            at = self._count
            for event in missed:
                yield event
            if at == self._count:
                if self.state.is_terminal or (ends_at_rest and self.is_at_rest):
                    return
                await news.wait()

    def _moved(self, state: State, parts: object) -> None:
        self._note(state, parts)
        self._tell({"statusUpdate": {"taskId": self.id, "contextId": self.context, "status": self._status}})

    def _note(self, state: State, parts: object) -> None:
        now = datetime.fromtimestamp(self._clock(), UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        self.state = state
        status: dict[str, object] = {"state": f"TASK_STATE_{state.replace('-', '_').upper()}", "timestamp": now}
        if parts:
            message = {
                "messageId": f"{self.id}-{self._count + 1}",
                "role": "ROLE_AGENT",
                "parts": parts,
                "taskId": self.id,
                "contextId": self.context,
            }
            status["message"] = message
        self._status = status

    def _tell(self, event: Object) -> None:
        self._count += 1
        self._events.append((self._count, _ENCODER.encode(event)))
        news, self._news = self._news, asyncio.Event()
        news.set()


class ToolTasks:
    """Every task of a toolset that this worker works on, or that waits here for an answer."""

    def __init__(self, tasks: Tasks, ended: EndedTasks, clock: Clock, node: str) -> None:
        self.ended = ended
        self._tasks = tasks
        self._clock = clock
        self._node = node
        self._live: dict[tuple[Owner, str], ToolTask] = {}
        self._tally = Tally()

    def node_of(self, task_id: str) -> str:
        """Return the worker that a task's id names."""
        return task_id.rpartition("-")[2]

    def name(self, chance: str) -> str:
        """Return a new task's id."""
        return f"{chance}-{self._node}"

    def find(self, where: Where, task_id: str) -> ToolTask | None:
        """Return a task of this owner that is worked on here."""
        found = self._live.get((where.owner, task_id))
        return found if found is not None and found.where.agent == where.agent else None

    def enter(self, task: ToolTask, limit: int) -> None:
        """Take up a task; raises `TooMuch` when its owner has `limit` here."""
        if len(self._live) >= MAX_LIVE or not self._tally.enter(task.where.owner, limit):
            raise TooMuch(
                f"{limit} tasks of this caller are worked on already",
                code="over_concurrency",
                hint="wait for one to end, or answer those that wait",
                retry_after_s=1,
            )
        self._live[task.where.owner, task.id] = task

    def leave(self, task: ToolTask) -> None:
        """Let go of a task that has ended or never was."""
        if self._live.pop((task.where.owner, task.id), None) is not None:
            self._tally.leave(task.where.owner)

    async def claim(self, task: ToolTask) -> None:
        """Make a task its owner's; raises `Unavailable`, and `NotFound` when its context has become another's."""
        if not await self._tasks.claim(task.where, [Seen(task.id, task.context, "working")], []):
            raise NotFound("no such context", code="task_not_found")

    async def note(self, task: ToolTask) -> None:
        """Write down how a task stands, where every worker finds it; one that has ended is let go of."""
        try:
            if task.state.is_terminal:
                await self._keep(task)
            await self._tasks.claim(task.where, [Seen(task.id, task.context, str(task.state))], [])
        except Unavailable:
            pass  # what has been done is done: those who listen hear of it all the same
        finally:
            if task.state.is_terminal:
                task.is_kept = True
                self.leave(task)

    async def _keep(self, task: ToolTask) -> None:
        if not await self.ended.keep(task.where, task.id, task.body()):
            members = msgspec.json.decode(task.body(), type=dict[str, Raw])
            members.pop("artifacts", None)
            await self.ended.keep(task.where, task.id, _ENCODER.encode(members | {"history": []}))

    async def aclose(self) -> None:
        """End every task: the process is about to."""
        live = list(self._live.values())
        for task in live:
            task.let_go()
            if task.work is not None:
                task.work.cancel()
        await asyncio.gather(*(task.work for task in live if task.work is not None), return_exceptions=True)
        for task in live:
            if not task.state.is_terminal:
                task.rest(State.FAILED, [{"text": "the gateway was stopped before the task had ended"}])
            if not task.is_kept:
                await self.note(task)


_ENCODER: Final = msgspec.json.Encoder()
