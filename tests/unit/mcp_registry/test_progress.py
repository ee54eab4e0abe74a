"""Beside a call: tokens are swapped, ids matched, log levels held to; everything else stays."""

import json

import pytest
from msgspec import DecodeError, Raw

from mcp_registry.protocol import progress
from mcp_registry.protocol.progress import caller_token, cancelled, cancelled_id, id_key, is_loggable


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        (b'"t"', b'"t"'), (b"7", b"7"), (b"1" + b"0" * 30, b"1" + b"0" * 30), (b"1.5", None), (b"null", None),
        (b"true", None), (b"{}", None), (b'"%b"' % (b"x" * 300), None),
    ],
)  # fmt: skip
def test_a_token_is_a_short_string_or_an_integer(token: bytes, expected: bytes | None) -> None:
    assert caller_token({"progressToken": Raw(token)}) == expected


def test_no_token_means_no_progress_is_wanted() -> None:
    assert caller_token({}) is None


def test_progress_is_rewritten_in_its_token_alone() -> None:
    theirs = Raw(b'{"progressToken":"ours","progress":1.0,"total":null,"x":[1e3]}')
    assert progress.progress(theirs, b"7") == (
        b'{"jsonrpc":"2.0","method":"notifications/progress",'
        b'"params":{"progressToken":7,"progress":1.0,"total":null,"x":[1e3]}}'
    )
    with pytest.raises(DecodeError):
        progress.progress(Raw(b"[]"), b"7")


def test_a_cancellation_names_the_request_and_maybe_why() -> None:
    assert json.loads(cancelled(b"7")) == {
        "jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 7},
    }  # fmt: skip
    assert json.loads(cancelled(b'"a"', "the caller left"))["params"] == {"requestId": "a", "reason": "the caller left"}


@pytest.mark.parametrize(
    ("raw", "key"), [(b"1", 1), (b'"1"', "1"), (b'"\\u0041"', "A"), (b"null", None), (b"1.0", None), (b"[1]", None)]
)
def test_a_cancellation_is_matched_by_value(raw: bytes, key: str | int | None) -> None:
    assert cancelled_id({"requestId": Raw(raw)}) == key
    if key is not None:
        assert id_key(raw) == key


def test_a_cancellation_that_names_no_request_matches_none() -> None:
    assert cancelled_id({}) is None


@pytest.mark.parametrize(
    ("params", "minimum", "expected"),
    [
        (b'{"level":"error","data":1}', "info", True), (b'{"level":"info"}', "info", True),
        (b'{"level":"debug"}', "info", False), (b'{"level":"loud"}', "info", False), (b'{"level":7}', "info", False),
        (b"{}", "info", False), (b'{"level":"error"}', None, False),
    ],
)  # fmt: skip
def test_a_log_message_passes_when_it_was_asked_for(params: bytes, minimum: str | None, expected: bool) -> None:
    assert is_loggable(Raw(params), minimum) is expected


def test_a_log_message_without_params_does_not_pass() -> None:
    assert not is_loggable(None, "debug")
