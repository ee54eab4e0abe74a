"""Corners of the layout that the table has no case for."""

import pytest

from context_mesh.openapi.model import (
    NO_SCHEMA,
    Argument,
    Encoding,
    Field,
    MediaType,
    Response,
    SecurityNeed,
    SecurityScheme,
)
from context_mesh.wire.address import Site
from context_mesh.wire.body import encode_body
from context_mesh.wire.files import FilePart, file_of
from context_mesh.wire.media import fits, kind_of
from context_mesh.wire.plan import Placing, accept_of, plan
from context_mesh.wire.security import chosen
from context_mesh.wire.style import in_cookie, in_header, in_path, in_query
from support.wire_table import BASE, operation, parameter


@pytest.mark.parametrize(
    ("value", "style", "explode", "written"),
    [
        ("", "matrix", False, ";c"), ("", "matrix", True, ";c"), ("", "label", False, "."), ("", "simple", False, ""),
        ([], "matrix", True, ""), (None, "matrix", False, ""), (None, "label", True, ""), ({}, "simple", True, ""),
        (["", "x"], "matrix", True, ";c;c=x"), ([None, 1], "simple", False, "1"),
        ({"a": None, "b": 2}, "simple", True, "b=2"),
    ],
)  # fmt: skip
def test_empty_values_in_a_path(value: object, style: str, explode: bool, written: str) -> None:
    assert in_path("c", value, style, explode=explode) == written


def test_nothing_is_said_of_nothing() -> None:
    assert in_query("q", None, "form", explode=True) == in_query("q", {}, "form", explode=True) == []
    assert in_query("q", [], "deepObject", explode=True) == in_query("q", {}, "form", explode=False) == []
    assert in_header(None, explode=False) == in_header([], explode=True) == in_header({}, explode=True) == ""
    assert in_cookie("c", None, "cookie", explode=True) == in_cookie("c", [], "cookie", explode=False) == []


def test_another_style_in_a_query_counts_as_form() -> None:
    assert in_query("q", [1, 2], "simple", explode=True) == ["q=1,2"]
    assert in_query("q", {"a": [1]}, "form", explode=True) == ["a=%5B1%5D"]


def test_a_cookie_of_3_2_is_not_escaped() -> None:
    assert in_cookie("c", "a%b", "cookie", explode=True) == ["c=a%b"]
    assert in_cookie("c", [1, 2], "cookie", explode=True) == ["c=1", "c=2"]
    assert in_cookie("c", [1, 2], "cookie", explode=False) == ["c=1,2"]
    assert in_cookie("c", {"a": 1}, "cookie", explode=True) == ["a=1"]
    assert in_cookie("c", {"a": 1}, "cookie", explode=False) == ["c=a,1"]


@pytest.mark.parametrize(
    ("media", "value", "url"),
    [("", {"a": 1, "b": None}, "?a=1"), ("", {}, ""), ("application/json", {"a": 1}, "?%7B%22a%22%3A1%7D")],
)
def test_one_parameter_may_be_the_whole_query(media: str, value: object, url: str) -> None:
    one = parameter("q", "querystring", "form", True, media_type=media)
    planned = plan(operation(), {"q": value}, Placing(Site(BASE), (Argument("q", parameter=one),)), ())
    assert planned.url == f"{BASE}/c{url}"


def test_content_in_a_path_a_header_and_a_cookie() -> None:
    for location, style in (("path", "simple"), ("header", "simple"), ("cookie", "form")):
        one = parameter("p", location, style, False, media_type="application/json")
        planned = (
            plan(operation("/{p}"), {"p": [1]}, Placing(Site(BASE), (Argument("p", parameter=one),)), ())
            if location == "path"
            else plan(operation(), {"p": [1]}, Placing(Site(BASE), (Argument("p", parameter=one),)), ())
        )
        headers = dict(planned.headers)
        said = {"path": planned.url, "header": headers.get("p"), "cookie": headers.get("cookie")}[location]
        assert said == {"path": f"{BASE}/%5B1%5D", "header": "[1]", "cookie": "p=%5B1%5D"}[location]


def test_an_empty_header_is_sent_when_it_is_given() -> None:
    one = parameter("X-A", "header", "simple", False)
    cases: list[tuple[object, tuple[str, str] | None]] = [("", ("x-a", "")), (None, None), ([], None)]
    for value, sent in cases:
        planned = plan(operation(), {"v": value}, Placing(Site(BASE), (Argument("v", parameter=one),)), ())
        assert planned.headers[1:] == ((sent,) if sent else ())


# --- bodies ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("media", "value", "body", "content_type"),
    [
        ("application/x-ndjson", [{"a": 1}, 2], b'{"a":1}\n2\n', "application/x-ndjson"),
        ("application/x-ndjson", {"a": 1}, b'{"a":1}\n', "application/x-ndjson"),
        ("text/csv", "a,b\n", b"a,b\n", "text/csv"),
        ("text/event-stream", "data: x\n\n", b"data: x\n\n", "text/event-stream"),
        ("application/zip", "plain", b"plain", "application/zip"),
        ("image/*", {"data": "YQ", "type": "image/gif"}, b"a", "image/gif"),
        ("image/*", {"data": "YQ", "type": "text/html"}, b"a", "application/octet-stream"),
        ("application/xml", "<a/>", b"<a/>", "application/xml"),
        ("application/xml", 5, b"<root>5</" b"root>", "application/xml"),
        ("application/xml", {"a": None, "b": {"c": [1]}}, b"<root><b><c>1</c></b></" b"root>", "application/xml"),
        ("multipart/*", {}, b"--gateway-", "multipart/form-data; boundary=gateway-"),
        ("multipart/mixed", {"a": 1}, b"\r\n1\r\n", "multipart/mixed; boundary=gateway-"),
    ],
)  # fmt: skip
def test_other_bodies(media: str, value: object, body: bytes, content_type: str) -> None:
    written, kind = encode_body(MediaType(media, NO_SCHEMA), value)
    assert body in written
    assert kind.startswith(content_type)


def test_a_form_field_as_its_encoding_says() -> None:
    def written(value: object, **encoding: object) -> bytes:
        one = Field("f", NO_SCHEMA, encoding=Encoding(**encoding))  # pyright: ignore[reportArgumentType]
        return encode_body(MediaType("application/x-www-form-urlencoded", NO_SCHEMA, fields=(one,)), {"f": value})[0]

    assert written([1, 2], content_type="application/json") == b"f=%5B1%2C2%5D"
    assert written([1, 2], content_type="text/plain") == b"f=1&f=2"
    assert written([1, 2], explode=False) == b"f=1,2"
    assert written([1, 2], style="pipeDelimited") == b"f=1%7C2"
    assert written({"a": 1}, style="deepObject") == b"f%5Ba%5D=1"
    assert written(None) == b""


def test_files_in_other_spellings_of_base64() -> None:
    assert file_of("-_8") == FilePart(b"\xfb\xff")
    assert file_of({"data": "YQ==\n", "filename": "a.txt", "type": "text/plain; charset=utf-8"}) == FilePart(
        b"a", "a.txt", "text/plain; charset=utf-8"
    )


def test_kinds_of_media() -> None:
    kinds = {
        "application/problem+json; charset=utf-8": "json", "application/atom+xml": "xml", "image/svg+xml": "binary",
        "application/yaml": "text", "application/vnd.x+yaml": "text", "": "binary", "application/jsonl": "lines",
        "Text/Event-Stream": "events", "text/xml": "xml", "TEXT/JSON": "json",
    }  # fmt: skip
    assert {name: kind_of(name) for name in kinds} == kinds
    assert fits("*/*", "a/b")
    assert fits("image/*", "Image/PNG; x=1")
    assert not fits("image/*", "text/plain")
    assert not fits("image/png", "image/gif")


def test_accept_prefers_what_comes_first() -> None:
    def media(*names: str) -> tuple[MediaType, ...]:
        return tuple(MediaType(name, NO_SCHEMA) for name in names)

    one = operation(
        responses=(Response("200", media=media("application/json", "text/csv")),
                   Response("404", media=media("text/html")),
                   Response("default", media=media("application/json", "")))
    )  # fmt: skip
    assert accept_of(one) == "application/json, text/csv;q=0.5"


# --- security --------------------------------------------------------------------------------


def need(name: str) -> SecurityNeed:
    return SecurityNeed(SecurityScheme(name, "apiKey", "header", "X-Key"))


def test_the_first_alternative_that_can_be_satisfied_is_chosen() -> None:
    both, alone = (need("a"), need("b")), (need("c"),)
    one = operation(security=(both, alone, ()))
    assert chosen(one, {"a", "b", "c"}) == both
    assert chosen(one, {"a", "c"}) == alone
    assert chosen(one, {"a"}) == ()
    assert chosen(operation(security=(both,)), {"a"}) is None
    assert chosen(operation(), frozenset[str]()) == ()
