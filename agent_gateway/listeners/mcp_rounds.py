"""One logical call over several rounds: the four ways in which an upstream's questions reach the caller.

    caller   upstream
    legacy   legacy    the upstream asks on its stream, `CallSink` asks on the caller's
    legacy   modern    it answers `input_required`: the caller is asked on its stream, the upstream once more
    modern   modern    its answer is handed on, its state sealed; the caller's next request goes to it
    modern   legacy    the call is parked, the caller answered `input_required`; its next request goes on with it

Every round is authorized anew. A logical call is paid once: coming back with a state costs
nothing, but once only, and only at the worker that gave it out.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import msgspec
from msgspec import Raw

from agent_gateway.listeners import mcp_state
from agent_gateway.listeners.mcp_ask import CallSink
from agent_gateway.listeners.mcp_request import McpRequest
from agent_gateway.listeners.mcp_state import RoundState
from agent_gateway.listeners.tool_outcome import is_tool_error
from agent_gateway.pipeline.exchange import Exchange
from agent_gateway.ports import AskRefused, Sink, UpstreamAnswer, UpstreamRequest
from agent_gateway.runtime.parked import Parked
from agent_gateway.upstreams.http_exchange import garbage
from agent_gateway.upstreams.speak import can_be_asked
from gateway_policies.call import Call, Capability
from gateway_policies.refusal import BadRequest, Forbidden, UpstreamFailed
from mcp_registry.protocol import envelope, questions
from mcp_registry.protocol.errors import INVALID_PARAMS, MISSING_REQUIRED_CLIENT_CAPABILITY, ProtocolError
from mcp_registry.protocol.questions import (
    ELICIT,
    INPUT_RESPONSES,
    REQUEST_STATE,
    InputRequired,
    Question,
    may_be_asked,
    missing_capability,
)
from mcp_registry.protocol.versions import Era

MAX_ROUNDS = 10
_CANCELLED = Raw(b'{"action":"cancel"}')


def begin(request: McpRequest, exchange: Exchange, capability: Capability) -> RoundState | None:
    """Return the state a described request hands back, None for a first round; note in `exchange` that it goes on.

    Raises `ProtocolError` for a state that is not this caller's for this very request, and for answers
    of the other era.
    """
    parsed = request.message.parsed
    if INPUT_RESPONSES not in parsed and REQUEST_STATE not in parsed:
        return None
    if request.era == "legacy":
        raise ProtocolError(INVALID_PARAMS, f"`{INPUT_RESPONSES}` and `{REQUEST_STATE}` are not of this era")
    mcp_state.responses_of(request)
    state = mcp_state.opened(request)
    if state is None:
        return None  # answers of its own accord: a call like any other, and paid like one; the upstream judges them
    gateway = request.inbound.gateway
    if state.capability != capability.name or state.number >= MAX_ROUNDS:
        raise mcp_state.unknown_state()
    name = (request.inbound.principal.key, state.name)
    if state.node == gateway.node and not gateway.rounds.has(name):
        gateway.rounds.add(name)
        exchange.goes_on = True
    return state


@dataclass(frozen=True, slots=True)
class Turn:
    """One request of a logical call.

    state  what it hands back; None in the first round
    """

    request: McpRequest
    exchange: Exchange
    call: Call
    sink: CallSink
    state: RoundState | None

    def next_state(self, *, is_parked: bool = False, inner: bytes = b"") -> RoundState:
        """Return the state that ends this turn."""
        before, gateway = self.state, self.request.inbound.gateway
        root = self.exchange.id if before is None else before.call
        number = 1 if before is None else before.number + 1
        digest = mcp_state.digest(self.request)
        return RoundState(gateway.node, root, number, self.call.capability.name, digest, is_parked, inner)


class Asked(Protocol):
    """An upstream, or what stands for one in a conversation."""

    @property
    def era(self) -> Era | None: ...

    async def request(self, request: UpstreamRequest, sink: Sink) -> UpstreamAnswer: ...


async def converse(turn: Turn, upstream: Asked, outgoing: UpstreamRequest) -> UpstreamAnswer:
    """Send one request on and return what its caller gets: the answer, or what the caller must answer first."""
    if turn.request.era == "legacy":
        return await _ask_on_stream(turn, upstream, outgoing)
    if turn.state is not None and turn.state.is_parked:
        return await _go_on(turn, turn.state)
    outgoing = replace(outgoing, params=_handed_back(turn, outgoing, upstream.era == "legacy"))
    if can_be_asked(outgoing) and upstream.era != "modern":
        call = Parked(turn.request.client.capabilities)
        call.begin(lambda sink: upstream.request(outgoing, sink))
        return await _take_turn(turn, call)
    answer = await upstream.request(outgoing, turn.sink)
    _require_asked(turn, answer, turn.sink.missing)
    return as_asked(turn, answer)


# --- legacy caller ---------------------------------------------------------------------------


async def _ask_on_stream(turn: Turn, upstream: Asked, outgoing: UpstreamRequest) -> UpstreamAnswer:
    for _ in range(MAX_ROUNDS):
        answer = await upstream.request(outgoing, turn.sink)
        asked = _interim(answer)
        if asked is None:
            return answer
        responses = await collect(turn, asked.questions)
        _authorize_again(turn)
        changes: dict[str, bytes | Raw | None] = {REQUEST_STATE: asked.state, INPUT_RESPONSES: None}
        if responses:
            changes[INPUT_RESPONSES] = envelope.write(responses)
        outgoing = replace(outgoing, params=envelope.edit(outgoing.params, changes))
    raise UpstreamFailed(f"the upstream asked {MAX_ROUNDS} times and did not answer", code="upstream_garbage")


async def collect(turn: Turn, asked: Mapping[str, Question]) -> dict[str, Raw]:
    """Put every question to the client at once; return its answers by the upstream's keys."""
    for question in asked.values():
        if not may_be_asked(question, turn.request.client.capabilities):
            raise BadRequest(
                f"this needs `{question.method}`, which the client did not declare",
                code="cannot_ask",
                hint="use a client that can answer the server's questions",
            )
    async with asyncio.TaskGroup() as group:
        tasks = {key: group.create_task(_put(turn, key, question)) for key, question in asked.items()}
    failed = [task.result() for task in tasks.values() if isinstance(task.result(), AskRefused)]
    if failed:
        raise BadRequest(f"the client did not answer what the server asked: {_message(failed[0])}", code="cannot_ask")
    return {key: result for key, task in tasks.items() if isinstance(result := task.result(), Raw)}


async def _put(turn: Turn, key: str, question: Question) -> Raw | AskRefused:
    if question.method == ELICIT and "elicitationId" not in question.params and question.needs != ("elicitation",):
        named = envelope.write(f"{turn.exchange.id}/{key}")  # the legacy form of a URL question has a name
        question = Question(ELICIT, envelope.edit(question.params, {"elicitationId": named}))
    try:
        return await turn.sink.put(question)
    except AskRefused as refused:
        return _CANCELLED if question.method == ELICIT and turn.sink.can_ask else refused


def _message(refused: object) -> str:
    assert isinstance(refused, AskRefused)
    try:
        return _ERROR.decode(refused.error).message[:200]
    except msgspec.DecodeError:
        return "an error"


def _authorize_again(turn: Turn) -> None:
    """Raise `Forbidden` when the policies of this moment no longer permit the call."""
    bundle = turn.request.inbound.gateway.snapshot.bundle
    if not bundle.decide(turn.call).is_permit:
        raise Forbidden("this call is not permitted any more", hint="ask who may call what, and why")


# --- modern caller ---------------------------------------------------------------------------


def _handed_back(turn: Turn, outgoing: UpstreamRequest, is_legacy: bool) -> envelope.RawObject:
    """Return the params with the upstream's own state in place of ours; a legacy upstream knows neither member."""
    changes: dict[str, bytes | Raw | None] = {REQUEST_STATE: None}
    if turn.state is not None and turn.state.inner:
        changes[REQUEST_STATE] = turn.state.inner
    if is_legacy:
        changes = {REQUEST_STATE: None, INPUT_RESPONSES: None}
    if not any(name in outgoing.params for name in (REQUEST_STATE, INPUT_RESPONSES)):
        return outgoing.params
    return envelope.edit(outgoing.params, changes)


def as_asked(turn: Turn, answer: UpstreamAnswer) -> UpstreamAnswer:
    """Return an answer with what it asks of the caller in the caller's own form."""
    if answer.era == "legacy":
        return _open_urls(turn, answer)
    asked = _interim(answer)
    if asked is None or answer.result is None:
        return answer
    inner = b"" if asked.state is None else bytes(asked.state)
    sealed = mcp_state.seal(turn.request, turn.next_state(inner=inner))
    return replace(answer, result=questions.with_state(answer.result, sealed))


def _open_urls(turn: Turn, answer: UpstreamAnswer) -> UpstreamAnswer:
    """Return the legacy error that wants a URL opened as a question; any other answer as it is."""
    asked = questions.url_questions(answer.error)
    if not asked:
        return answer
    for question in asked.values():
        _require(turn, question)
    state = mcp_state.seal(turn.request, turn.next_state())
    return replace(answer, era="modern", error=None, result=questions.input_required(asked, state))


async def _go_on(turn: Turn, state: RoundState) -> UpstreamAnswer:
    gateway = turn.request.inbound.gateway
    call = gateway.parked.take(turn.request.inbound.principal.key, state.name)
    if call is None:
        raise mcp_state.unknown_state()
    call.answer(mcp_state.responses_of(turn.request))
    return await _take_turn(turn, call)


async def _take_turn(turn: Turn, call: Parked) -> UpstreamAnswer:
    """Let a call at a legacy upstream go on until it answers or asks; in that case park it."""
    inbound = turn.request.inbound
    answer = await call.turn(turn.sink)
    if answer is not None:
        _require_asked(turn, answer, call.missing)
        return as_asked(turn, answer)
    state = turn.next_state(is_parked=True)
    limit_s = inbound.snapshot.config.limits.answer_timeout_s
    inbound.gateway.parked.park(inbound.principal.key, state.name, call, limit_s)
    sealed = mcp_state.seal(turn.request, state, limit_s)
    return UpstreamAnswer("modern", result=questions.input_required(call.questions, sealed))


def _require_asked(turn: Turn, answer: UpstreamAnswer, missing: Question | None) -> None:
    """Refuse a call (-32021) that failed at a legacy upstream for want of an answer the client cannot give.

    missing  what was asked and not declared; a call that succeeds without it is answered
    """
    if missing is None or missing.needs is None or answer.era == "modern":
        return
    if answer.result is None or is_tool_error(answer.result):
        _require(turn, missing)


def _require(turn: Turn, question: Question) -> None:
    if not may_be_asked(question, turn.request.client.capabilities):
        raise ProtocolError(
            MISSING_REQUIRED_CLIENT_CAPABILITY,
            f"this needs `{question.method}`, which the client did not declare",
            data=missing_capability(question),
        )


def _interim(answer: UpstreamAnswer) -> InputRequired | None:
    if answer.result is None or answer.era == "legacy":
        return None
    try:
        return questions.read_input_required(answer.result)
    except (msgspec.DecodeError, ValueError) as error:
        raise garbage("what it asks for cannot be read") from error


class _Error(msgspec.Struct):
    message: str = "an error"


_ERROR = msgspec.json.Decoder(_Error)
