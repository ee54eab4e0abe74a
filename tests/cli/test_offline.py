"""Commands when no gateway runs, or what they need is not there: each says what to do."""

import socket
from pathlib import Path
from typing import Any

import pytest

from support.command_line import Run
from support.running import free_ports, write_world


@pytest.fixture
def world(at_home: Path) -> Path:
    return write_world(at_home)


Capsys = pytest.CaptureFixture[str]


def test_ls_without_a_gateway_asks_the_upstreams_itself(capsys: Capsys, world: Path) -> None:
    run = Run(capsys, "ls", "--agent", "planner")
    assert run.code == 0
    assert "no gateway is running" in run.err
    assert "sdk__nap" in run.out
    assert not (world.parent / "data").exists(), "looking leaves nothing behind"


def test_explain_and_who_can_answer_without_a_gateway(capsys: Capsys, world: Path) -> None:
    explained: Any = Run(capsys, "explain", "planner", "sdk__die", "--json").data
    assert (explained["effect"], explained["is_visible"]) == ("forbid", False)
    who: Any = Run(capsys, "who-can", "sdk__die", "--json").data
    assert {one["agent"] for one in who["items"] if one["access"] == "permit"} == {"boss"}
    unknown = Run(capsys, "explain", "planner", "sdk__none")
    assert (unknown.code, "no tool is called `sdk__none`" in unknown.err) == (1, True)


def test_call_without_a_gateway_says_how_to_start_one(capsys: Capsys, world: Path) -> None:
    run = Run(capsys, "call", "sdk__echo", "--as", "planner", "--arg", "text=x")
    assert (run.code, run.out) == (1, "")
    assert "no gateway listens on http://127.0.0.1:" in run.err
    assert "start it with `agent-gateway up`" in run.err


def test_budget_reads_the_ledger_though_nothing_runs(capsys: Capsys, world: Path) -> None:
    data: Any = Run(capsys, "budget", "--json").data
    assert [(row["budget"], row["spent"], row["left"]) for row in data["budgets"]] == [
        ("purse", 0, 500),
        ("steps", 0, 1),
    ]


@pytest.mark.parametrize(
    "command", [("tail",), ("show", "f"), ("verify",), ("prove", "f"), ("export",), ("checkpoint",)]
)
def test_audit_without_a_log_says_that_there_is_none(capsys: Capsys, world: Path, command: tuple[str, ...]) -> None:
    run = Run(capsys, "audit", *command)
    assert run.code == 1
    assert "there is no data directory at" in run.err
    assert not (world.parent / "data").exists(), "reading makes nothing"


def test_doctor_tells_what_is_fine_and_what_is_not_before_the_first_start(capsys: Capsys, world: Path) -> None:
    report: Any = Run(capsys, "doctor", "--json").data
    states = {one["about"]: one["state"] for one in report["findings"] if one["about"] != "configuration"}
    assert (states["data directory"], states["gateway"], states["upstream sdk"]) == ("warn", "warn", "ok")
    assert report["ok"] is True


def test_doctor_fails_on_a_port_that_another_program_has(capsys: Capsys, at_home: Path) -> None:
    (admin_port,) = free_ports(1)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        write_world(at_home, ports=[other.getsockname()[1], admin_port])
        run = Run(capsys, "doctor")
    assert run.code == 1
    assert "fail data listener: cannot listen on 127.0.0.1:" in run.out


def test_doctor_fails_on_keys_that_others_can_read_and_says_what_to_type(capsys: Capsys, world: Path) -> None:
    assert Run(capsys, "token", "planner").code == 0
    keys = world.parent / "data" / "keys" / "signing-keys.json"
    keys.chmod(0o644)
    run = Run(capsys, "doctor")
    assert run.code == 1
    assert f"chmod go-rwx {keys}" in run.out
    refused = Run(capsys, "token", "planner")
    assert refused.code == 1
    assert "the gateway's keys cannot be read" in refused.err


def test_doctor_fails_on_a_dead_upstream_and_a_broken_policy_and_a_missing_secret(
    capsys: Capsys, at_home: Path
) -> None:
    path = write_world(at_home, upstreams="  gone: {command: [/bin/false]}\n")
    assert "fail upstream gone: " in Run(capsys, "doctor").out
    (at_home / "main.cedar").write_text('permit (principal == Agent::"planer", action, resource);\n')
    broken = Run(capsys, "doctor")
    assert (broken.code, "fail policies: main.cedar:1" in broken.out) == (1, True)
    (at_home / "planner.secret").unlink()
    missing = Run(capsys, "--config", path, "doctor")
    assert (missing.code, "fail configuration: " in missing.out) == (1, True)


def test_check_compiles_the_policies_and_names_file_and_line(capsys: Capsys, world: Path) -> None:
    (world.parent / "main.cedar").write_text("\npermit (principal, action, resource) when { resource.rsk < 3 };\n")
    run = Run(capsys, "check", "--json")
    errors: Any = run.data["errors"]
    assert run.code == 1
    assert [(one["file"], one["line"]) for one in errors] == [("main.cedar", 2)]
    assert "rsk" in errors[0]["message"]


def test_check_live_names_the_upstream_that_shows_nothing(capsys: Capsys, at_home: Path) -> None:
    write_world(at_home, upstreams="  gone: {command: [/bin/false]}\n")
    assert Run(capsys, "check").code == 0
    run = Run(capsys, "check", "--live", "--json")
    errors: Any = run.data["errors"]
    assert run.code == 1
    assert [one["key"] for one in errors] == ["upstreams.gone"]


def test_a_suspended_agent_gets_no_token(capsys: Capsys, world: Path) -> None:
    world.write_text(world.read_text().replace("boss: {", "boss: {state: suspended, "))
    run = Run(capsys, "token", "boss")
    assert (run.code, run.out) == (1, "")
    assert "agent `boss` is suspended" in run.err


def test_no_token_is_made_when_the_token_service_is_off(capsys: Capsys, world: Path) -> None:
    text = world.read_text().replace('    credentials: [{kind: client_secret, secret: "file:planner.secret"}]\n', "")
    world.write_text(text + "token_service: {enabled: false}\n")
    assert "the token service is switched off" in Run(capsys, "token", "planner").err
