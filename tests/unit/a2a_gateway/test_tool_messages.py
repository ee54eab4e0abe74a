"""Messages as calls of tools, and what tools say as parts: byte for byte, in every dialect."""

import json
from typing import Any

import pytest
from msgspec import Raw

from a2a_gateway import raw, tool_messages
from a2a_gateway.answers import State
from a2a_gateway.inbound import HttpIn, Inbound
from a2a_gateway.inbound import read as read_request
from a2a_gateway.tool_messages import Asked, Outcome, Question, answers, message_of, outcome, read, text_argument
from gateway_policies.refusal import BadRequest

DATE: dict[str, Any] = {"type": "object", "properties": {"date": {"type": "string"}}}
FORM = Question("When?", {}, only="date")
WIDE = Question("What?", {})
LINK = Question("Go there", {}, is_form=False)


def raw_message(*parts: Any) -> dict[str, Raw]:
    return {"parts": Raw(json.dumps(parts).encode())}


def found(result: Any) -> Outcome:
    return outcome(Raw(result if isinstance(result, bytes) else json.dumps(result).encode()))


def plain(value: object) -> Any:
    """Return parts with everything raw in them read."""
    return json.loads(bytes(raw.write(value)))


@pytest.mark.parametrize("dialect", ["1.0 rpc", "1.0 rest", "0.3 rpc", "0.3 rest"])
def test_a_message_is_read_in_every_dialect(dialect: str) -> None:
    data = b'{"tool":"t","arguments":{"n":12345678901234567890}}'
    new = b'{"messageId":"m","role":"ROLE_USER","parts":[{"data":%b}]}' % data
    old = b'{"kind":"message","messageId":"m","role":"user","parts":[{"kind":"data","data":%b}]}' % data
    oldest = b'{"messageId":"m","role":"ROLE_USER","content":[{"data":{"data":%b}}]}' % data
    version = {"a2a-version": dialect[:3]}
    rpc = b'{"jsonrpc":"2.0","id":1,"method":"%b","params":{"message":%b}}'
    request = {
        "1.0 rpc": HttpIn("POST", "", "", version, rpc % (b"SendMessage", new)),
        "1.0 rest": HttpIn("POST", "/message:send", "", version, b'{"message":%b}' % new),
        "0.3 rpc": HttpIn("POST", "", "", version, rpc % (b"message/send", old)),
        "0.3 rest": HttpIn("POST", "/v1/message:send", "", version, b'{"message":%b}' % oldest),
    }[dialect]
    inbound = read_request(request)
    assert isinstance(inbound, Inbound)
    asked = read(message_of(inbound), "")
    assert (asked.tool, asked.arguments) == ("t", Raw(b'{"n":12345678901234567890}'))


def test_what_a_message_asks_for() -> None:
    assert read(raw_message({"data": {"tool": "t"}}, {"text": "please"}), "") == Asked("t", Raw(b"{}"))
    assert read(raw_message({"data": {"x": 1}}), "t") == Asked("t", Raw(b'{"x": 1}'))
    assert read(raw_message({"text": "a"}, {"text": "b"}), "") == Asked("", None, "a\nb")


@pytest.mark.parametrize(
    ("parts", "code"),
    [
        ([], "invalid_params"),
        ([{"text": 7}], "invalid_params"),
        ([{"url": "https://x.example"}], "content_type_not_supported"),
        ([{"data": [1]}], "invalid_params"),
        ([{"data": {"tool": "t"}}, {"data": {"tool": "t"}}], "invalid_params"),
        ([{"data": {"tool": "t", "arguments": 1}}], "invalid_params"),
        ([{"data": {"tool": "t", "more": 1}}], "invalid_params"),
        ([{"data": {"tool": 1}}], "invalid_params"),
        ([{"data": {"tool": "t" * 300}}], "invalid_params"),
    ],
)
def test_what_is_no_call(parts: list[Any], code: str) -> None:
    with pytest.raises(BadRequest) as told:
        read(raw_message(*parts), "")
    assert (told.value.code, told.value.hint) == (code, tool_messages.HOW)


@pytest.mark.parametrize(
    ("schema", "name"),
    [
        (DATE, "date"),
        ([], ""),
        ({}, ""),
        ({"properties": []}, ""),
        ({"properties": {"a": {"type": "string"}, "b": {}}}, ""),
        ({"properties": {"a": {"type": "number"}}}, ""),
        ({"properties": {"a": True}}, ""),
    ],
)
def test_one_text_can_be_the_arguments(schema: Any, name: str) -> None:
    assert text_argument(json.dumps(schema).encode()) == name


def test_answers_to_what_was_asked() -> None:
    accept = {"action": "accept", "content": {"date": "x"}}
    assert plain(dict(answers(raw_message({"text": "x"}), {"q": FORM}))) == {"q": accept}
    assert plain(dict(answers(raw_message({"data": {"date": "x"}}), {"q": FORM}))) == {"q": accept}
    assert plain(dict(answers(raw_message({"text": "done"}), {"q": LINK}))) == {"q": {"action": "accept"}}
    both = {"answers": {"q": accept, "r": {"action": "decline"}}}
    assert plain(dict(answers(raw_message({"data": both}), {"q": FORM, "r": WIDE}))) == both["answers"]


@pytest.mark.parametrize(
    ("part", "questions"),
    [
        ({"text": "x"}, {"q": FORM, "r": FORM}),
        ({"text": "x"}, {"q": WIDE}),
        ({"text": " "}, {"q": FORM}),
        ({"data": {"answers": 1}}, {"q": FORM}),
        ({"data": {"answers": {"q": 1}}}, {"q": FORM}),
        ({"data": {"answers": {"q": {"action": "maybe"}}}}, {"q": FORM}),
        ({"data": {"answers": {"other": {"action": "accept"}}}}, {"q": FORM}),
        ({"data": {"answers": {"q": {"action": "accept"}}}}, {"q": FORM, "r": FORM}),
    ],
)
def test_what_answers_nothing(part: Any, questions: dict[str, Question]) -> None:
    with pytest.raises(BadRequest) as told:
        answers(raw_message(part), questions)
    assert told.value.code == "invalid_params"


def test_blocks_are_parts() -> None:
    content = [
        {"type": "text", "text": "t"},
        {"type": "image", "data": "QQ==", "mimeType": "image/png"},
        {"type": "audio", "data": "QQ=="},
        {"type": "resource_link", "uri": "https://x.example/f", "name": "f"},
        {"type": "resource", "resource": {"uri": "x:y", "text": "words", "mimeType": "text/css"}},
        {"type": "resource", "resource": {"uri": "x:y", "blob": "QQ=="}},
        {"type": "resource", "resource": {"uri": "x:y"}},
        {"type": "new", "x": 1},
    ]
    said = found({"content": content, "structuredContent": {"n": 1}})
    assert said.state is State.COMPLETED
    assert plain(list(said.parts)) == [
        {"text": "t"},
        {"raw": "QQ==", "mediaType": "image/png"},
        {"raw": "QQ=="},
        {"url": "https://x.example/f", "filename": "f"},
        {"text": "words", "filename": "x:y", "mediaType": "text/css"},
        {"raw": "QQ==", "filename": "x:y"},
        {"data": content[6], "mediaType": "application/json"},
        {"data": content[7], "mediaType": "application/json"},
        {"data": {"n": 1}, "mediaType": "application/json"},
    ]


def test_numbers_of_a_result_keep_their_digits() -> None:
    said = found(b'{"structuredContent":{"n":12345678901234567890.50}}')
    assert [part["data"] for part in said.parts] == [Raw(b'{"n":12345678901234567890.50}')]


def test_a_result_without_a_word_says_how_it_went() -> None:
    assert (found({}).parts, found({}).state) == ([{"text": "done"}], State.COMPLETED)
    assert (found({"isError": True}).parts, found({"isError": True}).state) == ([{"text": "failed"}], State.FAILED)


def test_questions_are_told_with_their_forms() -> None:
    asked = {
        "q": {"method": "elicitation/create", "params": {"message": "When?", "requestedSchema": DATE}},
        "l": {"method": "elicitation/create", "params": {"mode": "url", "url": "https://x.example", "message": 7}},
        "n": {"method": "elicitation/create"},
    }
    said = found({"resultType": "input_required", "inputRequests": asked, "requestState": "s"})
    assert (said.state, said.handle) == (State.INPUT_REQUIRED, Raw(b'"s"'))
    assert (said.questions["q"].only, said.questions["q"].is_form) == ("date", True)
    assert (said.questions["l"].text, said.questions["l"].is_form) == ("", False)
    text, data = plain(list(said.parts))
    assert text == {"text": "When?"}
    assert data["data"]["questions"]["q"] == {"message": "When?", "requestedSchema": DATE}
    nothing = found({"resultType": "input_required", "requestState": "s"})
    assert (nothing.parts[0], nothing.questions) == ({"text": "more is needed"}, {})
