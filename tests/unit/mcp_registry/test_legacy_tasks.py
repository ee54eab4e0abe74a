"""Tasks of 2025-11-25 as data, and in the words of the extension."""

import msgspec
import pytest
from msgspec import Raw

from mcp_registry.protocol import legacy_tasks as legacy

TASK = b'{"taskId":"t","status":"working","ttl":60000,"pollInterval":5,"x":1.0}'
RELATED = '"io.modelcontextprotocol/related-task":{"taskId":"t"}'


def test_a_server_says_that_tools_may_be_called_as_tasks() -> None:
    assert legacy.is_offered(Raw(msgspec.json.encode({"tasks": legacy.OFFERED})))
    assert not legacy.is_offered(Raw(b'{"tasks":{"list":{}}}'))
    assert not legacy.is_offered(None)


def test_a_tool_that_must_be_a_task_is_shown_as_one_that_may_be() -> None:
    shown = legacy.callable_both_ways(Raw(b'{"name":"a","execution":{"taskSupport":"required","x":1.0},"n":null}'))
    assert bytes(shown) == b'{"name":"a","execution":{"taskSupport":"optional","x":1.0},"n":null}'


def test_a_task_is_announced_by_its_member() -> None:
    found = legacy.read_created(Raw(b'{"task":%b,"_meta":{}}' % TASK))
    assert found is not None
    assert bytes(found) == TASK
    assert legacy.ttl_of(found) == 60_000
    for other in (b"{}", b"[]", b'{"content":[]}', b"{" * 5000):
        assert legacy.read_created(Raw(other)) is None


@pytest.mark.parametrize(
    "task", [b"null", b"7", b"{}", b'{"taskId":"t","status":"x"}', b'{"taskId":"t","status":"working","ttl":"1"}']
)
def test_what_nobody_could_follow_is_no_task(task: bytes) -> None:
    with pytest.raises(ValueError):
        legacy.read_created(Raw(b'{"task":%b}' % task))


def test_an_announcement_keeps_what_else_it_says() -> None:
    assert (
        bytes(legacy.created(Raw(b'{"_meta":{"a":1},"task":{}}'), Raw(TASK))) == b'{"_meta":{"a":1},"task":%b}' % TASK
    )


def test_a_task_goes_from_one_form_to_the_other() -> None:
    modern = legacy.to_modern(Raw(TASK), {"resultType": b'"task"'})
    assert bytes(modern) == (
        b'{"taskId":"t","status":"working","ttlMs":60000,"pollIntervalMs":5,"x":1.0,"resultType":"task"}'
    )
    assert bytes(legacy.to_legacy(modern)) == TASK
    assert bytes(legacy.to_modern(Raw(TASK))) == TASK.replace(b"ttl", b"ttlMs").replace(b"Interval", b"IntervalMs")


@pytest.mark.parametrize(
    ("result", "status"),
    [(b'{"isError":true}', "failed"), (b'{"isError":false}', "completed"), (b"{}", "completed"), (b"7", "completed")],
)
def test_a_legacy_task_tells_its_state_and_no_outcome(result: bytes, status: str) -> None:
    told = legacy.to_legacy(Raw(b'{"taskId":"t","status":"completed","_meta":{},"error":1,"result":%b}' % result))
    assert msgspec.json.decode(told) == {"taskId": "t", "status": status, "ttl": None}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("{}", "{}"),
        ('{"x":"related-task"}', '{"x":"related-task"}'),
        ('{"_meta":"related-task"}', '{"_meta":"related-task"}'),
        ('{"_meta":{"a":"related-task"}}', '{"_meta":{"a":"related-task"}}'),
        (f'{{"_meta":{{{RELATED}}},"n":1}}', '{"n":1}'),
        (f'{{"_meta":{{"a":1.0,{RELATED}}}}}', '{"_meta":{"a":1.0}}'),
    ],
)
def test_a_result_stands_alone_without_its_task(before: str, after: str) -> None:
    assert bytes(legacy.unrelated(Raw(before.encode()))).decode() == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("{}", f'{{"_meta":{{{RELATED}}}}}'),
        ('{"_meta":7}', f'{{"_meta":{{{RELATED}}}}}'),
        ('{"_meta":{"a":1}}', f'{{"_meta":{{"a":1,{RELATED}}}}}'),
    ],
)
def test_a_result_says_which_task_it_is_of(before: str, after: str) -> None:
    assert bytes(legacy.related(Raw(before.encode()), "t")).decode() == after
