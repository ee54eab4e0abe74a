"""A2A's conformance through the gateway: no case fails that the agent itself holds."""

import json
import os
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import httpx2
import pytest

from a2a_conformance.cases import CASES, Speaker
from a2a_conformance.front import front
from demos.environments import command, is_made
from support.agent_scenes import POLICY
from support.processes import Process, process
from support.scenes import check_books, world

SUT = Path(__file__).with_name("sut.py")
ENVIRONMENT = "a2a-testbed"
MORE = ", push: relay, push_private: true, client_contexts: accept"


@contextmanager
def under_test() -> Generator[str]:
    """Run the agent under test until the block ends; yields its URL."""
    with subprocess.Popen([sys.executable, "-W", "ignore", str(SUT)], stdout=subprocess.PIPE) as child:
        try:
            assert child.stdout is not None
            line = child.stdout.readline()
            assert line.startswith(b"PORT "), "the agent did not start"
            yield f"http://127.0.0.1:{int(line.split()[1])}"
        finally:
            child.kill()


def behind(folder: Path, url: str) -> Any:
    return process(folder, world([f"  worker: {{kind: a2a, url: '{url}', allow_private: true, risk: 1{MORE}}}\n"]))


async def started(gate: Process) -> tuple[str, str]:
    """Start a gateway; return the agent's endpoint and a token for it."""
    (gate.folder / "main.cedar").write_text(POLICY)
    await gate.start()
    return f"http://127.0.0.1:{gate.port}/a2a/worker", await gate.fetch_token(path="/a2a/worker")


async def failures(url: str, token: str, *, is_rest: bool) -> dict[str, str]:
    """Run every case against one endpoint; return what failed, by id."""
    failed: dict[str, str] = {}
    headers = {"authorization": f"Bearer {token}"} if token else {}
    async with httpx2.AsyncClient(headers=headers, timeout=60) as http:
        for name, run in CASES.items():
            try:
                await run(Speaker(http, url, is_rest))
            except (AssertionError, KeyError, IndexError, TypeError, httpx2.HTTPError, json.JSONDecodeError) as error:
                failed[name] = f"{type(error).__name__}: {error}"[:500]
    return failed


@pytest.mark.requirement("a2a.conformance")
@pytest.mark.parametrize("binding", ["jsonrpc", "http+json"])
async def test_every_case_holds_without_the_gateway_and_with_it(tmp_path: Path, binding: str) -> None:
    with anyio.fail_after(300), under_test() as url:
        async with behind(tmp_path, url) as gate:
            endpoint, token = await started(gate)
            is_rest = binding == "http+json"
            assert await failures(url, "", is_rest=is_rest) == {}, "the agent itself"
            assert await failures(endpoint, token, is_rest=is_rest) == {}, gate.log()
            assert await gate.stop() == 0
            check_books(gate.records())


def swept(endpoint: str, token: str) -> dict[str, str]:
    """Let a2a-testbed sweep over an endpoint; return the contracts that did not pass, with why."""
    with front(endpoint, {"authorization": f"Bearer {token}"} if token else {}) as url:
        argv = [*command(ENVIRONMENT, "a2a-testbed"), "conformance", url, "--format", "json", "--timeout", "20"]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=280, check=False)
    report = json.loads(done.stdout)
    return {one["id"]: one["detail"] for one in report["results"] if one["status"] not in ("pass", "skip", "warn")}


@pytest.mark.requirement("a2a.conformance")
async def test_a_sweep_of_another_maker_finds_nothing_that_it_does_not_find_without_us(tmp_path: Path) -> None:
    if "AGENTS" not in os.environ or not is_made(ENVIRONMENT):
        pytest.skip(f"`make conformance-a2a` runs it, in environment `{ENVIRONMENT}`")
    with anyio.fail_after(580), under_test() as url:
        async with behind(tmp_path, url) as gate:
            endpoint, token = await started(gate)
            direct = await anyio.to_thread.run_sync(swept, url, "")
            through = await anyio.to_thread.run_sync(swept, endpoint, token)
            assert {name: why for name, why in through.items() if name not in direct} == {}
            assert len(direct) <= 3, direct
