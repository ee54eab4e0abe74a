"""Crossing a task across the eras: the caller's requests in its own form, the upstream's in the other.

A modern caller of a legacy upstream: what `tasks/result` gives is told with `tasks/get`, and what the
task asks there waits here, in a request for its result that goes on between the caller's own.
A legacy caller of a modern upstream: `tasks/result` is `tasks/get` again and again, and what the
task asks is put to the caller on that request's stream.
"""

import asyncio
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import msgspec
from msgspec import Raw

from agent_gateway.listeners.mcp_rounds import Turn, collect
from agent_gateway.listeners.mcp_state import responses_of
from agent_gateway.listeners.mcp_task_ways import about, declaring, poll_s
from agent_gateway.ports import McpUpstream, UpstreamAnswer, UpstreamRequest
from agent_gateway.runtime.parked import Parked
from agent_gateway.upstreams.asking import NOBODY
from agent_gateway.upstreams.http_exchange import garbage
from agent_gateway.upstreams.speak import deadline
from mcp_registry.protocol import envelope, legacy_tasks, tasks
from mcp_registry.protocol.errors import INVALID_PARAMS
from mcp_registry.protocol.legacy_tasks import RESULT
from mcp_registry.protocol.questions import INPUT_RESPONSES, Question, input_requests, read_input_requests

ASKS_WITHIN_S: Final = 5.0  # a task that waits for input says what it asks once its result is wanted
MAX_ASKED: Final = 100  # questions of one task while its result is waited for
_ACKNOWLEDGED: Final = Raw(b'{"resultType":"complete"}')


@dataclass(frozen=True, slots=True)
class Crossing:
    """A request about a task, and where it goes.

    asked   what the upstream would get of a caller of its own era
    native  what it calls the task; `task_id` is what the caller calls it
    """

    turn: Turn
    upstream: McpUpstream
    asked: UpstreamRequest
    native: str
    task_id: str

    async def send(self, method: str, params: Mapping[str, bytes] | None = None) -> UpstreamAnswer:
        """Ask the upstream about the task."""
        request = about(self.asked, method, self.native)
        if params:
            request = replace(request, params=envelope.edit(request.params, params), is_idempotent=False)
        return await self.upstream.request(request, NOBODY)


# --- a modern caller, a legacy upstream -------------------------------------------------------


async def follow_legacy(one: Crossing, method: str) -> UpstreamAnswer:
    """Return the answer of the extension to a request about a legacy task."""
    if method == tasks.GET:
        return await _get(one)
    if method == tasks.UPDATE:
        call = _parked(one)
        if call is not None:
            call.answer(responses_of(one.turn.request))
            _park(one, call)
        answer = await one.send(tasks.GET)
    else:
        answer = await one.send(tasks.CANCEL)
        if answer.result is None:  # the extension acknowledges a cancel that comes too late
            answer = await one.send(tasks.GET)
        call = _parked(one)
        if call is not None:
            call.cancel()
    return answer if answer.result is None else UpstreamAnswer("modern", result=_ACKNOWLEDGED)


async def _get(one: Crossing) -> UpstreamAnswer:
    answer = await one.send(tasks.GET)
    if answer.result is None:
        return answer
    status = _task_in(answer).status
    changes: dict[str, Raw | bytes | None] = {"resultType": b'"complete"'}
    if status in ("completed", "failed"):
        changes |= await _outcome(one)
    elif status == "input_required":
        asked = await _questions(one)
        changes |= {"inputRequests": envelope.write(input_requests(asked))} if asked else {"status": b'"working"'}
    return UpstreamAnswer("modern", result=legacy_tasks.to_modern(answer.result, changes), size_bytes=answer.size_bytes)


async def _outcome(one: Crossing) -> dict[str, Raw | bytes | None]:
    call = _parked(one)
    if call is not None:
        call.cancel()
    outcome = await one.send(RESULT)
    if outcome.result is None:
        return {"status": b'"failed"', "error": outcome.error}
    return {"status": b'"completed"', "result": legacy_tasks.unrelated(outcome.result)}


async def _questions(one: Crossing) -> Mapping[str, Question]:
    """Return what a task asks now, by keys that are never used again for it."""
    call = _parked(one)
    if call is None or call.is_over:
        declared = one.asked.client_capabilities or one.turn.request.client.capabilities  # when the task was made
        call = Parked(declared, f"{secrets.token_hex(4)}-")
        wanted = about(one.asked, RESULT, one.native)
        call.begin(lambda sink: one.upstream.request(wanted, sink))
    await call.settled(ASKS_WITHIN_S)
    _park(one, call)
    return {key: Question(asked.method, _unrelated(asked.params)) for key, asked in call.questions.items()}


def _unrelated(params: envelope.RawObject) -> envelope.RawObject:
    return envelope.read_object(legacy_tasks.unrelated(Raw(envelope.write(params))))


def _parked(one: Crossing) -> Parked | None:
    inbound = one.turn.request.inbound
    return inbound.gateway.parked.take(inbound.principal.key, _name(one))


def _park(one: Crossing, call: Parked) -> None:
    inbound = one.turn.request.inbound
    limit_s = inbound.snapshot.config.limits.answer_timeout_s
    inbound.gateway.parked.park(inbound.principal.key, _name(one), call, limit_s)


def _name(one: Crossing) -> str:
    return f"task/{one.task_id}"


# --- a legacy caller, a modern upstream -------------------------------------------------------


async def follow_modern(one: Crossing, method: str) -> UpstreamAnswer:
    """Return the legacy answer to a request about a task of the extension."""
    one = replace(one, asked=declaring(one.asked))
    if method == RESULT:
        return await _result(one)
    answer = await one.send(tasks.GET)
    if answer.result is None:
        return answer
    if method == tasks.CANCEL:
        if _task_in(answer).status in tasks.TERMINAL:
            return _refused("the task is over: it cannot be cancelled")
        done = await one.send(tasks.CANCEL)
        answer = await one.send(tasks.GET) if done.result is not None else done
        if answer.result is None:
            return answer
    told = legacy_tasks.to_legacy(answer.result)
    if method == tasks.CANCEL and _task_in(answer).status not in tasks.TERMINAL:
        told = Raw(envelope.write(envelope.edit(envelope.read_object(told), {"status": b'"cancelled"'})))
    return UpstreamAnswer("legacy", result=told, size_bytes=answer.size_bytes)


async def _result(one: Crossing) -> UpstreamAnswer:
    """Wait for a task's outcome within the time of a call, putting to the caller what the task asks meanwhile."""
    answered: set[str] = set()
    with deadline(one.asked.timeout_s) as limit:
        while True:
            answer = await one.send(tasks.GET)
            if answer.result is None:
                return answer
            status = _task_in(answer).status
            if status in tasks.TERMINAL:
                return _outcome_of(one, answer, status)
            asked = {key: question for key, question in _asked_in(answer).items() if key not in answered}
            if asked and status == "input_required":
                if len(answered) + len(asked) > MAX_ASKED:
                    raise garbage(f"a task asks more than {MAX_ASKED} questions")
                limit.pause()
                responses = await collect(one.turn, {key: _related(one, ask) for key, ask in asked.items()})
                limit.resume()
                answered.update(asked)
                await one.send(tasks.UPDATE, {INPUT_RESPONSES: envelope.write(responses)})
            else:
                await asyncio.sleep(poll_s(_POLL.decode(answer.result).interval_ms))


def _outcome_of(one: Crossing, answer: UpstreamAnswer, status: str) -> UpstreamAnswer:
    assert answer.result is not None
    members = envelope.read_object(answer.result)
    if status == "cancelled":
        return _refused("the task was cancelled: it has no result")
    member = "result" if status == "completed" else "error"
    if member not in members:
        raise garbage(f"a task that is {status} has its `{member}`")
    if member == "error":
        return UpstreamAnswer("modern", error=members["error"], size_bytes=answer.size_bytes)
    try:
        related = legacy_tasks.related(members["result"], one.native)
    except msgspec.DecodeError as error:
        raise garbage("a task's result is an object") from error
    return UpstreamAnswer("modern", result=related, size_bytes=answer.size_bytes)


def _related(one: Crossing, question: Question) -> Question:
    params = envelope.read_object(legacy_tasks.related(Raw(envelope.write(question.params)), one.task_id))
    return Question(question.method, params)


def _refused(message: str) -> UpstreamAnswer:
    return UpstreamAnswer("legacy", error=Raw(envelope.write({"code": INVALID_PARAMS, "message": message})))


# --- both ------------------------------------------------------------------------------------


def _task_in(answer: UpstreamAnswer) -> tasks.Task:
    assert answer.result is not None
    try:
        return tasks.read_task(answer.result)
    except ValueError as error:
        raise garbage("it holds no task") from error


def _asked_in(answer: UpstreamAnswer) -> Mapping[str, Question]:
    assert answer.result is not None
    try:
        return read_input_requests(answer.result)
    except ValueError as error:
        raise garbage("what it asks for cannot be read") from error


class _Poll(msgspec.Struct):
    interval_ms: object = msgspec.field(name="pollIntervalMs", default=None)


_POLL: Final = msgspec.json.Decoder(_Poll)
