"""Discovery: what the gateway says of itself is what the SDK's types expect."""

import json

import pytest
from mcp_types.methods import validate_server_result
from msgspec import Raw

from mcp_registry.protocol import discover
from mcp_registry.protocol.discover import Server, merge_instructions, negotiate, require_method
from mcp_registry.protocol.errors import ProtocolError
from mcp_registry.protocol.versions import Era

SERVER = Server(
    info=Raw(b'{"name":"agent-gateway","version":"0.1.0"}'),
    instructions="be kind",
    capabilities={"tools": {"listChanged": True}},
)
BARE = Server(info=SERVER.info)


@pytest.mark.parametrize(
    ("asked", "spoken"),
    [
        ("2025-03-26", "2025-03-26"), ("2025-06-18", "2025-06-18"), ("2025-11-25", "2025-11-25"),
        ("2024-11-05", "2024-11-05"), ("2026-07-28", "2025-11-25"), ("x", "2025-11-25"), (None, "2025-11-25"),
        (["2025-03-26"], "2025-11-25"),
    ],
)  # fmt: skip
def test_a_version_we_speak_is_kept_and_any_other_becomes_our_newest(asked: object, spoken: str) -> None:
    assert negotiate(asked) == spoken


def test_initialize_is_answered_with_the_version_and_ourselves() -> None:
    result = json.loads(discover.initialize_result("2025-06-18", SERVER))
    assert result == {
        "protocolVersion": "2025-06-18",
        "capabilities": {"tools": {"listChanged": True}},
        "serverInfo": {"name": "agent-gateway", "version": "0.1.0"},
        "instructions": "be kind",
    }
    validate_server_result("initialize", "2025-06-18", result)
    bare = json.loads(discover.initialize_result("2025-06-18", BARE))
    assert (bare["capabilities"], "instructions" in bare) == ({"tools": {}}, False)


def test_tasks_are_offered_to_the_version_that_brought_them() -> None:
    server = Server(SERVER.info, capabilities={"tools": {}, "tasks": {"list": {}}})
    for version, offered in (("2025-11-25", {"tools", "tasks"}), ("2025-06-18", {"tools"}), ("2025-03-26", {"tools"})):
        assert json.loads(discover.initialize_result(version, server))["capabilities"].keys() == offered


def test_discover_is_answered_with_modern_versions_and_privately() -> None:
    result = json.loads(discover.discover_result(SERVER))
    assert result == {
        "resultType": "complete",
        "supportedVersions": ["2026-07-28"],
        "capabilities": {"tools": {"listChanged": True}},
        "instructions": "be kind",
        "ttlMs": 0,
        "cacheScope": "private",
        "_meta": {"io.modelcontextprotocol/serverInfo": {"name": "agent-gateway", "version": "0.1.0"}},
    }
    validate_server_result("server/discover", "2026-07-28", result)
    assert "instructions" not in json.loads(discover.discover_result(BARE))


@pytest.mark.parametrize(
    ("method", "era"),
    [
        ("initialize", "legacy"),
        ("ping", "legacy"),
        ("tools/call", "legacy"),
        ("server/discover", "modern"),
        ("tools/list", "modern"),
    ],
)
def test_a_method_of_the_era_passes(method: str, era: Era) -> None:
    require_method(method, era)


@pytest.mark.parametrize(
    ("method", "era", "status"),
    [
        ("ping", "modern", 404), ("initialize", "modern", 404), ("logging/setLevel", "modern", 404),
        ("resources/subscribe", "modern", 404), ("server/discover", "legacy", 200), ("nope", "legacy", 200),
    ],
)  # fmt: skip
def test_a_method_that_the_era_lacks_is_not_found(method: str, era: Era, status: int) -> None:
    with pytest.raises(ProtocolError) as caught:
        require_method(method, era)
    error = caught.value
    assert (error.rpc_code, error.http_status, error.message) == (-32601, status, f"no method `{method}` here")


def test_instructions_are_shown_under_their_upstreams_name() -> None:
    parts = [("git", " commit often "), ("empty", "  "), ("none", None), ("time", "mind the zone")]
    assert merge_instructions(parts) == "## git\ncommit often\n## time\nmind the zone"
    assert merge_instructions([("git", "commit often")]) == "commit often"
    assert merge_instructions([("git", None)]) is None
    assert merge_instructions([]) is None


def test_instructions_are_bounded_one_by_one_and_together() -> None:
    assert merge_instructions([("a", "x" * 5000)]) == "x" * 4096
    merged = merge_instructions([(f"u{n}", "x" * 5000) for n in range(20)])
    assert merged is not None
    assert len(merged) <= 32_768
    assert merged.count("## ") == 7
