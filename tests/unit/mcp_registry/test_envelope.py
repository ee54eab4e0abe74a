"""Envelopes: strict towards callers, blind towards results, faithful to every member."""

import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from mcp_registry.protocol import envelope
from mcp_registry.protocol.envelope import Invalid, Notification, Request, Response, read_answer, read_message
from mcp_registry.protocol.errors import INVALID_REQUEST, PARSE_ERROR

EXOTIC = [
    b"null", b"1.0", b"1", b"1E2", b"-0", b"1" + b"0" * 30, b"0.1000",
    b'"\\u0041\\u2028\\u0000\\/"', b'"\\ud83d\\ude00"',
    b'{"b":1,"a":{"\\u00e9":null}}', b'{ "spaced" : [ 1 , 2 ] }', b"[]", b"{}", '"\u2028é"'.encode(),
]  # fmt: skip

raw_json = st.sampled_from(EXOTIC) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text('aé\n"\\'),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abé", max_size=3), inner, max_size=3),
    max_leaves=8,
).flatmap(
    lambda value: st.sampled_from(
        [json.dumps(value).encode(), json.dumps(value, ensure_ascii=False, indent=1).encode()]
    )
)

members = st.dictionaries(st.text("abcé_/", min_size=1, max_size=5), raw_json, max_size=5)


def written(params: dict[str, bytes]) -> bytes:
    inside = b" , ".join(json.dumps(name).encode() + b" : " + raw for name, raw in params.items())
    return b'{"jsonrpc":"2.0","id":"x","method":"tools/call","params":{%b}}' % inside


def invalid(body: bytes, *, allow_response: bool = False) -> Invalid:
    message = read_message(body, allow_response=allow_response)
    assert isinstance(message, Invalid)
    return message


def request_of(body: bytes) -> Request:
    message = read_message(body)
    assert isinstance(message, Request)
    return message


@settings(max_examples=150)
@given(params=members)
def test_every_member_of_params_survives_byte_for_byte(params: dict[str, bytes]) -> None:
    incoming = request_of(written(params))
    assert {name: bytes(raw) for name, raw in incoming.params.items()} == params
    assert list(incoming.params) == list(params)
    outgoing = envelope.request(b"7", incoming.method, incoming.params)
    again = request_of(outgoing)
    assert {name: bytes(raw) for name, raw in again.params.items()} == params
    assert repr(again.parsed) == repr(incoming.parsed)


@settings(max_examples=150)
@given(params=members, extra=raw_json)
def test_an_edit_touches_only_what_it_names(params: dict[str, bytes], extra: bytes) -> None:
    before = request_of(written({"name": b'"git__log"', **params, "_meta": b"{}"}))
    after = envelope.edit(before.params, {"name": b'"log"', "_meta": None, "added": extra, "absent": None})
    kept = {name: bytes(raw) for name, raw in after.items() if name not in ("name", "added")}
    assert kept == params
    assert (bytes(after["name"]), bytes(after["added"])) == (b'"log"', extra)
    assert next(iter(after)) == "name"
    assert bytes(before.params["_meta"]) == b"{}"


@settings(max_examples=150)
@given(result=raw_json)
def test_a_result_survives_byte_for_byte(result: bytes) -> None:
    answer = read_answer(envelope.response(b'"a"', result))
    assert isinstance(answer, Response)
    assert answer.id == b'"a"'
    assert answer.result is not None
    assert bytes(answer.result) == result
    assert envelope.response(b'"a"', answer.result) == envelope.response(b'"a"', result)


def test_a_request_is_read_whole() -> None:
    message = request_of(
        b'{"jsonrpc":"2.0","id": 9007199254740993,"method":"tools/call","extra":1,'
        b'"params":{"name":"a","arguments":{"n":1.0},"_meta":{"progressToken":1,"x":null}}}'
    )
    assert message.id == b"9007199254740993"
    assert message.method == "tools/call"
    assert {name: bytes(raw) for name, raw in message.meta.items()} == {"progressToken": b"1", "x": b"null"}
    assert message.parsed == {"name": "a", "arguments": {"n": 1.0}, "_meta": {"progressToken": 1, "x": None}}


def test_absent_and_empty_params_are_both_empty() -> None:
    for body in (b'{"jsonrpc":"2.0","id":1,"method":"ping"}', b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{}}'):
        message = request_of(body)
        assert (message.params, message.meta, message.parsed) == ({}, {}, {})


def test_a_message_without_id_is_a_notification() -> None:
    message = read_message(b'{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}')
    assert isinstance(message, Notification)
    assert (message.method, message.parsed) == ("notifications/cancelled", {"requestId": 1})


@pytest.mark.parametrize(
    ("body", "id_raw", "words"),
    [
        (b"[]", None, "batches are not served"),
        (b'[{"jsonrpc":"2.0","id":1,"method":"ping"}]', None, "batches are not served"),
        (b"1", None, "a message is a JSON object"),
        (b"{}", None, "`jsonrpc` must be `2.0`"),
        (b'{"id":1,"method":"ping"}', b"1", "`jsonrpc` must be `2.0`"),
        (b'{"jsonrpc":2.0,"id":1,"method":"ping"}', b"1", "`jsonrpc` must be `2.0`"),
        (b'{"jsonrpc":"1.0","id":1,"method":"ping"}', b"1", "`jsonrpc` must be `2.0`"),
        (b'{"jsonrpc":"2.0","id":null,"method":"ping"}', None, "`id` must be a string or an integer"),
        (b'{"jsonrpc":"2.0","id":1.0,"method":"ping"}', None, "`id` must be a string or an integer"),
        (b'{"jsonrpc":"2.0","id":true,"method":"ping"}', None, "`id` must be a string or an integer"),
        (b'{"jsonrpc":"2.0","id":{},"method":"ping"}', None, "`id` must be a string or an integer"),
        (b'{"jsonrpc":"2.0","id":"%b","method":"ping"}' % (b"x" * 255), None, "at most 256 bytes"),
        (b'{"jsonrpc":"2.0","id":1}', b"1", "`method` must be a string"),
        (b'{"jsonrpc":"2.0","id":1,"method":null}', b"1", "`method` must be a string"),
        (b'{"jsonrpc":"2.0","id":1,"method":""}', b"1", "`method` must have 1 to 128 characters"),
        (b'{"jsonrpc":"2.0","id":1,"method":"%b"}' % (b"x" * 129), b"1", "`method` must have 1 to 128 characters"),
        (b'{"jsonrpc":"2.0","id":1,"method":"ping","params":[]}', b"1", "`params` must be an object"),
        (b'{"jsonrpc":"2.0","id":1,"method":"ping","params":null}', b"1", "`params` must be an object"),
        (b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"_meta":1}}', b"1", "`params._meta` must be an object"),
        (b'{"jsonrpc":"2.0","id":1,"method":"ping","result":{}}', b"1", "not both"),
        (b'{"jsonrpc":"2.0","id":1,"result":{}}', b"1", "answers are not taken here"),
        (b'{"jsonrpc":"2.0","id":1,"error":{}}', b"1", "answers are not taken here"),
        (b'{"jsonrpc":"2.0","id":1,"result":{},"error":{}}', b"1", "only one"),
    ],
)
def test_what_is_no_request_is_invalid_and_answered_to_its_sender(
    body: bytes, id_raw: bytes | None, words: str
) -> None:
    message = invalid(body)
    assert words in message.error.message
    assert (message.id, message.error.rpc_code, message.error.http_status) == (id_raw, INVALID_REQUEST, 400)


@pytest.mark.parametrize("body", [b"", b"{", b'{"a":1,"a":2}', b"\xff", b"[NaN]", b"[" * 100])
def test_what_is_not_strict_json_is_a_parse_error(body: bytes) -> None:
    message = invalid(body)
    assert (message.id, message.error.rpc_code) == (None, PARSE_ERROR)


def test_a_session_may_post_answers() -> None:
    good = read_message(b'{"jsonrpc":"2.0","id":3,"result":{"a":1}}', allow_response=True)
    assert isinstance(good, Response)
    assert (good.id, good.error) == (b"3", None)
    bad = read_message(b'{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":"x"}}', allow_response=True)
    assert isinstance(bad, Response)
    assert (bad.id, bad.result) == (None, None)
    for body in (b'{"jsonrpc":"2.0","result":{}}', b'{"jsonrpc":"2.0","id":null,"result":{}}'):
        assert invalid(body, allow_response=True).error.rpc_code == INVALID_REQUEST


@settings(max_examples=200)
@given(body=st.binary(max_size=60) | st.text('{}[]":,jsonrpc2.0id1method\\u', max_size=60).map(str.encode))
def test_no_bytes_raise(body: bytes) -> None:
    read_message(body)
    read_answer(body)


# --- upstreams -----------------------------------------------------------------------------


def test_an_upstream_may_notify_and_ask() -> None:
    note = read_answer(b'{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1,"_meta":{}}}')
    assert isinstance(note, Notification)
    assert bytes(note.params["progressToken"]) == b"1"
    ask = read_answer(b'{"jsonrpc":"2.0","id":1,"method":"sampling/createMessage"}')
    assert isinstance(ask, Request)
    assert (ask.id, ask.params) == (b"1", {})


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"<html>", PARSE_ERROR),
        (b"[]", PARSE_ERROR),
        (b'{"jsonrpc":"2.0","id":1,"result":"\xff"}', PARSE_ERROR),
        (b'{"jsonrpc":"2.0","method":"a","params":[]}', PARSE_ERROR),
        (b'{"jsonrpc":"2.0","method":"a","params":{"_meta":1}}', PARSE_ERROR),
        (b'{"jsonrpc":"2.0","id":1,"result":%b}' % (b"[" * 100_000 + b"]" * 100_000), PARSE_ERROR),
        (b"{}", INVALID_REQUEST),
        (b'{"id":1,"result":{}}', INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":1}', INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","result":{}}', INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":null,"result":{}}', INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":1,"result":{},"error":{}}', INVALID_REQUEST),
    ],
)
def test_garbage_from_an_upstream_is_invalid(body: bytes, code: int) -> None:
    message = read_answer(body)
    assert isinstance(message, Invalid)
    assert message.error.rpc_code == code


def test_text_in_any_script_passes() -> None:
    answer = read_answer('{"jsonrpc":"2.0","id":1,"result":"é"}'.encode())
    assert isinstance(answer, Response)


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (rb'"cut \ud83d"', rb'"cut \ufffd"'),
        (rb'"\ude00 and \uD83D\uDE00"', rb'"\ufffd and \uD83D\uDE00"'),
        (rb'"\\\ud83d"', rb'"\\\ufffd"'),
        (rb'"\\ud83d \ud83d\ud83d"', rb'"\\ud83d \ufffd\ufffd"'),
    ],
)
def test_half_a_surrogate_pair_from_an_upstream_costs_one_character(sent: bytes, kept: bytes) -> None:
    answer = read_answer(b'{"jsonrpc":"2.0","id":1,"result":%b}' % sent)
    assert isinstance(answer, Response)
    assert answer.result is not None
    assert bytes(answer.result) == kept


# --- writers -------------------------------------------------------------------------------


def test_messages_are_written_compactly() -> None:
    params = {"a": Raw(b"1.0")}
    assert envelope.request(b"1", "a", params) == b'{"jsonrpc":"2.0","id":1,"method":"a","params":{"a":1.0}}'
    assert envelope.request(b"1", "ping", {}) == b'{"jsonrpc":"2.0","id":1,"method":"ping"}'
    assert envelope.notification("n", params) == b'{"jsonrpc":"2.0","method":"n","params":{"a":1.0}}'
    assert envelope.response(b'"i"', b"{}") == b'{"jsonrpc":"2.0","id":"i","result":{}}'
    assert envelope.failure(None, Raw(b'{"code":1}')) == b'{"jsonrpc":"2.0","id":null,"error":{"code":1}}'
    assert (
        envelope.error(b"1", -32600, 'a "b"')
        == b'{"jsonrpc":"2.0","id":1,"error":{"code":-32600,"message":"a \\"b\\""}}'
    )
    assert envelope.error(b"1", 1, "m", {"x": Raw(b"1e3")}).endswith(b'"message":"m","data":{"x":1e3}}}')


def test_an_object_is_read_and_nothing_else() -> None:
    assert bytes(envelope.read_object(b'{"a": null }')["a"]) == b"null"
    with pytest.raises(msgspec.DecodeError):
        envelope.read_object(b"[]")


def test_any_value_is_written_with_its_raw_members_as_they_are() -> None:
    assert envelope.write({"a": Raw(b"1e3"), "b": [None, 10**30]}) == b'{"a":1e3,"b":[null,%d]}' % 10**30
