"""Registry entries: what a server.json may say, versions in order, pages."""

from dataclasses import replace
from typing import Any

import pytest

from gateway_policies.refusal import BadRequest
from mcp_registry.servers import (
    OFFICIAL,
    OWN,
    PUBLISHER,
    SCHEMA_ID,
    Query,
    ServerEntry,
    latest_of,
    list_document,
    problems_with,
    read_query,
    shown_entry,
    version_key,
    versions_document,
    with_gateway_remotes,
)

GOOD: dict[str, Any] = {
    "$schema": SCHEMA_ID,
    "name": "io.example/weather",
    "description": "Weather of everywhere.",
    "title": "Weather",
    "version": "1.2.0",
    "websiteUrl": "https://example.io",
    "repository": {"url": "https://git.example/w", "source": "github"},
    "icons": [{"src": "https://example.io/i.png"}],
    "packages": [
        {"registryType": "npm", "identifier": "@x/w", "transport": {"type": "stdio"}},
        {"registryType": "mcpb", "identifier": "w", "fileSha256": "a" * 64, "transport": {"type": "sse"}},
    ],
    "remotes": [{"type": "streamable-http", "url": "https://w.example/mcp"}],
    "_meta": {PUBLISHER: {"build": 7}},
}


def test_a_whole_document_has_no_problem() -> None:
    assert problems_with(GOOD) == []
    assert problems_with({"name": "a/b", "description": "x", "version": "1"}) == []


MISTAKES: list[tuple[dict[str, Any], str]] = [
    ({"name": "no-namespace"}, "name"),
    ({"name": "a/" + "b" * 200}, "name"),
    ({"name": 7}, "name"),
    ({"version": "latest"}, "version"),
    ({"version": "^1.0.0"}, "version"),
    ({"version": "1.x || 2"}, "version"),
    ({"version": "1" * 256}, "version"),
    ({"description": ""}, "description"),
    ({"description": "x" * 101}, "description"),
    ({"title": 7}, "title"),
    ({"$schema": "https://other"}, "$schema"),
    ({"websiteUrl": "javascript:alert(1)"}, "websiteUrl"),
    ({"repository": []}, "repository"),
    ({"repository": {"url": "https://x.example"}}, "repository"),
    ({"packages": {}}, "packages"),
    ({"packages": [{}] * 33}, "packages"),
    ({"packages": ["x"]}, "packages/0"),
    ({"packages": [{"registryType": "apt"}]}, "packages/0"),
    ({"packages": [{"registryType": []}]}, "packages/0"),
    ({"packages": [{"registryType": "npm", "identifier": "x", "transport": {"type": {}}}]}, "packages/0"),
    ({"remotes": [{"type": {}, "url": "https://x.example"}]}, "remotes/0"),
    ({"packages": [{"registryType": "npm"}]}, "packages/0"),
    ({"packages": [{"registryType": "mcpb", "identifier": "x"}]}, "packages/0"),
    ({"packages": [{"registryType": "npm", "identifier": "x", "fileSha256": "no"}]}, "packages/0"),
    ({"packages": [{"registryType": "npm", "identifier": "x"}]}, "packages/0"),
    ({"packages": [{"registryType": "npm", "identifier": "x", "transport": {"type": "tcp"}}]}, "packages/0"),
    ({"remotes": [{"type": "stdio", "url": "https://x.example"}]}, "remotes/0"),
    ({"remotes": [{"type": "sse", "url": "file:///etc"}]}, "remotes/0"),
    ({"icons": [{"src": "http://x.example/i"}]}, "icons/0"),
    ({"_meta": []}, "_meta"),
    ({"_meta": {PUBLISHER: 7}}, "_meta"),
    ({"_meta": {PUBLISHER: {"x": "y" * 5000}}}, "_meta"),
    ({"_meta": {OFFICIAL: {"status": "active"}}}, "_meta"),
]


@pytest.mark.parametrize(("change", "place"), MISTAKES)
def test_each_mistake_is_named_with_its_place(change: dict[str, Any], place: str) -> None:
    (problem,) = problems_with({**GOOD, **change})
    assert problem.split(":")[0] == place


def test_what_is_no_object_is_one_problem() -> None:
    assert problems_with([GOOD]) == ["a server.json is an object"]


def entry(version: str, name: str = "io.example/weather", **more: Any) -> ServerEntry:
    at = float(more.pop("at", 0))
    document = {"name": name, "description": f"of {name}", "version": version}
    return replace(ServerEntry(document, "acme/ana", published_at=at, updated_at=at, status_at=at), **more)


def test_versions_are_ordered_as_semantic_ones() -> None:
    wanted = ["odd", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0", "1.2.0", "1.10.0+x"]
    mixed = [wanted[at] for at in (3, 0, 7, 5, 1, 6, 2, 4)]
    assert sorted(mixed, key=version_key) == wanted


def test_the_latest_is_the_highest_that_is_not_deleted() -> None:
    one, two, three = entry("1.2.0"), entry("1.10.0"), entry("2.0.0", status="deleted")
    assert latest_of([two, one, three]) is two
    assert latest_of([three]) is None
    odd = entry("nightly", at=5)
    assert latest_of([two, odd, one]) is odd


def names(document: Any) -> list[str]:
    return [f"{one['server']['name']}@{one['server']['version']}" for one in document["servers"]]


SOME = [
    entry("1.0.0", "b/two", at=10),
    entry("1.10.0", "a/one", at=30),
    entry("1.2.0", "a/one", at=20),
    entry("2.0.0", "a/one", status="deleted", status_message="leaks", at=40),
]


def test_a_list_is_by_name_and_version_without_what_is_deleted() -> None:
    assert names(list_document(SOME, Query())) == ["a/one@1.2.0", "a/one@1.10.0", "b/two@1.0.0"]
    assert names(list_document(SOME, Query(include_deleted=True)))[2] == "a/one@2.0.0"
    assert names(list_document(SOME, Query(version="latest"))) == ["a/one@1.10.0", "b/two@1.0.0"]
    assert names(list_document(SOME, Query(version="1.0.0"))) == ["b/two@1.0.0"]
    assert names(list_document(SOME, Query(search="TWO".casefold()))) == ["b/two@1.0.0"]
    assert names(list_document(SOME, read_query({"updated_since": "1970-01-01T00:00:30Z"}))) == [
        "a/one@1.10.0",
        "a/one@2.0.0",
    ]


def test_pages_join_to_the_whole_list() -> None:
    seen: list[str] = []
    asked = {"limit": "1"}
    for _ in range(4):
        page: Any = list_document(SOME, read_query(asked))
        seen += names(page)
        if "nextCursor" not in page["metadata"]:
            break
        asked["cursor"] = page["metadata"]["nextCursor"]
    assert seen == ["a/one@1.2.0", "a/one@1.10.0", "b/two@1.0.0"]


@pytest.mark.parametrize(
    "asked",
    [
        {"limit": "0"}, {"limit": "-1"}, {"limit": "x"}, {"limit": "1" * 9},
        {"updated_since": "yesterday"},
        {"cursor": "!"}, {"cursor": "bm8="}, {"cursor": "WzFd"}, {"cursor": "WzEsMl0="}, {"cursor": "é"},
    ],
)  # fmt: skip
def test_a_query_that_is_none_is_refused(asked: dict[str, str]) -> None:
    with pytest.raises(BadRequest):
        read_query(asked)


def test_a_limit_has_a_limit() -> None:
    assert (read_query({"limit": "5000"}).limit, read_query({}).limit) == (100, 30)
    assert read_query({"include_deleted": "true"}).include_deleted


def test_one_server_is_shown_newest_first_with_our_own_facts_apart() -> None:
    document: Any = versions_document(SOME[1:])
    assert names(document) == ["a/one@2.0.0", "a/one@1.10.0", "a/one@1.2.0"]
    shown: Any = shown_entry(SOME[3], is_latest=False)
    assert shown["_meta"] == {
        OFFICIAL: {
            "status": "deleted",
            "statusMessage": "leaks",
            "statusChangedAt": "1970-01-01T00:00:40.000Z",
            "publishedAt": "1970-01-01T00:00:40.000Z",
            "updatedAt": "1970-01-01T00:00:40.000Z",
            "isLatest": False,
        },
        OWN: {"owner": "acme/ana", "lifecycle": "deleted", "approval": "approved"},
    }


def test_remotes_are_endpoints_of_this_gateway() -> None:
    ours = "https://gw.example/servers/w/mcp"
    kept = with_gateway_remotes({**GOOD, "remotes": [*GOOD["remotes"], {"type": "sse", "url": ours}]}, [ours])
    assert kept["remotes"] == [{"type": "sse", "url": ours}]
    assert "remotes" not in with_gateway_remotes(GOOD, [ours])
