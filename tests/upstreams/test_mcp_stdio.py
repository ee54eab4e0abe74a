"""The stdio upstream: real servers on the SDK, and children that die, hang, flood or will not go."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio
import orjson
import psutil
import pytest
from anyio.lowlevel import checkpoint

from agent_gateway.upstreams.settings import UpstreamLimits, UpstreamTimeouts
from gateway_policies.refusal import UpstreamFailed, UpstreamTimeout, UpstreamUnreachable
from support.mcp_servers import Era, raw_command, server_command
from support.principals import ALICE, BOB, EVE
from support.upstreams import FakeClock, KeepingSink, call, open_stdio, stdio_settings, text_of

QUICK = UpstreamTimeouts(farewell_s=0.4, probe_s=0.3)


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": request.param}


async def ask(upstream: Any, tool: str, sink: KeepingSink | None = None, **arguments: Any) -> str:
    return text_of(await upstream.request(call(tool, arguments), sink or KeepingSink()))


async def seen(upstream: Any, **more: Any) -> dict[str, Any]:
    return orjson.loads(text_of(await upstream.request(call("seen", **more), KeepingSink())))


def raw(behaviour: str = "", **more: Any) -> Any:
    return stdio_settings(raw_command(behaviour), **({"timeouts": QUICK} | more))


async def until_gone(pid: int) -> None:
    """Return once no such process runs; a zombie that its own parent left is gone too."""
    with anyio.fail_after(10):
        while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
            await checkpoint()


@pytest.mark.parametrize("era", ["both", "legacy"])
async def test_a_real_server_is_called_and_listed_in_its_era(era: Era) -> None:
    async with open_stdio(stdio_settings(server_command(era=era))) as upstream:
        answer = await upstream.request(call("echo", {"text": "grüße"}), KeepingSink())
        assert (text_of(answer), answer.era) == ("grüße", "legacy" if era == "legacy" else "modern")
        sink = KeepingSink()
        await upstream.request(call("steps", {"count": 3}, wants_progress=True), sink)
        assert [params["progress"] for _, params in sink.messages] == [1, 2, 3]
        names = [orjson.loads(bytes(tool))["name"] for tool in (await upstream.list_items("tools", ALICE)).items]
        assert "nap" in names
        assert (await upstream.server_info(ALICE)).instructions == "be kind"

        async def one(number: int) -> str:
            arguments = {"text": str(number), "seconds": (200 - number) % 7 / 100}
            return text_of(await upstream.request(call("nap", arguments), KeepingSink()))

        assert await asyncio.gather(*map(one, range(200))) == [str(number) for number in range(200)]
        assert (upstream.child_count, upstream.health().state) == (1, "up")

        sink = KeepingSink()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(upstream.request, call("hang", {"name": "gone"}, wants_progress=True), sink)
            await sink.first.wait()
            tasks.cancel_scope.cancel()
        while '"gone"' not in await ask(upstream, "seen"):
            pass  # each round asks the server again


async def test_a_child_sees_its_own_environment_and_nothing_of_ours(tmp_path: Path) -> None:
    ours = {"PATH": os.environ["PATH"], "SECRET": "s3cret", "LANG": "C.UTF-8"}
    settings = raw(env={"GIVEN": "1"}, inherit=("LANG", "ABSENT"), cwd=str(tmp_path))
    async with open_stdio(settings, environ=ours) as upstream:
        here = await seen(upstream)
        assert {**here["environ"], "LC_CTYPE": ""} == {
            "PATH": ours["PATH"], "LANG": "C.UTF-8", "GIVEN": "1", "LC_CTYPE": "",
        }  # fmt: skip
        assert here["cwd"] == str(tmp_path)


async def test_tenants_have_children_of_their_own_and_agents_of_one_tenant_share() -> None:
    async with open_stdio(raw()) as upstream:
        pids = [(await seen(upstream, principal=who))["pid"] for who in (ALICE, BOB, EVE)]
        assert pids[0] == pids[1] != pids[2]
    async with open_stdio(raw(isolation="principal", limits=UpstreamLimits(max_children=2))) as upstream:
        pids = [(await seen(upstream, principal=who))["pid"] for who in (ALICE, BOB, EVE)]
        assert len(set(pids)) == 3
        assert upstream.child_count == 2
        await until_gone(pids[0])


async def test_a_silent_probe_means_the_handshake_era() -> None:
    async with open_stdio(raw("silent")) as upstream:
        assert (await upstream.request(call("x"), KeepingSink())).era == "legacy"


async def test_a_child_that_dies_of_the_probe_is_started_without_it() -> None:
    async with open_stdio(raw("shy")) as upstream:
        assert (await upstream.request(call("x"), KeepingSink())).era == "legacy"
        assert "server/discover" not in [asked["method"] for asked in (await seen(upstream))["seen"]]


@pytest.mark.requirement("mcp.stdio.restart")
async def test_a_killed_child_fails_what_runs_and_the_next_request_starts_another() -> None:
    async with open_stdio(raw()) as upstream:
        pid = (await seen(upstream))["pid"]
        sinks = [KeepingSink() for _ in range(3)]
        running = [asyncio.create_task(upstream.request(call("hang", wants_progress=True), sink)) for sink in sinks]
        for sink in sinks:
            await sink.first.wait()
        os.kill(pid, signal.SIGKILL)
        for task in running:
            with pytest.raises(UpstreamFailed) as refusal:
                await task
            assert refusal.value.code == "upstream_died"
        assert (await seen(upstream))["pid"] != pid
        assert (upstream.health().state, upstream.health().restarts) == ("up", 1)


async def test_a_child_that_keeps_dying_is_left_alone_for_longer_and_longer() -> None:
    clock = FakeClock()
    async with open_stdio(raw(), clock) as upstream:
        waits: list[float | None] = []
        for _ in range(5):
            with pytest.raises(UpstreamFailed) as refusal:
                await ask(upstream, "die")
            assert refusal.value.code == "upstream_died"
            while upstream.child_count:
                await checkpoint()
            try:
                await ask(upstream, "x")
                waits.append(0.0)
            except UpstreamUnreachable as down:
                waits.append(down.retry_after_s)
                clock.now += down.retry_after_s or 0.0
        assert waits[0] == 0.0
        assert all(0.75 * low <= (wait or 0) <= low for wait, low in zip(waits[1:], (0.5, 1.0, 2.0, 60.0), strict=True))
        assert await ask(upstream, "x") == "x"


async def test_a_command_that_does_not_start_is_unreachable_and_its_log_kept() -> None:
    async with open_stdio(raw("absent")) as upstream:
        with pytest.raises(UpstreamUnreachable) as refusal:
            await ask(upstream, "x")
        assert "refuse" not in refusal.value.message
        assert "I refuse to start" in upstream.log_tail()
        assert upstream.health().state == "down"


@pytest.mark.parametrize("command", [("/no/such/command",), (str(Path(__file__).parent),)], ids=["absent", "a folder"])
async def test_a_command_that_is_none_is_unreachable(command: Sequence[str]) -> None:
    async with open_stdio(stdio_settings(command)) as upstream:
        with pytest.raises(UpstreamUnreachable):
            await ask(upstream, "x")


async def test_some_garbage_is_passed_over_and_much_of_it_ends_the_child() -> None:
    async with open_stdio(raw()) as upstream:
        assert await ask(upstream, "garbage", lines=100) == "garbage"
        with pytest.raises(UpstreamFailed) as refusal:
            await ask(upstream, "garbage", lines=101)
        assert refusal.value.code == "upstream_garbage"
        assert await ask(upstream, "x") == "x"


@pytest.mark.parametrize("limit", [2_000, 2_000_000], ids=["in one read", "in many"])
async def test_a_line_beyond_its_limit_ends_the_child(limit: int) -> None:
    clock = FakeClock()
    async with open_stdio(raw(limits=UpstreamLimits(max_result=limit)), clock) as upstream:
        assert len(await ask(upstream, "large", size=limit * 9 // 10)) == limit * 9 // 10
        for size in (limit, limit * 3):
            with pytest.raises(UpstreamFailed) as refusal:
                await ask(upstream, "large", size=size)
            assert refusal.value.code == "upstream_too_large"
            while upstream.child_count:
                await checkpoint()
            clock.now += 60


async def test_answers_and_progress_for_others_are_not_delivered() -> None:
    async with open_stdio(raw()) as upstream:
        sink = KeepingSink()
        assert await ask(upstream, "wrong_id", sink) == "wrong_id"
        assert sink.messages == []


async def test_a_callers_slow_sink_holds_up_nobody_else() -> None:
    gate = anyio.Event()

    class StuckSink(KeepingSink):
        async def notify(self, method: str, params: Any) -> None:
            await super().notify(method, params)
            await gate.wait()

    async with open_stdio(raw()) as upstream:
        stuck = StuckSink()
        request = call("flood", {"count": 5000}, wants_progress=True)
        task = asyncio.create_task(upstream.request(request, stuck))
        await stuck.first.wait()
        assert await ask(upstream, "x") == "x"
        gate.set()
        assert text_of(await task) == "flood"
        assert 1 < len(stuck.messages) <= 300


async def test_requests_beyond_the_limit_of_a_child_are_refused() -> None:
    async with open_stdio(raw(limits=UpstreamLimits(max_inflight=2))) as upstream:
        sinks = [KeepingSink(), KeepingSink()]
        running = [asyncio.create_task(upstream.request(call("hang", wants_progress=True), sink)) for sink in sinks]
        for sink in sinks:
            await sink.first.wait()
        with pytest.raises(UpstreamUnreachable) as refusal:
            await ask(upstream, "x")
        assert refusal.value.code == "upstream_busy"
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        heard = (await seen(upstream))["seen"]
        called = {
            each["id"] for each in heard if each.get("method") == "tools/call" and each["params"]["name"] == "hang"
        }
        cancelled = {each["params"]["requestId"] for each in heard if each.get("method") == "notifications/cancelled"}
        assert len(called) == 2
        assert called <= cancelled


async def test_a_child_that_does_not_read_is_not_written_to_without_end() -> None:
    async with open_stdio(raw(limits=UpstreamLimits(max_unwritten=1_000_000))) as upstream:
        await ask(upstream, "x")
        with pytest.raises(UpstreamTimeout):
            await upstream.request(call("deaf", timeout_s=0.2), KeepingSink())
        codes: set[str] = set()
        for _ in range(10):
            with pytest.raises(UpstreamFailed) as refusal:
                await upstream.request(call("x", {"text": "x" * 500_000}, timeout_s=0.05), KeepingSink())
            codes.add(refusal.value.code)
        assert "upstream_busy" in codes


async def test_a_childs_own_requests_are_answered_politely() -> None:
    async with open_stdio(raw()) as upstream:
        await ask(upstream, "ask")
        answers = {each["id"]: each for each in (await seen(upstream))["seen"] if each.get("id") in ("p", "s")}
        assert answers["p"]["result"] == {}
        assert answers["s"]["error"]["code"] == -32601


async def test_an_idle_child_is_ended_and_one_that_works_is_not() -> None:
    clock = FakeClock()
    async with open_stdio(raw(), clock) as upstream:
        pid = (await seen(upstream))["pid"]
        sink = KeepingSink()
        running = asyncio.create_task(upstream.request(call("hang", wants_progress=True), sink))
        await sink.first.wait()
        clock.now += 1000
        upstream.expire_idle()
        assert upstream.child_count == 1
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        clock.now += 1000
        upstream.expire_idle()
        assert upstream.child_count == 0
        await until_gone(pid)
        assert (await seen(upstream))["pid"] != pid
        assert upstream.health().restarts == 0


@pytest.mark.requirement("mcp.stdio.restart")
@pytest.mark.parametrize("behaviour", ["", "stubborn"])
async def test_closing_leaves_no_process_behind_not_even_a_grandchild(behaviour: str) -> None:
    async with open_stdio(raw(behaviour)) as upstream:
        pids = [(await seen(upstream, principal=who))["pid"] for who in (ALICE, EVE)]
        grandchild = int(await ask(upstream, "breed"))
    for pid in pids:
        assert not psutil.pid_exists(pid)  # reaped, not merely ended
    await until_gone(grandchild)


async def test_closing_while_a_child_starts_ends_it_too() -> None:
    before = {process.pid for process in psutil.Process().children(recursive=True)}
    async with open_stdio(raw("silent", timeouts=UpstreamTimeouts(farewell_s=0.4, probe_s=30))) as upstream:
        task = asyncio.create_task(ask(upstream, "x"))
        while len(psutil.Process().children(recursive=True)) == len(before):
            await checkpoint()
        await upstream.aclose()
        with pytest.raises(UpstreamFailed):
            await task
    assert {process.pid for process in psutil.Process().children(recursive=True)} == before


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel of Linux is asked for this")
def test_a_child_dies_with_a_gateway_that_was_killed() -> None:
    launcher = Path(__file__).parents[2] / "agent_gateway" / "upstreams" / "stdio_launch.py"
    child = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"
    gateway_code = (
        "import os, subprocess, sys, time;"
        f"command = [sys.executable, {str(launcher)!r}, str(os.getpid()), sys.executable, '-S', '-c', {child!r}];"
        "kept = subprocess.Popen(command, stdin=subprocess.PIPE); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", gateway_code], stdout=subprocess.PIPE) as gateway:
        assert gateway.stdout is not None
        process = psutil.Process(int(gateway.stdout.readline()))
        gateway.kill()
        process.wait(timeout=10)
