"""Scrubbing: no host behind the gateway is named, however it is spelled."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from a2a_gateway.scrub import HIDDEN, Scrubber

OURS = "https://gw.example/a2a/r"


def scrubbed(text: str, *urls: str) -> str:
    return Scrubber(urls, OURS).text(text)


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("see http://agent.internal:9999/a?b#c now", f"see {OURS} now"),
        ("HTTP://AGENT.Internal/x", OURS),
        ("//agent.internal/x", OURS),
        ("ws://u:p@agent.internal:1/x", OURS),
        ('<a href="http://agent.internal/x">', f'<a href="{OURS}">'),
        ("ask agent.internal:9999 or agent.internal", f"ask {HIDDEN} or {HIDDEN}"),
        ("http://agent.internal.evil.example/", f"http://{HIDDEN}.evil.example/"),
        ("agent%2Einternal", HIDDEN),
        ("agent%252Einternal", HIDDEN),
        ("agent．internal", HIDDEN),
        ("nothing here", "nothing here"),
        ("http://other.example/", "http://other.example/"),
    ],
)
def test_a_host_with_a_dot_is_hidden_wherever_it_stands(text: str, clean: str) -> None:
    assert scrubbed(text, "http://agent.internal:9999/rpc") == clean


def test_a_host_that_is_a_word_is_hidden_where_it_is_a_host() -> None:
    text = "the planner plans: http://planner:80/x //planner planner:8080 planner.example"
    assert scrubbed(text, "http://planner:80/") == f"the planner plans: {OURS} {OURS} {HIDDEN} planner.example"


@pytest.mark.parametrize(
    ("url", "text", "clean"),
    [
        ("http://[::1]:9/", "http://[::1]:9/x and [::1]:9", f"{OURS} and {HIDDEN}"),
        ("http://127.0.0.1:9/", "127.0.0.1", HIDDEN),
        ("http://localhost:9/", "localhost works", f"{HIDDEN} works"),
        ("grpc.internal:50051", "grpc.internal:50051", HIDDEN),
        ("http://bücher.example/", "http://xn--bcher-kva.example/x", OURS),
        ("http://xn--bcher-kva.example/", "http://bücher.example/x", OURS),
        ("http://[bad", "http://[bad", "http://[bad"),
        ("", "x", "x"),
        ("http://" + "a" * 70 + ".b/", "http://" + "a" * 70 + ".b/x", OURS),
    ],
)
def test_hosts_of_every_form(url: str, text: str, clean: str) -> None:
    assert scrubbed(text, url) == clean


def test_a_replacement_is_taken_literally() -> None:
    assert Scrubber(["http://a.b/"], r"https://gw/\1\g<0>").text("http://a.b/") == r"https://gw/\1\g<0>"


def test_names_and_values_at_every_depth() -> None:
    value = {"http://a.b/k": [{"x": "a.b"}, 12345678901234567890, None, True]}
    assert Scrubber(["http://a.b"], OURS).value(value) == {OURS: [{"x": HIDDEN}, 12345678901234567890, None, True]}


@given(before=st.text(max_size=20), after=st.text(max_size=20), is_upper=st.booleans())
def test_no_host_survives(before: str, after: str, is_upper: bool) -> None:
    host = "agent.internal"
    clean = scrubbed(before + (host.upper() if is_upper else host) + after, f"http://{host}:1/")
    assert host not in json.dumps(clean, ensure_ascii=False).casefold()


def test_a_body_is_the_same_bytes_when_nothing_in_it_is_hidden() -> None:
    scrubber = Scrubber(["http://a.b/"], OURS)
    assert scrubber.body(b'{ "n": 1.00 }') == b'{ "n": 1.00 }'
    assert scrubber.body(b'{"e":"http://a.b/x","n":1}') == b'{"e":"https://gw.example/a2a/r","n":1}'
    assert scrubber.body(b"<p>a.b is down") == f"<p>{HIDDEN} is down".encode()
    assert scrubber.body(b"\xff a.b") == f"\ufffd {HIDDEN}".encode()
