"""An API behind its OpenAPI description, as an MCP upstream. Implements `ports.McpUpstream`.

Its tools are the approved ones. A call becomes one HTTP request, its answer one tool result; whatever
governs tools governs these. An argument that no request can carry safely is a tool error: nothing is sent.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, Protocol, cast

import anyio.to_thread
import msgspec
from msgspec import Raw

from agent_gateway import VERSION
from agent_gateway.ports import (
    Clock,
    Health,
    Heard,
    HttpClient,
    HttpSeen,
    Listed,
    Listen,
    ServerInfo,
    Sink,
    UpstreamAnswer,
    UpstreamRequest,
)
from agent_gateway.stores.answers import KeptAnswers
from agent_gateway.upstreams.api_exchange import ExchangeLimits
from agent_gateway.upstreams.api_follow import Follower
from agent_gateway.upstreams.api_tasks import job_in
from agent_gateway.upstreams.api_wire import ApiAccess, ApiWire
from context_mesh.openapi.model import Operation
from context_mesh.openapi.tool import Tool
from context_mesh.wire.address import Site
from context_mesh.wire.plan import Placing, Planned, Secret, plan
from context_mesh.wire.read import Answer, Shape
from context_mesh.wire.rest import rest_of
from context_mesh.wire.spelling import BadArgument
from gateway_policies.principal import Principal
from mcp_registry.protocol import envelope, tasks
from mcp_registry.protocol.errors import INVALID_PARAMS, METHOD_NOT_FOUND
from mcp_registry.protocol.lists import ItemKind
from mcp_registry.protocol.versions import LATEST_MODERN

READ_RESULT: Final = "read_result"
FIELDS_KEY: Final = "agent-gateway/fields"
MAX_FIELDS: Final = 64
_TOLD_MISTAKES: Final = 5
_DEFAULT_ITEMS: Final = 100


class Mistake(Protocol):
    @property
    def message(self) -> str: ...
    @property
    def instance_path(self) -> list[str | int]: ...


Check = Callable[[object], Sequence[Mistake]]  # what is wrong with arguments, by the whole schema


@dataclass(frozen=True, slots=True, eq=False)
class ApiTool:
    """One approved tool as it is served.

    check  None when the published schema is the whole one: the pipeline has checked it then
    """

    tool: Tool
    placing: Placing
    definition: Raw
    check: Check | None = None

    @property
    def operation(self) -> Operation:
        return self.tool.operation


@dataclass(frozen=True, slots=True)
class ApiTools:
    """Everything that is approved, and what callers may read about the API."""

    tools: Sequence[ApiTool] = ()
    instructions: str = ""


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """What an operator says of one API; `exchange` and `shape` hold the bounds of a call."""

    name: str
    site: Site
    exchange: ExchangeLimits = field(default_factory=ExchangeLimits)
    shape: Shape = field(default_factory=Shape)


class OpenApi:
    """One API.

    load     makes the approved tools: called once, in a thread, when they are first asked for; raises a `Refusal`
    http     its own client, closed with it
    answers  where what is cut is kept for a while
    """

    def __init__(
        self,
        settings: ApiSettings,
        load: Callable[[], ApiTools],
        http: HttpClient,
        access: ApiAccess,
        answers: KeptAnswers,
        clock: Clock,
    ) -> None:
        self.name = settings.name
        self._settings = settings
        self._load = load
        self._loading = asyncio.Lock()
        self._loaded: ApiTools | None = None
        self._tools: Mapping[str, ApiTool] = {}
        self._wire = ApiWire(http, settings.exchange, access, answers, clock)
        self._follower = Follower(self._wire, settings.site, settings.shape, clock)

    @property
    def era(self) -> Literal["legacy", "modern"]:
        """Return how its results are written: as the newest protocol has them."""
        return "modern"

    @property
    def tools(self) -> Sequence[Tool]:
        """Return the approved tools, none before they were listed."""
        return tuple(one.tool for one in self._tools.values())

    async def request(self, request: UpstreamRequest, sink: Sink) -> UpstreamAnswer:
        """Answer `tools/call`, and what follows a task; see `ports.McpUpstream`."""
        await self._ready()
        if request.method in tasks.METHODS:
            return await self._follow(request)
        if request.method != "tools/call":
            return refused_for(METHOD_NOT_FOUND, "an API has tools only")
        call = _call_of(request.params)
        if call.name == READ_RESULT:
            return answered_with(await self._read_on(request.principal, call.arguments))
        tool = self._tools.get(call.name)
        if tool is None:
            return refused_for(INVALID_PARAMS, "no such tool")
        return await self._call(tool, call, request, sink)

    async def list_items(self, kind: ItemKind, principal: Principal) -> Listed:
        """Return the definition of every approved tool, and of the one that reads on in cut answers."""
        del principal
        await self._ready()
        listed = [one.definition for one in self._tools.values()]
        return Listed([*listed, _READ_RESULT_DEFINITION]) if listed and kind == "tools" else Listed()

    async def listen(self, wanted: Listen, heard: Heard) -> None:
        """Return at once: an API tells no changes."""
        del wanted, heard

    async def server_info(self, principal: Principal) -> ServerInfo:
        """Return what we say of an API that speaks no MCP itself."""
        del principal
        loaded = await self._ready()
        info = Raw(envelope.write({"name": self.name, "version": VERSION}))
        answers_later = any(one.status == "202" for tool in loaded.tools for one in tool.operation.responses)
        offered = _WITH_TASKS if answers_later else _TOOLS_ONLY
        return ServerInfo("modern", LATEST_MODERN, info, offered, loaded.instructions or None)

    def health(self) -> Health:
        """Return what is known now, without asking."""
        return self._wire.health()

    async def aclose(self) -> None:
        """End every connection."""
        await self._wire.aclose()

    async def _ready(self) -> ApiTools:
        if self._loaded is None:
            async with self._loading:
                if self._loaded is None:
                    loaded = await anyio.to_thread.run_sync(self._load)
                    self._tools = {one.tool.name: one for one in loaded.tools}
                    self._loaded = loaded
        return self._loaded

    # --- one call ----------------------------------------------------------------------------

    async def _call(self, tool: ApiTool, call: "_Call", request: UpstreamRequest, sink: Sink) -> UpstreamAnswer:
        mistakes = tool.check(call.arguments) if tool.check is not None else ()
        if mistakes:
            return answered_with(refused("; ".join(_told(one) for one in mistakes[:_TOLD_MISTAKES])))
        declared = request.client_capabilities
        is_followed = declared is not None and tasks.is_declared(declared)

        def planned(secrets: Sequence[Secret]) -> Planned:
            return plan(tool.operation, call.arguments, tool.placing, secrets)

        try:
            waiting = None if is_followed else _progress(request, sink)
            answer = await self._wire.ask(tool.operation, planned, request, waiting)
        except BadArgument as bad:
            return answered_with(refused(bad.message + (f" ({bad.hint})" if bad.hint else "")))
        task = self._follower.announced(tool.tool, answer, request) if is_followed else None
        if task is not None:
            return answered_with(task)
        result = await self._wire.result(answer, _with_fields(self._settings.shape, call), request.principal)
        return replace(answered_with(result), seen=_seen(tool.operation.method, answer))

    async def _follow(self, request: UpstreamRequest) -> UpstreamAnswer:
        """Answer a request about work that goes on."""
        text = _TASK.decode(envelope.write(request.params)).id
        tools = {name: one.tool for name, one in self._tools.items()}
        if request.method == tasks.UPDATE:
            found = None if job_in(text) is None else {"resultType": "complete"}  # an API asks nothing
        elif request.method == tasks.CANCEL:
            found = await self._follower.cancel(text, tools, request, self.name)
        else:
            found = await self._follower.get(text, tools, request)
        return refused_for(INVALID_PARAMS, "no such task") if found is None else answered_with(found)

    async def _read_on(self, principal: Principal, arguments: Mapping[str, object]) -> dict[str, object]:
        try:
            wanted = msgspec.convert(arguments, _Wanted)
        except msgspec.ValidationError:
            return refused("`handle` is a text, `pointer` a JSON pointer, `offset` and `limit` are whole numbers")
        try:
            whole = await self._wire.kept(principal, wanted.handle)
            reading = rest_of(whole, wanted.pointer, wanted.offset, wanted.limit, self._settings.shape)
        except KeyError:
            return refused("nothing is kept under this handle, or the pointer leads nowhere: call the tool again")
        return reading.result(wanted.handle)


class _TaskNamed(msgspec.Struct):
    id: str = msgspec.field(name=tasks.TASK_ID, default="")


class _Params(msgspec.Struct):
    name: str = ""
    arguments: Raw = Raw(b"{}")
    meta: dict[str, Any] = msgspec.field(default_factory=dict, name="_meta")


@dataclass(frozen=True, slots=True)
class _Call:
    """A call's params; `arguments` keep integers of any size."""

    name: str
    arguments: dict[str, object]
    meta: Mapping[str, object]


def _call_of(params: Mapping[str, Raw]) -> _Call:
    read = _PARAMS.decode(envelope.write(params))
    return _Call(read.name, cast("dict[str, object]", json.loads(bytes(read.arguments))), read.meta)


class _Wanted(msgspec.Struct):
    handle: str
    pointer: str = ""
    offset: int = 0
    limit: int = _DEFAULT_ITEMS

    def __post_init__(self) -> None:
        if self.offset < 0 or self.limit < 1:
            raise ValueError("out of range")


_PARAMS: Final = msgspec.json.Decoder(_Params)
_TASK: Final = msgspec.json.Decoder(_TaskNamed)
_TOOLS_ONLY: Final = Raw(b'{"tools":{}}')
_WITH_TASKS: Final = Raw(envelope.write({"tools": {}, "extensions": {tasks.EXTENSION: {}}}))


def answered_with(result: Mapping[str, object]) -> UpstreamAnswer:
    """Return an answer that is a result."""
    try:
        body = envelope.write(result)
    except (UnicodeEncodeError, OverflowError, RecursionError):  # lone surrogates, numbers beyond 64 bits, depth
        body = json.dumps(result, ensure_ascii=True).encode()
    return UpstreamAnswer("modern", Raw(body), size_bytes=len(body))


def _seen(method: str, answer: Answer) -> HttpSeen:
    headers = {name: value for name, value in answer.headers.items() if name != "set-cookie"}
    return HttpSeen(method, answer.url, answer.status, headers, answer.body)


def refused_for(code: int, message: str) -> UpstreamAnswer:
    """Return an answer that is an error of the protocol."""
    return UpstreamAnswer("modern", error=Raw(envelope.write({"code": code, "message": message})))


def refused(why: str) -> dict[str, object]:
    """Return the tool error for arguments that were not sent."""
    text = f"nothing was sent: {why}"
    return {"content": [{"type": "text", "text": text}], "isError": True}


def _told(mistake: Mistake) -> str:
    path = "/".join(str(part) for part in mistake.instance_path)
    return f"`{path}`: {mistake.message}" if path else mistake.message


def _with_fields(shape: Shape, call: _Call) -> Shape:
    fields = call.meta.get(FIELDS_KEY)
    if not isinstance(fields, list):
        return shape
    named = [one for one in cast("list[object]", fields)[:MAX_FIELDS] if isinstance(one, str) and one]
    return replace(shape, fields=tuple(named)) if named else shape


def _progress(request: UpstreamRequest, sink: Sink) -> Callable[[int], Awaitable[None]]:
    async def waiting(count: int) -> None:
        if request.wants_progress:
            params = {"progressToken": 0, "progress": count, "message": "accepted by the API; not done yet"}
            await sink.notify("notifications/progress", Raw(envelope.write(params)))

    return waiting


_READ_RESULT_DEFINITION: Final = Raw(
    envelope.write(
        {
            "name": READ_RESULT,
            "description": "Reads on in an answer that was cut to fit. Handles are in the note below such an answer, "
            "and serve for some minutes, for whoever got them.",
            "inputSchema": {
                "type": "object",
                "properties": {
                    "handle": {"type": "string", "description": "From the note below the answer."},
                    "pointer": {"type": "string", "description": "JSON pointer to the array, object or text to read."},
                    "offset": {"type": "integer", "minimum": 0, "description": "Items or characters to leave out."},
                    "limit": {"type": "integer", "minimum": 1, "description": "Most items or characters to return."},
                },
                "required": ["handle"],
                "additionalProperties": False,
            },
            "annotations": {
                "readOnlyHint": True, "destructiveHint": False, "idempotentHint": True, "openWorldHint": False,
            },
        }
    )
)  # fmt: skip
