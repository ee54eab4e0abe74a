"""The data listener's last wall: whatever fails inside it, the caller gets one answer and the log one record."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from agent_gateway.listeners.body import Message
from agent_gateway.listeners.data import DataApp
from agent_gateway.runtime.gateway import Gateway


@pytest.mark.parametrize("path", ["/registry/search", "/registry/v0.1/servers", "/.well-known/ai-catalog.json"])
async def test_a_fault_of_our_own_is_one_answer_and_one_record(path: str) -> None:
    recorded: list[str] = []

    def record(code: str, *_: object) -> None:
        recorded.append(code)

    # Nearly everything is missing: no handler foresees that.
    broken = SimpleNamespace(snapshot=SimpleNamespace(routes={}), record_refusal=record)
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    scope: dict[str, Any] = {
        "type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "query_string": b"", "headers": [],
    }  # fmt: skip
    with pytest.raises(AttributeError):  # it goes on to the server, which logs it
        await DataApp(cast("Gateway", broken))(scope, receive, send)
    assert recorded == ["internal"]
    assert sent[0]["status"] == 500
    assert b"Attribute" not in sent[1]["body"]
