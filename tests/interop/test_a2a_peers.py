"""Agents and clients of A2A that nobody here wrote: nothing fails through the gateway that does not fail without it."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from support.a2a_peers import AGENTS, CLIENTS, JUDGE, agent, run_client
from support.agent_scenes import POLICY, V1, agents_behind, all_there, caller
from support.agent_servers import start_agent
from support.processes import Process, process
from support.scenes import check_books, of_kind, world

# Where even a direct call fails, and the gateway changes no byte: the SDK's client refuses fasta2a's timestamps.
SPEECHLESS = {("fasta", "sdk"), ("fasta", "sdk over http+json"), ("fasta", "handler")}


@pytest.mark.requirement("a2a.peers")
@pytest.mark.parametrize("name", AGENTS)
async def test_every_client_finds_in_an_agent_what_it_finds_without_us(tmp_path: Path, name: str) -> None:
    if "AGENTS" not in os.environ:
        pytest.skip("it takes minutes: .ci/agents runs it")
    missing = {peer.environment for peer in (AGENTS[name], *CLIENTS.values()) if not peer.is_here}
    if missing:
        pytest.skip(f"not made: {', '.join(sorted(missing))}; see demos/environments.py")
    with anyio.fail_after(560), agent(name) as url:
        entry = f"  worker: {{kind: a2a, url: '{url}', allow_private: true, risk: 1, card_shape: dual}}\n"
        async with process(tmp_path, world([entry])) as gate:
            (tmp_path / "main.cedar").write_text(POLICY)
            await gate.start()
            token = await gate.fetch_token(path="/a2a/worker")
            for client in CLIENTS:
                direct, via = await both(client, url, endpoint(gate), token)
                compare(name, client, direct, via, endpoint(gate))
            assert await gate.stop() == 0
            check_books(gate.records())
            assert of_kind(gate.records(), "decision")


@pytest.mark.requirement("a2a.card-signatures")
@pytest.mark.parametrize("entry", [", serve: ['1.0']", ", card_shape: dual"])
async def test_the_javascript_sdk_takes_our_signatures_and_no_others(tmp_path: Path, entry: str) -> None:
    if not JUDGE.is_here:
        pytest.skip(f"not made: {JUDGE.environment}; see demos/environments.py")
    toolset = "toolsets:\n  desk: {agent: {}}\n"
    with anyio.fail_after(300), start_agent() as worker:
        async with agents_behind(tmp_path, [worker.entry("worker", entry + ", as_tools: true")], toolset) as running:
            await all_there(running)
            for path in ("/a2a/worker", "/a2a/desk"):
                async with caller(running, "planner", path) as ana:
                    card = (await ana.get(f"{path}/.well-known/agent-card.json", headers=V1)).json()
                    keys = (await ana.get("/oauth/jwks")).json()["keys"]
                assert await judged(card, keys) == "holds"
                assert (await judged({**card, "description": "better"}, keys)).startswith("refused")


async def judged(card: Mapping[str, Any], keys: object) -> str:
    """Return what the JavaScript SDK says of a card."""
    told = json.dumps({"card": card, "keys": keys}).encode()
    done = await anyio.run_process(JUDGE.argv(), input=told, check=False)
    return (done.stdout.splitlines() or [done.stderr[-400:]])[-1].decode()


async def both(client: str, url: str, ours: str, token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Run one client without the gateway and through it, side by side."""
    found: dict[str, dict[str, Any]] = {}

    async def run(place: str, where: str, credential: str) -> None:
        found[place] = await anyio.to_thread.run_sync(run_client, client, where, credential)

    async with anyio.create_task_group() as group:
        group.start_soon(run, "direct", url, "")
        group.start_soon(run, "via", ours, token)
    return found["direct"], found["via"]


def endpoint(gate: Process) -> str:
    return f"http://127.0.0.1:{gate.port}/a2a/worker"


def compare(name: str, client: str, direct: Mapping[str, Any], via: Mapping[str, Any], ours: str) -> None:
    """Assert that every step that works directly works through the gateway, and leads nowhere else."""
    shown = f"{client} → {name}: directly {dict(direct)}, through the gateway {dict(via)}"
    assert via, shown
    for step in ("sent", "streamed", "got", "listed", "state"):
        if step in direct and not is_error(direct[step]) and client != "handler":
            assert in_short(via.get(step)) == in_short(direct[step]), f"{step}: {shown}"
    assert set(via.get("urls", [ours])) == {ours}, shown
    assert set(via.get("schemes", ["OAuth2SecurityScheme"])) == {"OAuth2SecurityScheme"}, shown
    if (name, client) not in SPEECHLESS:
        assert AGENTS[name].words in str(via["sent"]) or AGENTS[name].words in str(via["streamed"]), shown


def in_short(value: object) -> object:
    """Return a step's outcome; whether a task that runs was begun already depends on when one looks."""
    return "running" if str(value).lower().removeprefix("task_state_") in ("submitted", "working") else value


def is_error(value: object) -> bool:
    return isinstance(value, str) and value.startswith("error: ")
