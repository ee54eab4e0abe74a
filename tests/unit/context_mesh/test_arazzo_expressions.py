"""Runtime expressions and conditions: what they lead to, and that nothing hostile comes of them."""

import re
from typing import Any

import pytest

from context_mesh.arazzo.conditions import BadCondition, hold, mistake, read
from context_mesh.arazzo.expressions import (
    MAX_TEXT_CHARS,
    Reply,
    Scene,
    as_text,
    at_pointer,
    embedded,
    evaluate,
    is_expression,
    resolved,
)
from context_mesh.arazzo.model import Criterion, CriterionKind
from context_mesh.openapi.model import ABSENT

BODY: dict[str, Any] = {
    "name": "Rex",
    "tags": ["a", "b"],
    "deep": {"a.b": 1, "~/": 2},
    "n": 3,
    "done": True,
    "no": None,
}
SCENE = Scene(
    inputs={"id": 7, "name": "Ann", "pet": {"kind": "dog"}, "x.y": 5},
    outputs={"total": 3},
    steps={"find": {"pet": {"id": 9}, "list": [1, 2]}},
    workflows={"other": {"inputs": {"q": 1}, "outputs": {"r": 2}}},
    sources={"shop": {"url": "https://shop.example"}},
    reply=Reply(
        201,
        {"x-rate": "4", "retry-after": "2"},
        BODY,
        "https://shop.example/pets",
        "POST",
        {"header": {"accept": "json"}, "query": {"Q": "v"}, "path": {"id": 1}, "body": {"a": {"b": 1}}},
    ),
)


def found(pattern: str, text: str) -> bool:
    return re.search(pattern, text) is not None


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("$url", "https://shop.example/pets"),
        ("$url.x", ABSENT),
        ("$method", "POST"),
        ("$method.x", ABSENT),
        ("$statusCode", 201),
        ("$statusCode.x", ABSENT),
        ("$self", ABSENT),
        ("$request.header.Accept", "json"),
        ("$request.query.Q", "v"),
        ("$request.path.id", 1),
        ("$request.path.no", ABSENT),
        ("$request.body#/a/b", 1),
        ("$request.body.a.b", 1),
        ("$response.header.X-Rate", "4"),
        ("$response.header.none", ABSENT),
        ("$response.body", BODY),
        ("$response.body#/name", "Rex"),
        ("$response.body#/tags/1", "b"),
        ("$response.body#/tags/9", ABSENT),
        ("$response.body#/tags/x", ABSENT),
        ("$response.body#/tags/1/x", ABSENT),
        ("$response.body#/deep/a.b", 1),
        ("$response.body#/deep/~0~1", 2),
        ("$response.body#name", ABSENT),
        ("$response.body.name", "Rex"),
        ("$response.body.tags[0]", "a"),
        ("$response.body[0]", ABSENT),
        ("$response.body.deep.a.b", ABSENT),
        ("$response.body.tags]", ABSENT),
        ("$response.bodyguard", ABSENT),
        ("$response.other", ABSENT),
        ("$inputs.id", 7),
        ("$inputs.x.y", 5),
        ("$inputs.pet.kind", "dog"),
        ("$inputs.pet#/kind", "dog"),
        ("$inputs.none", ABSENT),
        ("$outputs.total", 3),
        ("$steps.find.outputs.pet#/id", 9),
        ("$steps.find.outputs", {"pet": {"id": 9}, "list": [1, 2]}),
        ("$steps.find.inputs.pet", ABSENT),
        ("$steps.none.outputs.pet", ABSENT),
        ("$workflows.other.outputs.r", 2),
        ("$sourceDescriptions.shop.url", "https://shop.example"),
        ("$components.parameters.x", ABSENT),
        ("$5.00", ABSENT),
        ("$inputsid", ABSENT),
        ("text", ABSENT),
        ("$inputs." + "a" * 3000, ABSENT),
    ],
)
def test_an_expression_leads_to_a_value_or_nowhere(expression: str, value: object) -> None:
    assert evaluate(expression, SCENE) == value


def test_without_an_answer_there_is_no_status() -> None:
    assert evaluate("$statusCode", Scene()) is ABSENT
    assert at_pointer(5, "/a") is ABSENT
    assert not is_expression(5)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("$inputs.id", 7),
        ("{$inputs.id}", 7),
        ("id {$inputs.id} of {$inputs.name}, {$inputs.pet}, {$inputs.none}.", 'id 7 of Ann, {"kind": "dog"}, .'),
        ("{$nothing.here} stays", "{$nothing.here} stays"),
        ("{$nothing}", "{$nothing}"),
        ("costs $5", "costs $5"),
        ({"a": "$inputs.id", "b": "$inputs.none"}, {"a": 7}),
        (["$inputs.id", "$inputs.none", 1, None], [7, 1, None]),
        ({"context": "$response.body", "selector": "$.tags[0]", "type": "jsonpath"}, "a"),
        ({"context": "$response.body", "selector": "$.tags[*]", "type": {"type": "jsonpath"}}, ["a", "b"]),
        ({"context": "$response.body", "selector": "/name", "type": "jsonpointer"}, "Rex"),
        ({"context": "$response.body", "selector": "$.none", "type": "jsonpath"}, ABSENT),
        ({"context": "$response.body", "selector": "none", "type": "jsonpath"}, ABSENT),
        ({"context": "$response.body", "selector": "/a", "type": "xpath"}, ABSENT),
        ({"context": "$inputs.none", "selector": "$", "type": "jsonpath"}, ABSENT),
        (
            {"context": "no", "selector": "$", "type": "jsonpath"},
            {"context": "no", "selector": "$", "type": "jsonpath"},
        ),
    ],
)
def test_expressions_in_values_are_put_in_place(written: object, value: object) -> None:
    assert resolved(written, SCENE) == value


def test_a_payload_ends_at_a_depth_and_a_text_at_a_length() -> None:
    deep: object = "$inputs.id"
    for _ in range(100):
        deep = [deep]
    assert "7" not in str(resolved(deep, SCENE))
    big = Scene(inputs={"x": "y" * 300_000})
    assert len(embedded("{$inputs.x}" * 50, big, as_text)) == MAX_TEXT_CHARS


@pytest.mark.parametrize(
    ("condition", "does_hold"),
    [
        ("$statusCode == 200", False),
        ("$statusCode == 201", True),
        ("$statusCode == '201'", True),
        ("$statusCode != 201", False),
        ("$statusCode >= 200 && $statusCode < 300", True),
        ("$statusCode > 201 || $statusCode <= 201", True),
        ("($statusCode == 200 || $statusCode == 201) && !($response.body#/done == false)", True),
        ("$response.body.name == 'REX'", True),
        ('$response.body.name == "rex"', True),
        ("$response.body.name < 'sa'", True),
        ("$response.body.name == 'it''s'", False),
        ("$response.body#/no == null", True),
        ("$response.body#/none == null", True),
        ("$response.body#/name == null", False),
        ("$response.body#/done", True),
        ("$response.body#/done == 'TRUE'", True),
        ("$response.body#/done == 1", False),
        ("$response.body#/name", False),
        ("$response.body#/tags == 1", False),
        ("$response.body#/tags < 1", False),
        ("$response.body#/done < 2", False),
        ("$response.header.x-rate > 3.5", True),
        ("$response.body.tags[1] == 'b'", True),
        ("true", True),
        ("false || null", False),
        ("$response.body#/name > 1", False),
        ("-1.5e1 < 0", True),
        ("1e999 > 1", True),
    ],
)
def test_a_simple_condition_holds_or_not(condition: str, *, does_hold: bool) -> None:
    assert read(condition)(SCENE) is does_hold
    assert hold([Criterion(condition)], SCENE, found) is does_hold


@pytest.mark.parametrize(
    "condition",
    ["", "==", "$statusCode ==", "$statusCode == 200 200", "(1 == 1", "1 == 1)", "abc == 1", "'open", "!" * 60 + "true",
     "(" * 60 + "true" + ")" * 60, "a" * 5000, "__import__('os')", "1 == 1; true", "$statusCode = 200"],
)  # fmt: skip
def test_what_is_no_condition_is_said_and_never_holds(condition: str) -> None:
    with pytest.raises(BadCondition):
        read(condition)
    assert mistake(Criterion(condition))
    assert not hold([Criterion(condition)], SCENE, found)


@pytest.mark.parametrize(
    ("kind", "context", "condition", "does_hold"),
    [
        ("regex", "$statusCode", "^2\\d\\d$", True),
        ("regex", "$response.body#/name", "^{$inputs.name}$", False),
        ("regex", "$inputs.name", "^{$inputs.name}$", True),
        ("regex", "$inputs.none", ".*", False),
        ("regex", "$response.body#/no", ".*", False),
        ("jsonpath", "$response.body", "$.tags[*]", True),
        ("jsonpath", "$response.body", "$[?count(@.tags) > 0]", False),
        ("jsonpath", "$response.body", "$.name == 'Rex'", True),
        ("jsonpath", "$response.body", "$.name == '{$inputs.name}'", False),
        ("jsonpath", "$response.body", "$.tags[?@ == '{$inputs.none}'", False),
        ("jsonpath", "$response.body", "$[?match(@.name, '{$inputs.name}')]", False),
    ],
)
def test_patterns_and_paths(kind: CriterionKind, context: str, condition: str, *, does_hold: bool) -> None:
    criterion = Criterion(condition, kind, context)
    assert hold([criterion], SCENE, found) is does_hold
    assert mistake(criterion) == ""


def test_what_an_input_holds_is_no_part_of_a_pattern_or_a_path() -> None:
    scene = Scene(inputs={"x": ".*", "q": "' || '1'=='1"}, reply=Reply(200, {}, {"a": "b"}))
    assert not hold([Criterion("^{$inputs.x}$", "regex", "$response.body#/a")], scene, found)
    assert not hold([Criterion("$.a == '{$inputs.q}'", "jsonpath", "$response.body")], scene, found)


@pytest.mark.parametrize(
    ("kind", "context", "condition"),
    [("regex", "", "a"), ("jsonpath", "no", "$"), ("jsonpath", "$response.body", "a b"),
     ("jsonpath", "$response.body", "$[?search(@.a, '(a+)+$')]"), ("jsonpath", "$response.body", "$.a b"),
     ("jsonpath", "$response.body", "$" + "a" * 3000)],
)  # fmt: skip
def test_a_condition_that_can_never_be_evaluated_is_a_mistake(
    kind: CriterionKind, context: str, condition: str
) -> None:
    assert mistake(Criterion(condition, kind, context))


def test_a_query_within_a_query_within_a_query_ends() -> None:
    wide = Scene(reply=Reply(200, {}, [[1] * 300] * 300))
    assert not hold([Criterion("$..[?count($..[?count($..*) > 0]) > 0]", "jsonpath", "$response.body")], wide, found)
    deep: object = 1
    for _ in range(3000):
        deep = [deep]
    assert not hold([Criterion("$..x", "jsonpath", "$response.body")], Scene(reply=Reply(200, {}, deep)), found)
    assert (
        resolved(
            {"context": "$response.body", "selector": "$..x", "type": "jsonpath"}, Scene(reply=Reply(200, {}, deep))
        )
        is ABSENT
    )
