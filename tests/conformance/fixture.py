"""The upstream of the conformance suite: every tool, prompt and resource that it names, on the official SDK.

`python -m conformance.fixture http` listens on a free loopback port and
writes `PORT n` as its first line; `stdio` speaks on its standard streams. Both
eras, unless a shim in front of it lets only one through.
Source: the "Server Implementation Requirements" texts of the suite's scenarios.
"""

import asyncio
import base64
import socket
import sys
from collections import defaultdict
from typing import Annotated, Any, Final

import anyio
import mcp_types as types
import orjson
import uvicorn
from mcp.server.context import ServerRequestContext
from mcp.server.mcpserver import Context, MCPServer, RequestStateSecurity
from mcp.server.mcpserver.prompts.base import Prompt, UserMessage
from mcp.server.mcpserver.tools.base import Tool
from mcp.server.streamable_http import EventCallback, EventMessage, EventStore
from pydantic import Field

from conformance import fixture_asking as asking

DYNAMIC_TOOL: Final = "test_dynamic_tool"
DYNAMIC_PROMPT: Final = "test_dynamic_prompt"
_listed: Final = {"tool": False, "prompt": False}  # whether those two are there just now
RETRY_MS: Final = 100  # how soon a client comes back to a stream that we closed
PNG: Final = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
WAV: Final = base64.b64encode(
    b"RIFF\x26\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00\x40\x1f\x00\x00\x80\x3e\x00\x00\x02\x00\x10\x00"
    b"data\x02\x00\x00\x00\x00\x00"
).decode()
SCHEMA: Final[dict[str, Any]] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }
    },
    "properties": {
        "name": {"type": "string"},
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": {"type": "string"},
        "email": {"type": "string"},
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}


def _text(text: str) -> types.TextContent:
    return types.TextContent(type="text", text=text)


def _resource(uri: str, text: str, mime_type: str = "text/plain") -> types.EmbeddedResource:
    contents = types.TextResourceContents(uri=uri, mime_type=mime_type, text=text)
    return types.EmbeddedResource(type="resource", resource=contents)


async def _log(ctx: Context, text: str) -> None:
    await ctx.log("info", text)  # pyright: ignore[reportDeprecated]  # and served as long as clients may ask for it


# --- tools that answer alone -----------------------------------------------------------------


def a_first_tool() -> str:
    """Be the first in any order: the header scenarios call the first tool, and give no arguments."""
    return "Called."


def test_simple_text() -> str:
    """Return a text."""
    return "This is a simple text response for testing."


def test_image_content() -> list[types.ImageContent]:
    """Return an image."""
    return [types.ImageContent(type="image", data=PNG, mime_type="image/png")]


def test_audio_content() -> list[types.AudioContent]:
    """Return a sound."""
    return [types.AudioContent(type="audio", data=WAV, mime_type="audio/wav")]


def test_embedded_resource() -> list[types.EmbeddedResource]:
    """Return a resource."""
    return [_resource("test://embedded-resource", "This is an embedded resource content.")]


def test_multiple_content_types() -> list[types.TextContent | types.ImageContent | types.EmbeddedResource]:
    """Return a text, an image and a resource."""
    image = types.ImageContent(type="image", data=PNG, mime_type="image/png")
    mixed = _resource("test://mixed-content-resource", '{"test":"data","value":123}', "application/json")
    return [_text("Multiple content types test:"), image, mixed]


def test_error_handling() -> str:
    """Fail."""
    raise RuntimeError("This tool intentionally returns an error for testing")


async def test_tool_with_logging(ctx: Context) -> str:
    """Log three times."""
    for what in ("started", "processing data", "completed"):
        await _log(ctx, f"Tool execution {what}")
        await anyio.sleep(0.05)
    return "Logged three times."


async def test_logging_tool(ctx: Context) -> str:
    """Log once."""
    await _log(ctx, "a word")
    return "Logged once."


async def test_tool_with_progress(ctx: Context) -> str:
    """Report progress three times."""
    for done in (0, 50, 100):
        await ctx.report_progress(done, 100, f"Completed step {done} of 100")
        await anyio.sleep(0.05)
    return "Done."


def test_x_mcp_header(
    region: Annotated[str, Field(json_schema_extra={"x-mcp-header": "Region"})] = "nowhere",  # noqa: PT028 - no test
) -> str:
    """Return an argument that a header mirrors."""
    return f"region={region}"


def json_schema_2020_12_tool() -> str:
    """Bear a schema with many keywords of 2020-12."""
    return "The schema is what matters."


async def test_reconnection(ctx: Context) -> str:
    """Close the call's stream, and answer once the client is back."""
    await _log(ctx, "Before disconnect")
    await ctx.close_sse_stream()
    await asyncio.sleep(2 * RETRY_MS / 1000)
    await _log(ctx, "After reconnect")
    return "Reconnected."


async def test_trigger_tool_change(ctx: Context) -> str:
    """Put a tool into the list, or take it out again, and tell."""
    if _listed["tool"]:
        server.remove_tool(DYNAMIC_TOOL)
    else:
        server.add_tool(test_simple_text, name=DYNAMIC_TOOL, structured_output=False)
    _listed["tool"] = not _listed["tool"]
    await ctx.notify_tools_changed()
    await ctx.session.send_tool_list_changed()
    return "The tools changed."


async def test_trigger_prompt_change(ctx: Context) -> str:
    """Put a prompt into the list, or take it out again, and tell."""
    if _listed["prompt"]:
        server.remove_prompt(DYNAMIC_PROMPT)
    else:
        server.add_prompt(Prompt.from_function(test_simple_prompt, name=DYNAMIC_PROMPT))
    _listed["prompt"] = not _listed["prompt"]
    await ctx.notify_prompts_changed()
    await ctx.session.send_prompt_list_changed()
    return "The prompts changed."


# --- prompts and resources -------------------------------------------------------------------


def test_simple_prompt() -> str:
    """A prompt without arguments."""
    return "This is a simple prompt for testing."


def test_prompt_with_arguments(arg1: str, arg2: str) -> str:
    """A prompt with two arguments."""
    return f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'"


def test_prompt_with_embedded_resource(resourceUri: str) -> list[UserMessage]:  # noqa: N803 - the suite's word
    """A prompt that holds a resource."""
    held = _resource(resourceUri, "Embedded resource content for testing.")
    return [
        UserMessage(held),
        UserMessage(_text("Please process the embedded resource above.")),
    ]


def test_prompt_with_image() -> list[UserMessage]:
    """A prompt that holds an image."""
    image = types.ImageContent(type="image", data=PNG, mime_type="image/png")
    return [
        UserMessage(image),
        UserMessage(_text("Please analyze the image above.")),
    ]


async def complete(
    ref: types.PromptReference | types.ResourceTemplateReference,
    argument: types.CompletionArgument,
    context: types.CompletionContext | None,
) -> types.Completion:
    """Complete whatever was begun, three ways."""
    del ref, context
    return types.Completion(values=[f"{argument.value}{end}" for end in ("a", "b", "c")], total=3, has_more=False)


# --- what the SDK leaves to its users --------------------------------------------------------


class Events(EventStore):
    """What was said on each stream, so that it can be said again; kept for the life of this process."""

    def __init__(self) -> None:
        self._said: dict[str, list[types.JSONRPCMessage | None]] = defaultdict(list)

    async def store_event(self, stream_id: str, message: types.JSONRPCMessage | None) -> str:
        said = self._said[stream_id]
        said.append(message)
        return f"{len(said)}@{stream_id}"

    async def replay_events_after(self, last_event_id: str, send_callback: EventCallback) -> str | None:
        count, _, stream_id = last_event_id.partition("@")
        if stream_id not in self._said or not count.isdigit():
            return None
        for place, message in enumerate(self._said[stream_id][int(count) :], int(count) + 1):
            if message is not None:
                await send_callback(EventMessage(message, f"{place}@{stream_id}"))
        return stream_id


async def take(_: ServerRequestContext, params: types.RequestParams) -> types.EmptyResult:
    """Take a log level or a subscription: this process says the same to everybody."""
    del params
    return types.EmptyResult()


def make_server() -> MCPServer:
    """Return the server with all that the suite asks for."""
    made = MCPServer(
        "conformance-fixture",
        version="1.0.0",
        log_level="ERROR",
        request_state_security=RequestStateSecurity(keys=[b"a key for a fixture, known to everybody"]),
    )
    for tool in (*ALONE, *asking.TOOLS):
        made.add_tool(tool, structured_output=False)
    shown = Tool.from_function(json_schema_2020_12_tool).model_copy(update={"parameters": SCHEMA})
    made._tool_manager._tools[shown.name] = shown  # pyright: ignore[reportPrivateUsage]  # no public way to give a schema
    for prompt in (*PROMPTS, asking.test_input_required_result_prompt):
        made.prompt()(prompt)
    made.completion()(complete)
    made.resource("test://static-text", mime_type="text/plain")(static_text)
    made.resource("test://static-binary", mime_type="image/png")(static_binary)
    made.resource("test://watched-resource", mime_type="text/plain")(watched)
    made.resource("test://template/{id}/data", mime_type="application/json")(template)
    low = made._lowlevel_server  # pyright: ignore[reportPrivateUsage]
    low.add_request_handler("logging/setLevel", types.SetLevelRequestParams, take)
    low.add_request_handler("resources/subscribe", types.SubscribeRequestParams, take)
    low.add_request_handler("resources/unsubscribe", types.UnsubscribeRequestParams, take)
    return made


def static_text() -> str:
    """A text."""
    return "This is the content of the static text resource."


def static_binary() -> bytes:
    """An image."""
    return base64.b64decode(PNG)


def watched() -> str:
    """A text that can be watched."""
    return "Watched resource content"


def template(id: str) -> str:  # noqa: A002 - the template's word
    """A resource for each id."""
    return orjson.dumps({"id": id, "templateTest": True, "data": f"Data for ID: {id}"}).decode()


ALONE: Final = (
    a_first_tool,
    test_simple_text,
    test_image_content,
    test_audio_content,
    test_embedded_resource,
    test_multiple_content_types,
    test_error_handling,
    test_tool_with_logging,
    test_logging_tool,
    test_tool_with_progress,
    test_x_mcp_header,
    test_reconnection,
    test_trigger_tool_change,
    test_trigger_prompt_change,
)
PROMPTS: Final = (
    test_simple_prompt,
    test_prompt_with_arguments,
    test_prompt_with_embedded_resource,
    test_prompt_with_image,
)

server = make_server()


async def serve_http() -> None:
    """Serve on a free loopback port; h11 reads header values as RFC 9110 wants, blanks around them left out."""
    app = server.streamable_http_app(event_store=Events(), retry_interval=RETRY_MS)
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(128)
    print(f"PORT {listener.getsockname()[1]}", flush=True)
    await uvicorn.Server(uvicorn.Config(app, http="h11", log_level="error", access_log=False)).serve([listener])


if __name__ == "__main__":
    anyio.run(server.run_stdio_async if sys.argv[1:] == ["stdio"] else serve_http)
