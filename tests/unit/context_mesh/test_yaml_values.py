"""YAML and JSON: the same values, none of YAML's traps, and bombs that cost little."""

import time
from dataclasses import replace

import pytest

from context_mesh.openapi.limits import Limits
from context_mesh.openapi.parse import parse
from gateway_policies.refusal import BadRequest


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on", "on"),
        ("no", "no"),
        ("2024-01-01", "2024-01-01"),
        ("1:30", "1:30"),
        ("007", "007"),
        ("0o17", "0o17"),
        ("0x1F", "0x1F"),
        ("0", 0),
        ("-12", -12),
        ("+1", 1),
        ("99999999999999999999", 1e20),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("1.", 1.0),
        ("1e999", "1e999"),
        (".", "."),
        ("-", [None]),
        ("-.inf", "-.inf"),
        ("1.2.3", "1.2.3"),
        ("~", None),
        ("", None),
        ("null", None),
        ("True", True),
        ("false", False),
        ("'1'", "1"),
        ("!!str 1", "1"),
        ("!!python/object/apply:os.system [echo]", ["echo"]),
        ("!!python/name:os.system x", "x"),
        ("!custom {a: 1}", {"a": 1}),
        ("{200: a, 1.10: b, yes: c, null: d}", {"200": "a", "1.10": "b", "yes": "c", "null": "d"}),
        ("{a: 1, a: 2}", {"a": 2}),
        ("base: &b {x: 1, y: 2}\nmore: {<<: *b, y: 3}", {"base": {"x": 1, "y": 2}, "more": {"y": 3, "x": 1}}),
        ("- &a {x: 1}\n- &b {x: 2, z: 3}\n- {<<: [*a, *b]}", [{"x": 1}, {"x": 2, "z": 3}, {"x": 1, "z": 3}]),
        ("k: &k name\n? *k\n: 1", {"k": "name", "name": 1}),
        ("a: &x 1\nb: *x", {"a": 1, "b": 1}),
        ("a: 1\n---\nb: 2", {"a": 1}),
        ('{"a": 1,}', {"a": 1}),
        ('{"a": [1, 2.0, null, "x"]}', {"a": [1, 2.0, None, "x"]}),
        ("\ufeff{\"a\": 1}", {"a": 1}),
    ],
)  # fmt: skip
def test_a_text_becomes_a_value(text: str, value: object) -> None:
    assert parse(text.encode()) == value


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_byte_order_marks_are_believed(encoding: str) -> None:
    assert parse("a: ä".encode(encoding)) == {"a": "ä"}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("? [a]\n: 1", "a name is no plain text at line 1"),
        ("? {a: 1}\n: 1", "a name is no plain text at line 1"),
        ("k: &k [1]\n? *k\n: 1", "a name is no plain text at line 2"),
        ("a: *nobody", "undefined|no complete anchor"),
        ("a: &a [*a]", "no complete anchor at line 1"),
        ("a: {<<: 1}", "`<<` merges no mapping at line 1"),
        ("a: [1", "line"),
        ("a: \x00", "characters that YAML forbids|line|control"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_line(text: str, problem: str) -> None:
    with pytest.raises(BadRequest, match=problem) as caught:
        parse(text.encode(), "a.yaml")
    assert caught.value.code == "unreadable_description"


def nested(opening: str, closing: str, levels: int) -> bytes:
    return (opening * levels + closing * levels).encode()


BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [*{before},*{before},*{before},*{before},*{before},*{before},*{before},*{before},*{before}]\n"
    for before, name in zip("abcdefghijklm", "bcdefghijklmn", strict=True)
)


@pytest.mark.parametrize(
    "body",
    [
        BOMB.encode(),
        ("a: &a {x: 1}\n" + "".join(f"b{number}: &b{number} 1\n" for number in range(21_000))).encode(),
        nested("[", "]", 500),
        nested('{"a":', "1}", 300),
        b"- " * 300 + b"x",
        b"".join(b" " * number + b"a:\n" for number in range(300)),
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"{a: " * 5_000,
    ],
    ids=["aliases", "anchors", "json arrays", "json objects", "block", "block maps", "open", "open objects", "flow"],
)
@pytest.mark.requirement("mesh.bombs")
def test_a_bomb_is_refused_quickly(body: bytes) -> None:
    started = time.process_time()
    with pytest.raises(BadRequest):
        parse(body)
    assert time.process_time() - started < 5


@pytest.mark.parametrize(
    ("body", "limits"),
    [
        (b"a: 123456789", replace(Limits(), max_bytes=10)),
        (b"[1,2,3,4,5,6]", replace(Limits(), max_nodes=4)),
        (b"- 1\n- 2\n- 3\n- 4\n- 5\n", replace(Limits(), max_nodes=4)),
        (b"a: &a [1, 2, 3]\nb: *a\nc: *a", replace(Limits(), max_aliased=6)),
        (b"[[[1]]]", replace(Limits(), max_depth=2)),
    ],
)
def test_each_limit_has_its_refusal(body: bytes, limits: Limits) -> None:
    with pytest.raises(BadRequest) as caught:
        parse(body, limits=limits)
    assert caught.value.code == "description_too_large"


def test_a_mark_that_lies_is_refused() -> None:
    with pytest.raises(BadRequest, match="the text is not UTF-16-LE"):
        parse(b"\xff\xfea")
