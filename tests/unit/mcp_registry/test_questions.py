"""Questions of servers: which capability each needs, and their two spellings."""

import msgspec
import orjson
import pytest
from msgspec import Raw

from mcp_registry.protocol.questions import (
    MAX_QUESTIONS,
    Question,
    input_required,
    may_be_asked,
    missing_capability,
    read_input_requests,
    read_input_required,
    url_questions,
    with_state,
)

FORM = Question("elicitation/create", {"message": Raw(b'"?"')})
URL = Question("elicitation/create", {"mode": Raw(b'"url"'), "elicitationId": Raw(b'"e"'), "url": Raw(b'"https://x"')})
SAMPLE = Question("sampling/createMessage", {})
TOOLS = Question("sampling/createMessage", {"tools": Raw(b"[]")})
ROOTS = Question("roots/list", {})
OTHER = Question("acme/ask", {})


@pytest.mark.parametrize(
    ("question", "capabilities", "may"),
    [
        (FORM, b'{"elicitation":{}}', True),
        (FORM, b'{"elicitation":{"form":{}}}', True),
        (FORM, b'{"elicitation":{"url":{}}}', False),
        (FORM, b'{"elicitation":{"url":{},"form":{}}}', True),
        (URL, b'{"elicitation":{}}', False),
        (URL, b'{"elicitation":{"url":{}}}', True),
        (SAMPLE, b'{"sampling":{}}', True),
        (SAMPLE, b'{"roots":{}}', False),
        (TOOLS, b'{"sampling":{}}', False),
        (TOOLS, b'{"sampling":{"tools":{}}}', True),
        (ROOTS, b'{"roots":{"listChanged":true}}', True),
        (ROOTS, b"{}", False),
        (OTHER, b'{"sampling":{},"roots":{},"elicitation":{}}', False),
    ],
)
def test_a_client_is_asked_only_what_it_declared(question: Question, capabilities: bytes, may: bool) -> None:
    assert may_be_asked(question, Raw(capabilities)) is may


def test_what_a_client_would_have_to_declare_is_said_as_capabilities() -> None:
    assert missing_capability(URL) == {"requiredCapabilities": {"elicitation": {"url": {}}}}
    assert missing_capability(ROOTS) == {"requiredCapabilities": {"roots": {}}}
    assert missing_capability(OTHER) == {"requiredCapabilities": {"experimental": {}}}


def test_an_interim_result_is_read_and_its_state_kept_as_it_came() -> None:
    raw = Raw(
        b'{"resultType":"input_required","inputRequests":{"a":{"method":"roots/list"},'
        b'"b":{"method":"elicitation/create","params":{"n":null}}},"requestState":"s\\u00e9","x":1}'
    )
    found = read_input_required(raw)
    assert found is not None
    assert bytes(found.state or b"") == b'"s\\u00e9"'
    assert found.questions["a"] == ROOTS
    assert bytes(found.questions["b"].params["n"]) == b"null"
    assert orjson.loads(bytes(with_state(raw, "ours"))) == orjson.loads(bytes(raw)) | {"requestState": "ours"}


@pytest.mark.parametrize(
    "raw",
    [
        b'{"content":[]}',
        b'{"content":[{"type":"text","text":"input_required"}]}',
        b'{"resultType":"complete","x":"input_required"}',
    ],
)
def test_other_results_are_no_interim_ones(raw: bytes) -> None:
    assert read_input_required(Raw(raw)) is None


def test_an_interim_result_may_have_a_state_alone_or_questions_alone() -> None:
    state = read_input_required(Raw(b'{"resultType":"input_required","requestState":"x"}'))
    asked = read_input_required(Raw(b'{"resultType":"input_required","inputRequests":{"a":{"method":"roots/list"}}}'))
    assert state is not None
    assert (dict(state.questions), bytes(state.state or b"")) == ({}, b'"x"')
    assert asked is not None
    assert asked.state is None


def test_a_malformed_or_endless_interim_result_is_refused() -> None:
    with pytest.raises(msgspec.DecodeError):
        read_input_required(Raw(b'{"resultType":"input_required","inputRequests":[]}'))
    for nothing in (b'{"resultType":"input_required"}', b'{"resultType":"input_required","inputRequests":{}}'):
        with pytest.raises(ValueError, match="asks for nothing"):
            read_input_required(Raw(nothing))
    many = {str(number): {"method": "roots/list"} for number in range(MAX_QUESTIONS + 1)}
    with pytest.raises(ValueError, match="more than"):
        read_input_required(Raw(orjson.dumps({"resultType": "input_required", "inputRequests": many})))


def test_what_a_task_asks_is_read_likewise() -> None:
    assert read_input_requests(Raw(b'{"status":"working"}')) == {}
    asked = read_input_requests(Raw(b'{"status":"input_required","inputRequests":{"a":{"method":"roots/list"}}}'))
    assert asked == {"a": ROOTS}
    many = {str(number): {"method": "roots/list"} for number in range(MAX_QUESTIONS + 1)}
    with pytest.raises(ValueError, match="more than"):
        read_input_requests(Raw(orjson.dumps({"inputRequests": many})))


def test_a_legacy_question_is_written_for_a_modern_client_without_what_is_legacy() -> None:
    written = orjson.loads(bytes(input_required({"q1": URL, "q2": ROOTS}, "s")))
    assert written == {
        "resultType": "input_required",
        "inputRequests": {
            "q1": {"method": "elicitation/create", "params": {"mode": "url", "url": "https://x"}},
            "q2": {"method": "roots/list"},
        },
        "requestState": "s",
    }


def test_the_error_that_wants_a_url_opened_becomes_questions() -> None:
    error = {"code": -32042, "message": "m", "data": {"elicitations": [{"mode": "url", "url": "https://x"}]}}
    found = url_questions(Raw(orjson.dumps(error)))
    assert {key: one.needs for key, one in found.items()} == {"url0": ("elicitation", "url")}
    assert url_questions(Raw(b'{"code":-32042,"message":"m"}')) == {}
    assert url_questions(Raw(b'{"code":-32603,"message":"m"}')) == {}
    assert url_questions(Raw(b"[]")) == {}
    assert url_questions(None) == {}
