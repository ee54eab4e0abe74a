"""The demonstration's parts: a witness that counts right, a story that stops, a stage that leaves nothing behind."""

import asyncio
import fcntl
import stat
import subprocess
import sys
from pathlib import Path

import anyio
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_gateway.audit.verify import verify_directory
from agent_gateway.config.load import load
from agent_gateway.config.upstream_mcp import McpUpstream
from demos import command, keep_up, processes, proof, stage
from demos.processes import DidNotStart
from demos.stage import CannotStage, Ports, Stage
from demos.story import Story, Surprise
from demos.tap import Count, Tap
from support.audit_log import EAGER, FORBID, VKEY, decision, open_log, write_calls

CALL = b'{"jsonrpc":"2.0","method":"tools/call"}'
PORTS = Ports(data=8080, admin=8081, excel=9000, tap=9001)


# --- the tap -----------------------------------------------------------------------------


@given(st.lists(st.sampled_from([CALL, b'{"method":"tools/list"}', b'"tools/', b"x"]), max_size=8), st.integers(1, 20))
def test_calls_are_counted_however_the_bytes_are_cut(messages: list[bytes], size: int) -> None:
    count, stream = Count(), b"".join(messages)
    pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
    assert sum(count.feed(piece) for piece in pieces) == stream.count(b'"tools/call"')


async def test_the_tap_relays_both_ways_and_counts_what_goes_in() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readexactly(len(CALL)) + CALL)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    tap = Tap(server.sockets[0].getsockname()[1])
    await tap.start()
    with anyio.fail_after(5):
        reader, writer = await asyncio.open_connection("127.0.0.1", tap.port)
        writer.write(CALL)
        assert await reader.read() == CALL + CALL
    assert tap.calls == 1
    writer.close()
    await tap.stop()
    server.close()


async def test_a_stopped_tap_refuses_connections_until_it_is_started_again() -> None:
    tap = Tap(1)
    await tap.start()
    port = tap.port
    await tap.stop()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)
    await tap.start(port)
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.close()
    await tap.stop()


# --- the story ---------------------------------------------------------------------------


def test_a_story_stops_at_the_first_claim_that_does_not_hold(capsys: pytest.CaptureFixture[str]) -> None:
    story = Story()
    story.step("An act")
    story.check("water is wet", holds=True)
    with pytest.raises(Surprise, match=r"fire is cold; seen: 451"):
        story.check("fire is cold", holds=False, seen=451)
    story.end()
    said = capsys.readouterr().out
    assert "1. An act" in said
    assert "1 claims held" in said


# --- the stage ---------------------------------------------------------------------------


def staged(folder: Path) -> Stage:
    """Return a stage with everything but the servers' environments."""
    made = Stage(folder, PORTS)
    (folder / "secrets").mkdir()
    for name in stage.SECRETS:
        (folder / "secrets" / name).write_text("a secret of twenty characters\n")
        (folder / "secrets" / name).chmod(0o600)
    (folder / "policies").symlink_to(stage.POLICIES)
    made.config.write_text(stage.config_text(made, ["/bin/time-server"], ["/bin/git-server"]))
    return made


def test_the_configuration_of_the_demonstration_loads_without_a_word(tmp_path: Path) -> None:
    loaded = load(staged(tmp_path).config, needs_secrets=True)
    assert loaded.findings == ()
    assert set(loaded.config.upstreams) == {"time", "git", "excel", "library"}
    excel = loaded.config.upstreams["excel"]
    assert isinstance(excel, McpUpstream)
    assert excel.url == "http://127.0.0.1:9001/mcp"


def test_a_mark_without_a_value_is_not_written_out() -> None:
    with pytest.raises(KeyError, match="PORT"):
        stage.fill("port: @PORT@", {})


def test_the_stage_shows_a_copy_of_a_repository(tmp_path: Path) -> None:
    source, copy, second = tmp_path / "source", tmp_path / "copy", tmp_path / "second"
    source.mkdir()
    stage.clone(source, copy)  # no repository: a new one
    stage.clone(copy, second)
    logs = [subprocess.check_output(["git", "-C", str(one), "log", "--format=%s"]) for one in (copy, second)]
    assert logs == [b"Begin\n", b"Begin\n"]
    assert list(source.iterdir()) == []


async def test_one_folder_serves_one_run_at_a_time(tmp_path: Path) -> None:
    with command.alone(tmp_path / "tour"), (tmp_path / "tour" / ".lock").open("w") as lock:
        with pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with pytest.raises(CannotStage, match="another run"), command.alone(tmp_path / "tour"):
            pytest.fail("two runs share a folder")
    assert stat.S_IMODE((tmp_path / "tour").stat().st_mode) == 0o700


def test_a_busy_folder_ends_the_command_with_a_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with command.alone(tmp_path / "up"):
        assert command.main(["--up", "--folder", str(tmp_path)]) == 1
    assert "another run uses" in capsys.readouterr().err


async def test_a_taken_port_is_named_before_anything_starts(tmp_path: Path) -> None:
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(CannotStage, match=f"port {port} is taken"):
        await keep_up.serve(tmp_path / "up", port)
    server.close()
    assert not (tmp_path / "up").exists()


def test_the_greeting_tells_endpoint_token_and_client_lines(tmp_path: Path) -> None:
    text = keep_up.greeting(Stage(tmp_path, PORTS), "a-token")
    assert "http://127.0.0.1:8080/mcp" in text
    assert "AGENT_GATEWAY_TOKEN=a-token" in text
    assert all(f"connect {client}" in text for client in keep_up.CLIENTS)


# --- programs ----------------------------------------------------------------------------


async def never() -> bool:
    return False


async def test_a_program_that_ends_at_once_is_told_with_its_last_words(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", "print('no such flag'); raise SystemExit(3)"]
    with pytest.raises(DidNotStart, match=r"(?s)the oracle ended at once with code 3.*no such flag"):
        async with processes.running("the oracle", argv, tmp_path / "log", never):
            pytest.fail("it is not ready")


async def test_a_program_that_never_answers_is_ended(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    argv = ["bash", "-c", f"echo $$ > {note}; exec sleep 600"]
    with pytest.raises(DidNotStart, match="did not answer within 1 s"):
        async with processes.running("the oracle", argv, tmp_path / "log", never, within_s=1):
            pytest.fail("it is not ready")
    assert not psutil.pid_exists(int(note.read_text()))


async def test_a_program_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(DidNotStart, match="No such file"):
        async with processes.running("the oracle", [str(tmp_path / "nothing")], tmp_path / "log", never):
            pytest.fail("there is no such program")


async def test_stopping_a_program_ends_what_it_started(tmp_path: Path) -> None:
    note = tmp_path / "pid"

    async def is_there() -> bool:
        return note.exists() and note.read_text().strip() != ""

    argv = ["bash", "-c", f"trap '' TERM; setsid sleep 600 & echo $! > {note}; wait; exec sleep 600"]
    async with processes.running("the oracle", argv, tmp_path / "log", is_there) as one:
        child = psutil.Process(int(note.read_text()))
        await one.stop(within_s=0.2)
    with anyio.fail_after(5):
        await anyio.to_thread.run_sync(lambda: psutil.wait_procs([child], timeout=5))
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


# --- proof -------------------------------------------------------------------------------


async def test_the_flipped_bit_is_one_that_the_verifier_names(tmp_path: Path) -> None:
    audit = tmp_path / "audit"
    await write_calls(audit, 2, EAGER)
    async with open_log(audit, EAGER) as log:
        log.append(decision("denied-call", FORBID))
        await log.durable(log.size - 1)
    call = proof.flip_one_bit(audit)
    report = verify_directory(audit, [VKEY])
    assert call == "denied-call"
    assert [(one.code, one.call) for one in report.findings] == [("altered", "denied-call")]


async def test_a_log_without_a_denial_has_no_bit_to_flip(tmp_path: Path) -> None:
    await write_calls(tmp_path / "audit", 1, EAGER)
    with pytest.raises(LookupError):
        proof.flip_one_bit(tmp_path / "audit")
