"""`agent-gateway call TOOL --as AGENT`: one call through the running gateway, as an agent would make it.

Goes over HTTP like any client, in MCP 2026-07-28; only the token is made here.
"""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, cast

import msgspec
import typer
from msgspec import Raw
from rich.console import Console

from agent_gateway import VERSION
from agent_gateway.cli.arguments import ArgOption, ArgsOption, read_arguments
from agent_gateway.cli.door import Door
from agent_gateway.cli.local import agent_token, resource_named
from agent_gateway.cli.session import Failure, JsonOption, emit, session_of
from agent_gateway.config.load import Loaded
from agent_gateway.config.problems import did_you_mean
from agent_gateway.errors import REASON_KEY
from gateway_policies.refusal import Refusal, UpstreamUnreachable
from mcp_registry.protocol import envelope
from mcp_registry.protocol.errors import HEADER_MISMATCH
from mcp_registry.protocol.headers import HeaderParam, header_params
from mcp_registry.protocol.outbound import Outgoing, Speaker, modern_body, modern_headers
from mcp_registry.protocol.sse import Decoder

MAX_PAGES = 100
_SPEAKER = Speaker(Raw(envelope.write({"name": "agent-gateway-cli", "version": VERSION})))
_ID = 1


def call(
    context: typer.Context,
    tool: Annotated[str, typer.Argument(help="The tool, `upstream__tool`.")],
    agent: Annotated[str, typer.Option("--as", help="The agent that calls.")],
    arg: ArgOption = None,
    args: ArgsOption = "",
    toolset: Annotated[str, typer.Option(help="Call through this toolset, or servers/NAME.")] = "mcp",
    as_json: JsonOption = False,
) -> None:
    """Call a tool as an agent: policy, budgets and audit apply. Exit code 1 when it is refused or fails.

    Example: `agent-gateway call time__get_current_time --as first-agent --arg timezone=UTC`
    """
    arguments = read_arguments(arg, args) or {}
    endpoint = endpoint_of(session_of(context).load(), toolset, agent)
    answer = asyncio.run(endpoint.call(tool, arguments))
    emit(answer.data, as_json=as_json, text=lambda console: answer.write(console))
    if not answer.is_ok:
        raise typer.Exit(1)


def endpoint_of(loaded: Loaded, toolset: str, agent: str) -> "Endpoint":
    """Return an endpoint of the running gateway, spoken to as `agent`; raises `Failure`.

    toolset  its name, `mcp`, or `servers/NAME`
    """
    resource = resource_named(loaded, toolset)
    if resource == loaded.config.listeners.admin.token_audience:
        raise Failure("the admin API serves no tools", exit_code=2)
    return Endpoint(loaded, resource, agent_token(loaded, agent, resource))


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: a JSON-RPC answer, and a hint of ours."""

    message: Mapping[str, Any]
    hint: str = ""

    @property
    def result(self) -> Mapping[str, Any] | None:
        return cast("Mapping[str, Any] | None", self.message.get("result"))

    @property
    def error(self) -> Mapping[str, Any]:
        return cast("Mapping[str, Any]", self.message.get("error") or {})

    @property
    def refusal(self) -> Mapping[str, Any]:
        """What the gateway says of its refusal; empty when it is the upstream's error."""
        data: object = self.error.get("data")
        told = cast("dict[str, object]", data).get(REASON_KEY) if isinstance(data, dict) else None
        return cast("Mapping[str, Any]", told) if isinstance(told, dict) else {}

    @property
    def is_ok(self) -> bool:
        return self.result is not None and not self.result.get("isError")

    @property
    def data(self) -> dict[str, object]:
        """The answer for programs."""
        return {"ok": self.is_ok, "hint": self.hint or self.refusal.get("hint", ""), **self.message}

    def write(self, console: Console) -> None:
        """Tell it to people."""
        if self.result is not None:
            _write_result(console, self.result)
            return
        told = self.refusal
        title = "refused" if told else "the upstream's error"
        code = told.get("code", self.error.get("code"))
        console.print(f"{title}: {self.error.get('message')} [{code}]", style="red")
        for name, text in (("hint", self.hint or told.get("hint")), ("call", told.get("call"))):
            if text:
                console.print(f"{name}: {text}")
        if told.get("call"):
            console.print(f"why: agent-gateway explain --call {told['call']}")


def _write_result(console: Console, result: Mapping[str, Any]) -> None:
    if result.get("isError"):
        console.print("the tool failed:", style="yellow")
    blocks = cast("list[Mapping[str, Any]]", result.get("content") or [])
    for block in blocks:
        console.print(str(block["text"]) if block.get("type") == "text" else f"({block.get('type')} content)")
    if not blocks and "structuredContent" in result:
        console.print(json.dumps(result["structuredContent"], indent=2, ensure_ascii=False))


class Endpoint:
    """One MCP endpoint of the running gateway, spoken to as one agent."""

    def __init__(self, loaded: Loaded, resource: str, token: str) -> None:
        limits = loaded.config.limits
        listener = loaded.config.listeners.data
        self._door = Door(listener, limits.call_timeout_s + 5)
        self._path = resource.removeprefix(listener.url)
        self._token = token
        self._max_bytes = limits.result_bytes * 2

    async def call(self, tool: str, arguments: Mapping[str, object]) -> Answer:
        """Call a tool; raises `Failure` when there is no gateway, or no answer in MCP.

        When the tool wants arguments mirrored in headers, it is looked up and called again.
        """
        answer = await self._call(tool, arguments, ())
        if answer.refusal.get("code") == "not_found":
            names = list(await self._definitions())
            return Answer(answer.message, did_you_mean(tool, names) or str(answer.refusal.get("hint", "")))
        if answer.error.get("code") == HEADER_MISMATCH:
            definition = (await self._definitions()).get(tool, {})
            return await self._call(tool, arguments, header_params(definition.get("inputSchema", {})))
        return answer

    async def use(self, method: str, params: Mapping[str, object], name: str) -> Answer:
        """Ask for what `name` names (a prompt, the URI of a resource); raises like `call`."""
        raw = {key: Raw(envelope.write(value)) for key, value in params.items()}
        return Answer(await self._ask(Outgoing(b"%d" % _ID, method, raw, name)))

    async def _call(self, tool: str, arguments: Mapping[str, object], mirrored: tuple[HeaderParam, ...]) -> Answer:
        params = {"name": Raw(envelope.write(tool)), "arguments": Raw(envelope.write(arguments))}
        outgoing = Outgoing(b"%d" % _ID, "tools/call", params, tool, mirrored, arguments)
        return Answer(await self._ask(outgoing))

    async def _definitions(self) -> dict[str, Mapping[str, Any]]:
        """Return the tools that the agent sees, by name."""
        found: dict[str, Mapping[str, Any]] = {}
        cursor: object = None
        for _ in range(MAX_PAGES):
            params = {} if cursor is None else {"cursor": Raw(envelope.write(cursor))}
            answer = await self._ask(Outgoing(b"%d" % _ID, "tools/list", params))
            result: Mapping[str, Any] = answer.get("result") or dict[str, Any]()
            found.update((str(tool["name"]), tool) for tool in result.get("tools", ()))
            cursor = result.get("nextCursor")
            if cursor is None:
                break
        return found

    async def _ask(self, outgoing: Outgoing) -> Mapping[str, Any]:
        named = modern_headers(outgoing, _SPEAKER)
        headers = [(name.decode(), value.decode()) for name, value in named]
        headers.append(("authorization", f"Bearer {self._token}"))
        body = modern_body(outgoing, _SPEAKER)
        try:
            answer = await self._door.send("POST", self._path, headers, body, max_bytes=self._max_bytes)
        except UpstreamUnreachable:
            hint = "start it with `agent-gateway up`"
            raise Failure(f"no gateway listens on {self._door.address}", hint=hint) from None
        except Refusal as refusal:
            raise Failure(f"the gateway did not answer: {refusal.message}") from None
        kind = answer.headers.get("content-type", "").partition(";")[0]
        message = _last_event(answer.body) if kind == "text/event-stream" else answer.body
        try:
            return msgspec.json.decode(message, type=dict[str, Any])
        except msgspec.DecodeError:
            raise Failure(f"the gateway answered with status {answer.status}, and not in MCP") from None


def _last_event(body: bytes) -> bytes:
    """Return the message that answers: what came before it is progress."""
    events = Decoder().feed(body)
    return events[-1].data if events else b""
