"""An A2A agent as MCP tools: one for each skill, and `ask` for the agent as a whole. Implements `ports.McpUpstream`.

A call is one message, and it ends when the agent's task comes to rest. What happens on the way
is progress; what the agent wants to know is put to the caller, if the caller can be asked.
A task that is taken up this way belongs to the call: nobody comes back to it later.
"""

import asyncio
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, cast

import msgspec
from msgspec import Raw

from a2a_gateway import outbound, raw, results, skills
from a2a_gateway.answers import State, state_of, unwrapped
from a2a_gateway.cards import Card
from a2a_gateway.inbound import Inbound
from a2a_gateway.operations import Dialect, Operation
from a2a_gateway.parts import Parts
from a2a_gateway.results import Passage
from a2a_gateway.streams import Frames
from agent_gateway.ports import (
    AgentUpstream,
    AskRefused,
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
from agent_gateway.upstreams.speak import deadline
from gateway_policies.principal import Principal
from gateway_policies.refusal import UpstreamFailed
from mcp_registry.protocol.lists import ItemKind

ASK: Final = "ask"
MAX_ROUNDS: Final = 8  # questions of the agent that one call answers
MAX_RESULT_BYTES: Final = 16 * 1024 * 1024  # of all that the agent says in one call
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
_ANSWER: Final[Mapping[str, object]] = {
    "type": "object",
    "properties": {"answer": {"type": "string"}},
    "required": ["answer"],
}

Object = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Way:
    """How the agent is spoken to."""

    url: str
    dialect: Dialect
    tenant: str = ""


@dataclass(slots=True)
class _Outcome:
    """What one message has led to so far."""

    task: str = ""
    context: str = ""
    state: State | None = None
    said: list[Object] = field(default_factory=list[Object])  # parts of messages and of the last status
    artifacts: dict[str, list[Object]] = field(default_factory=dict[str, list[Object]])
    size_bytes: int = 0

    def hear(self, size_bytes: int) -> None:
        """Count what came in events; raises `UpstreamFailed` (`upstream_too_large`) past `MAX_RESULT_BYTES`."""
        self.size_bytes += size_bytes
        if self.size_bytes > MAX_RESULT_BYTES:
            raise UpstreamFailed(
                f"the agent says more than {MAX_RESULT_BYTES} bytes in one call", code="upstream_too_large"
            )

    @property
    def is_waiting(self) -> bool:
        return self.state is not None and not self.state.is_terminal and not self.state.is_interrupted


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

    @property
    def era(self) -> Literal["legacy", "modern"] | None:
        return "modern"

    async def request(self, request: UpstreamRequest, sink: Sink) -> UpstreamAnswer:
        """Send one `tools/call` as a message; see `ports.McpUpstream`."""
        self._check(request.principal)
        name, arguments = _ask(request.params)
        with deadline(request.timeout_s):
            outcome = await self._converse(request, sink, name, _parts(arguments))
        result = raw.write(_result(outcome))
        return UpstreamAnswer("modern", result=result, size_bytes=len(bytes(result)))

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
        return ServerInfo("modern", "", said, raw.write({"tools": {}}), None)

    def health(self) -> Health:
        """Return what is known of the agent now."""
        return self._agent.health()

    async def aclose(self) -> None:
        """Do nothing: the agent is closed by whoever keeps it."""

    # --- the conversation --------------------------------------------------------------------

    async def _converse(self, request: UpstreamRequest, sink: Sink, name: str, parts: list[Object]) -> _Outcome:
        outcome = _Outcome()
        for _ in range(MAX_ROUNDS):
            # INVARIANT: never used twice: an agent may take a known id for a repeated message, and answer with its task
            message: dict[str, object] = {"messageId": secrets.token_hex(16), "role": "ROLE_USER", "parts": parts}
            if outcome.task:
                message |= {"taskId": outcome.task, "contextId": outcome.context}
            if name != ASK:
                message["metadata"] = {skills.EXTENSION: {skills.MEMBER: name}}
            outcome.said.clear()
            await self._send(request, sink, {"message": raw.write(message)}, outcome)
            while outcome.is_waiting and outcome.task:
                await asyncio.sleep(POLL_S)
                await self._look(request, outcome)
            if outcome.state is not State.INPUT_REQUIRED:
                return outcome
            answer = await _answer(sink, _text(outcome.said))
            if answer is None:
                return outcome
            parts = [{"text": answer}]
        return outcome

    async def _send(self, request: UpstreamRequest, sink: Sink, params: raw.Object, outcome: _Outcome) -> None:
        operation = Operation.STREAM if self._card.is_streaming else Operation.SEND
        response = await self._post(request, operation, params, Parts())
        passage = Passage(operation, self._way.dialect, _PLAIN, _ID)
        if b"event-stream" not in response.headers.get(b"content-type", b""):
            _note(outcome, await self._whole(response, passage))
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
                    _note(outcome, _result_in(data))
                    if request.wants_progress:
                        told = {"progressToken": 0, "progress": count, "message": str(outcome.state or "message")}
                        await sink.notify("notifications/progress", raw.write(told))
        finally:
            response.close()

    async def _look(self, request: UpstreamRequest, outcome: _Outcome) -> None:
        params: raw.Object = {"id": raw.write(outcome.task)}
        response = await self._post(request, Operation.GET_TASK, params, Parts(task_id=outcome.task))
        passage = Passage(Operation.GET_TASK, self._way.dialect, _PLAIN, _ID)
        _note(outcome, await self._whole(response, passage))

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


async def _answer(sink: Sink, question: str) -> str | None:
    """Put a question of the agent to the caller; None when there is no answer."""
    asked = raw.write(
        {"mode": "form", "message": question or "the agent wants to know more", "requestedSchema": _ANSWER}
    )
    try:
        result = cast("Object", raw.parse(await sink.ask("elicitation/create", asked)))
    except AskRefused:
        return None
    content = result.get("content")
    if result.get("action") != "accept" or not isinstance(content, dict):
        return None
    answer = cast("Object", content).get("answer")
    return answer if isinstance(answer, str) else None


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
        raise UpstreamFailed("the agent answers with an error", code="upstream_error")
    return members["result"]


def _note(outcome: _Outcome, result: object) -> None:
    found = unwrapped(cast("Object", result)) if isinstance(result, dict) else None
    if found is None:
        return
    kind, value = found[0], cast("Object", found[1])
    if kind == "message":
        outcome.said += _objects(value.get("parts"))
        return
    outcome.task = str(value.get("id" if kind == "task" else "taskId") or outcome.task)
    outcome.context = str(value.get("contextId") or outcome.context)
    status = value.get("status")
    if isinstance(status, dict):
        outcome.state = state_of(cast("Object", status).get("state"))
        said = cast("Object", status).get("message")
        if isinstance(said, dict):
            outcome.said = _objects(cast("Object", said).get("parts"))
    artifacts = _objects(value.get("artifacts")) or _objects([value.get("artifact")])
    for artifact in artifacts:
        name, parts = str(artifact.get("artifactId")), _objects(artifact.get("parts"))
        is_more = value.get("append") is True
        outcome.artifacts[name] = [*outcome.artifacts.get(name, []), *parts] if is_more else parts


def _objects(value: object) -> list[Object]:
    items = cast("list[object]", value) if isinstance(value, list) else []
    return [cast("Object", item) for item in items if isinstance(item, dict)]


def _text(parts: list[Object]) -> str:
    return "\n".join(str(part["text"]) for part in parts if isinstance(part.get("text"), str))


def _result(outcome: _Outcome) -> dict[str, object]:
    """Return the outcome as the result of a tool: artifacts first, then what the agent said."""
    parts = [part for of in outcome.artifacts.values() for part in of] + outcome.said
    data = [part["data"] for part in parts if isinstance(part.get("data"), dict)]
    state = outcome.state
    is_error = state in (State.FAILED, State.REJECTED, State.CANCELED, State.AUTH_REQUIRED)
    result: dict[str, object] = {
        "content": [_block(part) for part in parts] or [{"type": "text", "text": str(state or "done")}],
        "isError": is_error or state is State.INPUT_REQUIRED,
        "resultType": "complete",
    }
    if len(data) == 1:
        result["structuredContent"] = data[0]
    return result


def _block(part: Object) -> dict[str, object]:
    if isinstance(part.get("text"), str):
        return {"type": "text", "text": part["text"]}
    name = str(part.get("filename") or "file")
    if isinstance(part.get("url"), str):
        return {"type": "resource_link", "uri": part["url"], "name": name}
    if isinstance(part.get("raw"), str):
        kind = str(part.get("mediaType") or "application/octet-stream")
        return {"type": "resource", "resource": {"uri": f"a2a:{name}", "mimeType": kind, "blob": part["raw"]}}
    return {"type": "text", "text": bytes(raw.write(part.get("data"))).decode()}
