"""Translation: what the SDK's own translation says, and what it loses is kept."""

from collections.abc import Mapping
from typing import Any, cast

import pytest
from a2a.compat.v0_3 import conversions
from a2a.compat.v0_3 import types as old_types
from a2a.types import a2a_pb2 as new_types
from google.protobuf.json_format import MessageToDict, ParseDict
from hypothesis import given, settings
from hypothesis import strategies as st

from a2a_gateway.answers import State
from a2a_gateway.translate import new_state, result_to, task_push_to_new, task_push_to_old, to_version

names = st.text("abcé ", min_size=1, max_size=5)
metadata = st.dictionaries(
    st.text("ab", min_size=1, max_size=2), st.text(max_size=3) | st.booleans() | st.none(), min_size=1, max_size=2
)
states = st.sampled_from([state.value for state in State])


def some(required: dict[str, Any], optional: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(required, optional=optional)


text_parts = some({"kind": st.just("text"), "text": names}, {"metadata": metadata})
data_parts = some(
    {"kind": st.just("data"), "data": st.dictionaries(names, st.booleans() | names, max_size=2)}, {"metadata": metadata}
)
files = some({"uri": names}, {"mimeType": names, "name": names}) | some(
    {"bytes": st.sampled_from(["", "AA==", "aGk="])}, {"mimeType": names, "name": names}
)
file_parts = some({"kind": st.just("file"), "file": files}, {"metadata": metadata})
parts = st.lists(text_parts | data_parts | file_parts, min_size=1, max_size=3)
messages = some(
    {"kind": st.just("message"), "messageId": names, "role": st.sampled_from(["user", "agent"]), "parts": parts},
    {
        "taskId": names, "contextId": names, "metadata": metadata,
        "extensions": st.lists(names, min_size=1, max_size=2),
        "referenceTaskIds": st.lists(names, min_size=1, max_size=2),
    },
)  # fmt: skip
statuses = some({"state": states}, {"message": messages, "timestamp": st.just("2026-11-23T09:00:00.500Z")})
artifacts = some({"artifactId": names, "parts": parts}, {"name": names, "description": names, "metadata": metadata})
tasks = some(
    {"kind": st.just("task"), "id": names, "contextId": names, "status": statuses},
    {
        "history": st.lists(messages, min_size=1, max_size=2), "artifacts": st.lists(artifacts, min_size=1, max_size=2),
        "metadata": metadata,
    },
)  # fmt: skip
status_updates = some(
    {"kind": st.just("status-update"), "taskId": names, "contextId": names, "status": statuses, "final": st.booleans()},
    {"metadata": metadata},
)
artifact_updates = some(
    {"kind": st.just("artifact-update"), "taskId": names, "contextId": names, "artifact": artifacts},
    {"append": st.booleans(), "lastChunk": st.booleans(), "metadata": metadata},
)
anything = tasks | messages | status_updates | artifact_updates

ORACLE: dict[str, tuple[Any, Any, Any, Any]] = {
    "message": (
        old_types.Message, new_types.Message, conversions.to_core_message, conversions.to_compat_message
    ),
    "task": (old_types.Task, new_types.Task, conversions.to_core_task, conversions.to_compat_task),
    "status-update": (
        old_types.TaskStatusUpdateEvent, new_types.TaskStatusUpdateEvent,
        conversions.to_core_task_status_update_event, conversions.to_compat_task_status_update_event,
    ),
    "artifact-update": (
        old_types.TaskArtifactUpdateEvent, new_types.TaskArtifactUpdateEvent,
        conversions.to_core_task_artifact_update_event, conversions.to_compat_task_artifact_update_event,
    ),
}  # fmt: skip


@pytest.mark.requirement("a2a.translation")
@settings(max_examples=60, deadline=None)
@given(value=anything)
def test_into_1_0_as_the_sdk_does(value: dict[str, Any]) -> None:
    old_type, new_type, to_core, _ = ORACLE[value["kind"]]
    theirs = to_core(old_type.model_validate(value))
    assert ParseDict(to_version(value["kind"], value, "1.0"), new_type()) == theirs


@pytest.mark.requirement("a2a.translation")
@settings(max_examples=60, deadline=None)
@given(value=anything)
def test_into_0_3_as_the_sdk_does(value: dict[str, Any]) -> None:
    old_type, _, to_core, to_compat = ORACLE[value["kind"]]
    core = to_core(old_type.model_validate(value))
    theirs = to_compat(core).model_dump(mode="json", by_alias=True, exclude_none=True)
    ours = old_type.model_validate(to_version(value["kind"], MessageToDict(core), "0.3"))
    assert without_nothing(ours.model_dump(mode="json", by_alias=True, exclude_none=True)) == without_nothing(theirs)


def without_nothing(value: Any) -> Any:
    """Return a value without empty objects and false flags, which the SDK writes or leaves out as it goes."""
    if isinstance(value, Mapping):
        members = cast("Mapping[str, Any]", value)
        cleaned = {name: without_nothing(member) for name, member in members.items()}
        return {name: member for name, member in cleaned.items() if member not in ({}, False, "")}
    return [without_nothing(item) for item in cast("list[Any]", value)] if isinstance(value, list) else value


@settings(max_examples=40, deadline=None)
@given(value=anything)
def test_there_and_back_is_the_same(value: dict[str, Any]) -> None:
    again = to_version(value["kind"], to_version(value["kind"], value, "1.0"), "0.3")
    if value["kind"] == "status-update":
        value = value | {"final": again["final"]}
    assert again == value


@settings(max_examples=40, deadline=None)
@given(value=anything)
def test_what_is_in_a_version_already_stays(value: dict[str, Any]) -> None:
    kind = value["kind"]
    new = to_version(kind, value, "1.0")
    assert to_version(kind, new, "1.0") == new
    old = to_version(kind, new, "0.3")
    assert to_version(kind, old, "0.3") == old


def test_unknown_members_and_big_numbers_are_kept() -> None:
    task: dict[str, Any] = {
        "id": "t", "generation": 12345678901234567890,
        "status": {"state": "TASK_STATE_NEW", "new": None},
        "history": [7, {"parts": ["x", {"text": "a", "new": 1}, {"other": 1}], "new": {}}],
        "artifacts": "none",
    }  # fmt: skip
    old = to_version("task", task, "0.3")
    assert old["generation"] == 12345678901234567890
    assert old["status"] == {"state": "unknown", "new": None}
    assert old["history"] == [
        7, {"kind": "message", "parts": ["x", {"kind": "text", "text": "a", "new": 1}, {"other": 1}], "new": {}}
    ]  # fmt: skip
    assert old["artifacts"] == "none"
    assert to_version("task", {"id": "t"}, "0.3") == {"kind": "task", "id": "t", "status": {"state": "unknown"}}
    assert to_version("task", {"status": 7}, "1.0") == {"status": 7}
    assert to_version("task", {"status": {"new": 1}}, "1.0") == {"status": {"new": 1}}
    assert to_version("message", {"role": "ROLE_OTHER"}, "0.3") == {"kind": "message", "role": "ROLE_OTHER"}
    assert to_version("status-update", {}, "0.3")["final"] is False


@pytest.mark.parametrize("data", [7, "x", [1], None, True, 12345678901234567890])
def test_data_that_is_no_object_survives_0_3(data: Any) -> None:
    part = {"data": data, "metadata": {"k": 1}}
    old = to_version("message", {"parts": [part]}, "0.3")
    assert old["parts"] == [{"kind": "data", "data": {"value": data}, "metadata": {"k": 1, "data_part_compat": True}}]
    assert to_version("message", old, "1.0")["parts"] == [part]
    bare = to_version("message", {"parts": [{"data": data}]}, "0.3")
    assert to_version("message", bare, "1.0")["parts"] == [{"data": data}]


def test_states_in_1_0() -> None:
    assert new_state("input-required") == "TASK_STATE_INPUT_REQUIRED"
    assert new_state("TASK_STATE_WORKING") == "TASK_STATE_WORKING"
    assert new_state("unknown") == "TASK_STATE_UNSPECIFIED"
    assert new_state("TASK_STATE_NEW_IN_1_1") == "TASK_STATE_NEW_IN_1_1"


def test_results_are_wrapped_in_1_0_and_named_in_0_3() -> None:
    task = {"id": "t", "status": {"state": "TASK_STATE_WORKING"}}
    old = {"kind": "task", "id": "t", "status": {"state": "working"}}
    assert result_to({"task": task}, "0.3") == old
    assert result_to(old, "1.0") == {"task": task}
    assert result_to({"task": old}, "1.0") == {"task": task}, "fasta2a's hybrid is mended"
    assert result_to(None, "1.0") is None
    assert result_to({"x": 1}, "0.3") == {"x": 1}


@pytest.mark.requirement("a2a.translation")
@pytest.mark.parametrize(
    "config",
    [
        {"url": "https://h"},
        {"url": "https://h", "id": "c", "token": "k"},
        {"url": "https://h", "authentication": {"schemes": ["Bearer"], "credentials": "s"}},
        {"url": "https://h", "authentication": {"schemes": []}},
    ],
)
def test_webhooks_as_the_sdk_does(config: dict[str, Any]) -> None:
    old = {"taskId": "t", "pushNotificationConfig": config}
    theirs = conversions.to_core_task_push_notification_config(old_types.TaskPushNotificationConfig.model_validate(old))
    new = task_push_to_new(old)
    assert ParseDict(new, new_types.TaskPushNotificationConfig()) == theirs
    assert task_push_to_old(new) == old
    assert task_push_to_old(old) == old
    assert task_push_to_old({"url": "x"}) == {"taskId": "", "pushNotificationConfig": {"url": "x"}}
