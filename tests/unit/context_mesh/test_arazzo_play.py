"""Workflows, played step by step without any network."""

from typing import Any

import pytest

from context_mesh.arazzo.expressions import Reply
from context_mesh.arazzo.play import Ask, Wait
from support.flows import BAD, OK, asked, bound, flow, played, step

# --- playing -----------------------------------------------------------------------------------


def test_steps_follow_one_another_with_what_came_before() -> None:
    flows = bound(flow(
        [
            step("find", "listPets", parameters=[{"name": "tag", "in": "query", "value": "{$inputs.tag}!"},
                                                 {"name": "x-trace", "in": "header", "value": "$inputs.none"}],
                 outputs={"id": "$response.body#/items/0/id", "next": "$response.header.X-Next", "no": "$inputs.no"}),
            step("get", parameters=[{"name": "id", "in": "path", "value": "$steps.find.outputs.id"}], timeout=1500,
                 outputs={"asked": "$request.path.id"}),
            step("add", "addPet", requestBody={"payload": {"name": "$steps.find.outputs.next", "age": 2}},
                 outputs={"sent": "$request.body#/age"}),
        ],
        outputs={"a": "$steps.get.outputs.asked", "b": "$steps.add.outputs.sent", "c": "$steps.none.outputs.x"},
    ))  # fmt: skip
    did, outcome = played(flows, [OK], {"tag": "dog"})
    assert asked(did) == [
        ("list_pets", {"tag": "dog!"}),
        ("get_pet", {"id": "p2"}),
        ("add_pet", {"name": "2", "age": 2}),
    ]
    assert [one.timeout_s for one in did if isinstance(one, Ask)] == [0.0, 1.5, 0.0]
    assert outcome.outputs == {"a": "p2", "b": 2}
    assert outcome.failure == ""
    assert [(one.step, one.status) for one in outcome.taken] == [("find", 200), ("get", 200), ("add", 200)]


LATER = "the step `a` failed: the answer is 503"


def goes(kind: str, **more: Any) -> list[Any]:
    return [{"name": "x", "type": kind, **more}]


@pytest.mark.parametrize(
    ("more", "replies", "tools", "failure"),
    [
        ({}, [BAD], ["get_pet"], LATER),
        ({}, [Reply()], ["get_pet"], "the step `a` failed: nothing came back"),
        ({}, [OK], ["get_pet", "list_pets"], ""),
        ({"successCriteria": [{"condition": "$statusCode == 503"}]}, [BAD], ["get_pet", "list_pets"], "b"),
        ({"successCriteria": [{"condition": "$statusCode == 201"}]}, [OK], ["get_pet"],
         "the step `a` failed: the answer is 200, and its criteria do not hold"),
        ({"onSuccess": goes("end")}, [OK], ["get_pet"], ""),
        ({"onSuccess": goes("end", criteria=[{"condition": "false"}])}, [OK], ["get_pet", "list_pets"], ""),
        ({"onFailure": goes("end")}, [BAD], ["get_pet"], LATER),
        ({"onFailure": goes("goto", stepId="b")}, [BAD, OK], ["get_pet", "list_pets"], ""),
        ({"onFailure": goes("retry", retryLimit=2)}, [BAD, BAD, OK], ["get_pet"] * 3 + ["list_pets"], ""),
        ({"onFailure": goes("retry", retryLimit=99)}, [BAD], ["get_pet"] * 11, LATER),
        ({"onFailure": [*goes("retry"), {"name": "y", "type": "goto", "stepId": "b"}]}, [BAD, BAD, OK],
         ["get_pet", "get_pet", "list_pets"], ""),
        ({"onFailure": goes("retry", stepId="b")}, [BAD, OK, OK], ["get_pet", "list_pets", "get_pet", "list_pets"], ""),
        ({"onFailure": goes("retry", workflowId="inner")}, [BAD, OK],
         ["get_pet", "add_pet", "get_pet", "list_pets"], ""),
        ({"onSuccess": goes("goto", workflowId="inner", parameters=[{"name": "n", "value": "$response.body#/id"}])},
         [OK], ["get_pet", "add_pet"], ""),
    ],
)  # fmt: skip
def test_actions_decide_what_follows(
    more: dict[str, Any], replies: list[Reply], tools: list[str], failure: str
) -> None:
    inner = flow([step("in", "addPet", requestBody={"payload": {"name": "$inputs.n"}})], "inner")
    flows = bound(flow([step("a", **more), step("b", "listPets")]), inner)
    did, outcome = played(flows, replies)
    assert [tool for tool, _ in asked(did)] == tools
    assert outcome.failure.startswith("the step `b`") if failure == "b" else outcome.failure == failure


def test_a_wait_is_as_long_as_the_answer_asks_and_never_too_long() -> None:
    def waits(reply: Reply, after: object) -> list[float]:
        did, _ = played(bound(flow([step(onFailure=goes("retry", retryAfter=after))])), [reply, OK])
        return [one.seconds for one in did if isinstance(one, Wait)]

    assert waits(BAD, 1) == [3.0]
    assert waits(Reply(500), 1.5) == [1.5]
    assert waits(Reply(500), "soon") == []
    assert waits(Reply(500, {"retry-after": "99999"}), 1) == [30.0]
    assert waits(Reply(500, {"retry-after": "Fri, 01 Jan"}), 1e9) == [30.0]
    assert waits(Reply(500), -1) == waits(Reply(500), True) == []


def test_what_goes_round_for_ever_ends() -> None:
    did, outcome = played(bound(flow([step(onSuccess=goes("goto", stepId="get"))])), [OK])
    assert len(did) == 50
    assert outcome.failure == "the workflow takes more than 50 steps"
    assert len(outcome.taken) == 50


def test_giant_outputs_end_a_workflow() -> None:
    giant = Reply(200, {}, {"x": "y" * 3_000_000})
    flows = bound(flow([step(outputs={"x": "$response.body"}), step("b", outputs={"y": "$steps.get.outputs.x"})]))
    assert "outputs of the steps have more than" in played(flows, [giant])[1].failure


def test_workflows_within_workflows() -> None:
    inner = flow(
        [step("in", parameters=[{"name": "id", "in": "path", "value": "$inputs.who"}],
              outputs={"id": "$response.body#/id"})],
        "inner", outputs={"found": "$steps.in.outputs.id"},
    )  # fmt: skip
    call = {"stepId": "a", "workflowId": "inner", "parameters": [{"name": "who", "value": "$inputs.me"},
                                                                {"name": "no", "value": "$inputs.none"}],
            "outputs": {"found": "$outputs.found"}}  # fmt: skip
    last = step("b", "listPets", parameters=[{"name": "tag", "in": "query", "value": "$workflows.inner.outputs.found"}])
    flows = bound(
        flow(
            [call, last],
            outputs={"x": "$steps.a.outputs.found"},
            parameters=[{"name": "X-Trace", "in": "header", "value": "t"}],
        ),
        inner,
    )
    did, outcome = played(flows, [OK], {"me": "p5"})
    assert asked(did) == [("get_pet", {"id": "p5"}), ("list_pets", {"tag": "p1", "X-Trace": "t"})]
    assert outcome.outputs == {"x": "p1"}
    assert (
        played(flows, [BAD], {"me": "p5"})[1].failure == "the step `a` failed: the step `in` failed: the answer is 503"
    )
    strict = bound(flow([{**call, "successCriteria": [{"condition": "$outputs.found == 'p9'"}]}]), inner)
    assert played(strict, [OK])[1].failure == "the step `a` failed: its criteria do not hold"


NESTED = {"name": "a", "age": {"deep": [1, 2]}, "more": 1}


@pytest.mark.parametrize(
    ("operation", "request_body", "arguments"),
    [
        ("addPet", {"payload": {"name": "$inputs.n"}}, {"name": 'A"n'}),
        ("addPet", {"payload": '{"name": "{$inputs.n}", "age": "{$inputs.o}"}'}, {"name": 'A"n', "age": {"k": 1}}),
        ("addPet", {"payload": '{"name": "{$inputs.n}", "age": {$inputs.o}, "more": {$inputs.none}}'},
         {"name": 'A"n', "age": {"k": 1}, "more": None}),
        ("addPet", {"payload": '{"name": "plain"}'}, {"name": "plain"}),
        ("addPet", {"payload": "$inputs.o2"}, {"name": "x"}),
        ("addPet", {"payload": NESTED, "replacements": [{"target": "/age/deep/1", "value": "$inputs.n"},
                                                       {"target": "/more", "value": "$inputs.none"}]},
         {"name": "a", "age": {"deep": [1, 'A"n']}, "more": 1}),
        ("addPet", {"payload": {}, "replacements": [{"target": "/age/x~1y", "value": 2}]}, {"age": {"x/y": 2}}),
        ("addPet", {"payload": NESTED, "replacements": [
            {"target": "$.age.deep[*]", "targetSelectorType": "jsonpath", "value": 0}]},
         {"name": "a", "age": {"deep": [0, 0]}, "more": 1}),
        ("putPets", {"payload": ["$inputs.n", 2]}, {"body": ['A"n', 2]}),
        ("putPets", {"payload": "[1"}, {"body": "[1"}),
        ("sendForm", {"payload": "a={$inputs.n}&b=x%20y&b={$inputs.none}&b=z"}, {"a": 'A"n', "b": ["x y", "z"]}),
        ("sendForm", {"payload": "a=1&b=2"}, {"a": "1", "b": "2"}),
        ("sendForm", {"payload": {"a": "$inputs.n"}, "contentType": "application/x-www-form-urlencoded; x=y"},
         {"a": 'A"n'}),
        ("sendText", {"payload": "hello {$inputs.n}"}, {"body": 'hello A"n'}),
        ("sendText", {"payload": "hello"}, {"body": "hello"}),
        ("addPet", {"payload": "$inputs.none"}, {}),
    ],
)  # fmt: skip
def test_payloads(operation: str, request_body: dict[str, Any], arguments: dict[str, Any]) -> None:
    inputs = {"n": 'A"n', "o": {"k": 1}, "o2": {"name": "x"}}
    did, outcome = played(bound(flow([step("a", operation, requestBody=request_body)])), [OK], inputs)
    assert asked(did)[0][1] == arguments
    assert outcome.failure == ""


@pytest.mark.parametrize(
    ("request_body", "why"),
    [
        ({"payload": [1]}, "the payload is no object"),
        ({"payload": {"admin": True}}, "takes no `admin`"),
        ({"payload": '{"name": "{$inputs.n}"'}, "the payload is no JSON"),
        ({"payload": {"name": "a"}, "replacements": [{"target": "/name/x", "value": 1}]}, "that is no object"),
        ({"payload": {"age": [1]}, "replacements": [{"target": "/age/7", "value": 1}]}, "which is not there"),
        ({"payload": {"age": [1]}, "replacements": [{"target": "/age/-", "value": 1}]}, "which is not there"),
        ({"payload": {}, "replacements": [{"target": "$[", "targetSelectorType": "jsonpath", "value": 1}]},
         "a replacement cannot be made"),
    ],
)  # fmt: skip
def test_a_payload_that_cannot_be_made_fails_its_step_before_anything_is_asked(
    request_body: dict[str, Any], why: str
) -> None:
    did, outcome = played(bound(flow([step("a", "addPet", requestBody=request_body)])), [OK], {"n": "x"})
    assert did == []
    assert why in outcome.failure


def test_an_input_changes_no_structure_of_a_payload() -> None:
    evil = '", "admin": "yes'
    for template in ('{"name": "{$inputs.n}"}', '{"name": "{$inputs.n}", "age": {$inputs.o}}'):
        did, _ = played(
            bound(flow([step("a", "addPet", requestBody={"payload": template})])), [OK], {"n": evil, "o": 1}
        )
        assert asked(did)[0][1]["name"] == evil
    did, _ = played(
        bound(flow([step("a", "sendForm", requestBody={"payload": "a={$inputs.n}&b=1"})])),
        [OK],
        {"n": "1&b=2&admin=yes"},
    )
    assert asked(did)[0][1] == {"a": "1&b=2&admin=yes", "b": "1"}
