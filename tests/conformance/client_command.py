"""The client that the suite tests: the gateway, with the SDK's client before it to make it call.

`python -m conformance.client_command URL`, in the environment that the suite sets. The
URL becomes the one upstream of a gateway in this process; what the scenario asks
of a client is asked of that gateway.
"""

import os
import sys
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import anyio
import mcp_types as types
import orjson
from mcp import Client, MCPError
from mcp.client import ClientRequestContext
from mcp.client.streamable_http import streamable_http_client
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from conformance import client_auth
from support.gateways import PUBLIC_URL, gateway
from support.scenes import FILES, world

PATH: Final = "/servers/up/mcp"
RUN_TIMEOUT_S: Final = 60.0

Drive = Callable[[Client], Awaitable[None]]


async def list_only(client: Client) -> None:
    await client.list_tools()


async def add(client: Client) -> None:
    await client.list_tools()
    await client.call_tool("add_numbers", {"a": 5, "b": 3})


def calling(*names: str) -> Drive:
    """Return what lists the tools and calls these, one after another, without arguments."""

    async def drive(client: Client) -> None:
        await client.list_tools()
        for name in names:
            await client.call_tool(name, {})

    return drive


async def echo_schema(client: Client) -> None:
    """Send a tool's schema back as an argument, so that the suite sees what became of it on the way."""
    listed = await client.list_tools()
    [shown] = [tool for tool in listed.tools if tool.name == "json_schema_2020_12_tool"]
    await client.call_tool("json_schema_echo", {"schema": shown.input_schema})


async def call_given(client: Client) -> None:
    """Make the calls that the suite hands over, as far as their tools are listed."""
    context = orjson.loads(os.environ.get("MCP_CONFORMANCE_CONTEXT") or "{}")
    names = {tool.name for tool in (await client.list_tools()).tools}
    for one in context.get("toolCalls", []):
        if one["name"] in names:
            with suppress(MCPError):
                await client.call_tool(one["name"], one.get("arguments") or {})


async def call_all(client: Client) -> None:
    """Call every tool that is listed, with the least that its schema asks for."""
    for tool in (await client.list_tools()).tools:
        with suppress(MCPError):
            await client.call_tool(tool.name, _least(tool.input_schema))


def _least(schema: Mapping[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = {"string": "x", "integer": 0, "number": 0, "boolean": False, "object": {}, "array": []}
    members = schema.get("properties", {})
    return {name: values.get(members.get(name, {}).get("type"), "x") for name in schema.get("required", [])}


DRIVES: Final[Mapping[str, Drive]] = {
    "initialize": list_only,
    "tools_call": add,
    "elicitation-sep1034-client-defaults": calling("test_client_elicitation_defaults"),
    "sse-retry": calling("test_reconnection"),
    "json-schema-2020-12-preservation": echo_schema,
    "json-schema-ref-no-deref": list_only,
    "request-metadata": add,
    "http-standard-headers": add,
    "http-custom-headers": call_given,
    "http-invalid-tool-headers": call_all,
    "sep-2322-client-request-state": calling(
        "test_mrtr_echo_state", "test_mrtr_unrelated", "test_mrtr_no_state", "test_mrtr_no_result_type"
    ),
}


async def accept(context: ClientRequestContext, params: types.ElicitRequestParams) -> types.ElicitResult:
    """Accept with the defaults of the form, and say yes to what is merely to be confirmed."""
    del context
    content: dict[str, Any] = {}
    if isinstance(params, types.ElicitRequestFormParams):
        for name, member in params.requested_schema.get("properties", {}).items():
            if "default" in member or member.get("type") == "boolean":
                content[name] = member.get("default", True)
    return types.ElicitResult(action="accept", content=content)


async def sample(context: ClientRequestContext, params: types.CreateMessageRequestParams) -> types.CreateMessageResult:
    del context, params
    said = types.TextContent(type="text", text="nothing")
    return types.CreateMessageResult(role="assistant", content=said, model="none")


async def no_roots(context: ClientRequestContext) -> types.ListRootsResult:
    del context
    return types.ListRootsResult(roots=[])


async def drive(url: str, scenario: str, version: str) -> None:
    """Put a gateway before the suite's server and make it call."""
    entry = f"  up: {{url: '{url}', allow_private: true, tools: {{'*': {{risk: 1}}}}}}\n"
    with tempfile.TemporaryDirectory() as folder, anyio.fail_after(RUN_TIMEOUT_S):
        async with (
            gateway(Path(folder), world([entry]), **FILES) as gate,
            gate.client(gate.token("planner", PATH)) as http,
            Client(
                streamable_http_client(PUBLIC_URL + PATH, http_client=http),
                mode="auto" if version in MODERN_PROTOCOL_VERSIONS else "legacy",
                elicitation_callback=accept,
                sampling_callback=sample,
                list_roots_callback=no_roots,
            ) as client,
        ):
            await DRIVES[scenario](client)


if __name__ == "__main__":
    environ = os.environ
    asked = (sys.argv[-1], environ["MCP_CONFORMANCE_SCENARIO"], environ["MCP_CONFORMANCE_PROTOCOL_VERSION"])
    if asked[1].startswith("auth/"):
        anyio.run(client_auth.drive, *asked, orjson.loads(environ.get("MCP_CONFORMANCE_CONTEXT") or "{}"))
    else:
        anyio.run(drive, *asked)
