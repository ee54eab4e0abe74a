"""Workflows of an Arazzo description, as an MCP upstream whose tools are composed of calls of others.

Implements `ports.McpUpstream`. Nothing is sent from here: each step is a call of its own, in the caller's name
(`ports.Steps`), decided, paid and recorded like any other.
"""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, Literal, cast

import anyio.to_thread
import jsonschema_rs
import msgspec
from msgspec import Raw

from agent_gateway import VERSION
from agent_gateway.ports import (
    Health,
    Heard,
    HttpSeen,
    Listed,
    Listen,
    ServerInfo,
    Sink,
    Steps,
    UpstreamAnswer,
    UpstreamRequest,
)
from agent_gateway.upstreams import speak
from agent_gateway.upstreams.openapi import Check, answered_with, refused, refused_for
from context_mesh.arazzo.binding import Flows
from context_mesh.arazzo.composites import Composite
from context_mesh.arazzo.expressions import Reply
from context_mesh.arazzo.play import Ask, Outcome, Wait, play
from context_mesh.wire.read import Answer, value_of
from context_mesh.wire.shape import json_text, shortened
from gateway_policies.principal import Principal
from gateway_policies.refusal import Refusal, UpstreamFailed
from mcp_registry.protocol import envelope
from mcp_registry.protocol.errors import INVALID_PARAMS, METHOD_NOT_FOUND
from mcp_registry.protocol.lists import ItemKind
from mcp_registry.protocol.versions import LATEST_MODERN

MAX_PATTERNS: Final = 256  # of conditions, compiled
MAX_PATTERN_CHARS: Final = 2_000
_SAID_CHARS: Final = 500  # of what an API said when a step failed
_LINEAR: Final = jsonschema_rs.RegexOptions()  # in time that grows with the text only


@dataclass(frozen=True, slots=True, eq=False)
class Flow:
    """One approved workflow as it is served.

    flows  the description that it is from, bound to the APIs
    check  None when the published schema is the whole one
    """

    composite: Composite
    flows: Flows
    check: Check | None = None
    definition: Raw = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "definition", Raw(envelope.write(self.composite.definition())))


@dataclass(frozen=True, slots=True)
class FlowTools:
    """Everything that is approved.

    upstreams  by source description, which upstream it is
    """

    flows: Sequence[Flow] = ()
    upstreams: Mapping[str, str] = field(default_factory=dict[str, str])
    instructions: str = ""


class Workflows:
    """One description.

    load       makes the approved tools: called once, in a thread, when they are first asked for; raises a `Refusal`
    max_chars  of the outputs of one call
    """

    def __init__(self, name: str, load: Callable[[], FlowTools], max_chars: int) -> None:
        self.name = name
        self._load = load
        self._loading = asyncio.Lock()
        self._loaded: FlowTools | None = None
        self._flows: Mapping[str, Flow] = {}
        self._max_chars = max_chars

    @property
    def era(self) -> Literal["legacy", "modern"]:
        return "modern"

    @property
    def steps(self) -> Mapping[str, Sequence[tuple[str, str]]]:
        """What each tool may call, as (upstream, its own name for the tool); none before they were listed."""
        loaded = self._loaded or FlowTools()
        return {
            name: [(loaded.upstreams.get(step.source, step.source), step.tool.name) for step in flow.composite.steps]
            for name, flow in self._flows.items()
        }

    async def request(self, request: UpstreamRequest, sink: Sink) -> UpstreamAnswer:
        """Answer `tools/call`; see `ports.McpUpstream`."""
        del sink
        if request.method != "tools/call" or request.steps is None:
            return refused_for(METHOD_NOT_FOUND, "workflows are called as tools, by the gateway only")
        loaded = await self._ready()
        params = _PARAMS.decode(envelope.write(request.params))
        flow = self._flows.get(params.name)
        if flow is None:
            return refused_for(INVALID_PARAMS, "no such tool")
        arguments = cast("dict[str, object]", json.loads(bytes(params.arguments)))
        mistakes = flow.check(arguments) if flow.check is not None else ()
        if mistakes:
            return answered_with(refused("; ".join(one.message for one in mistakes[:5])))
        run = _Run(flow, loaded, request.steps, request.timeout_s)
        with speak.deadline(request.timeout_s):
            return answered_with(await run.result(arguments, self._max_chars))

    async def list_items(self, kind: ItemKind, principal: Principal) -> Listed:
        """Return the definition of every approved workflow."""
        del principal
        await self._ready()
        return Listed([one.definition for one in self._flows.values()]) if kind == "tools" else Listed()

    async def listen(self, wanted: Listen, heard: Heard) -> None:
        """Return at once: a description tells no changes."""
        del wanted, heard

    async def server_info(self, principal: Principal) -> ServerInfo:
        """Return what we say of workflows, which speak no MCP themselves."""
        del principal
        instructions = (await self._ready()).instructions
        info = Raw(envelope.write({"name": self.name, "version": VERSION}))
        return ServerInfo("modern", LATEST_MODERN, info, Raw(b'{"tools":{}}'), instructions or None)

    def health(self) -> Health:
        """Return that it is there: what its steps call may be away."""
        return Health("up")

    async def aclose(self) -> None:
        """Do nothing: there is no connection."""

    async def _ready(self) -> FlowTools:
        if self._loaded is None:
            async with self._loading:
                if self._loaded is None:
                    loaded = await anyio.to_thread.run_sync(self._load)
                    self._flows = {one.composite.name: one for one in loaded.flows}
                    self._loaded = loaded
        return self._loaded


class _Params(msgspec.Struct):
    name: str = ""
    arguments: Raw = Raw(b"{}")


class _Called(msgspec.Struct):
    content: list[dict[str, Any]] = []


_PARAMS: Final = msgspec.json.Decoder(_Params)
_CALLED: Final = msgspec.json.Decoder(_Called)


class _NotMade(Exception):
    """A step was refused before it was sent; the workflow goes no further."""


class _Run:
    """One call of one workflow."""

    def __init__(self, flow: Flow, tools: FlowTools, steps: Steps, timeout_s: float) -> None:
        self._flow = flow
        self._tools = tools
        self._steps = steps
        self._timeout_s = timeout_s
        self._said = ""  # by the API, when a step failed

    async def result(self, arguments: Mapping[str, object], max_chars: int) -> dict[str, object]:
        """Carry it out and return the result of the tool."""
        done: list[str] = []
        try:
            outcome = await self._played(arguments, done)
        except _NotMade as why:
            outcome = Outcome({}, str(why))
        outputs, cuts = shortened(dict(outcome.outputs), max_chars)
        if outcome.failure:
            said = f" The API says: {self._said}" if self._said else ""
            told = f" Carried out: {', '.join(done)}." if done else " Nothing was carried out."
            text = f"the workflow failed: {outcome.failure}.{said}{told}"
            known = f" Outputs so far: {json_text(outputs)}" if outcome.outputs else ""
            return {"content": [{"type": "text", "text": text + known}], "isError": True}
        content = [{"type": "text", "text": json_text(outputs)}]
        if cuts:
            content.append({"type": "text", "text": "The outputs were cut to fit: call the steps that you need."})
        result: dict[str, object] = {"content": content}
        return {**result, "structuredContent": outputs} if isinstance(outputs, dict) else result

    async def _played(self, arguments: Mapping[str, object], done: list[str]) -> Outcome:
        run = play(self._flow.flows, self._flow.composite.key, arguments, matches)
        reply: Reply | None = None
        try:
            while True:
                do = run.send(reply)
                if isinstance(do, Wait):
                    await asyncio.sleep(do.seconds)
                    reply = None
                else:
                    reply = await self._asked(do)
                    done.append(f"{do.step} ({'no answer' if reply.status is None else reply.status})")
        except StopIteration as ended:
            return cast("Outcome", ended.value)
        finally:
            run.close()

    async def _asked(self, ask: Ask) -> Reply:
        """Make one call. What an API does not answer is a step that failed; what is refused ends the workflow."""
        upstream = self._tools.upstreams.get(ask.source, ask.source)
        timeout_s = min(ask.timeout_s or self._timeout_s, self._timeout_s)
        self._said = ""
        try:
            answer = await self._steps.call(upstream, ask.tool, ask.arguments, timeout_s)
        except UpstreamFailed as failed:
            self._said = failed.message
            return Reply()
        except Refusal as refusal:
            raise _NotMade(f"the step `{ask.step}` was not made: {refusal.message}") from None
        if answer.seen is None:
            raise _NotMade(f"the step `{ask.step}` was not made: {_text_of(answer)}")
        if answer.seen.status >= 400:
            self._said = _text_of(answer)
        return _reply(answer.seen)


def _reply(seen: HttpSeen) -> Reply:
    body = value_of(Answer(seen.status, seen.headers, seen.body, seen.url))
    return Reply(seen.status, seen.headers, body, seen.url, seen.method)


def _text_of(answer: UpstreamAnswer) -> str:
    """Return what a tool said, in words."""
    if answer.result is None:
        return "the tool answers with an error"
    texts = [str(one.get("text", "")) for one in _CALLED.decode(answer.result).content]
    return " ".join(texts)[:_SAID_CHARS]


def matches(pattern: str, text: str) -> bool:
    """Say whether a pattern is found in a text, in time that does not depend on the pattern's cunning."""
    held = _compiled(pattern)
    return held is not None and held.is_valid(text)


@lru_cache(MAX_PATTERNS)
def _compiled(pattern: str) -> jsonschema_rs.Draft202012Validator | None:
    if len(pattern) > MAX_PATTERN_CHARS:
        return None
    try:
        return jsonschema_rs.Draft202012Validator({"pattern": pattern}, pattern_options=_LINEAR)
    except ValueError:
        return None
