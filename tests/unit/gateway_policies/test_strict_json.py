"""Strict JSON: what two parsers could read differently never gets past the first."""

import json
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway_policies.refusal import BadRequest
from gateway_policies.strict_json import MAX_INTEGER_CHARS, parse

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=20,
)


def refusal_of(body: bytes, *, max_depth: int = 64) -> BadRequest:
    with pytest.raises(BadRequest) as caught:
        parse(body, max_depth=max_depth)
    assert caught.value.code == "parse_error"
    return caught.value


@settings(max_examples=150)
@given(value=json_values, is_ascii=st.booleans(), indent=st.sampled_from([None, 1]))
def test_what_the_standard_library_writes_is_read_back_the_same(
    value: object, is_ascii: bool, indent: int | None
) -> None:
    body = json.dumps(value, ensure_ascii=is_ascii, indent=indent).encode()
    assert repr(parse(body)) == repr(value)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"\xef\xbb\xbf{}", "the body starts with a byte order mark"),
        ("{}".encode("utf-16"), "the body is not JSON at byte 0"),
        (b'"\xff"', "the body is not UTF-8"),
        (b'{"\xed\xa0\x80":1}', "the body is not UTF-8"),
        (b"", "the body is not JSON: it ends too early"),
        (b'{"a":', "the body is not JSON: it ends too early"),
        (b"{} {}", "the body is not JSON at byte 4"),
        (b"{}\0", "the body is not JSON at byte 3"),
        (b"\x0c1", "the body is not JSON at byte 0"),
        (b"[1,]", "the body is not JSON at byte 3"),
        (b"{'a':1}", "the body is not JSON at byte 1"),
        (b'"a\nb"', "the body is not JSON at byte 2"),
        (b"01", "the body is not JSON at byte 1"),
        (b"/* */1", "the body is not JSON at byte 0"),
        (b"NaN", "the body is not JSON at byte 0"),
        (b"[Infinity]", "the body is not JSON at byte 1"),
        (b"[-Infinity]", "the body is not JSON at byte 2"),
    ],
)
def test_what_is_not_strict_json_is_refused_with_its_place(body: bytes, message: str) -> None:
    assert refusal_of(body).message == message


@pytest.mark.parametrize("number", [b"1e999", b"-1e999", b"1" * 400 + b".0", b"9" * (MAX_INTEGER_CHARS + 1)])
def test_a_number_too_large_to_hold_is_refused(number: bytes) -> None:
    assert "too large" in refusal_of(b"[%b]" % number).message


def test_integers_stay_exact_up_to_the_limit() -> None:
    assert parse(b"1" + b"0" * 30) == 10**30
    assert parse(b"-9223372036854775809") == -(2**63) - 1
    assert parse(b"1" * MAX_INTEGER_CHARS) == int("1" * MAX_INTEGER_CHARS)


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":1,"a":2}',
        b'{"a":1,"\\u0061":1}',
        b'{"x":[{"y":{"b":1,"c":2,"b":1}}]}',
        b'{"a:":1,"a:":2}',
        b'{"a":"\\u003a","a":"::"}',
        b'{"a":1,"b":"\\u003A","a":2}',
        b'{"":0,"":0}',
        b'{"a":"::::","a":""}',
        b'{"\xc3\xa9":1,"\\u00e9":2}',
    ],
)
def test_a_name_given_twice_is_refused_at_any_depth_and_in_any_spelling(body: bytes) -> None:
    assert "twice" in refusal_of(body).message


@settings(max_examples=150)
@given(value=json_values, names=st.lists(st.text(":a\u003ab", min_size=1, max_size=2), max_size=5))
def test_an_object_is_refused_exactly_when_a_name_repeats(value: object, names: list[str]) -> None:
    members = ",".join(f"{json.dumps(name)}:{json.dumps(value)}" for name in names)
    body = ("[{" + members + "}]").encode()
    if len(set(names)) == len(names):
        assert repr(parse(body)) == repr([dict.fromkeys(names, value)])
    else:
        refusal_of(body)


def test_a_duplicate_is_named_only_when_it_can_be_shown() -> None:
    assert refusal_of(b'{"amount":1,"amount":2}').message == "an object names `amount` twice"
    assert refusal_of(b'{"\\u202e":1,"\\u202e":2}').message == "an object names a member twice"
    assert refusal_of(b'{"%b":1,"%b":2}' % (b"x" * 65, b"x" * 65)).message == "an object names a member twice"


def test_an_escaped_colon_alone_is_no_duplicate() -> None:
    assert parse(b'{"a":"\\u003a","b":["\\u003A"]}') == {"a": ":", "b": [":"]}


@pytest.mark.parametrize("body", [b'"\\ud83d"', b'"\\ude00"', b'{"\\ud83d":1}', b'"\\ud83dx and more text"'])
def test_half_a_surrogate_pair_is_refused(body: bytes) -> None:
    refusal_of(body)


def test_a_whole_surrogate_pair_is_one_character() -> None:
    assert parse(b'"\\ud83d\\ude00"') == "\N{GRINNING FACE}"


@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_depth_is_bounded(opening: bytes, closing: bytes) -> None:
    parse(opening * 64 + b"1" + closing * 64)
    assert refusal_of(opening * 65 + b"1" + closing * 65).message == "the body is nested deeper than 64 levels"
    refusal_of(opening * 1_000_000)


def test_brackets_in_strings_and_side_by_side_do_not_count_as_depth() -> None:
    assert parse(json.dumps(["[" * 100, '\\"' + "{" * 100]).encode()) == ["[" * 100, '\\"' + "{" * 100]
    assert len(cast("list[object]", parse(b"[" + b"[]," * 500 + b"[]]"))) == 501


@settings(max_examples=200)
@given(value=json_values, bound=st.integers(0, 4), indent=st.sampled_from([None, 1]))
def test_a_body_is_refused_exactly_when_it_is_deeper_than_asked(value: object, bound: int, indent: int | None) -> None:
    body = json.dumps([value, '[{\\"[', "\\", {"]}\\": 0}], indent=indent).encode()
    if max(2, 1 + depth_of(value)) <= bound:
        parse(body, max_depth=bound)
    else:
        assert "nested deeper" in refusal_of(body, max_depth=bound).message


@settings(max_examples=200)
@given(body=st.text(alphabet='[]{}"\\ :,u1', max_size=40))
def test_no_input_escapes_the_depth_bound(body: str) -> None:
    try:
        value = parse(body.encode(), max_depth=3)
    except BadRequest:
        return
    assert depth_of(value) <= 3


def depth_of(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth_of, cast("dict[str, object]", value).values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(depth_of, cast("list[object]", value)), default=0)
    return 0


def test_a_caller_that_allows_any_depth_still_gets_no_recursion_error() -> None:
    assert refusal_of(b"[" * 200_000 + b"]" * 200_000, max_depth=10**6).message == "the body is nested too deeply"


def test_many_members_are_searched_for_a_duplicate_in_linear_time() -> None:
    body = b"{" + b",".join(b'"k%d":0' % n for n in range(100_000)) + b',"k99999":1}'
    assert refusal_of(body).message == "an object names `k99999` twice"
