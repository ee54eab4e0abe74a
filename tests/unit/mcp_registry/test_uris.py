"""URIs of resources: which may be used, and which template one fits."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_registry import uris


@pytest.mark.parametrize(
    ("uri", "problem"),
    [
        ("file:///a", ""),
        ("git+ssh://h/x?y=1#z", ""),
        ("test://template/{id}/data", ""),
        ("", "a URI has 1 to 2048 characters"),
        ("x:" + "a" * 2047, "a URI has 1 to 2048 characters"),
        ("/no/scheme", "the URI has no scheme"),
        ("gw+git+file:///a", "a URI that begins with `gw+` is the gateway's own"),
        ("file:///a b", "the URI holds a space, a control or an invisible character"),
        ("file:///a\u202eb", "the URI holds a space, a control or an invisible character"),
    ],
)
def test_a_uri_that_cannot_be_used_says_why(uri: str, problem: str) -> None:
    assert uris.problem_with(uri) == problem


@pytest.mark.parametrize(
    ("template", "fits", "others"),
    [
        ("file:///notes/{name}", ["file:///notes/a", "file:///notes/", "file:///notes/a%2Fb"], ["file:///notes/a/b"]),
        ("file:///{+path}", ["file:///a/b?c#d", "file:///"], ["file://x", "file:///a b"]),
        ("db://{table}/{row}", ["db://t/1", "db:///"], ["db://t", "db://t/1/2"]),
        ("x:{a}{b}", ["x:", "x:ab"], ["x:/"]),
        ("x:a{.kind}", ["x:a.json"], ["x:a/json"]),
        ("x:a{/rest*}", ["x:a/b/c", "x:a"], ["x:a?b"]),
        ("x:a{?q,page}", ["x:a?q=1&page=2", "x:a"], ["x:a/b"]),
        ("x:a{&q}", ["x:a&q=1"], ["x:a#"]),
        ("x:a{;v}", ["x:a;v=1"], ["x:a?v"]),
        ("x:a{#frag}", ["x:a#frag/1"], ["x:b"]),
        ("x:{a}/mid/{b}", ["x:1/mid/2", "x:/mid/"], ["x:1/middle/2"]),
    ],
)
def test_a_template_fits_what_it_may_become(template: str, fits: list[str], others: list[str]) -> None:
    ready = uris.compile_template(template)
    assert [uri for uri in fits + others if ready.matches(uri)] == fits


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("x:{", "cannot be read"),
        ("x:{a b}", "cannot be read"),
        ("x:{a}}", "cannot be read"),
        ("{+uri}", "begins with a scheme"),
        ("", "begins with a scheme"),
        ("x:" + "{a}" * 33, "at most 32"),
    ],
)
def test_what_is_no_bounded_template_is_refused(template: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        uris.compile_template(template)


LETTERS = st.text("ab/", max_size=8)


@given(parts=st.lists(st.sampled_from(["a", "b", "/", "{v}", "{+v}"]), max_size=6), uri=LETTERS)
def test_matching_agrees_with_a_regular_expression(parts: list[str], uri: str) -> None:
    text = "x:" + "".join(parts)
    pattern = re.escape("x:") + "".join({"{v}": "[ab]*", "{+v}": "[ab/]*"}.get(part, re.escape(part)) for part in parts)
    assert uris.compile_template(text).matches("x:" + uri) == bool(re.fullmatch(pattern, "x:" + uri))


def test_no_template_is_slow_and_no_uri_too_long_is_looked_at() -> None:
    ready = uris.compile_template("x:" + "{+a}b" * 32)
    began = time.process_time()
    assert not ready.matches("x:" + "b" * 2040 + "c")
    assert time.process_time() - began < 1  # 0.02 on an idle machine
    assert not ready.matches("x:" + "b" * 4000)


@pytest.mark.parametrize(
    "uri",
    [
        "file:///a/../b",
        "file:///a/./b",
        "file:///..",
        "file:///a/%2e%2E/b",
        "x:../b",
        "file:///a%2f..%2fb",
        "x:/a\\..\\b",
    ],
)
def test_a_uri_that_climbs_is_told(uri: str) -> None:
    assert uris.climbs(uri)


@pytest.mark.parametrize("uri", ["file:///a/b", "file:///a..b", "file:///...", "x:a.b", "file:///.hidden"])
def test_dots_in_names_do_not_climb(uri: str) -> None:
    assert not uris.climbs(uri)
