"""Results of prompts, resources and completions in the words of each reader."""

import json
from typing import Any

import pytest
from mcp_types.methods import validate_server_result
from msgspec import Raw

from gateway_policies.refusal import UpstreamFailed
from mcp_registry.protocol.results import Reader, read_result, with_uri_prefix

INFO = Raw(b'{"name":"agent-gateway","version":"1"}')
MODERN = Reader("modern", "2026-07-28", INFO)
LEGACY = Reader("legacy", "2025-11-25", INFO)
OLD = Reader("legacy", "2025-03-26", INFO)
OLDEST = Reader("legacy", "2024-11-05", INFO)
LINK = {"type": "resource_link", "uri": "x:y", "name": "n", "title": "T"}


def made(method: str, result: object, source: Any, reader: Reader) -> Any:
    raw = Raw(result if isinstance(result, bytes) else json.dumps(result).encode())
    return json.loads(bytes(read_result(method, raw, source, reader)))


@pytest.mark.parametrize(
    ("hints", "source", "expected"),
    [
        ({}, "legacy", (0, "private")),
        ({"ttlMs": 9, "cacheScope": "public"}, "legacy", (0, "private")),
        ({"ttlMs": 9, "cacheScope": "public", "resultType": "complete"}, "modern", (9, "private")),
        ({"ttlMs": 9, "cacheScope": "private", "resultType": "complete"}, "modern", (9, "private")),
        ({"resultType": "complete"}, "modern", (0, "private")),
        ({"ttlMs": True, "cacheScope": "private"}, "modern", (0, "private")),
        ({"ttlMs": "9"}, "modern", (0, "private")),
    ],
)
def test_what_was_read_is_for_one_caller_for_as_long_as_the_upstream_says(
    hints: dict[str, Any], source: str, expected: tuple[int, str]
) -> None:
    found = made("resources/read", {"contents": [{"uri": "x:y", "text": "t"}], **hints}, source, MODERN)
    assert (found["ttlMs"], found["cacheScope"], found["resultType"]) == (*expected, "complete")
    validate_server_result("resources/read", "2026-07-28", found)


def test_what_needs_no_change_is_the_same_object() -> None:
    raw = Raw(b'{"contents":[],"ttlMs":1,"cacheScope":"private","resultType":"complete","_meta":{}}')
    assert read_result("resources/read", raw, "modern", MODERN) is raw
    plain = Raw(b'{"messages":[],"ttlMs":1}')
    assert read_result("prompts/get", plain, "legacy", LEGACY) is plain
    assert read_result("prompts/get", plain, "legacy", OLD) is plain
    assert with_uri_prefix(Raw(b'{"contents":[]}'), "p+") == Raw(b'{"contents":[]}')


def test_an_interim_answer_is_no_answer_to_keep() -> None:
    asked = {"resultType": "input_required", "requestState": "s"}
    assert "cacheScope" not in made("resources/read", asked, "modern", MODERN)
    with pytest.raises(UpstreamFailed):
        made("resources/read", asked, "modern", LEGACY)
    assert made("resources/read", asked, "legacy", MODERN)["cacheScope"] == "private"


@pytest.mark.parametrize("method", ["prompts/get", "resources/read", "completion/complete"])
def test_legacy_readers_lose_what_is_modern(method: str) -> None:
    modern: dict[str, Any] = {
        "resultType": "complete",
        "ttlMs": 5,
        "cacheScope": "public",
        "kept": None,
        "_meta": {"io.modelcontextprotocol/serverInfo": {}, "x": 1},
    }
    assert made(method, modern, "modern", LEGACY) == {"kept": None, "_meta": {"x": 1}}


def test_what_an_old_reader_does_not_know_in_a_prompt_becomes_text() -> None:
    messages = [
        {"role": "user", "content": LINK, "x": None},
        {"role": "user", "content": {"type": "audio", "data": ""}},
        {"role": "user"},
    ]
    texts = made("prompts/get", {"messages": messages}, "legacy", OLDEST)["messages"]
    assert texts[0] == {"role": "user", "content": {"type": "text", "text": "T n x:y"}, "x": None}
    assert texts[1]["content"]["text"].startswith("(audio")
    assert texts[2] == {"role": "user"}
    assert made("prompts/get", {"messages": messages}, "modern", LEGACY)["messages"] == messages
    assert made("prompts/get", {"messages": messages}, "modern", OLD)["messages"][1] == messages[1]
    assert made("completion/complete", {"messages": messages}, "legacy", OLD)["messages"] == messages


@pytest.mark.parametrize("messages", [7, [7], {}, None])
def test_messages_that_are_none_are_left_alone(messages: object) -> None:
    assert made("prompts/get", {"messages": messages}, "legacy", OLD) == {"messages": messages}


def test_uris_get_the_prefix_under_which_they_are_shown() -> None:
    raw = Raw(b'{"contents":[{"uri":"x:a","n":1.0},{"text":"t"}],"z":null}')
    assert bytes(with_uri_prefix(raw, "gw+u+")) == b'{"contents":[{"uri":"gw+u+x:a","n":1.0},{"text":"t"}],"z":null}'
    for odd in (b'{"contents":7}', b'{"contents":[7]}', b'{"contents":[{"uri":7}]}', b"{}"):
        assert with_uri_prefix(Raw(odd), "p+") == Raw(odd)


@pytest.mark.parametrize("result", [b"[]", b"7", b"null"])
def test_a_result_that_is_no_object_is_the_upstreams_failure(result: bytes) -> None:
    with pytest.raises(UpstreamFailed):
        read_result("resources/read", Raw(result), "modern", MODERN)
