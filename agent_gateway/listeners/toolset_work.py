"""Messages to a toolset's agent: each begins a call of a tool, or goes on with one that asked something.

A call is what a modern MCP client of the toolset would send, and goes through the same pipeline. It runs in a
task of its own: who leaves does not cancel it. Until the pipeline lets it through there is no task at
all, and a refusal is the answer; from then on everything that happens is the task's.
"""

import asyncio
import hashlib
import secrets
from collections.abc import Mapping
from functools import partial
from typing import Final, cast

import msgspec
from msgspec import Raw

from a2a_gateway import raw, skills, tool_messages
from a2a_gateway.answers import State
from a2a_gateway.operations import Operation
from a2a_gateway.parts import invalid
from agent_gateway.listeners import mcp_state
from agent_gateway.listeners.agent_refusals import render, task_not_found
from agent_gateway.listeners.inbound import Inbound
from agent_gateway.listeners.mcp_carry import Begun
from agent_gateway.listeners.mcp_client import Client
from agent_gateway.listeners.mcp_request import McpRequest
from agent_gateway.listeners.mcp_tools import begin_call
from agent_gateway.listeners.reply import Reply, send_bytes
from agent_gateway.listeners.toolset_answer import Answering, shown
from agent_gateway.pipeline.authorize import unknown
from agent_gateway.pipeline.run import run
from agent_gateway.ports import UpstreamAnswer
from agent_gateway.runtime.tool_tasks import ToolTask
from agent_gateway.snapshot import Snapshot, ToolsetRoute
from gateway_policies.decision import Permit
from gateway_policies.principal import Principal
from gateway_policies.refusal import BadRequest, Refusal, UpstreamFailed
from mcp_registry.protocol import envelope, progress
from mcp_registry.protocol.inbound import ModernRoute
from mcp_registry.protocol.questions import INPUT_RESPONSES, REQUEST_STATE
from mcp_registry.protocol.versions import LATEST_MODERN

_CAPABILITIES: Final = Raw(b'{"elicitation":{"form":{},"url":{}}}')  # what can be asked of a caller of A2A
_META: Final = {"progressToken": Raw(b'"a2a"')}
_ID: Final = b'"a2a"'
_LATE: Final = [{"text": "nobody answered in time"}]
_UNREADABLE: Final = [{"text": "the tool's result cannot be read"}]


def names_for(snapshot: Snapshot, route: ToolsetRoute, principal: Principal) -> list[str]:
    """Return the names of the tools that a caller may use."""
    view = route.tools.view
    seen = snapshot.bundle.visible(principal, view.capabilities, route=route.tools.name)
    return [view.shown_name(capability) for capability in seen]


class Messaging:
    """One message of a caller."""

    def __init__(self, answering: Answering) -> None:
        self._answering = answering
        self._arrived = answering.arrived
        self._gateway = answering.arrived.gateway

    async def answer(self) -> None:
        """Begin a task or go on with one, and answer; raises a `Refusal` for what describes no call."""
        parts, tasks = self._arrived.request.parts, self._gateway.tasks
        where = self._answering.where
        named = [one for one in (parts.task_id, *parts.reference_task_ids) if one]
        if named and not await tasks.owns(where, named):
            raise task_not_found()
        if not parts.message_id:
            raise invalid("the message has no `messageId`")
        message = tool_messages.message_of(self._arrived.request)
        if parts.task_id:
            if not await self._goes_elsewhere(parts.task_id):
                await self._go_on(parts.task_id, message)
            return
        asked = self._asked(tool_messages.read(message, skills.named(self._arrived.request)))
        context = parts.context_id or secrets.token_hex(16)
        if parts.context_id and not await tasks.claim(where, [], [context]):
            raise task_not_found()
        task = ToolTask(
            self._gateway.tool_tasks.name(secrets.token_hex(16)), context, where, self._gateway.services.clock
        )
        task.tool, task.arguments = asked
        begun = begin_call(self._request(task, {}), _Telling(task, self._gateway.write_timeout_s))
        before = await self._entered(task, message)
        if before is not None:
            await self._again(before)
            return
        await self._run(task, begun, message)

    async def _goes_elsewhere(self, task_id: str) -> bool:
        return self._answering.live(task_id) is None and await self._answering.hand_over(task_id)

    def _asked(self, asked: tool_messages.Asked) -> tuple[str, Raw]:
        """Return the tool by its name here, and its raw arguments; a hidden tool and an unknown one are the same."""
        if asked.arguments is not None:
            return asked.tool, asked.arguments
        names = names_for(self._arrived.snapshot, self._answering.route, self._arrived.principal)
        if asked.tool and asked.tool not in names:
            raise unknown(asked.tool)
        tool = asked.tool or (names[0] if len(names) == 1 else "")
        name = tool_messages.text_argument(self._answering.route.tools.view.entries[tool].input_schema) if tool else ""
        if not name:
            raise invalid("words alone do not say which tool to call with what", tool_messages.HOW)
        return tool, raw.write({name: asked.text})

    async def _entered(self, task: ToolTask, message: raw.Object) -> str | None:
        """Take up a task; return the one that this message began before, if it did."""
        tool_tasks = self._gateway.tool_tasks
        limit = self._arrived.snapshot.config.limits.concurrency_per_principal
        tool_tasks.enter(task, limit)
        is_new = False
        try:
            digest = hashlib.sha256(b"%b\0%b" % (task.tool.encode(), bytes(task.arguments))).digest()
            before = await tool_tasks.ended.begin(task.where, self._arrived.request.parts.message_id, digest, task.id)
            if before is not None and before[0] != digest:
                raise invalid("this `messageId` belongs to another message", "give each message an id of its own")
            is_new = before is None
            task.hear(raw.write(message))
            return None if before is None else before[1]
        finally:
            if not is_new:
                tool_tasks.leave(task)

    async def _again(self, task_id: str) -> None:
        """Answer a message that came before: with its task, wherever that is."""
        answering = self._answering
        live = answering.live(task_id)
        if live is not None:
            await self._tell(live)
        elif not await answering.hand_over(task_id):
            kept = (await self._gateway.tool_tasks.ended.find(answering.where, [task_id])).get(task_id)
            if kept is None:
                raise task_not_found()
            if self._arrived.request.operation is Operation.STREAM:
                raise BadRequest("this message's task has ended", code="unsupported_operation", hint="use GetTask")
            await answering.whole(shown(kept, self._history))

    async def _go_on(self, task_id: str, message: raw.Object) -> None:
        parts, task = self._arrived.request.parts, self._answering.live(task_id)
        digest, ended = hashlib.sha256(bytes(raw.write(message))).digest(), self._gateway.tool_tasks.ended
        if await ended.came(self._answering.where, parts.message_id, digest, task_id):
            await self._again(task_id)
            return
        if task is None or not task.state.is_interrupted:
            raise BadRequest("this task does not wait for a message", code="unsupported_operation")
        if parts.context_id not in ("", task.context):
            raise invalid("the task belongs to another context")
        answers = tool_messages.answers(message, task.questions)
        changes: dict[str, object] = {INPUT_RESPONSES: answers}
        if task.handle is not None:
            changes[REQUEST_STATE] = task.handle
        begun = begin_call(self._request(task, changes), _Telling(task, self._gateway.write_timeout_s))
        task.pause()  # from here on no other message is taken for an answer
        try:
            before = await ended.begin(task.where, parts.message_id, digest, task_id)
        except Refusal:
            task.resume()
            raise
        if before is not None:
            task.resume()
            raise invalid("this `messageId` belongs to another message", "give each message an id of its own")
        await self._run(task, begun, message)

    async def _run(self, task: ToolTask, begun: Begun, message: raw.Object) -> None:
        """Have the call made beside this request, and answer."""
        if task.is_taken:
            task.hear(raw.write(message))
        task.work = asyncio.get_running_loop().create_task(self._work(task, begun))
        await self._tell(task)

    async def _tell(self, task: ToolTask) -> None:
        await task.decided.wait()
        request = self._arrived.request
        if task.refused is not None:
            refusal, call_id = task.refused
            status, body, headers = render(refusal, request.dialect, request.id_raw, call_id)
            await send_bytes(self._arrived.send, status, body, headers)
            return
        if request.operation is Operation.STREAM:
            await self._answering.stream(task, ends_at_rest=True)
            return
        if request.parts.is_blocking:
            await task.until_rest()
        await self._answering.whole(shown(task.body(), self._history))

    @property
    def _history(self) -> int | None:
        configuration = self._arrived.request.parsed.get("configuration")
        length = (
            cast("Mapping[str, object]", configuration).get("historyLength")
            if isinstance(configuration, dict)
            else None
        )
        return length if isinstance(length, int) and not isinstance(length, bool) and length >= 0 else None

    # --- the call ----------------------------------------------------------------------------

    def _request(self, task: ToolTask, changes: Mapping[str, object]) -> McpRequest:
        """Return what a modern client of the toolset would send."""
        arrived, tools = self._arrived, self._answering.route.tools
        params = {"name": task.tool, "arguments": task.arguments, "_meta": _META, **changes}
        body = envelope.request(_ID, "tools/call", {name: raw.write(value) for name, value in params.items()})
        message = envelope.read_message(body, max_depth=arrived.snapshot.config.limits.json_depth)
        assert isinstance(message, envelope.Request)
        client = arrived.scope.get("client")
        inbound = Inbound(
            arrived.gateway, arrived.snapshot, tools, arrived.principal, arrived.headers, arrived.receive, arrived.send,
            str(client[0]) if client else "",
        )  # fmt: skip
        declared = ModernRoute(LATEST_MODERN, _CAPABILITIES, None, None)
        return McpRequest(
            inbound, message, "modern", LATEST_MODERN, "", declared, Client(_CAPABILITIES), is_indirect=True
        )

    async def _work(self, task: ToolTask, begun: Begun) -> None:
        """Carry the call to its answer, and the task to where that leads."""
        gateway, exchange = self._gateway, begun.exchange

        async def forward(permit: Permit) -> UpstreamAnswer:
            exchange.was_sent = False  # until something leaves, it costs nothing
            await self._taken(task)
            exchange.was_sent = True
            return await begun.sent.forward(permit)

        try:
            await run(gateway.services, self._arrived.snapshot, exchange, begun.call, forward)
            self._take(task, begun.sent.body)
        except Refusal as refusal:
            gateway.services.metrics.count_refusal(refusal.code)
            self._refused(task, refusal, exchange.id)
        except asyncio.CancelledError:
            task.rest(State.CANCELED)
        except BaseException:
            task.rest(State.FAILED, [{"text": "the gateway failed on this call"}])
            raise
        finally:
            task.decided.set()
            await self._noted(task)

    async def _taken(self, task: ToolTask) -> None:
        """From here on there is a task, and it is the caller's."""
        await self._gateway.tool_tasks.claim(task)
        task.is_taken = True
        if task.timer is not None:
            task.timer.cancel()
        task.work_on()
        task.decided.set()

    def _refused(self, task: ToolTask, refusal: Refusal, call_id: str) -> None:
        if task.decided.is_set():
            state = State.FAILED if isinstance(refusal, UpstreamFailed) else State.REJECTED
            said = f"{refusal.message}; {refusal.hint}" if refusal.hint else refusal.message
            task.rest(state, [{"text": said}])
            return
        task.refused = (refusal, call_id)
        if task.is_taken:
            task.resume()

    async def _noted(self, task: ToolTask) -> None:
        tool_tasks = self._gateway.tool_tasks
        if task.is_taken:
            await tool_tasks.note(task)
        else:
            tool_tasks.leave(task)
        if task.refused is not None or not task.is_taken:  # it may come again
            await tool_tasks.ended.forget(task.where, self._arrived.request.parts.message_id)

    def _take(self, task: ToolTask, body: bytes) -> None:
        """Bring the task to where an answer leads."""
        members = raw.members(body)
        if "error" in members:
            error = raw.parse(members["error"])
            said = cast("Mapping[str, object]", error).get("message") if isinstance(error, dict) else None
            task.rest(State.FAILED, [{"text": said if isinstance(said, str) else "the tool answered with an error"}])
            return
        try:
            found = tool_messages.outcome(members["result"])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            task.rest(State.FAILED, _UNREADABLE)
            return
        if found.state is State.COMPLETED:
            task.produce(found.parts)
            task.rest(State.COMPLETED)
        elif found.state is State.INPUT_REQUIRED:
            self._wait(task, found)
        else:
            task.rest(found.state, found.parts)

    def _wait(self, task: ToolTask, found: tool_messages.Outcome) -> None:
        """Let the task wait for the caller, for a limited time."""
        self._limit(task)
        task.handle = found.handle
        task.let_go = partial(self._let_go, task)
        task.rest(State.INPUT_REQUIRED, found.parts, found.questions)

    def _limit(self, task: ToolTask) -> None:
        limit_s = self._arrived.snapshot.config.limits.answer_timeout_s
        task.timer = asyncio.get_running_loop().call_later(limit_s, partial(self._expire, task))

    def _expire(self, task: ToolTask) -> None:
        if not task.state.is_interrupted:  # an answer is being let through; refused, it waits again
            self._limit(task)
            return
        task.let_go()
        task.rest(State.FAILED, _LATE)
        task.work = asyncio.get_running_loop().create_task(self._gateway.tool_tasks.note(task))

    def _let_go(self, task: ToolTask) -> None:
        """Wait no longer: a call that is parked at an upstream ends."""
        if task.timer is not None:
            task.timer.cancel()
        if task.handle is None:
            return
        try:
            state = mcp_state.opened(self._request(task, {REQUEST_STATE: task.handle}))
        except Refusal:
            return  # it is over already
        call = self._gateway.parked.take(self._arrived.principal.key, state.name) if state is not None else None
        if call is not None:
            call.cancel()


class _Telling(Reply):
    """What a call says on its way, told as the state of its task."""

    __slots__ = ("_task",)

    def __init__(self, task: ToolTask, write_timeout_s: float) -> None:
        super().__init__(_nowhere, can_stream=True, now=0.0, write_timeout_s=write_timeout_s)
        self._task = task

    async def event(self, message: bytes, id: str | None = None) -> None:  # noqa: A002 - the wire's word
        try:
            told = _PROGRESS.decode(message)
        except msgspec.DecodeError:
            return  # what an upstream says on the way is its own affair, the call goes on
        if told.method == progress.PROGRESS:
            total = "" if told.params.total is None else f" of {told.params.total:g}"
            self._task.work_on(told.params.message or f"{told.params.progress:g}{total}")


async def _nowhere(message: object) -> None:
    del message


class _Told(msgspec.Struct):
    message: str = ""
    progress: float = 0
    total: float | None = None


class _Notice(msgspec.Struct):
    method: str
    params: _Told = msgspec.field(default_factory=_Told)


_PROGRESS: Final = msgspec.json.Decoder(_Notice)
