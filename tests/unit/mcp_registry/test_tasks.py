"""Tasks as data: what announces one, what can be read of it, and where its id stands."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from mcp_registry.protocol import tasks

TASK = b'{"resultType":"task","taskId":"t1","status":"working","ttlMs":5,"x":1.0}'


def test_a_declaration_is_found_where_it_belongs() -> None:
    assert tasks.is_declared(Raw(b'{"extensions":{"io.modelcontextprotocol/tasks":{}}}'))
    assert not tasks.is_declared(Raw(b'{"extensions":{"io.modelcontextprotocol/ui":{}}}'))
    assert not tasks.is_declared(Raw(b'{"experimental":{"io.modelcontextprotocol/tasks":{}}}'))
    assert not tasks.is_declared(Raw(b"{}"))


def test_a_task_is_announced_by_the_kind_of_the_result() -> None:
    assert tasks.read_created(Raw(TASK)) == tasks.Task("t1", "working", 5)
    assert tasks.read_created(Raw(b'{"resultType":"t\\u0061sk","taskId":"t1","status":"working"}')) is not None
    for other in (b'{"taskId":"t1","status":"working"}', b'{"resultType":"complete"}', b"[]", b"7", b"{", b"[" * 5000):
        assert tasks.read_created(Raw(other)) is None


@pytest.mark.parametrize(
    "task",
    [
        b"[]",
        b'{"status":"working"}',
        b'{"taskId":7,"status":"working"}',
        b'{"taskId":"","status":"working"}',
        b'{"taskId":"%b","status":"working"}' % (b"x" * 1025),
        b'{"taskId":"t"}',
        b'{"taskId":"t","status":"asleep"}',
        b'{"taskId":"t","status":"working","ttlMs":"5"}',
    ],
)
def test_what_nobody_could_follow_is_no_task(task: bytes) -> None:
    with pytest.raises(ValueError):
        tasks.read_task(Raw(task))


def test_another_id_leaves_the_rest_as_it_came() -> None:
    named = tasks.with_id(Raw(TASK), "mine")
    assert bytes(named) == TASK.replace(b'"t1"', b'"mine"')


RELATED = b'{"_meta":{"io.modelcontextprotocol/related-task" : {"a":"}","taskId" :"t1","b":[]}},"x":"taskId"}'


def test_a_related_task_is_renamed_wherever_it_is_named() -> None:
    deep = b'{"result":{"content":[%b,%b]}, "n":1e5}' % (
        RELATED,
        RELATED.replace(b'"a":"}",', b"").replace(b"/", b"\\/"),
    )
    found = bytes(tasks.renamed(Raw(deep), {"t1": "mine"}.get))
    assert found.count(b'"mine"') == 2
    assert found.replace(b'"mine"', b'"t1"') == deep


def test_what_is_not_renamed_is_the_same_bytes() -> None:
    nothing = Raw(b'{"taskId":"t1"}')
    assert tasks.renamed(nothing, {"t1": "mine"}.get) is nothing
    quoted = Raw(msgspec.json.encode({"text": RELATED.decode()}))
    assert bytes(tasks.renamed(quoted, {"t1": "mine"}.get)) == bytes(quoted)
    assert bytes(tasks.renamed(Raw(RELATED), {"t2": "mine"}.get)) == RELATED


@given(name=st.text(min_size=1), text=st.text())
def test_any_name_is_found_and_no_text_is_touched(name: str, text: str) -> None:
    related = {"io.modelcontextprotocol/related-task": {"taskId": name}}
    raw = msgspec.json.encode({"_meta": related, "text": text, "inside": msgspec.json.encode(related).decode()})
    found = msgspec.json.decode(tasks.renamed(Raw(raw), {name: "mine"}.get))
    assert found["_meta"]["io.modelcontextprotocol/related-task"]["taskId"] == "mine"
    assert found["text"] == text
    assert found["inside"] == msgspec.json.encode(related).decode()
