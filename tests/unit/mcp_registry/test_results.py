"""Results across eras: what must change changes, and nothing else does."""

import json
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from mcp_types.methods import validate_server_result
from msgspec import Raw

from gateway_policies.refusal import UpstreamFailed
from mcp_registry.protocol.results import Page, Reader, call_result, legacy_tool, list_result
from mcp_registry.protocol.versions import META_SERVER_INFO, Era

INFO = Raw(b'{"name":"agent-gateway","version":"1"}')
MODERN = Reader("modern", "2026-07-28", INFO)
LEGACY = Reader("legacy", "2025-11-25", INFO)
OLD = Reader("legacy", "2025-03-26", INFO)
OLDEST = Reader("legacy", "2024-11-05", INFO)
OURS = b'"_meta":{"io.modelcontextprotocol/serverInfo":{"name":"agent-gateway","version":"1"}}'
LINK = b'{"type":"resource_link","name":"n","uri":"file:///a","title":"T"}'


def translated(result: bytes, source: Era, reader: Reader) -> bytes:
    return bytes(call_result(Raw(result), source, reader))


@pytest.mark.parametrize(
    ("result", "source", "reader"),
    [
        (b'{"content":[],"x":null}', "legacy", LEGACY),
        (b'{"content":[],"structuredContent":[1]}', "legacy", LEGACY),
        (b'{"resultType":"complete","content":[],"_meta":{"a":1}}', "modern", MODERN),
        (b'{"content":[{"type":"text","text":"x"},{"no":"type"},7]}', "legacy", OLD),
        (b'{"content":"no list"}', "modern", LEGACY),
        (b'{"content":[],"structuredContent":{"a":1},"_meta":{"a":1}}', "modern", LEGACY),
        (b"{}", "modern", LEGACY),
    ],
)
def test_a_result_that_may_be_read_as_it_is_is_the_same_object(result: bytes, source: Era, reader: Reader) -> None:
    raw = Raw(result)
    assert call_result(raw, source, reader) is raw


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (b"{}", b'{"resultType":"complete",' + OURS + b"}"),
        (b'{ "content" : [1.0] }', b'{"resultType":"complete",' + OURS + b',"content" : [1.0] }'),
        (b'{"_meta":{"a":null}}', b'{"resultType":"complete","_meta":{"a":null}}'),
        (b'{"resultType":"task","a":1e3,"_meta":{}}', b'{"resultType":"complete","a":1e3,"_meta":{}}'),
    ],
)
def test_a_modern_reader_gets_what_a_legacy_server_did_not_say(result: bytes, expected: bytes) -> None:
    assert translated(result, "legacy", MODERN) == expected
    json.loads(expected)


def test_a_modern_result_gets_our_name_when_it_bears_none() -> None:
    assert translated(b'{"resultType":"complete","content":[]}', "modern", MODERN) == (
        b"{" + OURS + b',"resultType":"complete","content":[]}'
    )


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (b'{"resultType":"complete","ttlMs":5,"cacheScope":"public","content":[ 1.0 ]}', b'{"content":[ 1.0 ]}'),
        (b'{"_meta":{"io.modelcontextprotocol/serverInfo":{}}}', b"{}"),
        (b'{"_meta":{"io.modelcontextprotocol/serverInfo":{},"a":1.0}}', b'{"_meta":{"a":1.0}}'),
        (b'{"_meta":7}', b"{}"),
        (
            b'{"content":[{"type":"image","data":""}],"structuredContent":[1, 2]}',
            b'{"content":[{"type":"image","data":""},{"type":"text","text":"[1, 2]"}]}',
        ),
        (
            b'{"content":[{"type":"text","text":"said"}],"structuredContent":3}',
            b'{"content":[{"type":"text","text":"said"}]}',
        ),
        (b'{"content":[],"structuredContent":null}', b'{"content":[]}'),
        (b'{"structuredContent":"s"}', b'{"content":[{"type":"text","text":"\\"s\\""}]}'),
    ],
)
def test_a_legacy_reader_gets_no_modern_member(result: bytes, expected: bytes) -> None:
    assert json.loads(translated(result, "modern", LEGACY)) == json.loads(expected)


@pytest.mark.parametrize("source", ["legacy", "modern"])
def test_a_link_becomes_text_for_a_reader_older_than_links(source: Era) -> None:
    result = b'{"content":[%b,{"type":"text","text":"x"}]}' % LINK
    assert translated(result, source, LEGACY) == result
    assert translated(result, source, OLD) == (
        b'{"content":[{"type":"text","text":"T n file:///a"},{"type":"text","text":"x"}]}'
    )


def test_audio_becomes_text_for_a_reader_older_than_audio() -> None:
    result = b'{"content":[{"type":"audio","data":"","mimeType":"audio/wav"}]}'
    assert translated(result, "legacy", OLD) == result
    assert json.loads(translated(result, "legacy", OLDEST))["content"][0]["type"] == "text"


@pytest.mark.parametrize("result", [b"[]", b"null", b'"x"', b"{"])
@pytest.mark.parametrize("reader", [MODERN, LEGACY])
def test_a_result_that_is_no_object_is_the_upstreams_failure(result: bytes, reader: Reader) -> None:
    with pytest.raises(UpstreamFailed) as caught:
        call_result(Raw(result), "legacy", reader)
    assert caught.value.code == "bad_result"


@pytest.mark.parametrize(
    ("kind", "reader"),
    [
        *((kind, MODERN) for kind in (b'"task"', b'"x"', b"null", b"7")),
        *((kind, LEGACY) for kind in (b'"input_required"', b'"task"', b'"x"', b"null", b"7")),
    ],
)
def test_a_result_of_a_kind_its_reader_cannot_know_is_not_relayed(kind: bytes, reader: Reader) -> None:
    with pytest.raises(UpstreamFailed) as caught:
        call_result(Raw(b'{"resultType":%b}' % kind), "modern", reader)
    assert caught.value.code == "unsupported_result"


@pytest.mark.parametrize(
    ("kind", "reader"), [(b'"input_required"', MODERN), (b'"task"', replace(MODERN, takes_any=True))]
)
def test_a_result_of_a_kind_its_reader_may_know_passes(kind: bytes, reader: Reader) -> None:
    result = json.loads(bytes(call_result(Raw(b'{"resultType":%b,"x":null}' % kind), "modern", reader)))
    assert result == {"resultType": json.loads(kind), "x": None, "_meta": {META_SERVER_INFO: json.loads(bytes(INFO))}}
    legacy = json.loads(bytes(call_result(Raw(b'{"resultType":%b}' % kind), "legacy", reader)))
    assert legacy["resultType"] == "complete"


def test_a_translated_result_is_valid_to_the_sdk() -> None:
    result = b'{"content":[{"type":"text","text":"x"}]}'
    validate_server_result("tools/call", "2026-07-28", json.loads(translated(result, "legacy", MODERN)))
    validate_server_result("tools/call", "2025-11-25", json.loads(translated(result, "modern", LEGACY)))


# --- ours ----------------------------------------------------------------------------------


def test_a_list_says_what_its_reader_needs() -> None:
    items = b'[{"name":"a","inputSchema":{"type":"object"}}]'
    modern: dict[str, Any] = json.loads(list_result(Page(items, "tools", "", "git is down", 7), MODERN))
    assert modern == {
        "tools": [{"name": "a", "inputSchema": {"type": "object"}}],
        "nextCursor": "",
        "resultType": "complete",
        "ttlMs": 7,
        "cacheScope": "private",
        "_meta": {
            "agent-gateway/degraded": "git is down",
            "io.modelcontextprotocol/serverInfo": {"name": "agent-gateway", "version": "1"},
        },
    }
    validate_server_result("tools/list", "2026-07-28", modern)
    assert list_result(Page(items, "prompts"), LEGACY) == b'{"prompts":%b}' % items
    assert json.loads(list_result(Page(b"[]", degraded="d"), LEGACY)) == {
        "tools": [],
        "_meta": {"agent-gateway/degraded": "d"},
    }


def test_a_legacy_reader_never_sees_an_output_schema_that_is_no_objects() -> None:
    for kept in (b'{"name":"a"}', b'{"name":"a","outputSchema":{"type":"object", "x":1.0}}'):
        raw = Raw(kept)
        assert legacy_tool(raw) is raw
    for schema in (b'{"type":"array"}', b"{}", b"true", b"7"):
        assert bytes(legacy_tool(Raw(b'{"name":"a","outputSchema":%b,"x":1.0}' % schema))) == b'{"name":"a","x":1.0}'
    with pytest.raises(msgspec.DecodeError):
        legacy_tool(Raw(b"[]"))
