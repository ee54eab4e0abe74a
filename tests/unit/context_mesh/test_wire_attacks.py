"""Arguments that want more than a value: another path, another header, another host, another part."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from context_mesh.openapi.model import (
    ABSENT,
    NO_SCHEMA,
    Argument,
    Body,
    Encoding,
    Field,
    MediaType,
    Parameter,
    Server,
    ServerVariable,
)
from context_mesh.wire.address import MAX_URL_CHARS, Site, base_of, filled, origin_of, path_of
from context_mesh.wire.body import MAX_PARTS, encode_body
from context_mesh.wire.files import file_of
from context_mesh.wire.plan import MAX_HEADER_CHARS, Placing, Planned, Secret, plan
from context_mesh.wire.spelling import BadArgument
from gateway_policies.refusal import UpstreamUnreachable
from support.wire_table import BASE, operation, parameter

SITE = Site(BASE)


def call(one: Parameter, value: object, path: str = "/c", **more: Any) -> Planned:
    argument = Argument("v", parameter=one)
    return plan(operation(path, parameters=(one,)), {"v": value}, Placing(SITE, (argument,), **more), ())


CLIMBS = (
    "..", ".", "../admin", "a/../b", "..%2fadmin", "%2e%2e", "%252e%252e", "%25252e", "..\\x", "x/..", "a%5c..%5cb",
    "..;/admin", "..;x", "%2e%2e%3bx/a", "x/%2e",
)  # fmt: skip


@pytest.mark.requirement("mesh.path-stays")
@pytest.mark.parametrize("value", CLIMBS)
@pytest.mark.parametrize("slashes", [frozenset[str](), frozenset({"id"})])
def test_a_path_value_never_climbs(value: str, slashes: frozenset[str]) -> None:
    with pytest.raises(BadArgument):
        call(parameter("id", "path", "simple", False), value, "/files/{id}/x", may_hold_slash=slashes)


@pytest.mark.requirement("mesh.path-stays")
@pytest.mark.parametrize("value", ["a/b", "a\\b", "a%2fb", "a%5Cb", "1/delete", "a%252Fb", "a%25252Fb"])
def test_a_path_value_never_leads_to_another_operation(value: str) -> None:
    with pytest.raises(BadArgument, match="another path"):
        call(parameter("id", "path", "simple", False), value, "/users/{id}")


def test_an_operator_may_let_one_parameter_hold_slashes() -> None:
    allowed = frozenset({"id"})
    planned = call(parameter("id", "path", "simple", False), "src/a b.py", "/f/{id}", may_hold_slash=allowed)
    assert planned.url == f"{BASE}/f/src%2Fa%20b.py"


@pytest.mark.requirement("mesh.path-stays")
@given(st.text(max_size=40) | st.lists(st.text(max_size=8), max_size=4))
def test_no_value_changes_the_segments_of_a_path(value: object) -> None:
    try:
        url = call(parameter("id", "path", "simple", False), value, "/a/{id}/b").url
    except BadArgument:
        return
    path = url.removeprefix("https://api.example.com")
    assert path.count("/") == 4
    assert path.startswith("/v1/a/")
    assert path.endswith("/b")
    assert not {"?", "#", "\\", " "} & set(path)


@given(st.text(max_size=40), st.booleans(), st.sampled_from(["form", "deepObject", "pipeDelimited"]))
def test_no_value_adds_a_member_to_a_query(value: str, reserved: bool, style: str) -> None:
    try:
        url = call(parameter("q", "query", style, True, allow_reserved=reserved), value).url
    except BadArgument:
        return
    assert url.startswith(f"{BASE}/c?q=")
    assert not {"&", "#", "=", "+", " "} & set(url.partition("?q=")[2])


def test_dots_of_the_style_count_too() -> None:
    with pytest.raises(BadArgument):
        call(parameter("id", "path", "label", False), ".", "/a/{id}")


@pytest.mark.parametrize("value", ["", None, [], {}, "\x00", "a\nb", "\x7f", "%00", "\ud800"])
def test_an_empty_or_odd_path_value_is_refused(value: object) -> None:
    with pytest.raises(BadArgument):
        call(parameter("id", "path", "simple", False), value, "/a/{id}")


def test_a_path_parameter_that_is_not_given_is_refused() -> None:
    with pytest.raises(BadArgument, match="`id` is part of the path"):
        path_of("/a/{id}", {})


def test_a_template_is_escaped_and_braces_hold_slashes() -> None:
    assert path_of("/a b/{x/y}", {"x/y": "1"}) == "/a%20b/1"


@pytest.mark.requirement("mesh.header-injection")
@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\nb", "\x00", "\x7f", "x" * (MAX_HEADER_CHARS + 1), "\ud800"])
def test_a_header_value_never_ends_its_header(value: str) -> None:
    with pytest.raises(BadArgument):
        call(parameter("X-A", "header", "simple", False), value)


@pytest.mark.requirement("mesh.header-injection")
@pytest.mark.parametrize(
    "name", ["Authorization", "Host", "content-length", "Transfer-Encoding", "Cookie", "X-Forwarded-For"]
)
def test_a_header_of_the_gateways_own_is_never_an_argument(name: str) -> None:
    assert dict(call(parameter(name, "header", "simple", False), "evil").headers).keys() == {"accept"}


def test_a_header_with_an_odd_name_is_refused() -> None:
    with pytest.raises(BadArgument):
        call(parameter("a: b", "header", "simple", False), "x")


@pytest.mark.parametrize("value", ["a;b", 'a"b', "a b", "é", "a\\b", "a\r\n"])
def test_an_unescaped_cookie_never_holds_another(value: str) -> None:
    with pytest.raises(BadArgument):
        call(parameter("c", "cookie", "cookie", True), value)


def test_an_argument_never_takes_the_place_of_a_credential() -> None:
    one = parameter("api_key", "query", "form", True)
    argument = Argument("k", parameter=one)
    secrets = (Secret("query", "API_KEY", "ours"),)
    planned = plan(operation(parameters=(one,)), {"k": "theirs"}, Placing(SITE, (argument,)), secrets)
    assert planned.url == f"{BASE}/c?API_KEY=ours"


def test_a_secret_is_not_in_its_repr() -> None:
    assert "ours" not in repr(Secret("query", "k", "ours"))


def test_a_fixed_value_cannot_be_set() -> None:
    argument = Argument("", parameter=parameter("v", "query", "form", True), fixed="1")
    planned = plan(operation(), {"": "2", "v": "3"}, Placing(SITE, (argument,)), ())
    assert planned.url == f"{BASE}/c?v=1"


def test_a_url_has_a_limit() -> None:
    with pytest.raises(BadArgument, match=str(MAX_URL_CHARS)):
        call(parameter("q", "query", "form", True), "x" * MAX_URL_CHARS)


def test_depth_and_parts_have_limits() -> None:
    deep: object = 1
    for _ in range(40):
        deep = {"a": deep}
    with pytest.raises(BadArgument, match="levels deep"):
        call(parameter("q", "query", "deepObject", True), {"a": deep})
    with pytest.raises(BadArgument, match="elements deep"):
        encode_body(MediaType("application/xml", NO_SCHEMA), {"a": deep})
    with pytest.raises(BadArgument, match="parts"):
        encode_body(MediaType("multipart/form-data", NO_SCHEMA), {"a": ["x"] * (MAX_PARTS + 1)})


@pytest.mark.parametrize("value", [math.inf, math.nan, {"a": math.inf}, {1, 2}, "\ud800"])
def test_what_json_lacks_is_refused(value: object) -> None:
    with pytest.raises(BadArgument):
        encode_body(MediaType("application/json", NO_SCHEMA), value)
    with pytest.raises(BadArgument):
        call(parameter("q", "query", "form", False), value)


@pytest.mark.parametrize(
    "value",
    [
        1, {}, {"data": 1}, {"data": "%%%"}, {"data": "YQ==", "filename": "../x"}, {"data": "YQ==", "filename": ".."},
        {"data": "YQ==", "filename": "a\r\nb"}, {"data": "YQ==", "filename": "a\\b"}, {"data": "YQ==", "filename": 1},
        {"data": "YQ==", "type": "a\r\nb/c"}, {"data": "YQ==", "type": "nonsense"},
        {"data": "YQ==", "filename": "x" * 256},
        "not base64!", "A",
    ],
)  # fmt: skip
def test_a_bad_file_is_refused(value: object) -> None:
    with pytest.raises(BadArgument):
        file_of(value)


@pytest.mark.parametrize("value", [{"a b": 1}, {"<": 1}, {"a": "\x00"}, "\x0b"])
def test_xml_that_is_none_is_refused(value: object) -> None:
    with pytest.raises(BadArgument):
        encode_body(MediaType("application/xml", NO_SCHEMA), value)


def test_a_form_is_an_object() -> None:
    with pytest.raises(BadArgument, match="as an object"):
        encode_body(MediaType("multipart/form-data", NO_SCHEMA), "x")


# --- servers ---------------------------------------------------------------------------------


@pytest.mark.requirement("mesh.servers-pinned")
@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest", "https://evil.example", "//evil.example/x", "https://api.example.com@evil.example",
        "https://api.example.com:8443", "http://api.example.com", "file:///etc/passwd", "https://api.example.com/../..",
        "https://api.example.com/a/%2e%2e/b", "https://api.example.com:x",
    ],
)  # fmt: skip
def test_a_server_of_its_own_that_nobody_registered_is_not_called(url: str) -> None:
    one = operation(servers=(Server(url),), has_own_servers=True)
    with pytest.raises(UpstreamUnreachable) as refused:
        plan(one, {}, Placing(SITE, ()), ())
    assert refused.value.code == "server_not_registered"


def test_a_server_of_its_own_on_the_registered_origin_is_used() -> None:
    for url, base in (("https://api.example.com/v2/", "/v2"), ("/v3", "/v3"), ("beta", "/v1/beta")):
        one = operation(servers=(Server("https://evil.example"), Server(url)), has_own_servers=True)
        assert base_of(one, SITE) == f"https://api.example.com{base}"


def test_servers_of_the_document_are_not_asked() -> None:
    assert base_of(operation(servers=(Server("https://evil.example"),)), SITE) == BASE
    assert base_of(operation(has_own_servers=True), Site(BASE + "/")) == BASE


def test_a_server_variable_is_the_operators_or_the_default() -> None:
    server = Server(
        "https://{r}.example.com{p}{q}", {"r": ServerVariable("eu", ("eu", "us")), "p": ServerVariable("/x")}
    )
    assert filled(server, {}) == "https://eu.example.com/x"
    assert filled(server, {"r": "us", "p": "/y", "q": "/z"}) == "https://us.example.com/y/z"
    assert filled(server, {"r": "evil"}) == "https://eu.example.com/x"


def test_an_origin_is_exact() -> None:
    assert origin_of("https://a.example/x") == ("https", "a.example", 443)
    assert origin_of("http://a.example:8080") == ("http", "a.example", 8080)
    for odd in ("ftp://a.example", "https://u@a.example", "https://", "https://a.example:99999", "http:\\\\a"):
        assert origin_of(odd) == ("", "", 0)


# --- the rest of the layout ------------------------------------------------------------------


def test_fields_and_a_rest_make_one_body() -> None:
    media = MediaType("application/json", NO_SCHEMA)
    arguments = (Argument("a", field=Field("A", NO_SCHEMA)), Argument("body"), Argument("gone", fixed=ABSENT))
    one = operation(method="POST", body=Body(media))
    assert plan(one, {"a": None, "body": {"b": 1}}, Placing(SITE, arguments), ()).body == b'{"b":1,"A":null}'
    assert plan(one, {"a": 1}, Placing(SITE, arguments), ()).body == b'{"A":1}'
    assert plan(one, {"a": 1, "body": [1]}, Placing(SITE, arguments), ()).body == b'{"A":1}'
    assert plan(one, {}, Placing(SITE, arguments), ()).headers == (("accept", "application/json, */*;q=0.5"),)


def test_a_required_body_of_which_nothing_is_given_is_an_empty_object() -> None:
    arguments = (Argument("a", field=Field("A", NO_SCHEMA)),)
    for media, sent in (("application/json", b"{}"), ("application/x-www-form-urlencoded", b"")):
        one = operation(method="POST", body=Body(MediaType(media, NO_SCHEMA), required=True))
        planned = plan(one, {}, Placing(SITE, arguments), ())
        assert (planned.body, dict(planned.headers)["content-type"]) == (sent, media)
        assert plan(one, {}, Placing(SITE, (Argument("body"),)), ()).body == b""


def test_a_part_that_is_declared_json_is_one_part() -> None:
    media = MediaType(
        "multipart/form-data", NO_SCHEMA,
        fields=(
            Field("list", NO_SCHEMA, encoding=Encoding(content_type="application/json")),
            Field("pic", NO_SCHEMA, encoding=Encoding(content_type="image/png, image/*")),
            Field("docs", NO_SCHEMA, is_file=True, is_many=True),
        ),
    )  # fmt: skip
    value = {"list": [1], "pic": {"data": "YQ==", "type": "text/html"}, "docs": [{"data": "YQ"}], "more": [{"a": 1}]}
    body, kind = encode_body(media, value)
    assert kind.startswith("multipart/form-data; boundary=")
    assert b"application/json\r\n\r\n[1]\r\n" in body
    assert b'filename="pic"\r\nContent-Type: image/png\r\n\r\na\r\n' in body
    assert b'filename="docs"\r\nContent-Type: application/octet-stream\r\n\r\na\r\n' in body
    assert b'name="more"\r\nContent-Type: application/json\r\n\r\n{"a":1}' in body


@pytest.mark.parametrize(
    ("value", "body"),
    [({"a": None}, b'{"a":null,"token":"t"}'), ({"token": "mine"}, b'{"token":"t"}'), ([1], b"[1]")],
)
def test_a_credential_of_a_body_takes_the_place_of_what_an_argument_says(value: object, body: bytes) -> None:
    one = operation("/c", "POST", body=Body(MediaType("application/json", NO_SCHEMA)))
    placing = Placing(Site(BASE), [Argument("body")])
    assert plan(one, {"body": value}, placing, [Secret("body", "token", "t")]).body == body
    assert plan(one, {}, placing, [Secret("body", "token", "t")]).body == b'{"token":"t"}'
