"""Answers: tasks and their states are seen however an agent dresses them, and nothing an agent sends raises."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from a2a_gateway.answers import MAX_SEEN, Seen, State, Told, state_of, tell, unwrapped

NEW_TASK: dict[str, Any] = {"id": "t", "contextId": "c", "status": {"state": "TASK_STATE_COMPLETED"}}
OLD_TASK: dict[str, Any] = {"kind": "task", "id": "t", "contextId": "c", "status": {"state": "completed"}}
DONE = Seen("task", "t", "c", State.COMPLETED)


def told(value: Any) -> Told:
    return tell(json.dumps(value).encode())


@pytest.mark.parametrize("kind", [{}, [], 7, None])
def test_a_kind_that_is_no_text_is_none(kind: Any) -> None:
    assert told({**OLD_TASK, "kind": kind}).seen == (DONE,)


@pytest.mark.requirement("a2a.states-are-seen")
@pytest.mark.parametrize(
    ("result", "seen"),
    [
        ({"task": NEW_TASK}, DONE),
        (NEW_TASK, DONE),
        (OLD_TASK, DONE),
        ({"task": OLD_TASK}, DONE),  # fasta2a: a wrapper around 0.3
        ({"message": {"messageId": "m", "contextId": "c"}}, Seen("message", "", "c")),
        ({"kind": "message", "messageId": "m", "taskId": "t"}, Seen("message", "t", "")),
        ({"messageId": "m"}, Seen("message", "", "")),
        (
            {"statusUpdate": {"taskId": "t", "contextId": "c", "status": {"state": "TASK_STATE_WORKING"}}},
            Seen("status-update", "t", "c", State.WORKING),
        ),
        (  # LangGraph: an event of 1.0 without its wrapper
            {"taskId": "t", "contextId": "c", "kind": "status-update", "status": {"state": "TASK_STATE_FAILED"}},
            Seen("status-update", "t", "c", State.FAILED),
        ),
        ({"taskId": "t", "status": {"state": "input-required"}}, Seen("status-update", "t", "", State.INPUT_REQUIRED)),
        ({"artifactUpdate": {"taskId": "t", "artifact": {}}}, Seen("artifact-update", "t", "")),
        ({"taskId": "t", "artifact": {}}, Seen("artifact-update", "t", "")),
        ({"task": {"id": 7, "contextId": "x" * 1025}}, Seen("task", "", "")),
    ],
)
def test_an_object_is_seen_in_both_bindings(result: Any, seen: Seen) -> None:
    assert told({"jsonrpc": "2.0", "id": 1, "result": result}).seen == (seen,)
    assert told(result).seen == (seen,)


def test_a_list_of_tasks_is_seen_up_to_a_limit() -> None:
    assert told({"tasks": [NEW_TASK, 7, NEW_TASK | {"id": "u"}]}).seen == (
        DONE,
        Seen("task", "u", "c", State.COMPLETED),
    )
    assert len(told({"tasks": [NEW_TASK] * (MAX_SEEN + 5)}).seen) == MAX_SEEN


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ({"jsonrpc": "2.0", "id": 1, "error": {"code": -32001, "message": "x"}}, -32001),
        ({"error": {"code": 404}}, 404),
        ({"error": {"code": "x"}}, 0),
        ({"jsonrpc": "2.0", "id": 1, "error": None, "result": {}}, None),
    ],
)
def test_an_error_is_seen(value: Any, code: int | None) -> None:
    assert told(value).error_code == code


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"7", b'"\xff"', b"[" * 100_000, b'{"result":7}', b'{"jsonrpc":"2.0"}']
)
def test_what_is_none_of_our_business_tells_nothing(body: bytes) -> None:
    assert tell(body) == Told()


@given(body=st.binary(max_size=60))
def test_nothing_an_agent_sends_raises(body: bytes) -> None:
    tell(body)


@pytest.mark.requirement("a2a.states-are-seen")
@pytest.mark.parametrize("state", [state for state in State if state is not State.UNKNOWN])
def test_a_state_has_one_spelling_here(state: State) -> None:
    assert state_of(state.value) is state
    assert state_of("TASK_STATE_" + state.value.replace("-", "_").upper()) is state


@pytest.mark.parametrize("value", [None, 7, "", "TASK_STATE_NEW_IN_1_1", "TASK_STATE_UNSPECIFIED", "unknown"])
def test_an_unknown_state_is_unknown_and_neither_ended_nor_interrupted(value: Any) -> None:
    state = state_of(value)
    assert (state, state.is_terminal, state.is_interrupted) == (State.UNKNOWN, False, False)


def test_what_ends_and_what_interrupts() -> None:
    assert {state for state in State if state.is_terminal} == {
        State.COMPLETED, State.FAILED, State.CANCELED, State.REJECTED
    }  # fmt: skip
    assert {state for state in State if state.is_interrupted} == {State.INPUT_REQUIRED, State.AUTH_REQUIRED}
    assert state_of("TASK_STATE_CANCELLED") is State.CANCELED
    assert unwrapped({"x": 1}) is None
