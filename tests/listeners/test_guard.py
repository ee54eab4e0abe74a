"""The head of a request: what is let through, and what each refusal is called."""

import pytest

from agent_gateway.listeners.guard import (
    HeadRules,
    accepts,
    check_head,
    check_json_post,
    hosts_of,
    origin_of,
)
from gateway_policies.refusal import BadRequest

RULES = HeadRules(
    hosts=hosts_of("https://gw.acme.example", "127.0.0.1", 8080, ["alias.example"]),
    origins=frozenset({"https://console.acme.example"}),
    max_headers=8,
)
HOST = (b"host", b"gw.acme.example")


def refused(*headers: tuple[bytes, bytes], rules: HeadRules = RULES) -> str:
    with pytest.raises(BadRequest) as caught:
        check_head(headers, rules)
    return caught.value.code


@pytest.mark.parametrize(
    "host",
    [b"gw.acme.example", b"GW.ACME.example", b"alias.example", b"127.0.0.1:8080", b"localhost:8080", b"[::1]:8080"],
)
def test_a_host_from_the_list_is_served(host: bytes) -> None:
    assert check_head([(b"host", host)], RULES)[b"host"] == host


@pytest.mark.parametrize(
    "host", [b"evil.example", b"", b"gw.acme.example.evil.example", b"127.0.0.1:9", b"gw.acme.example@evil"]
)
def test_any_other_host_is_refused_so_that_a_rebound_name_reaches_nothing(host: bytes) -> None:
    assert refused((b"host", host)) == "bad_host"


def test_a_missing_host_is_refused() -> None:
    assert refused() == "bad_host"


@pytest.mark.parametrize(
    "name",
    [
        b"host",
        b"authorization",
        b"content-type",
        b"content-length",
        b"mcp-session-id",
        b"mcp-name",
        b"mcp-param-x",
        b"x-api-key",
    ],
)
def test_a_critical_header_given_twice_is_refused(name: bytes) -> None:
    assert refused(HOST, (name, b"1"), (name, b"2")) == "bad_request"


def test_an_ordinary_header_may_repeat_and_the_last_counts() -> None:
    assert check_head([HOST, (b"accept", b"a"), (b"accept", b"b")], RULES)[b"accept"] == b"b"


def test_a_name_with_an_underscore_is_not_read() -> None:
    assert b"x_agent" not in check_head([HOST, (b"x_agent", b"root")], RULES)


def test_too_many_headers_are_refused() -> None:
    assert refused(HOST, *[(b"x-%d" % n, b"") for n in range(8)]) == "headers_too_large"


def test_two_lengths_for_one_body_are_refused() -> None:
    assert refused(HOST, (b"content-length", b"1"), (b"transfer-encoding", b"chunked")) == "bad_request"


def test_a_browser_from_elsewhere_is_refused_and_our_own_is_served() -> None:
    assert refused(HOST, (b"origin", b"https://evil.example")) == "bad_origin"
    assert refused(HOST, (b"origin", b"null")) == "bad_origin"
    assert check_head([HOST, (b"origin", b"https://Console.acme.example")], RULES)


def test_only_plain_json_is_taken() -> None:
    check_json_post({b"content-type": b"Application/JSON; charset=utf-8"})
    for headers in (
        {},
        {b"content-type": b"text/plain"},
        {b"content-type": b"application/json", b"content-encoding": b"gzip"},
    ):
        with pytest.raises(BadRequest) as caught:
            check_json_post(headers)
        assert caught.value.code == "bad_content_type"


def test_accept_is_read_with_its_wildcards() -> None:
    stream = b"text/event-stream"
    assert accepts({}, stream)
    assert accepts({b"accept": b"application/json, Text/Event-Stream"}, stream)
    assert accepts({b"accept": b"*/*"}, stream)
    assert accepts({b"accept": b"text/*"}, stream)
    assert not accepts({b"accept": b"application/json"}, stream)


def test_the_origin_of_a_url_is_scheme_and_authority() -> None:
    assert origin_of("https://GW.example:8443/mcp") == "https://gw.example:8443"
