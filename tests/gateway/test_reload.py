"""Configuration that changes under running calls: a good one is served at once, a bad one changes nothing."""

import asyncio
from pathlib import Path

import anyio
import httpx2
import pytest

from support.gateways import TestGateway, call, gateway, rpc
from support.legacy_client import initialize, legacy_headers
from support.raw_http import Peer, raw_server
from support.raw_upstream import Gate, echo, raw_upstream
from support.scenes import FILES, POLICY, check_books, of_kind, world


async def change(gate: TestGateway, old: str, new: str, file: str = "gateway.yaml") -> bool:
    """Replace text in a file and reload; return whether the new configuration is served."""
    path = gate.folder / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    return await gate.worker.keeper.reload(gate.worker.gateway)


async def names(client: httpx2.AsyncClient) -> list[str]:
    result = (await rpc(client, "tools/list")).json()["result"]
    return [tool["name"] for tool in result["tools"]]


@pytest.mark.requirement("config.hot-reload")
async def test_a_removed_upstream_ends_its_running_call_first_and_takes_no_new_ones(tmp_path: Path) -> None:
    slow = Gate()
    with anyio.fail_after(30):
        async with (
            raw_upstream({"slow": slow}) as old,
            raw_upstream({"echo": echo}) as new,
            gateway(tmp_path, world([old.entry("old"), new.entry("new")]), **FILES) as gate,
            gate.client(gate.token("planner")) as client,
        ):
            running = asyncio.ensure_future(call(client, "old__slow"))
            await slow.reached.wait()
            assert await change(gate, old.entry("old"), "")
            assert await names(client) == ["new__echo"]
            assert (await call(client, "old__slow"))["error"]["code"] == -32602
            assert (await call(client, "new__echo"))["result"]["content"]
            slow.opened.set()
            assert (await running)["result"]["content"]
            check_books(await gate.settled())


@pytest.mark.requirement("config.hot-reload")
async def test_a_changed_policy_decides_the_very_next_call(tmp_path: Path) -> None:
    with anyio.fail_after(30):
        async with (
            raw_upstream({"echo": echo}) as up,
            gateway(tmp_path, world([up.entry()]), **FILES) as gate,
            gate.client(gate.token("planner")) as client,
        ):
            session = await initialize(client)
            stream = client.stream("GET", "/mcp", headers=legacy_headers(session))
            async with stream as response:
                events = response.aiter_text()
                assert (await anext(events)).startswith(":")
                assert (await call(client, "raw__echo"))["result"]["content"]
                assert await change(gate, 'Tenant::"acme"', 'Tenant::"globex"', "main.cedar")
                assert (await call(client, "raw__echo"))["error"]["code"] == -32602
                assert "notifications/tools/list_changed" in await anext(events)
                assert await change(gate, 'Tenant::"globex"', 'Tenant::"acme"', "main.cedar")
                assert (await call(client, "raw__echo"))["result"]["content"]
                assert "notifications/tools/list_changed" in await anext(events)
            assert len(up.calls) == 2
            snapshots = [one["snapshot"] for one in of_kind(await gate.settled(), "decision")]
            assert snapshots[0] == snapshots[2] != snapshots[1]


BAD: dict[str, tuple[str, str, str]] = {
    "not YAML": ("tenants:", "tenants: [", "gateway.yaml"),
    "an unknown key": ("tenants:", "tennants:", "gateway.yaml"),
    "a policy with a mistake": (POLICY, "permit (", "main.cedar"),
    "a policy that names nobody": ('Tenant::"acme"', 'Tenant::"acne"', "main.cedar"),
    "a secret that is gone": ("file:planner", "file:gone", "gateway.yaml"),
    "nothing at all": (POLICY, "\x00", "main.cedar"),
}


@pytest.mark.requirement("invariant.bad-config-changes-nothing", "policy.bad-set-does-not-load")
async def test_a_bad_configuration_leaves_the_old_one_running_and_says_why(tmp_path: Path) -> None:
    with anyio.fail_after(30):
        async with (
            raw_upstream({"echo": echo}) as up,
            gateway(tmp_path, world([up.entry()]), **FILES) as gate,
            gate.client(gate.token("planner")) as client,
        ):
            before = gate.worker.gateway.snapshot
            for name, (old, new, file) in BAD.items():
                kept = (tmp_path / file).read_text()
                assert not await change(gate, old, new, file), name
                assert gate.worker.keeper.last_problem, name
                assert gate.worker.gateway.snapshot is before, name
                assert (await call(client, "raw__echo"))["result"]["content"], name
                (tmp_path / file).write_text(kept)
            (tmp_path / "gateway.yaml").rename(tmp_path / "elsewhere.yaml")
            assert not await gate.worker.keeper.reload(gate.worker.gateway)
            (tmp_path / "elsewhere.yaml").rename(tmp_path / "gateway.yaml")
            assert await gate.worker.keeper.reload(gate.worker.gateway)
            assert gate.worker.keeper.last_problem == ""


@pytest.mark.requirement("config.hot-reload", "invariant.one-dead-upstream")
async def test_an_upstream_that_hangs_does_not_hold_up_a_reload(tmp_path: Path) -> None:
    asked = anyio.Event()

    async def mute(peer: Peer) -> None:
        await peer.request()
        asked.set()
        await peer.until_closed()

    with anyio.fail_after(30):
        async with raw_upstream({"echo": echo}) as up, raw_server(mute) as server:
            hanging = f"  mute: {{url: '{server.url()}', allow_private: true, era: modern, connect_timeout_s: 0.1}}\n"
            config = world([up.entry(), hanging], "limits: {list_timeout_s: 0.5}\n")
            async with gateway(tmp_path, config, **FILES) as gate, gate.client(gate.token("planner")) as client:
                asked = anyio.Event()
                refreshing = asyncio.ensure_future(gate.worker.keeper.refresh(gate.worker.gateway))
                await asked.wait()
                (tmp_path / "main.cedar").write_text(POLICY.replace('"acme"', '"globex"'))
                reloading = asyncio.ensure_future(gate.worker.keeper.reload(gate.worker.gateway))
                await asyncio.wait({refreshing, reloading}, return_when=asyncio.FIRST_COMPLETED)
                assert reloading.done()
                assert not refreshing.done()
                assert await names(client) == []
                await refreshing


@pytest.mark.requirement("config.hot-reload")
async def test_rules_for_tools_change_without_asking_the_upstream_again(tmp_path: Path) -> None:
    with anyio.fail_after(30):
        async with (
            raw_upstream({"echo": echo, "other": echo}) as up,
            gateway(tmp_path, world([up.entry()]), **FILES) as gate,
            gate.client(gate.token("planner")) as client,
        ):
            lists = sum(b'"tools/list"' in one for one in up.heard)
            assert await change(gate, 'tools: {"*": {risk: 1', 'tools: {"other": {hide: true}, "*": {risk: 1')
            assert await names(client) == ["raw__echo"]
            assert sum(b'"tools/list"' in one for one in up.heard) == lists


@pytest.mark.requirement("config.hot-reload")
async def test_a_file_that_changes_is_noticed_by_itself(tmp_path: Path) -> None:
    with anyio.fail_after(30):
        async with gateway(tmp_path, world([]), **FILES) as gate:
            changed = gate.worker.gateway.changes.next_change()
            (tmp_path / "main.cedar").write_text(POLICY.replace('"acme"', '"globex"'))
            await changed
