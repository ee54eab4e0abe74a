"""A compact endpoint: three tools in place of hundreds. `search_tools`, `describe_tools`, `call_tool`.

What the caller may not see is not found and not described, and looks like what does not exist. `call_tool` is no
call of its own: it becomes the call that it names, which is decided, budgeted, checked and recorded as that.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final, cast

import msgspec
from msgspec import Raw

from agent_gateway.listeners.inbound import Inbound
from agent_gateway.listeners.mcp_code import MAX_CODE_CHARS, RUN_CODE, run_tool
from agent_gateway.listeners.mcp_request import McpRequest
from agent_gateway.listeners.mcp_tools import call_tool
from agent_gateway.listeners.reply import send_bytes
from agent_gateway.runtime.listing import BYTES_PER_TOKEN
from mcp_registry.protocol import envelope, results
from mcp_registry.protocol.errors import INVALID_PARAMS, ProtocolError

SEARCH: Final = "search_tools"
DESCRIBE: Final = "describe_tools"
CALL: Final = "call_tool"

DEFAULT_HITS: Final = 8
MAX_HITS: Final = 25
MAX_QUERY_CHARS: Final = 500
MAX_DESCRIBED: Final = 20
SCHEMAS_SHOWN: Final = 3  # of the best hits, with their whole schema
MAX_SCHEMA_BYTES: Final = 4096
MAX_CARD_CHARS: Final = 200

Json = dict[str, object]


async def serve_compact(request: McpRequest) -> bool:
    """Answer what is this endpoint's own; return False for anything else, which is served as everywhere."""
    inbound, message = request.inbound, request.message
    limit = limit_of(inbound)
    if limit is None or request.listing.tokens <= limit:
        return False
    if message.method == "tools/list":
        shown = TOOLS_AND_CODE if inbound.route.has_code else TOOLS
        page = results.Page(shown, "tools")
        cost = len(shown) // BYTES_PER_TOKEN
        inbound.gateway.services.metrics.note_list(inbound.principal, inbound.route.name, cost)
        await _answer(request, results.list_result(page, request.reader), "tools/list")
        return True
    name = message.parsed.get("name") if message.method == "tools/call" else None
    if name == CALL:
        await call_tool(_named(request))
    elif name == SEARCH:
        await _answer(request, await _search(request), SEARCH)
    elif name == DESCRIBE:
        await _answer(request, _describe(request), DESCRIBE)
    elif name == RUN_CODE and inbound.route.has_code:
        await run_tool(request)
    else:
        return False
    return True


def limit_of(inbound: Inbound) -> int | None:
    """Return how many tokens a list may cost this caller here: what the endpoint says and what its entry says, both."""
    own, principal = inbound.route.compact_above, inbound.principal
    agent = inbound.snapshot.config.agents.get(principal.id) if principal.kind == "agent" else None
    if agent is None or agent.list_tokens is None or agent.tenant != principal.tenant:
        return own
    return agent.list_tokens if own is None else min(own, agent.list_tokens)


async def _answer(request: McpRequest, result: bytes, method: str) -> None:
    inbound = request.inbound
    body = envelope.response(request.message.id, result)
    inbound.gateway.record_list(method, inbound.principal, inbound.route.name, request.trace_context(), len(body))
    await send_bytes(inbound.send, 200, body)


# --- call ------------------------------------------------------------------------------------


def _named(request: McpRequest) -> McpRequest:
    """Return the request that `call_tool` stands for: its `name` and `arguments` are the call's own."""
    message = request.message
    arguments = _arguments(request)
    wanted = arguments.get("name")
    inner = arguments.get("arguments", {})
    if not isinstance(wanted, str) or not isinstance(inner, dict) or wanted in (CALL, SEARCH, DESCRIBE, RUN_CODE):
        raise ProtocolError(INVALID_PARAMS, "`call_tool` wants the `name` of a tool and its `arguments`, an object")
    raw = envelope.read_object(message.params["arguments"])
    changes: dict[str, Raw | bytes | None] = {"name": raw["name"], "arguments": raw.get("arguments", b"{}")}
    parsed: dict[str, object] = {**message.parsed, "name": wanted, "arguments": cast("object", inner)}
    named = replace(message, params=envelope.edit(message.params, changes), parsed=parsed)
    return replace(request, message=named, is_indirect=True)


def _arguments(request: McpRequest) -> Mapping[str, object]:
    arguments = request.message.parsed.get("arguments", {})
    if not isinstance(arguments, dict):
        raise ProtocolError(INVALID_PARAMS, "`arguments` must be an object")
    return cast("dict[str, object]", arguments)


# --- search and describe ---------------------------------------------------------------------


async def _search(request: McpRequest) -> bytes:
    arguments, listing = _arguments(request), request.listing
    query, limit = arguments.get("query"), arguments.get("limit", DEFAULT_HITS)
    if not isinstance(query, str) or not query or not isinstance(limit, int) or isinstance(limit, bool):
        raise ProtocolError(INVALID_PARAMS, "`query` is a text, `limit` a whole number")
    inbound = request.inbound
    hits = await inbound.gateway.search.find(
        inbound.snapshot, inbound.route, query[:MAX_QUERY_CHARS], max(1, min(limit, MAX_HITS)), frozenset(listing.names)
    )
    cards = [_card(request, hit.key, is_whole=at < SCHEMAS_SHOWN) for at, hit in enumerate(hits)]
    return _result(request, {"tools": cards, "of": len(listing.names)})


def _describe(request: McpRequest) -> bytes:
    names = _arguments(request).get("names")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in cast("list[object]", names)):
        raise ProtocolError(INVALID_PARAMS, "`names` is a list of texts")
    wanted = cast("list[str]", names)[:MAX_DESCRIBED]
    seen = frozenset(request.listing.names)
    found = [Raw(_definition(request, name)) for name in wanted if name in seen]
    return _result(request, {"tools": found, "unknown": [name for name in wanted if name not in seen]})


def _definition(request: McpRequest, name: str) -> bytes:
    entry, is_native = request.inbound.route.view.entries[name], request.inbound.route.view.is_native
    if request.era == "modern":
        return entry.native_modern if is_native else entry.modern
    return entry.native_legacy if is_native else entry.legacy


def _card(request: McpRequest, name: str, *, is_whole: bool) -> Json:
    """Return what a model needs to choose a tool, and for the best ones to call it."""
    members = envelope.read_object(_definition(request, name))
    card: Json = {"name": name}
    description = msgspec.json.decode(members.get("description", Raw(b'""')))
    if isinstance(description, str) and description:
        card["description"] = description[:MAX_CARD_CHARS]
    schema = members["inputSchema"]
    if is_whole and len(bytes(schema)) <= MAX_SCHEMA_BYTES:
        card["inputSchema"] = schema
    return card


def _result(request: McpRequest, value: Mapping[str, object]) -> bytes:
    structured = envelope.write(value)
    result = {"content": [{"type": "text", "text": structured.decode()}], "structuredContent": Raw(structured)}
    return bytes(results.call_result(Raw(envelope.write(result)), "modern", request.reader))


def _tool(name: str, description: str, properties: Json, required: Sequence[str], *, reads: bool) -> Json:
    schema = {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}
    hints = {"readOnlyHint": reads, "openWorldHint": not reads}
    return {"name": name, "description": description, "inputSchema": schema, "annotations": hints}


_TOOLS: Final = [
    _tool(
        SEARCH,
        "Finds tools by what they do. Search for one step at a time, in a few words; the best hits come with "
        "their input schema.",
        {
            "query": {"type": "string", "maxLength": MAX_QUERY_CHARS},
            "limit": {"type": "integer", "minimum": 1, "maximum": MAX_HITS},
        },
        ["query"],
        reads=True,
    ),
    _tool(
        DESCRIBE,
        "Returns the whole definitions of tools by name.",
        {"names": {"type": "array", "items": {"type": "string"}, "maxItems": MAX_DESCRIBED}},
        ["names"],
        reads=True,
    ),
    _tool(
        CALL,
        "Calls a tool by name. The answer, and any refusal, is that tool's own.",
        {"name": {"type": "string"}, "arguments": {"type": "object"}},
        ["name"],
        reads=False,
    ),
]

_RUN_TOOL: Final = _tool(
    RUN_CODE,
    "Runs Python that composes calls, and returns the value of its last line: JSON. `await call(name, arguments)` "
    "calls a tool and gives its structured content, or its text; RuntimeError says why not. asyncio.gather calls "
    "several at once. No files, no network, no other imports; some seconds and some dozens of calls.",
    {"code": {"type": "string", "maxLength": MAX_CODE_CHARS}},
    ["code"],
    reads=False,
)

TOOLS: Final = envelope.write(_TOOLS)
TOOLS_AND_CODE: Final = envelope.write([*_TOOLS, _RUN_TOOL])
