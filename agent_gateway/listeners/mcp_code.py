"""`run_code` of a compact endpoint: code that composes calls, so that what is in between never reaches the model.

The run is recorded, and is no more than what it calls: each call is decided, checked, paid and recorded as its
caller's own, with the run's id as `parent`.
"""

import json
from collections.abc import Mapping
from typing import Any, Final, cast

import msgspec
from msgspec import Raw

from agent_gateway.code_mode.code_run import CallFailed, CodeOutcome
from agent_gateway.listeners.mcp_carry import attended, require_scope
from agent_gateway.listeners.mcp_request import McpRequest
from agent_gateway.listeners.steps import StepsOf
from agent_gateway.ports import AskRefused, Progressed, UpstreamAnswer
from context_mesh.wire.shape import shortened
from gateway_policies.call import Call
from gateway_policies.refusal import Refusal
from mcp_registry.protocol import envelope, results
from mcp_registry.protocol.errors import INTERNAL_ERROR, INVALID_PARAMS, ProtocolError

RUN_CODE: Final = "run_code"
MAX_CODE_CHARS: Final = 20_000
MAX_RESULT_CHARS: Final = 32_000
CALL_TIMEOUT_S: Final = 30.0
_NOT_ASKED: Final = Raw(envelope.write({"code": INTERNAL_ERROR, "message": "code answers no questions"}))


async def run_tool(request: McpRequest) -> None:
    """Answer `run_code`."""
    inbound, gateway = request.inbound, request.inbound.gateway
    require_scope(inbound.principal)
    arguments = request.message.parsed.get("arguments", {})
    code = cast("dict[str, object]", arguments).get("code") if isinstance(arguments, dict) else None
    if not isinstance(code, str) or not 0 < len(code) <= MAX_CODE_CHARS:
        raise ProtocolError(INVALID_PARAMS, f"`code` is a text of at most {MAX_CODE_CHARS} characters")
    reply = gateway.reply(inbound.send, inbound.headers)
    outcome = await attended(
        request, reply, lambda: gateway.code.run(code, _Calls(request).call, inbound.principal.key)
    )
    if outcome is None:
        return
    result = Raw(envelope.write(_result(outcome)))
    body = envelope.response(request.message.id, bytes(results.call_result(result, "modern", request.reader)))
    await reply.finish(body, 200, ())


class _Deaf:
    """A sink for calls that nobody watches."""

    async def notify(self, method: str, params: Raw | None) -> None:
        del method, params

    async def ask(self, method: str, params: Raw | None, progressed: Progressed | None = None) -> Raw:
        del method, params, progressed
        raise AskRefused(_NOT_ASKED)


class _Calls:
    """The calls of one run."""

    def __init__(self, request: McpRequest) -> None:
        inbound, gateway = request.inbound, request.inbound.gateway
        exchange = gateway.exchange(inbound.principal, inbound.route.name, request.trace_context())
        self._view = inbound.route.view
        self._run: Call = gateway.record_given(RUN_CODE, exchange, 0)
        self._steps = StepsOf(request, exchange, self._run, _Deaf())

    async def call(self, name: str, arguments: Mapping[str, object]) -> object:
        """Make one call; raises `CallFailed` for whatever does not end in a result."""
        entry = self._view.find(name)
        if entry is None:
            raise CallFailed(f"no tool `{name[:128]}` here")
        capability = entry.capability
        try:
            answer = await self._steps.call(capability.upstream, capability.native, arguments, CALL_TIMEOUT_S)
        except Refusal as refusal:
            raise CallFailed(refusal.message) from None
        return _value(answer)


class _Result(msgspec.Struct):
    content: list[dict[str, Any]] = []
    structured: Any = msgspec.field(name="structuredContent", default=msgspec.UNSET)
    is_error: object = msgspec.field(name="isError", default=False)


_RESULT: Final = msgspec.json.Decoder(_Result)


def _value(answer: UpstreamAnswer) -> object:
    """Return what a tool gave as code uses it: its structured content, else its text."""
    if answer.result is None:
        raise CallFailed("the tool answers with an error")
    try:
        result = _RESULT.decode(answer.result)
    except (msgspec.DecodeError, RecursionError):
        raise CallFailed("the tool's answer cannot be read") from None
    text = "\n".join(str(block["text"]) for block in result.content if isinstance(block.get("text"), str))
    if result.is_error is True:
        raise CallFailed(text or "the tool failed")
    return text if result.structured is msgspec.UNSET else result.structured


def _result(outcome: CodeOutcome) -> dict[str, object]:
    printed = f"\n\nprinted:\n{outcome.printed}" if outcome.printed else ""
    if outcome.failure:
        text = f"the code failed: {outcome.failure}{printed}"
        return {"content": [{"type": "text", "text": text[:MAX_RESULT_CHARS]}], "isError": True}
    value, cuts = shortened(outcome.value, MAX_RESULT_CHARS)
    note = "\n\nThe result was cut to fit: return less." if cuts else ""
    text = json.dumps(value, ensure_ascii=False) + note + printed
    content = [{"type": "text", "text": text}]
    structured = {"result": value, **({"printed": outcome.printed} if outcome.printed else {})}
    return {"content": content, "structuredContent": structured}
