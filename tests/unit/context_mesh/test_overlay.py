"""Overlays: actions in order on the whole value; what has no effect or is wrong is told."""

import orjson
import pytest

from context_mesh.openapi.load import load
from context_mesh.openapi.model import Document
from gateway_policies.refusal import BadRequest

ENTRY = {
    "openapi": "3.1.0",
    "paths": {
        "/a": {"get": {"tags": ["x"], "parameters": [{"name": "p", "in": "query"}, {"name": "q", "in": "query"}]}},
        "/b": {"get": {"tags": ["y"]}, "put": {}},
    },
}


def overlaid(*actions: object) -> Document:
    overlay = {"overlay": "1.1.0", "actions": list(actions)}
    return load(orjson.dumps(ENTRY), overlays=[orjson.dumps(overlay)])


def keys(document: Document) -> list[str]:
    return [operation.key for operation in document.operations]


def test_operations_are_taken_out_and_put_in() -> None:
    document = overlaid(
        {"target": "$.paths['/b'].put", "remove": True},
        {"target": "$.paths", "update": {"/c": {"get": {"summary": "new"}}}},
        {"target": "$.paths['/a'].get", "update": {"summary": "said", "tags": ["z"]}},
        {"target": "$.paths['/a'].get.parameters[?@.name=='p']", "remove": True},
    )
    assert keys(document) == ["GET /a", "GET /b", "GET /c"]
    first = document.operations[0]
    assert (first.summary, first.tags, [item.name for item in first.parameters]) == ("said", ("x", "z"), ["q"])
    assert document.findings == ()


def test_arrays_take_items_and_later_items_go_first() -> None:
    document = overlaid(
        {"target": "$.paths['/a'].get.parameters", "update": {"name": "r", "in": "query"}},
        {"target": "$.paths['/a'].get.parameters[0,1]", "remove": True},
        {"target": "$.paths['/b'].get.tags[0]", "update": "changed"},
    )
    assert [item.name for item in document.operations[0].parameters] == ["r"]
    assert document.operations[1].tags == ("changed",)


def test_a_copy_is_merged_in() -> None:
    document = overlaid({"target": "$.paths['/b'].put", "copy": "$.paths['/b'].get"})
    assert document.operations[2].tags == ("y",)


@pytest.mark.parametrize(
    ("action", "code"),
    [
        ({"target": "$.nothing", "update": {}}, "overlay-without-effect"),
        ({"target": "nothing", "update": {}}, "bad-overlay"),
        ({"target": "$.paths", "copy": "$.paths[*]"}, "bad-overlay"),
    ],
)
def test_what_has_no_effect_is_told(action: object, code: str) -> None:
    document = overlaid(action)
    assert [(finding.code, finding.pointer) for finding in document.findings] == [(code, "overlay-1#/actions/0")]
    assert len(keys(document)) == 3


def test_what_is_gone_already_stays_gone() -> None:
    document = overlaid(
        {"target": "$.paths['/a']['get', 'get']", "remove": True}, {"target": "$..get..*", "remove": True}
    )
    assert keys(document) == ["GET /b", "PUT /b"]


def test_everything_may_be_removed_and_then_it_is_no_description() -> None:
    with pytest.raises(BadRequest, match="neither a version nor paths"):
        overlaid({"target": "$", "remove": True})


@pytest.mark.parametrize(
    "overlay", [b"{}", b"overlay: 2.0.0", orjson.dumps({"overlay": "1.0.0", "actions": [{}] * 5001})]
)
def test_another_file_is_no_overlay(overlay: bytes) -> None:
    with pytest.raises(BadRequest) as caught:
        load(orjson.dumps(ENTRY), overlays=[overlay])
    assert caught.value.code == "not_an_overlay"


def test_yaml_aliases_are_changed_at_one_place_only() -> None:
    entry = b"openapi: 3.1.0\npaths:\n  /a: {get: &same {summary: one}}\n  /b: {get: *same}\n"
    overlay = b"overlay: 1.0.0\nactions:\n  - {target: \"$.paths['/a'].get\", update: {summary: two}}\n"
    document = load(entry, overlays=[overlay])
    assert [operation.summary for operation in document.operations] == ["two", "one"]
