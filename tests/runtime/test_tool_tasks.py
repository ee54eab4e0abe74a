"""Tasks that a worker works on: what of them it keeps in memory."""

import pytest
from msgspec import Raw

from a2a_gateway import raw
from agent_gateway.runtime.tool_tasks import MAX_HISTORY_BYTES, ToolTask
from agent_gateway.stores.task_store import Owner, Where


@pytest.mark.requirement("a2a.toolset-agents")
def test_a_history_is_bounded_in_bytes() -> None:
    task = ToolTask("t", "c", Where(Owner("acme", "ana"), "toolsets/desk"), lambda: 0.0)
    third = b'"%b"' % (b"x" * (MAX_HISTORY_BYTES // 3))
    for _ in range(10):
        task.hear(Raw(third))
    task.hear(Raw(b'"last"'))
    kept = raw.elements(raw.members(task.body())["history"])
    assert [bytes(one) for one in kept] == [third, third, b'"last"']
    huge = b'"%b"' % (b"x" * (MAX_HISTORY_BYTES + 1))
    task.hear(Raw(huge))
    assert [bytes(one) for one in raw.elements(raw.members(task.body())["history"])] == [huge]
