"""The stub upstream: both variants serve an independent client of either era, and answer the same bytes."""

import http.client
import json
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from mcp import Client
from mcp_types import TextContent

from demos.bench import serving, upstream

MODERN = (
    '{"jsonrpc":"2.0","method":"%s","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}},"id":7}'
)
HANDSHAKE = '{"jsonrpc":"2.0","id":%s,"method":"%s","params":{"protocolVersion":"2025-06-18"}}'
MESSAGES = [
    *(MODERN % method for method in ("tools/call", "tools/list", "server/discover", "initialize", "ping", "nonsense")),
    *(HANDSHAKE % ("1", method) for method in ("tools/call", "tools/list", "initialize", "ping", "server/discover")),
    *(HANDSHAKE % (message_id, "ping") for message_id in ('"a \\" b"', "18446744073709551617", "null")),
    '{"jsonrpc": "2.0", "id": 5, "method": "initialize"}',
    '{"jsonrpc":"2.0","method":"tools/call","params":{"arguments":{"id":1,"method":"x","text":"\\"}{"}},"id":"last"}',
    '{"jsonrpc":"2.0","method":"notifications/initialized"}',
    HANDSHAKE % ("9", "ping") + " " * 100_000,
]


def _start(where: Path, variant: upstream.Variant) -> upstream.Stub:
    try:
        return upstream.start(where, core=None, variant=variant)
    except serving.Missing as missing:
        pytest.skip(f"stub in {variant}: {missing}")


@pytest.fixture(params=["c", "python"])
def stub(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[upstream.Stub]:
    started = _start(tmp_path, request.param)
    yield started
    serving.stop(started.server)


@pytest.mark.parametrize("path", ["", "-sse"])
@pytest.mark.parametrize(("mode", "version"), [("auto", "2026-07-28"), ("legacy", "2025-11-25")])
async def test_the_sdk_client_finds_and_calls_the_tool(stub: upstream.Stub, path: str, mode: str, version: str) -> None:
    with anyio.fail_after(20):
        async with Client(stub.url + path, mode=mode) as client:
            listed = await client.list_tools()
            result = await client.call_tool("echo", {"text": "hi"})
            spoken = client.session.protocol_version

    assert spoken == version
    assert [tool.name for tool in listed.tools] == ["echo"]
    assert not result.is_error
    assert isinstance(result.content[0], TextContent)
    assert result.content[0].text.startswith(upstream.STUB_TEXT)


def test_modern_answers_carry_what_the_era_requires(stub: upstream.Stub) -> None:
    for method in ("server/discover", "tools/list"):
        result = json.loads(_post(stub, "/mcp", MODERN % method)[2])["result"]

        assert result["resultType"] == "complete"
        assert (result["ttlMs"], result["cacheScope"]) == (60_000, "public")
    assert json.loads(_post(stub, "/mcp", MODERN % "tools/call")[2])["result"]["resultType"] == "complete"


def test_handshake_answers_carry_no_modern_members(stub: upstream.Stub) -> None:
    for method in ("tools/list", "tools/call"):
        assert "resultType" not in json.loads(_post(stub, "/mcp", HANDSHAKE % ("1", method))[2])["result"]


def test_the_id_comes_back_as_it_was_written(stub: upstream.Stub) -> None:
    for message_id in ("1", '"x-1"', "18446744073709551617"):
        assert f'"id":{message_id},'.encode() in _post(stub, "/mcp", HANDSHAKE % (message_id, "tools/call"))[2]


def test_a_notification_is_accepted_without_an_answer(stub: upstream.Stub) -> None:
    status, _, body = _post(stub, "/mcp", '{"jsonrpc":"2.0","method":"notifications/initialized"}')

    assert (status, body) == (202, b"")


def test_both_variants_answer_the_same_bytes(tmp_path: Path) -> None:
    homes = {"c": tmp_path / "c", "python": tmp_path / "python"}
    for home in homes.values():
        home.mkdir()
    compiled = _start(homes["c"], "c")
    written = _start(homes["python"], "python")
    try:
        for path in ("/mcp", "/mcp-sse"):
            for message in MESSAGES:
                assert _post(compiled, path, message) == _post(written, path, message), message
        assert _ask(compiled, "GET", "/mcp", None) == _ask(written, "GET", "/mcp", None)
        assert _ask(compiled, "GET", "/mcp", None)[0] == 405
    finally:
        serving.stop(compiled.server)
        serving.stop(written.server)


def test_the_stub_ends_when_the_one_who_started_it_goes_away(stub: upstream.Stub) -> None:
    assert stub.server.process.stdin is not None
    stub.server.process.stdin.close()

    assert stub.server.process.wait(10) == 0


def _post(stub: upstream.Stub, path: str, body: str) -> tuple[int, list[tuple[str, str]], bytes]:
    return _ask(stub, "POST", path, body)


def _ask(stub: upstream.Stub, method: str, path: str, body: str | None) -> tuple[int, list[tuple[str, str]], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", stub.port, timeout=10)
    try:
        connection.request(method, path, body)
        response = connection.getresponse()
        return response.status, sorted(response.getheaders()), response.read()
    finally:
        connection.close()
