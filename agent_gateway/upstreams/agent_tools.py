"""An A2A agent as MCP tools: one for each skill, and `ask` for the agent as a whole. Implements `ports.McpUpstream`.

A call is one message. Where the caller follows tasks (MCP's extension), one that takes longer is a task of the
agent's that it can ask after, answer and cancel; else the call ends when the task comes to rest, what happens
on the way is progress, and a caller that leaves cancels it. What the agent wants to know is put to the
caller, if the caller can be asked, and the answer goes on with the same task.
"""

import asyncio
import contextlib
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, cast

import msgspec
from msgspec import Raw

from a2a_gateway import outbound, raw, results, skills
from a2a_gateway.answers import State
from a2a_gateway.cards import Card
from a2a_gateway.inbound import Inbound
from a2a_gateway.operations import Dialect, Operation
from a2a_gateway.parts import Parts
from a2a_gateway.results import Passage
from a2a_gateway.streams import Frames
from agent_gateway.ports import (
    AgentUpstream,
    Health,
    Heard,
    HttpRequest,
    HttpResponse,
    Listed,
    Listen,
    ServerInfo,
    Sink,
    UpstreamAnswer,
    UpstreamRequest,
)
from agent_gateway.upstreams import agent_tasks
from agent_gateway.upstreams.agent_outcome import MAX_RESULT_BYTES, Object, Outcome, note, result_of
from agent_gateway.upstreams.agent_tasks import Handle
from agent_gateway.upstreams.asking import NOBODY
from agent_gateway.upstreams.speak import deadline
from gateway_policies.principal import Principal
from gateway_policies.refusal import Refusal, UpstreamFailed
from mcp_registry.protocol import tasks
from mcp_registry.protocol.lists import ItemKind
from mcp_registry.protocol.questions import INPUT_RESPONSES, REQUEST_STATE

ASK: Final = "ask"
MAX_LEAVING: Final = 100  # tasks being cancelled because their callers left
LEAVE_S: Final = 10.0
CAPABILITIES: Final = raw.write({"tools": {}, "extensions": {tasks.EXTENSION: {}}})
POLL_S: Final = 0.5  # between two looks at a task whose agent does not wait for it
_PLAIN: Final = Dialect("1.0", "JSONRPC")
_ID: Final = b'"gateway"'
_INPUT: Final[Mapping[str, object]] = {
    "type": "object",
    "properties": {
        "message": {"type": "string", "description": "what to tell the agent, in words"},
        "data": {"type": "object", "description": "structured input, if the agent takes some"},
    },
    "required": ["message"],
    "additionalProperties": False,
}
TASK_NOT_FOUND: Final = -32001
TASK_NOT_CANCELABLE: Final = -32002


@dataclass(frozen=True, slots=True)
class Way:
    """How the agent is spoken to."""

    url: str
    dialect: Dialect
    tenant: str = ""


def definitions(card: Card, scrub: Callable[[str], str] = str) -> list[Raw]:
    """Return the tools that stand for an agent: its own words, in the form of MCP.

    scrub  takes the agent's whereabouts out of a text
    """
    named = [(skill.id, skill.name, skill.description) for skill in card.skills if skill.id != ASK]
    return [
        raw.write(
            {
                "name": name,
                "title": scrub(title),
                "description": scrub(description),
                "inputSchema": _INPUT,
                "annotations": {"openWorldHint": True},
            }
        )
        for name, title, description in ((ASK, card.name, card.description), *named)
    ]


class AgentTools:
    """One agent, called like a server of tools.

    check  refuses a principal whose chain the agent is part of; raises a `Refusal`
    """

    def __init__(self, agent: AgentUpstream, card: Card, way: Way, check: Callable[[Principal], None]) -> None:
        self.name = agent.name
        self._agent = agent
        self._card = card
        self._way = way
        self._check = check
        self._leaving: set[asyncio.Task[None]] = set()

    @property
    def era(self) -> Literal["legacy", "modern"] | None:
        return "modern"

    async def request(self, request: UpstreamRequest, sink: Sink) -> UpstreamAnswer:
        """Send one `tools/call` as a message, or follow the task that one led to; see `ports.McpUpstream`."""
        self._check(request.principal)
        with deadline(request.timeout_s):
            try:
                if request.method in tasks.METHODS:
                    return _answered(await self._followed(request))
                return _answered(await self._called(request, sink))
            except _NoTask:
                return UpstreamAnswer("modern", error=_NO_TASK)

    async def list_items(self, kind: ItemKind, principal: Principal) -> Listed:
        """Return the tools; an agent has no prompts or resources."""
        del principal
        return Listed(definitions(self._card)) if kind == "tools" else Listed()

    async def listen(self, wanted: Listen, heard: Heard) -> None:
        """Return at once: a card is looked at again by the keeper."""
        del wanted, heard

    async def server_info(self, principal: Principal) -> ServerInfo:
        """Return what the card says."""
        del principal
        said = raw.write({"name": self._card.name, "version": self._card.version or "0"})
        return ServerInfo("modern", "", said, CAPABILITIES, None)

    def health(self) -> Health:
        """Return what is known of the agent now."""
        return self._agent.health()

    async def aclose(self) -> None:
        """End what cancels tasks; the agent is closed by whoever keeps it."""
        for leaving in list(self._leaving):
            leaving.cancel()

    # --- the conversation --------------------------------------------------------------------

    async def _called(self, request: UpstreamRequest, sink: Sink) -> Raw:
        """Return the result of a call: done, asking, or a task to follow where the caller can."""
        name, arguments = _ask(request.params)
        outcome, created = Outcome(), time.time()
        parts: list[Object] = _parts(arguments)
        if REQUEST_STATE in request.params:
            handle = agent_tasks.handle_in(raw.parse(request.params[REQUEST_STATE]))
            answer = agent_tasks.answer_in(request.params.get(INPUT_RESPONSES))
            if handle is None or handle.tool != name:
                raise _NoTask
            outcome.task, outcome.context, created = handle.task, handle.context, handle.created
            if answer is None:  # whoever does not answer is told what was asked
                await self._look(request, outcome)
                return raw.write(result_of(outcome))
            parts = [{"text": answer}]
        is_followed = request.client_capabilities is not None and tasks.is_declared(request.client_capabilities)
        try:
            await self._message(request, sink, name, parts, outcome, is_waited_for=not is_followed)
            while outcome.is_waiting and outcome.task:
                await asyncio.sleep(POLL_S)
                await self._look(request, outcome)
                if is_followed:
                    break
        except asyncio.CancelledError:
            self._abandon(request, outcome)
            raise
        handle = Handle(name, outcome.task, outcome.context, created)
        text = agent_tasks.text_of_handle(handle) if outcome.task else ""
        if text and is_followed and outcome.is_waiting:
            task = agent_tasks.shown(outcome, handle, time.time(), is_whole=False)
            return raw.write({**task, "resultType": tasks.RESULT_TYPE})
        if text and outcome.state is State.INPUT_REQUIRED and agent_tasks.can_ask(request.client_capabilities):
            return agent_tasks.interim(outcome, text)
        return raw.write(result_of(outcome))

    async def _followed(self, request: UpstreamRequest) -> Raw:
        """Answer `tasks/get`, `tasks/update` or `tasks/cancel`."""
        handle = agent_tasks.handle_in(raw.parse(request.params[tasks.TASK_ID]))
        if handle is None:
            raise _NoTask
        outcome = Outcome(handle.task, handle.context)
        await self._look(request, outcome)
        if request.method == tasks.GET:
            task = agent_tasks.shown(outcome, handle, time.time(), is_whole=True)
            return raw.write({**task, "resultType": "complete"})
        answer = agent_tasks.answer_in(request.params.get(INPUT_RESPONSES)) if request.method == tasks.UPDATE else None
        if answer is not None and outcome.state is State.INPUT_REQUIRED:
            parts: list[Object] = [{"text": answer}]
            await self._message(request, NOBODY, handle.tool, parts, outcome, is_waited_for=False)
        elif request.method == tasks.CANCEL or agent_tasks.is_declined(request.params.get(INPUT_RESPONSES), outcome):
            await self._cancel(request, handle.task)
        return raw.write({"resultType": "complete"})

    async def _message(
        self, request: UpstreamRequest, sink: Sink, name: str, parts: list[Object], outcome: Outcome, *,
        is_waited_for: bool,
    ) -> None:  # fmt: skip
        """Send one message; what it leads to is added to `outcome`."""
        # INVARIANT: never used twice: an agent may take a known id for a repeated message, and answer with its task
        message: dict[str, object] = {"messageId": secrets.token_hex(16), "role": "ROLE_USER", "parts": parts}
        if outcome.task:
            message |= {"taskId": outcome.task, "contextId": outcome.context}
        if name != ASK:
            message["metadata"] = {skills.EXTENSION: {skills.MEMBER: name}}
        outcome.said.clear()
        params: raw.Object = {"message": raw.write(message)}
        if not is_waited_for:
            params["configuration"] = raw.write({"returnImmediately": True})
            passage = Passage(Operation.SEND, self._way.dialect, _PLAIN, _ID)
            response = await self._post(request, Operation.SEND, params, Parts(is_blocking=False))
            note(outcome, await self._whole(response, passage))
            return
        await self._send(request, sink, params, outcome)

    def _abandon(self, request: UpstreamRequest, outcome: Outcome) -> None:
        """Have the agent's task cancelled, for nobody will come back to it."""
        if not (outcome.task and outcome.is_waiting) or len(self._leaving) >= MAX_LEAVING:
            return
        leaving = asyncio.get_running_loop().create_task(self._leave(request, outcome.task))
        self._leaving.add(leaving)
        leaving.add_done_callback(self._leaving.discard)

    async def _leave(self, request: UpstreamRequest, task: str) -> None:
        with contextlib.suppress(Refusal, _NoTask, TimeoutError):
            async with asyncio.timeout(LEAVE_S):
                await self._cancel(request, task)

    async def _cancel(self, request: UpstreamRequest, task: str) -> None:
        params: raw.Object = {"id": raw.write(task)}
        response = await self._post(request, Operation.CANCEL, params, Parts(task_id=task))
        passage = Passage(Operation.CANCEL, self._way.dialect, _PLAIN, _ID)
        with contextlib.suppress(_Ended):
            await self._whole(response, passage)

    async def _send(self, request: UpstreamRequest, sink: Sink, params: raw.Object, outcome: Outcome) -> None:
        operation = Operation.STREAM if self._card.is_streaming else Operation.SEND
        response = await self._post(request, operation, params, Parts())
        passage = Passage(operation, self._way.dialect, _PLAIN, _ID)
        if b"event-stream" not in response.headers.get(b"content-type", b""):
            note(outcome, await self._whole(response, passage))
            return
        frames, count = Frames(), 0
        try:
            async for chunk in response.chunks():
                outcome.hear(len(chunk))
                for frame in frames.feed(chunk):
                    if frame.data is None:
                        continue
                    count += 1
                    is_same = self._way.dialect == _PLAIN
                    data = frame.data if is_same else results.event(passage, frame.data)[0]
                    note(outcome, _result_in(data))
                    if request.wants_progress:
                        told = {"progressToken": 0, "progress": count, "message": str(outcome.state or "message")}
                        await sink.notify("notifications/progress", raw.write(told))
        finally:
            response.close()

    async def _look(self, request: UpstreamRequest, outcome: Outcome) -> None:
        params: raw.Object = {"id": raw.write(outcome.task)}
        response = await self._post(request, Operation.GET_TASK, params, Parts(task_id=outcome.task))
        passage = Passage(Operation.GET_TASK, self._way.dialect, _PLAIN, _ID)
        note(outcome, await self._whole(response, passage))

    async def _post(
        self, request: UpstreamRequest, operation: Operation, params: raw.Object, parts: Parts
    ) -> HttpResponse:
        inbound = Inbound(operation, _PLAIN, _ID, parts, (), params, {}, b"")
        out = outbound.write(inbound, self._way.dialect, tenant=self._way.tenant, params=params)
        headers = [(name.encode(), value.encode("latin-1")) for name, value in (*out.headers, *request.trace.items())]
        url = f"{self._way.url.rstrip('/')}{out.path}" if out.path else self._way.url
        sent = HttpRequest(out.method, f"{url}?{out.query}" if out.query else url, headers, out.body)
        return await self._agent.send(sent, request.principal, timeout_s=request.timeout_s)

    async def _whole(self, response: HttpResponse, passage: Passage) -> object:
        body = await response.read(MAX_RESULT_BYTES)
        return _result_in(body if self._way.dialect == _PLAIN else results.whole(passage, response.status, body).body)


class _NoTask(Exception):
    """The agent knows no such task, or the handle is none."""


class _Ended(Exception):
    """The agent's task can not be cancelled any more."""


_NO_TASK: Final = Raw(b'{"code":-32602,"message":"no such task"}')


def _answered(result: Raw) -> UpstreamAnswer:
    return UpstreamAnswer("modern", result=result, size_bytes=len(bytes(result)))


# --- values ------------------------------------------------------------------------------------


class _Call(msgspec.Struct):
    name: str
    arguments: dict[str, Any] = {}


_CALL: Final = msgspec.json.Decoder(_Call)


def _ask(params: Mapping[str, Raw]) -> tuple[str, Object]:
    call = _CALL.decode(raw.write(dict(params)))
    return call.name, call.arguments


def _parts(arguments: Object) -> list[Object]:
    parts: list[Object] = [{"text": str(arguments.get("message", ""))}]
    if isinstance(arguments.get("data"), dict):
        parts.append({"data": arguments["data"]})
    return parts


def _result_in(body: bytes) -> object:
    """Return the result of a 1.0 answer; raises `UpstreamFailed` with the agent's own word for an error."""
    try:
        answer = raw.parse(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise UpstreamFailed("the agent's answer is no JSON", code="invalid_agent_response") from None
    members: Object = cast("Object", answer) if isinstance(answer, dict) else {}
    if "result" not in members:
        error = members.get("error")
        code = cast("Object", error).get("code") if isinstance(error, dict) else None
        if code == TASK_NOT_FOUND:
            raise _NoTask
        if code == TASK_NOT_CANCELABLE:
            raise _Ended
        raise UpstreamFailed("the agent answers with an error", code="upstream_error")
    return members["result"]
