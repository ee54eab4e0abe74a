"""Workers among themselves: whole requests handed over, words told to all, and neither outliving its ends."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from agent_gateway.runtime.siblings import Siblings
from gateway_policies.refusal import Unavailable


class App:
    """An ASGI app that echoes, streams, or waits for its client to leave."""

    def __init__(self) -> None:
        self.scopes: list[Any] = []
        self.left = anyio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scopes.append(scope)
        body = (await receive())["body"]
        await send({"type": "http.response.start", "status": 202, "headers": [(b"x", b"1")]})
        await send({"type": "http.response.body", "body": b"1:" + body, "more_body": True})
        if scope["path"] == "/wait":
            assert (await receive())["type"] == "http.disconnect"
            self.left.set()
            return
        await send({"type": "http.response.body", "body": b"2"})


class Client:
    """The client's end of a request."""

    def __init__(self) -> None:
        self.sent: list[Any] = []
        self.begun = anyio.Event()
        self.gone = anyio.Event()

    async def send(self, message: Any) -> None:
        self.sent.append(message)
        self.begun.set()

    async def receive(self) -> Any:
        await self.gone.wait()
        return {"type": "http.disconnect"}


def scope(path: str = "/mcp") -> dict[str, Any]:
    return {
        "type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "query_string": b"q=1",
        "headers": [(b"authorization", b"Bearer t")], "client": ("10.0.0.9", 1),
    }  # fmt: skip


@asynccontextmanager
async def two(folder: Path) -> AsyncGenerator[tuple[Siblings, Siblings, App]]:
    """Two workers; the second serves the app."""
    first, second, app = Siblings(folder, "0"), Siblings(folder, "1"), App()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(first.serving(App()))
        await stack.enter_async_context(second.serving(app))
        with anyio.fail_after(20):
            yield first, second, app


async def test_a_request_is_answered_by_the_worker_that_knows_it_piece_by_piece(tmp_path: Path) -> None:
    async with two(tmp_path) as (first, second, app):
        client = Client()
        assert first.knows("1", scope())
        await first.relay("1", scope(), b"body", client.receive, client.send)
        assert client.sent == [
            {"type": "http.response.start", "status": 202, "headers": [(b"x", b"1")]},
            {"type": "http.response.body", "body": b"1:body", "more_body": True},
            {"type": "http.response.body", "body": b"2", "more_body": False},
        ]
        [got] = app.scopes
        for name in ("method", "raw_path", "query_string", "headers"):
            assert got[name] == scope()[name]
        assert got["client"][0] == "10.0.0.9"
        assert not second.knows("0", got)  # INVARIANT: nothing is handed over twice


async def test_a_client_that_leaves_is_missed_by_the_worker_that_answers_it(tmp_path: Path) -> None:
    async with two(tmp_path) as (first, _, app), anyio.create_task_group() as group:
        client = Client()

        async def ask() -> None:
            with pytest.raises(Unavailable):
                await first.relay("1", scope("/wait"), b"", client.receive, client.send)

        group.start_soon(ask)
        await client.begun.wait()
        client.gone.set()
        await app.left.wait()


@pytest.mark.parametrize("node", ["0", "7", "../1", "", "x"])
async def test_a_request_stays_where_there_is_nobody_to_hand_it_to(tmp_path: Path, node: str) -> None:
    async with two(tmp_path) as (first, _, _):
        assert not first.knows(node, scope())
    assert not Siblings(None, "0").knows("1", scope())


async def test_a_worker_that_died_is_said_to_be_gone(tmp_path: Path) -> None:
    (tmp_path / "1.sock").touch()
    client = Client()
    with pytest.raises(Unavailable) as refusal:
        await Siblings(tmp_path, "0").relay("1", scope(), b"", client.receive, client.send)
    assert refusal.value.code == "worker_gone"


async def test_what_is_told_reaches_every_other_worker_and_not_oneself(tmp_path: Path) -> None:
    async with two(tmp_path) as (first, second, _):
        heard: list[tuple[str, ...]] = []
        done = anyio.Event()

        def hear(*words: str) -> None:
            heard.append(words)
            done.set()

        first.on("cancel", hear)
        second.on("cancel", hear)
        (tmp_path / "9.sock").touch()  # one that died is passed over
        first.tell("unheard", "of")
        first.tell("cancel", "a", "ü")
        await done.wait()
        assert heard == [("a", "ü")]
