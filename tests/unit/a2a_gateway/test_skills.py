"""Skills: named by the caller in an extension, or written by the gateway; never both."""

import json
from typing import Any

import pytest

from a2a_gateway import raw
from a2a_gateway.inbound import HttpIn, Inbound, read
from a2a_gateway.skills import EXTENSION, declaration, named, required, with_skill
from gateway_policies.refusal import BadRequest


def sent(message: dict[str, Any], **params: Any) -> Inbound:
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "SendMessage", "params": {"message": message, **params}})
    found = read(HttpIn("POST", "", "", {"a2a-version": "1.0"}, body.encode()))
    assert isinstance(found, Inbound)
    return found


def metadata(skill: Any) -> dict[str, Any]:
    return {"metadata": {EXTENSION: {"skillId": skill}}}


def test_a_skill_is_named_in_the_message_or_beside_it() -> None:
    assert named(sent(metadata("search"))) == "search"
    assert named(sent({}, **metadata("search"))) == "search"
    assert named(sent(metadata("search"), **metadata("search"))) == "search"
    nameless: list[Any] = [None, {}, {EXTENSION: "search"}, 7]
    for value in nameless:
        assert named(sent({"metadata": value})) == ""


@pytest.mark.parametrize("skill", [7, "x" * 1025])
def test_a_skill_that_is_no_name_is_refused(skill: Any) -> None:
    with pytest.raises(BadRequest):
        named(sent(metadata(skill)))


def test_two_skills_are_refused() -> None:
    with pytest.raises(BadRequest):
        named(sent(metadata("a"), **metadata("b")))


def test_the_gateway_s_word_replaces_the_caller_s() -> None:
    inbound = sent(
        {"big": 12345678901234567890, **metadata("forged")}, metadata={EXTENSION: {"skillId": "f"}, "k": 1.0}
    )
    written = with_skill(inbound.params, "search")
    message = raw.members(written["message"])
    assert bytes(message["big"]) == b"12345678901234567890"
    assert json.loads(bytes(message["metadata"])) == {EXTENSION: {"skillId": "search"}}
    assert bytes(written["metadata"]) == b'{"k":1.0}'
    again = with_skill(sent({"metadata": None}, metadata=None).params, "s")
    assert json.loads(bytes(raw.members(again["message"])["metadata"])) == {EXTENSION: {"skillId": "s"}}
    assert bytes(again["metadata"]) == b"null"


@pytest.mark.parametrize("odd", ["x", 7, [], True])
def test_metadata_that_are_no_object_are_the_callers_mistake(odd: Any) -> None:
    for inbound in (sent({"metadata": odd}), sent({}, metadata=odd)):
        with pytest.raises(BadRequest, match="`metadata` must be an object"):
            with_skill(inbound.params, "search")
    assert "metadata" not in json.loads(bytes(raw.write(with_skill(sent({}).params, "search"))))


def test_the_extension_is_declared() -> None:
    assert declaration(["a"], is_required=True)["params"] == {"skills": ["a"]}
    assert required().code == "extension_required"
