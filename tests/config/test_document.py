"""YAML as plain values with places: what is taken, and what is refused before it can surprise."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_gateway.config.document import MAX_BYTES, MAX_DEPTH, MAX_NODES, read_document
from agent_gateway.config.problems import ConfigErrors, Fault


def data_of(text: str) -> object:
    return read_document("f.yaml", text.encode()).data


def refusal_of(content: bytes | str) -> ConfigErrors:
    with pytest.raises(ConfigErrors) as caught:
        read_document("f.yaml", content.encode() if isinstance(content, str) else content)
    return caught.value


@pytest.mark.parametrize("word", ["on", "off", "yes", "no", "y", "n", "True", "FALSE", "On", "NO"])
def test_only_true_and_false_are_booleans(word: str) -> None:
    assert data_of(f"a: {word}\nb: true\nc: false") == {"a": word, "b": True, "c": False}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("-12", -12),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        ("010", "010"),
        ("0x1f", "0x1f"),
        ("1_000", "1_000"),
        ("12:30", "12:30"),
        ("2026-11-23", "2026-11-23"),
        (".inf", ".inf"),
        ("'5'", "5"),
        ('"true"', "true"),
        ("~", None),
        ("null", None),
        ("", None),
        ("NULL", "NULL"),
        ("{}", {}),
        ("[]", []),
        ("|\n  5\n", "5\n"),
    ],
)
def test_a_plain_value_is_what_it_looks_like(text: str, value: object) -> None:
    read = data_of(f"a: {text}")
    assert read == {"a": value}
    assert repr(read) == repr({"a": value})


def test_an_empty_file_holds_nothing() -> None:
    assert data_of("# only a comment\n") == {}


def test_a_byte_order_mark_is_no_part_of_the_first_key() -> None:
    assert read_document("f", b"\xef\xbb\xbfa: 1").data == {"a": 1}


def test_every_key_that_is_there_twice_is_named_with_both_lines() -> None:
    refused = refusal_of("a: 1\nb: {c: 1, c: 2}\na: 3\n")
    assert [(error.line, error.column, error.key) for error in refused.errors] == [(2, 11, "b.c"), (3, 1, "a")]
    assert refused.errors[1].message == "`a` is here twice; the first is on line 1"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: !!python/object/apply:os.system [ls]", "tags such as"),
        ("a: !secret x", "tags such as"),
        ("a: &x {b: 1}\nc:\n  <<: *x", "merge keys"),
        ("a: *nowhere", "an alias must follow"),
        ("a: &a [*a]", "an alias must follow"),
        ("? [a, b]\n: 1", "a key is plain text"),
        ("a: 1\n---\nb: 2", "one document"),
        ("a: [1", "not valid YAML"),
        ("a: 'x", "not valid YAML"),
        ("a: b: c", "not valid YAML"),
        ("a: 1234567890123456789", "more than 18 digits"),
        ("a: \x00", "a character that YAML does not allow"),
        ("[" * 40 + "]" * 40, f"nested deeper than {MAX_DEPTH}"),
    ],
)
def test_what_could_surprise_is_refused(text: str, message: str) -> None:
    (error,) = refusal_of(text).errors
    assert message in error.message


def test_bytes_that_are_not_utf8_are_refused() -> None:
    assert refusal_of(b"a: \xff").errors[0].message == "the file is not UTF-8 text"


def test_a_file_beyond_the_size_limit_is_refused_unread() -> None:
    assert "larger than" in refusal_of(b"#" * (MAX_BYTES + 1)).errors[0].message


def test_aliases_that_blow_up_are_refused() -> None:
    lines = ["a0: &a0 [1,1,1,1,1,1,1,1,1,1]"]
    lines += [f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    assert f"more than {MAX_NODES} values" in refusal_of("\n".join(lines)).errors[0].message


def test_aliases_that_nest_too_deep_are_refused() -> None:
    lines = ["a0: &a0 [1]"] + [f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 40)]
    assert "nested deeper" in refusal_of("\n".join(lines)).errors[0].message


def test_an_alias_repeats_its_value() -> None:
    assert data_of("a: &x {b: [1]}\nc: *x") == {"a": {"b": [1]}, "c": {"b": [1]}}


def test_a_fault_is_placed_at_its_value_or_key_or_at_the_nearest_parent() -> None:
    document = read_document("f", b"one:\n  two: [7, 8]\n  three: x\n")

    def place(*path: str | int, at_key: bool = False) -> tuple[int, int, str]:
        problem = document.locate(Fault(path, "m", at_key=at_key))
        return (problem.line, problem.column, problem.key)

    assert place("one", "two", 1) == (2, 12, "one.two[1]")
    assert place("one", "three") == (3, 10, "one.three")
    assert place("one", "three", at_key=True) == (3, 3, "one.three")
    assert place("one", "absent") == (1, 1, "one.absent")
    assert place("one", "absent", "more") == (1, 1, "one.absent.more")
    assert place() == (1, 1, "")


def test_a_key_that_a_terminal_would_obey_is_spelled_out() -> None:
    refused = refusal_of('"a\\e[31m": 1\n"a\\e[31m": 2')
    assert "\x1b" not in refused.errors[0].text
    assert "\\u001b" in refused.errors[0].text


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused_with_places(text: str) -> None:
    try:
        document = read_document("f", text.encode())
    except ConfigErrors as refused:
        places = [(error.line, error.column) for error in refused.errors]
    else:
        places = [(mark.line, mark.column) for mark in document.values.values()]
    assert places
    assert min(min(place) for place in places) >= 1
