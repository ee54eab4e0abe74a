"""Another registry, followed: a gateway's own registry API on loopback, and a second gateway that mirrors it."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from agent_gateway.config.operations import Mirror
from agent_gateway.runtime.mirroring import RETRY_S, mirror_due
from agent_gateway.stores.mirror_store import GONE
from agent_gateway.stores.server_store import ServerStore
from mcp_registry.servers import ServerEntry, Status
from support.admin import admin_client
from support.auth_servers import served
from support.bridge import App
from support.gateways import TestGateway, gateway
from support.scenes import FILES, world
from support.upstreams import FakeClock

HOUR = 3600.0


def entry(name: str, version: str = "1.0.0", status: Status = "active", **more: object) -> ServerEntry:
    document: dict[str, object] = {"name": f"io.weather/{name}", "description": "Weather.", "version": version, **more}
    return ServerEntry(document, "operator", "", "approved", status, "", 1.0, 1.0, 1.0)


def named_so(app: App) -> Any:
    """Return an app that hears the gateway's own name, whatever was dialled."""

    async def serve(scope: Any, receive: Any, send: Any) -> None:
        headers = [(name, b"gateway.test" if name == b"host" else value) for name, value in scope["headers"]]
        await app({**scope, "headers": headers}, receive, send)

    return serve


@asynccontextmanager
async def both(folder: Path) -> AsyncGenerator[tuple[ServerStore, str, TestGateway]]:
    """Yield what the first registry holds, the URL that it is at, and the gateway that follows it."""
    public = "registry: {public: true}\n"
    (folder / "theirs").mkdir()
    (folder / "ours").mkdir()
    async with (
        gateway(folder / "theirs", world([], public), **FILES) as theirs,
        served(named_so(theirs.app)) as url,
        gateway(folder / "ours", world([]), **FILES) as ours,
    ):
        yield theirs.worker.gateway.servers, f"{url}/registry/v0.1", ours


def found(store: ServerStore) -> dict[str, tuple[str, str, str]]:
    return {f"{one.name} {one.version}": (one.status, one.approval, one.status_message) for one in store.entries()}


@pytest.mark.requirement("registry.mirror")
async def test_a_registry_is_followed_by_the_hour_and_our_approvals_stay(tmp_path: Path) -> None:
    clock = FakeClock(1e9)
    with anyio.fail_after(60):
        async with both(tmp_path) as (theirs, url, ours):
            store = ours.worker.gateway.servers
            mirrors = {"them": Mirror(url=url, search="io.weather")}
            for one in (entry("sun"), entry("sun", "2.0.0"), entry("rain"), entry("old", status="deleted")):
                theirs.publish(one)
            told = await mirror_due(mirrors, store, clock)
            assert sorted(told["them"].taken) == [
                "io.weather/old 1.0.0", "io.weather/rain 1.0.0", "io.weather/sun 1.0.0", "io.weather/sun 2.0.0",
            ]  # fmt: skip
            assert {one[1] for one in found(store).values()} == {"pending"}
            assert await mirror_due(mirrors, store, clock) == {}  # not before it is time

            store.approve("io.weather/sun", "1.0.0", clock.now)
            theirs.set_status("io.weather/sun", "1.0.0", "deprecated", "use 2.0.0", None, 2.0)
            theirs.set_status("io.weather/rain", "", "deleted", "flooded", None, 2.0)
            theirs.publish(entry("wind"))
            clock.now += HOUR
            told = await mirror_due(mirrors, store, clock)
            assert (told["them"].taken, sorted(told["them"].changed), told["them"].gone) == (
                ["io.weather/wind 1.0.0"], ["io.weather/rain 1.0.0", "io.weather/sun 1.0.0"], [],
            )  # fmt: skip
            assert found(store)["io.weather/sun 1.0.0"] == ("deprecated", "approved", "use 2.0.0")
            assert found(store)["io.weather/rain 1.0.0"] == ("deleted", "pending", "flooded")


@pytest.mark.requirement("registry.mirror")
async def test_what_left_its_registry_is_marked_and_what_is_ours_or_changed_is_left_alone(tmp_path: Path) -> None:
    clock = FakeClock(1e9)
    with anyio.fail_after(60):
        async with both(tmp_path) as (theirs, url, ours):
            store = ours.worker.gateway.servers
            mirrors = {"them": Mirror(url=url, search="io.weather")}
            for one in (entry("sun"), entry("rain"), entry("ours")):
                theirs.publish(one)
            mine = entry("ours", "9.0.0")
            store.publish(
                ServerEntry(mine.document, "acme/planner", "planner's", "approved", "active", "", 1.0, 1.0, 1.0)
            )
            told = await mirror_due(mirrors, store, clock)
            assert told["them"].left == ["io.weather/ours 1.0.0: it is published here by its owner"]
            store.approve("io.weather/sun", "1.0.0", clock.now)

            theirs.path.unlink()
            theirs.publish(entry("rain", title="Another"))
            clock.now += HOUR
            told = await mirror_due(mirrors, store, clock)
            assert (told["them"].gone, told["them"].changed) == (["io.weather/sun 1.0.0"], [])
            assert told["them"].left == ["io.weather/rain 1.0.0: it changed there, and versions do not change"]
            assert found(store)["io.weather/sun 1.0.0"] == ("deleted", "approved", GONE)

            theirs.publish(entry("sun"))
            clock.now += HOUR
            told = await mirror_due(mirrors, store, clock)
            assert told["them"].changed == ["io.weather/sun 1.0.0"]
            assert found(store)["io.weather/sun 1.0.0"] == ("active", "approved", "")
            assert found(store)["io.weather/ours 9.0.0"][0] == "active"

            store.publish(entry("desk"))
            theirs.publish(entry("desk", status="deleted"))
            clock.now += HOUR
            told = await mirror_due(mirrors, store, clock)
            assert "io.weather/desk 1.0.0: it is published here by an operator" in told["them"].left
            assert found(store)["io.weather/desk 1.0.0"][0] == "active"

            other = {"other": Mirror(url=url, search="io.weather/sun")}
            told = await mirror_due(other, store, clock)
            assert told["other"].left == ["io.weather/sun 1.0.0: it came from another registry"]


@pytest.mark.requirement("registry.mirror")
async def test_a_registry_that_is_away_takes_nothing_away_and_is_tried_again_soon(tmp_path: Path) -> None:
    clock = FakeClock(1e9)
    with anyio.fail_after(60):
        async with both(tmp_path) as (theirs, url, ours):
            store = ours.worker.gateway.servers
            theirs.publish(entry("sun"))
            assert await mirror_due({"them": Mirror(url=url, search="io.weather")}, store, clock)
            clock.now += HOUR
            away = {"them": Mirror(url=url.replace("/registry/", "/elsewhere/"), search="io.weather")}
            assert await mirror_due(away, store, clock) == {}
            assert found(store)["io.weather/sun 1.0.0"][0] == "active"
            clock.now += RETRY_S
            assert await mirror_due({"them": Mirror(url=url, search="io.weather")}, store, clock)


@pytest.mark.requirement("registry.judged")
async def test_an_operator_s_word_on_a_server_is_recorded_with_what_held_before(tmp_path: Path) -> None:
    with anyio.fail_after(60):
        async with gateway(tmp_path, world([]), **FILES) as gate:
            gate.worker.gateway.servers.publish(
                ServerEntry(entry("sun").document, "acme/twin", "k", "pending", "active", "", 1.0, 1.0, 1.0)
            )
            said = {"name": "io.weather/sun", "version": "1.0.0"}
            async with admin_client(gate) as client:
                assert [one["approval"] for one in (await client.get("/v1/servers")).json()] == ["pending"]
                for path, more in (
                    ("approvals", {"approval": "approved"}),
                    ("statuses", {"status": "deprecated", "message": "use 2"}),
                    ("approvals", {"approval": "pending"}),
                ):
                    answer = await client.post(f"/v1/servers/{path}", json={**said, **more})
                    assert answer.status_code == 200, answer.text
                unknown = await client.post(
                    "/v1/servers/approvals", json={**said, "version": "7", "approval": "approved"}
                )
                assert unknown.status_code == 404
            told = [record for record in await gate.settled() if record["kind"] == "approval"]
            kept = [(one["verdict"], one["what"], one["name"], one["replaces"], one["pin"]) for one in told]
            assert kept == [
                ("approved", "server", "io.weather/sun 1.0.0", "pending", "approved"),
                ("set", "server-status", "io.weather/sun 1.0.0", "active", "deprecated"),
                ("rejected", "server", "io.weather/sun 1.0.0", "approved", "pending"),
            ]
            assert {one["operator"] for one in told} == {"operator:local"}
