"""Answers of an API as a tool's caller reads them."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from context_mesh.openapi.model import ABSENT
from context_mesh.wire.failure import failure_text
from context_mesh.wire.read import Answer, Reading, Shape, read, value_of
from context_mesh.wire.rest import rest_of
from context_mesh.wire.shape import Cut, found_at, projected, shortened, size_of

URL = "https://api.example.com/v1/items?page=1"


def answer(
    body: bytes | str | dict[str, Any] | list[Any], media: str = "application/json", status: int = 200, **headers: str
) -> Answer:
    raw = body if isinstance(body, bytes) else (body if isinstance(body, str) else json.dumps(body)).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, {**({"content-type": media} if media else {}), **named}, raw, URL)


def texts(reading: Reading, handle: str = "") -> list[object]:
    return [block.get("text") for block in reading.result(handle)["content"]]  # type: ignore[union-attr,attr-defined]


@pytest.mark.parametrize(
    ("given", "value"),
    [
        (answer({"a": 1}), {"a": 1}),
        (answer("{", "application/json"), "{"),
        (answer('[1, "b"]', ""), [1, "b"]),
        (answer("plain", "text/plain"), "plain"),
        (answer(b"\0\1", ""), ABSENT),
        (answer(b"\0\1", "image/png"), ABSENT),
        (answer(b"", "application/json"), ABSENT),
    ],
)
def test_a_body_as_it_is_computed_with(given: Answer, value: object) -> None:
    assert value_of(given) == value


def test_json_is_structured_and_a_text() -> None:
    reading = read(answer('{"é": 12345678901234567890, "b": null}', "application/hal+json; charset=utf-8"), Shape())
    assert reading.result() == {
        "content": [{"type": "text", "text": '{"é":12345678901234567890,"b":null}'}],
        "structuredContent": {"é": 12345678901234567890, "b": None},
    }


@pytest.mark.parametrize("body", ['{"a": NaN}', "{", "[" * 100_000, '{"a": Infinity}'])
def test_json_that_is_none_is_handed_on_as_text(body: str) -> None:
    reading = read(answer(body), Shape(max_chars=200_000))
    assert reading.structured is ABSENT
    assert texts(reading) == [body]
    assert not reading.is_error


@pytest.mark.parametrize(
    ("body", "media", "expected"),
    [
        (b"a,b\n1,2\n", "text/csv", ["a,b\n1,2\n"]),
        ("é".encode("latin-1"), "text/plain; charset=iso-8859-1", ["é"]),
        ("é".encode(), "text/plain; charset=nonsense", ["é"]),
        (b"<a/>", "application/xml", ["<a/>"]),
        (b"hello", "", ["hello"]),
        (b"\xef\xbb\xbf[1]", "application/json", ["[1]"]),
        (b'{"a":1}', "", ['{"a":1}']),
    ],
)  # fmt: skip
def test_texts(body: bytes, media: str, expected: list[str]) -> None:
    assert texts(read(answer(body, media), Shape())) == expected


@pytest.mark.requirement("mesh.binary-answers")
@pytest.mark.parametrize(
    ("media", "kind"),
    [("image/png", "image"), ("audio/ogg", "audio"), ("application/zip", "resource"), ("", "resource")],
)
def test_a_file_comes_as_its_bytes(media: str, kind: str) -> None:
    body = bytes(range(256))
    (block,) = read(answer(body, media), Shape()).content
    held: Any = block if kind != "resource" else block["resource"]
    assert block["type"] == kind
    assert base64.b64decode(held.get("data") or held["blob"]) == body


def test_bytes_with_a_zero_are_no_text() -> None:
    assert read(answer(b"a\0b", ""), Shape()).content[0]["type"] == "resource"


def test_a_large_file_is_kept_and_not_shown() -> None:
    reading = read(answer(b"x" * 11, "application/zip"), Shape(max_blob=10))
    assert reading.whole == b"x" * 11
    assert "11 bytes" in str(texts(reading, "h")[0])
    part = rest_of(reading.whole, "", 8, 100, Shape())
    assert part.structured == {"data": base64.b64encode(b"xxx").decode(), "offset": 8, "total": 11}
    assert part.cuts == ()


def test_events_and_lines_are_lists() -> None:
    events = 'event: x\ndata: {"a":1}\n\n: comment\n\ndata: plain\ndata: more\r\n\r\ndata: 2'
    assert read(answer(events, "text/event-stream"), Shape()).structured == [{"a": 1}, "plain\nmore", 2]
    assert read(answer('{"a":1}\n\n2\n{"cu', "application/x-ndjson"), Shape()).structured == [{"a": 1}, 2]
    assert read(answer("{\n1\n", "application/x-ndjson"), Shape()).structured is ABSENT
    cut = read(Answer(200, {"content-type": "text/event-stream"}, b"data: 1\n\n", URL, is_cut=True), Shape())
    assert "without an end" in str(texts(cut)[-1])
    assert read(answer("data: 1\n\n" * 2000, "text/event-stream"), Shape()).structured == [1] * 1000


def test_no_body_tells_the_status() -> None:
    reading = read(answer(b"", "", 201, location="/v1/items/7", etag='"x"'), Shape())
    assert reading.structured == {"status": 201, "location": "/v1/items/7", "etag": '"x"'}
    assert read(answer(b"", "", 204), Shape()).structured == {"status": 204}


@pytest.mark.requirement("mesh.no-upstream-urls")
@pytest.mark.parametrize("where", ["https://api.example.com/v1/jobs/1?x=2", "/v1/jobs/1?x=2", "jobs/1?x=2"])
def test_202_says_where_to_look_again_without_the_host(where: str) -> None:
    reading = read(answer({"id": 1}, status=202, location=where, retry_after="5"), Shape())
    assert texts(reading)[1] == (
        "The work was accepted and is not done yet (202). Its state is at `/v1/jobs/1?x=2`. Ask again after 5 seconds."
    )
    assert "example" not in json.dumps(reading.result())


def test_202_elsewhere_says_no_more() -> None:
    for where in ("https://inside.example/x", "https://[", "http://api.example.com/v1"):
        reading = read(answer({"id": 1}, status=202, location=where), Shape())
        assert texts(reading)[1] == "The work was accepted and is not done yet (202)."


def test_a_next_page_is_told_as_arguments() -> None:
    link = '<https://api.example.com/v1/items?page=2&per=9>; rel="next", <https://api.example.com/x>; rel="last"'
    assert texts(read(answer([1], link=link), Shape()))[1] == 'There is a next page: {"page":"2","per":"9"}'
    for odd in ("<https://[/x?a=1>; rel=next", "<?page=1>; rel=next", "nonsense"):
        assert len(texts(read(answer([1], link=odd), Shape()))) == 1


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ({"location": "/v1/other"}, "to `/v1/other`, which is not followed"),
        ({"location": "https://elsewhere.example/?sig=secret"}, "to another host, which is not followed"),
        ({}, "redirect (302)"),
    ],
)
def test_a_redirect_is_an_error_and_names_no_host(headers: dict[str, str], said: str) -> None:
    reading = read(answer(b"", "", 302, **headers), Shape())
    assert reading.is_error
    assert said in str(texts(reading)[0])
    assert "elsewhere" not in str(texts(reading))


# --- failures --------------------------------------------------------------------------------


@pytest.mark.requirement("mesh.useful-errors")
@pytest.mark.parametrize(
    ("status", "body", "media", "said"),
    [
        (422, {"type": "about:blank", "title": "Invalid", "detail": "name is empty", "status": 422},
         "application/problem+json", "Invalid; name is empty"),
        (400, {"error": {"message": "No such customer", "code": "x"}}, "application/json", "No such customer"),
        (400, {"error": "invalid_request", "error_description": "no"}, "application/json", "invalid_request; no"),
        (400, {"message": "Bad", "errors": [{"field": "q"}]}, "application/json", 'Bad; [{"field": "q"}]'),
        (400, {"code": 7}, "application/json", '{"code": 7}'),
        (400, ["a"], "application/json", '["a"]'),
        (400, '"plain"', "application/json", "plain"),
        (500, "stack trace", "text/plain", "stack trace"),
        (500, "{broken", "application/json", "{broken"),
        (500, "[" * 100_000, "application/json", "[[["),
        (502, "<!DOCTYPE html><head><TITLE>Bad gateway</TITLE>", "", "Bad gateway"),
        (502, "<html><body>no title", "text/html", "HTTP 502: bad gateway"),
        (418, "", "", "HTTP 418: the API refuses"),
        (599, "", "", "HTTP 599: the API fails"),
    ],
)  # fmt: skip
def test_a_failure_says_what_helps(status: int, body: Any, media: str, said: str) -> None:
    reading = read(answer(body, media, status), Shape())
    assert reading.result()["isError"] is True
    text = str(texts(reading)[0])
    assert text.startswith(f"HTTP {status}: ")
    assert said in text
    assert len(text) < 2200


def test_a_failure_says_when_to_try_again() -> None:
    assert failure_text(429, {"retry-after": "7"}, b"").endswith("Retry after 7 seconds.")
    assert failure_text(429, {"retry-after": "Tue, 1 Jan"}, b"").endswith("Wait before the next call.")


# --- shape -----------------------------------------------------------------------------------


def test_fields_pass_through_arrays() -> None:
    value = {"items": [{"id": 1, "owner": {"name": "a", "x": 1}, "y": 2}, 5], "total": 2}
    assert projected(value, ("items.owner.name", "items.id", "gone", "total.x")) == {
        "items": [{"owner": {"name": "a"}, "id": 1}, 5],
        "total": 2,
    }
    assert projected(value, ()) is value
    assert read(answer(value), Shape(fields=("total",))).structured == {"total": 2}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=8) | st.dictionaries(st.text(max_size=5), inner, max_size=5),
    max_leaves=40,
)


@pytest.mark.requirement("mesh.answers-fit")
@given(json_values, st.integers(4, 300))
def test_an_answer_always_fits_and_every_cut_is_told(value: object, max_chars: int) -> None:
    shown, cuts = shortened(value, max_chars)
    assert size_of(shown) <= max_chars
    assert bool(cuts) == (shown != value)


def test_cuts_are_told_with_the_way_to_the_rest() -> None:
    value = {"a/b": [{"n": index, "t": "x" * 50} for index in range(500)], "c": 1}
    reading = read(answer(value), Shape(max_chars=2000))
    assert reading.whole == value
    assert reading.cuts[0] == Cut("/a~1b", 500, 20)
    note = texts(reading, "h1")[1]
    assert note == (
        "Cut to fit: `/a~1b` shows 20 of 500. "
        'Read on with `read_result`: {"handle": "h1", "pointer": "/a~1b", "offset": 20}.'
    )
    assert texts(reading)[1] == "Cut to fit: `/a~1b` shows 20 of 500."
    rest = rest_of(reading.whole, "/a~1b", 20, 1000, Shape(max_chars=2000))
    told: Any = rest.structured
    assert told["items"][0] == {"n": 20, "t": "x" * 50}
    assert (told["offset"], told["total"]) == (20, 500)
    assert rest.cuts == (Cut("/a~1b", 500, 20 + len(told["items"])),)


def test_many_cuts_are_told_in_short_and_depth_is_bounded() -> None:
    note = texts(read(answer([["x" * 3000] * 2] * 4), Shape(max_chars=5000)))[1]
    assert "and 3 more places" in str(note)
    deep: Any = "x" * 4000
    for _ in range(80):
        deep = [deep]
    shown, cuts = shortened(deep, 1000)
    assert size_of(shown) < 1000
    assert cuts[0].at.count("/") == 65


def test_a_text_and_an_object_are_read_on() -> None:
    reading = read(answer("x" * 25, "text/plain"), Shape(max_chars=10))
    assert rest_of(reading.whole, "", 10, 100, Shape(max_chars=10)).structured == {
        "text": "x" * 10, "offset": 10, "total": 25,
    }  # fmt: skip
    part = rest_of({"a": {"b": ["y" * 50] * 9}}, "/a", 0, 1, Shape(max_chars=100))
    assert part.cuts[0].at.startswith("/a/b")
    assert rest_of([["y" * 500]], "", 0, 5, Shape(max_chars=100)).structured == {
        "items": [["y" * 60 + "…"]], "offset": 0, "total": 1,
    }  # fmt: skip


def test_a_pointer_leads_somewhere_or_raises() -> None:
    value = {"a": [{"~/": 1}]}
    assert found_at(value, "/a/0/~0~1") == 1
    assert found_at(value, "") is value
    for odd in ("a", "/b", "/a/1", "/a/x", "/a/0/~0~1/x"):
        with pytest.raises(KeyError):
            found_at(value, odd)
