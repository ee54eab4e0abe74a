"""A legacy MCP server of plain JSON that asks its client whatever it likes, declared or not, and keeps all it heard."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from support.auth_servers import served

SESSION = {"mcp-session-id": "s1"}
ELICIT: dict[str, Any] = {
    "message": "Which date?",
    "requestedSchema": {"type": "object", "properties": {"date": {"type": "string"}}},
}


@dataclass
class Asker:
    """What it has and what it heard.

    tools      what each asks for: a method and its params; the tool fails when that is refused, unless it may `shrug`
    resources  text by URI, of which only those that are `listed` are on its list
    heard      every message that was posted and is no request
    """

    tools: dict[str, tuple[str, dict[str, Any]]] = field(default_factory=dict[str, tuple[str, dict[str, Any]]])
    resources: dict[str, str] = field(default_factory=dict[str, str])
    listed: frozenset[str] = frozenset()
    shrugs: frozenset[str] = frozenset()
    rests: frozenset[str] = frozenset()  # tools that end their stream, and answer whoever comes back for the rest
    url: str = ""
    read: list[str] = field(default_factory=list[str])
    heard: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    came: asyncio.Event = field(default_factory=asyncio.Event)  # set with each message heard; clear it to wait again
    answers: dict[str, asyncio.Future[dict[str, Any]]] = field(
        default_factory=dict[str, "asyncio.Future[dict[str, Any]]"]
    )

    def entry(self, name: str = "asker", more: str = "") -> str:
        """Return the upstream's line of configuration."""
        rules = "tools: {'*': {risk: 1, read_only: true}}"
        return f"  {name}: {{url: '{self.url}/mcp', allow_private: true, {rules}{more}}}\n"

    def app(self) -> Starlette:
        return Starlette(routes=[Route("/mcp", self._mcp, methods=["POST", "DELETE", "GET"])])

    async def _mcp(self, request: Request) -> Response:
        if request.method == "DELETE":
            return Response(status_code=204)
        if request.method == "GET":
            return self._rest(request.headers.get("last-event-id", ""))
        message = orjson.loads(await request.body())
        if "id" not in message or "method" not in message:
            self.heard.append(message)
            self.came.set()
            if (waiting := self.answers.pop(str(message.get("id")), None)) is not None:
                waiting.set_result(message)
            return Response(status_code=202)
        if message["method"] == "tools/call" and message["params"]["name"] in self.rests:
            first = b"id: %d\nretry: 10\ndata: \n\n" % message["id"]
            return Response(first, media_type="text/event-stream")
        if message["method"] == "tools/call" and message["params"]["name"] in self.tools:
            return StreamingResponse(self._ask(message), media_type="text/event-stream")
        result = self._result(message)
        member = {"error": {"code": -32601, "message": "no"}} if result is None else result
        return JSONResponse({"jsonrpc": "2.0", "id": message["id"], **member}, headers=SESSION)

    def _result(self, message: dict[str, Any]) -> dict[str, Any] | None:
        match message["method"]:
            case "initialize":
                info = {"name": "asker", "version": "1"}
                capabilities: dict[str, Any] = {"tools": {}, "resources": {}}
                return {"result": {"protocolVersion": "2025-11-25", "capabilities": capabilities, "serverInfo": info}}
            case "tools/list":
                tools = [{"name": name, "inputSchema": {"type": "object"}} for name in (*self.tools, *self.rests)]
                return {"result": {"tools": tools}}
            case "resources/list":
                return {"result": {"resources": [{"uri": uri, "name": uri} for uri in sorted(self.listed)]}}
            case "resources/templates/list":
                return {"result": {"resourceTemplates": []}}
            case "resources/read":
                uri = message["params"]["uri"]
                self.read.append(uri)
                if uri not in self.resources:
                    return {"error": {"code": -32002, "message": "Resource not found", "data": {"uri": uri}}}
                return {"result": {"contents": [{"uri": uri, "text": self.resources[uri]}]}}
            case _:
                return None

    def _rest(self, last_id: str) -> Response:
        if not last_id:
            return Response(status_code=405)
        result = {"content": [{"type": "text", "text": "the rest"}]}
        return Response(
            _event({"jsonrpc": "2.0", "id": int(last_id), "result": result}), media_type="text/event-stream"
        )

    async def _ask(self, message: dict[str, Any]) -> AsyncIterator[bytes]:
        name = message["params"]["name"]
        method, params = self.tools[name]
        question = f"q-{message['id']}"
        waiting = self.answers[question] = asyncio.get_running_loop().create_future()
        yield _event({"jsonrpc": "2.0", "id": question, "method": method, "params": params})
        answer = await waiting
        is_error = "error" in answer and name not in self.shrugs
        told = orjson.dumps(answer.get("result", answer.get("error"))).decode()
        result = {"content": [{"type": "text", "text": told}], "isError": is_error}
        yield _event({"jsonrpc": "2.0", "id": message["id"], "result": result})


def _event(message: dict[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(message) + b"\n\n"


@asynccontextmanager
async def asker(**what: Any) -> AsyncGenerator[Asker]:
    """Serve it until the block ends."""
    one = Asker(**what)
    async with served(one.app()) as one.url:
        yield one
