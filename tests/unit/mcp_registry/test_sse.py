"""Server-sent events: the same events, however the bytes are split."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway_policies.refusal import UpstreamFailed
from mcp_registry.protocol.sse import COMMENT, MAX_RETRY_MS, Decoder, Event, event


def decode(stream: bytes, cuts: list[int] | None = None) -> list[Event]:
    decoder = Decoder()
    edges = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts or [])})
    return [found for a, b in pairwise(edges) for found in decoder.feed(stream[a:b])]


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b"data: one\n\n", [Event(b"one")]),
        (b"data:one\r\n\r\n", [Event(b"one")]),
        (b"data:  one\r\r", [Event(b" one")]),
        (b"data: a\rdata: b\r\ndata: c\n\r\n", [Event(b"a\nb\nc")]),
        (b"\xef\xbb\xbfdata: x\n\n", [Event(b"x")]),
        (b"data: \xef\xbb\xbfx\n\n\xef\xbb\xbfdata: y\n\n", [Event(b"\xef\xbb\xbfx")]),
        (b": ping\n\n:\n\n", []),
        (b"data\n\n", [Event(b"")]),
        (b"data\ndata\n\n", [Event(b"\n")]),
        (b"event: ping\n\ndata: x\n\n", [Event(b"x")]),
        (b"event: endpoint\ndata: /m\n\n", [Event(b"/m", kind="endpoint")]),
        (b"id: 7\ndata: a\n\ndata: b\n\nid\ndata: c\n\n", [Event(b"a", "7"), Event(b"b", "7"), Event(b"c")]),
        (b"id: 7\n\ndata: a\n\n", [Event(b"a", "7")]),
        (b"id: 1\nid: 2\x003\ndata: a\n\n", [Event(b"a", "1")]),
        (b"data: no end", []),
        (b"data: no blank line\n", []),
        (b"Data: x\nunknown: y\n\n", []),
        (b"", []),
    ],
)
def test_a_stream_is_read_as_the_standard_says(stream: bytes, events: list[Event]) -> None:
    assert decode(stream) == events
    assert decode(stream, list(range(len(stream)))) == events


@settings(max_examples=200)
@given(
    stream=st.lists(
        st.sampled_from(
            [b"data: ", b"data", b"id: ", b"event:", b":", b" ", b"\n", b"\r", b"\r\n", b"\xef\xbb\xbf",
             "é😀".encode(), b"x", b"\0", b"\xff", b"retry: 12"]
        ),
        max_size=30,
    ).map(b"".join),
    cuts=st.lists(st.integers(0, 200), max_size=8),
)  # fmt: skip
def test_any_split_gives_the_same_events(stream: bytes, cuts: list[int]) -> None:
    assert decode(stream, cuts) == decode(stream)


@settings(max_examples=150)
@given(
    messages=st.lists(st.tuples(st.binary(max_size=30), st.none() | st.text("ab 0é", max_size=4)), max_size=5),
    cuts=st.lists(st.integers(0, 500), max_size=8),
)
def test_what_we_write_is_what_a_reader_gets(messages: list[tuple[bytes, str | None]], cuts: list[int]) -> None:
    stream = COMMENT.join(event(data, id=event_id) for data, event_id in messages)
    expected: list[Event] = []
    last_id = ""
    for data, event_id in messages:
        last_id = last_id if event_id is None else event_id
        expected.append(Event(data.replace(b"\r\n", b"\n").replace(b"\r", b"\n"), last_id))
    assert decode(stream, cuts) == expected


def test_an_event_is_written_in_one_line() -> None:
    assert event(b'{"a":1}') == b'data: {"a":1}\n\n'
    assert event(b"", id="", retry_ms=500) == b"id: \nretry: 500\ndata: \n\n"
    assert event(b"/mcp?a=b", kind="endpoint", id="1") == b"event: endpoint\nid: 1\ndata: /mcp?a=b\n\n"
    assert event(b"a\nb\r\nc", id="7") == b"id: 7\ndata: a\ndata: b\ndata: c\n\n"


@pytest.mark.parametrize("event_id", ["a\nb", "a\rb", "a\0b"])
def test_an_id_that_would_break_the_stream_is_not_written(event_id: str) -> None:
    with pytest.raises(ValueError, match="one line"):
        event(b"x", id=event_id)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(b"15", 15), (b"9" * 400, MAX_RETRY_MS), (b"9999999", MAX_RETRY_MS), (b"-1", None), (b"", None)],
)
def test_retry_is_taken_when_it_is_a_number_and_bounded(value: bytes, expected: int | None) -> None:
    decoder = Decoder()
    decoder.feed(b"retry: %b\n" % value)
    assert decoder.retry_ms == expected


def test_a_line_without_end_is_cut_off_at_its_limit() -> None:
    decoder = Decoder(max_line_bytes=100)
    decoder.feed(b"data: " + b"x" * 94)
    with pytest.raises(UpstreamFailed) as caught:
        decoder.feed(b"x")
    assert (caught.value.code, caught.value.message) == (
        "event_too_large",
        "the upstream sent an event line of more than 100 bytes",
    )


def test_a_line_is_too_long_even_when_it_comes_whole() -> None:
    with pytest.raises(UpstreamFailed):
        Decoder(max_line_bytes=100).feed(b"x" * 101 + b"\n")


def test_an_event_of_many_lines_is_cut_off_at_its_limit() -> None:
    decoder = Decoder(max_event_bytes=100)
    assert decoder.feed(b"data: 123456789\n" * 10 + b"\n") == [Event(b"\n".join([b"123456789"] * 10))]
    with pytest.raises(UpstreamFailed, match="event of more than 100 bytes") as caught:
        decoder.feed(b"data: 123456789\n" * 11)
    assert caught.value.code == "event_too_large"


def test_an_id_that_comes_without_data_is_remembered_for_a_reader_that_reconnects() -> None:
    decoder = Decoder()
    assert decoder.last_id == ""
    assert decoder.feed(b"id: e-7\ndata: \n\nid: e-8\n\n") == [Event(b"", "e-7")]
    assert decoder.last_id == "e-8"
