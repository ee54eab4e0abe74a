"""The registry interface: searched, listed and counted is what was handed in, and nothing else."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from a2a_gateway.ard import (
    Browse,
    Search,
    browse,
    error,
    explore,
    read_browse,
    read_explore,
    read_search,
    search,
)
from a2a_gateway.directory import Entry, Publisher
from gateway_policies.refusal import BadRequest, Forbidden, NotFound, OverRate, Unauthenticated, Unavailable

PUBLISHER = Publisher("gw.example", "Acme", "https://gw.example/registry")


def entry(kind: Any, name: str, description: str = "", **members: Any) -> Entry:
    return Entry(
        kind, name, members.pop("display_name", name.title()), f"https://gw.example/{name}",
        f"https://gw.example/{name}/card", description, **members,
    )  # fmt: skip


ENTRIES = [
    entry("agent", "planner", "Plans trips and books flights", tags=("travel",), updated_at="2026-11-02T00:00:00Z"),
    entry(
        "server",
        "weather",
        "Forecasts",
        capabilities=("getForecast", "current_weather"),
        updated_at="2026-11-01T00:00:00Z",
    ),
    entry("server", "git", "Commits and logs; not about weather at all", tags=("code",)),
]


def asked(text: str = "", **members: Any) -> Search:
    return read_search(json.dumps({"query": {"text": text}, **members}).encode())


def names(document: Any, member: str = "results") -> list[str]:
    return [one["displayName"] for one in document[member]]


@pytest.mark.requirement("a2a.registry-search")
def test_the_best_match_comes_first_with_a_score() -> None:
    page = search(PUBLISHER, ENTRIES, asked("weather forecast tools"))
    assert names(page.document) == ["Weather", "Git"]
    results: Any = page.document["results"]
    assert all(isinstance(one["score"], int) and 1 <= one["score"] <= 100 for one in results)
    assert results[0]["score"] > results[1]["score"]
    assert {one["source"] for one in results} == {"https://gw.example/registry"}
    assert page.next_offset is None


def test_words_are_found_in_names_of_every_spelling() -> None:
    for text in ("GetForecast", "get_forecast", "FORECASTS", "current weather", "forecast!"):
        assert names(search(PUBLISHER, ENTRIES, asked(text)).document)[0] == "Weather"
    assert names(search(PUBLISHER, ENTRIES, asked("nothing like it zzz")).document) == []
    assert names(search(PUBLISHER, [], asked("weather")).document) == []
    assert names(search(PUBLISHER, ENTRIES, asked("!!!")).document) == []


@pytest.mark.requirement("a2a.registry-search")
@pytest.mark.parametrize(
    ("constraint", "found"),
    [
        ({"type": ["application/mcp-server-card+json"]}, ["Weather", "Git"]),
        ({"type": "application/a2a-agent-card+json"}, []),
        ({"tags": ["code", "travel"]}, ["Git"]),
        ({"publisher": ["gw.example"]}, ["Weather", "Git"]),
        ({"publisher": ["other.example"]}, []),
        ({"metadata.region": ["eu"]}, []),
        ({"tags": ["code"], "type": ["application/a2a-agent-card+json"]}, []),
        ({"tags": []}, []),
    ],
)
def test_constraints_narrow_a_search(constraint: Any, found: list[str]) -> None:
    wanted = read_search(json.dumps({"query": {"text": "weather", "filter": constraint}}).encode())
    assert names(search(PUBLISHER, ENTRIES, wanted).document) == found


def test_pages_hold_each_match_once() -> None:
    first = search(PUBLISHER, ENTRIES, asked("weather", pageSize=1))
    assert first.next_offset == 1
    assert first.with_token("sealed")["pageToken"] == "sealed"
    second = search(PUBLISHER, ENTRIES, asked("weather", pageSize=1, pageToken="sealed"), 1)
    assert (names(first.document), names(second.document), second.next_offset) == (["Weather"], ["Git"], None)
    assert names(search(PUBLISHER, ENTRIES, asked("weather"), 99).document) == []


REFUSED: list[Any] = [
    [], 7, {}, {"query": "x"}, {"query": {}}, {"query": {"text": " "}}, {"query": {"text": 7}},
    {"query": {"text": "x" * 2001}}, {"query": {"text": "x", "other": 1}}, {"query": {"text": "x"}, "other": 1},
    {"query": {"text": "x"}, "federation": "all"}, {"query": {"text": "x"}, "pageSize": 0},
    {"query": {"text": "x"}, "pageSize": True}, {"query": {"text": "x"}, "pageSize": "5"},
    {"query": {"text": "x"}, "pageToken": 7}, {"query": {"text": "x", "filter": []}},
    {"query": {"text": "x", "filter": {"type": [7]}}}, {"query": {"text": "x", "filter": {"type": {}}}},
    {"query": {"text": "x", "filter": {"type": ["x"] * 101}}},
    {"query": {"text": "x", "filter": {str(n): "x" for n in range(17)}}},
]  # fmt: skip


@pytest.mark.parametrize("body", REFUSED)
def test_a_search_is_read_strictly(body: Any) -> None:
    with pytest.raises(BadRequest):
        read_search(json.dumps(body).encode())


def test_a_search_of_another_federation_is_answered_from_here() -> None:
    for federation in ("auto", "referrals", "none"):
        assert asked("x", federation=federation, pageSize=1000, pageToken=None).page_size == 100
    with pytest.raises(BadRequest):
        read_search(b'{"query":{"text":"a"},"query":{"text":"b"}}')


@pytest.mark.requirement("a2a.registry-search")
@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, ["Git", "Planner", "Weather"]),
        ({"orderBy": "displayName DESC"}, ["Weather", "Planner", "Git"]),
        ({"orderBy": "updatedAt"}, ["Git", "Weather", "Planner"]),
        ({"filter": "type = 'application/a2a-agent-card+json'"}, ["Planner"]),
        (
            {"filter": "type = 'application/a2a-agent-card+json, application/mcp-server-card+json'"},
            ["Git", "Planner", "Weather"],
        ),
        ({"filter": 'displayName = "WEA"'}, ["Weather"]),
        ({"filter": "publisherId = gw.example and updatedAfter > '2026-11-01T12:00:00Z'"}, ["Planner"]),
        ({"filter": "updatedAfter = 2026-11-01"}, ["Planner", "Weather"]),
        ({"filter": " "}, ["Git", "Planner", "Weather"]),
        ({"pageSize": "2"}, ["Git", "Planner"]),
    ],
)
def test_entries_are_listed_in_order(query: dict[str, str], found: list[str]) -> None:
    page = browse(PUBLISHER, ENTRIES, read_browse(query))
    assert names(page.document, "items") == found
    total = page.document["total"]
    assert total == (3 if "pageSize" in query else len(found))
    assert page.next_offset == (2 if "pageSize" in query else None)


@pytest.mark.parametrize(
    "query",
    [
        {"filter": "nonsense"}, {"filter": "createdAfter > '2026'"}, {"filter": "type > 'x'"},
        {"filter": "type = 'x' OR x"},
        {"filter": "x" * 1001}, {"orderBy": "url"}, {"orderBy": "displayName SIDEWAYS"}, {"pageSize": "x"},
        {"pageSize": "0"}, {"pageSize": "-1"}, {"pageSize": "999999"},
    ],
)  # fmt: skip
def test_a_listing_is_read_strictly(query: dict[str, str]) -> None:
    with pytest.raises(BadRequest):
        read_browse(query)


def test_a_token_is_passed_on() -> None:
    wanted = read_browse({"pageToken": "t"})
    assert isinstance(wanted, Browse)
    assert wanted.page_token == "t"


def test_values_are_counted() -> None:
    body = {"resultType": {"facets": [{"field": "type"}, {"field": "tags", "limit": 1}, {"field": "type.x"}]}}
    assert explore(PUBLISHER, ENTRIES, read_explore(json.dumps(body).encode())) == {
        "resultType": "facets",
        "facets": {
            "type": {
                "buckets": [
                    {"value": "application/mcp-server-card+json", "count": 2},
                    {"value": "application/a2a-agent-card+json", "count": 1},
                ]
            },
            "tags": {"buckets": [{"value": "code", "count": 1}], "otherCount": 1},
            "type.x": {"buckets": []},
        },
    }
    narrowed = {"query": {"text": "weather"}, "resultType": {"facets": [{"field": "publisher", "minCount": 2}]}}
    assert explore(PUBLISHER, ENTRIES, read_explore(json.dumps(narrowed).encode()))["facets"] == {
        "publisher": {"buckets": [{"value": "gw.example", "count": 2}]}
    }


@pytest.mark.parametrize(
    "body",
    [{}, {"resultType": {}}, {"resultType": {"facets": []}}, {"resultType": {"facets": [7]}}, {"query": 7},
     {"resultType": {"facets": [{"field": ""}]}}, {"resultType": {"facets": [{"field": "x", "limit": 0}]}},
     {"resultType": {"facets": [{"field": "x"}] * 17}}],
)  # fmt: skip
def test_an_exploration_is_read_strictly(body: Any) -> None:
    with pytest.raises(BadRequest):
        read_explore(json.dumps(body).encode())


@pytest.mark.parametrize(
    ("refusal", "status", "code"),
    [
        (BadRequest("x"), 400, "INVALID_ARGUMENT"), (Unauthenticated("x"), 401, "UNAUTHENTICATED"),
        (Forbidden("x"), 403, "PERMISSION_DENIED"), (NotFound("x"), 404, "NOT_FOUND"),
        (OverRate("x"), 429, "RATE_LIMIT_EXCEEDED"), (Unavailable("x"), 503, "INTERNAL_ERROR"),
    ],
)  # fmt: skip
def test_a_refusal_has_the_registry_s_form(refusal: Any, status: int, code: str) -> None:
    assert error(refusal) == (status, {"errorCode": code, "message": "x"})


@given(text=st.text(max_size=60))
def test_any_text_may_be_searched_for(text: str) -> None:
    wanted = Search(text, ())
    results: Any = search(PUBLISHER, ENTRIES, wanted).document["results"]
    assert all(1 <= one["score"] <= 100 for one in results)
