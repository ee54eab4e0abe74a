"""The command line as people and programs meet it: output, exit codes, files."""

import json
import os
import re
import stat
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import pytest

from agent_gateway.config.load import load
from support.command_line import Run
from support.config_files import MINIMAL, write_config
from support.sources import ROOT


def test_a_good_configuration_is_checked_with_exit_code_0(capsys: pytest.CaptureFixture[str], at_home: Path) -> None:
    write_config(at_home)
    run = Run(capsys, "check")
    assert (run.code, run.out) == (0, "the configuration loads: 0 errors, 0 warnings\n")


@pytest.mark.requirement("config.all-mistakes-at-once")
def test_a_bad_configuration_is_told_by_file_line_and_key_with_exit_code_1(
    capsys: pytest.CaptureFixture[str], at_home: Path
) -> None:
    path = write_config(at_home, MINIMAL + "wrkers: 1\nworkers: many\n")
    run = Run(capsys, "check", path)
    assert run.code == 1
    assert run.out == (
        f"error: {path}:13:1: wrkers: unknown key `wrkers` (did you mean `workers`?)\n"
        f"error: {path}:14:10: workers: this must be a whole number (no quotes, no fraction, no units)\n"
        "the configuration does not load: 2 errors, 0 warnings\n"
    )


def test_a_check_says_the_same_to_programs(capsys: pytest.CaptureFixture[str], at_home: Path) -> None:
    write_config(at_home, MINIMAL + "wrkers: 1\n")
    run = Run(capsys, "check", "gateway.yaml", "--json")
    assert run.code == 1
    assert run.data == {
        "ok": False,
        "errors": [
            {
                "file": "gateway.yaml",
                "line": 13,
                "column": 1,
                "key": "wrkers",
                "message": "unknown key `wrkers`",
                "hint": "did you mean `workers`?",
                "severity": "error",
            }
        ],
        "warnings": [],
    }


def test_warnings_fail_only_a_strict_check(
    capsys: pytest.CaptureFixture[str], at_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PLANNER_SECRET")
    write_config(at_home)
    assert Run(capsys, "check").code == 0
    assert Run(capsys, "check", "--strict").code == 1
    assert Run(capsys, "check", "--secrets").code == 1


def test_the_configuration_comes_from_the_option_or_the_environment(
    capsys: pytest.CaptureFixture[str], at_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_config(at_home).rename(at_home / "other.yaml")
    assert Run(capsys, "check").code == 1
    assert Run(capsys, "--config", path, "check").code == 0
    monkeypatch.setenv("AGENT_GATEWAY_CONFIG", str(path))
    assert Run(capsys, "check").code == 0


@pytest.mark.parametrize("arguments", [("chekc",), ("check", "--bogus"), ("connect",), ("connect", "emacs")])
def test_wrong_use_is_exit_code_2_without_a_traceback(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    run = Run(capsys, *arguments)
    assert run.code == 2
    assert run.err
    assert "Traceback" not in run.err


def test_a_failure_of_the_system_is_told_not_traced(capsys: pytest.CaptureFixture[str], at_home: Path) -> None:
    (at_home / "file").write_text("")
    run = Run(capsys, "init", "file/below")
    assert (run.code, run.out) == (1, "")
    assert run.err.startswith("error: file")
    assert "Traceback" not in run.err
    assert Run(capsys, "init", "file/below", "--json").data["ok"] is False


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    run = Run(capsys, "--version")
    assert run.code == 0
    assert run.out.startswith("agent-gateway ")


def test_every_command_takes_json(capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["init"], ["check"], ["connect"], ["schema"], ["key", "new"], ["key", "secret"], ["key", "hash"]):
        assert "--json" in Run(capsys, *command, "--help").out, command


@pytest.mark.requirement("cli.init-loads")
def test_what_init_writes_loads_without_a_word(capsys: pytest.CaptureFixture[str], at_home: Path) -> None:
    assert Run(capsys, "init", "new").code == 0
    loaded = load(at_home / "new" / "gateway.yaml", environ={})
    assert loaded.findings == ()
    assert set(loaded.config.agents) == {"first-agent", "operator"}
    for secret in (at_home / "new" / "secrets").iterdir():
        assert stat.S_IMODE(secret.stat().st_mode) == 0o600
        assert len(secret.read_text().strip()) == 43


def test_what_init_shows_in_comments_loads_too(capsys: pytest.CaptureFixture[str], at_home: Path) -> None:
    Run(capsys, "init")
    path = at_home / "gateway.yaml"
    path.write_text(re.sub(r"(?m)^#(  )", r"\1", path.read_text()))
    loaded = load(path, environ={"WIKI_TOKEN": "x"})
    assert loaded.findings == ()
    assert set(loaded.config.upstreams) == {"time", "wiki"}
    assert set(loaded.config.toolsets) == {"reading"}


def test_init_never_replaces_a_file_unasked_and_a_secret_never(
    capsys: pytest.CaptureFixture[str], at_home: Path
) -> None:
    Run(capsys, "init")
    secret = (at_home / "secrets" / "operator.secret").read_text()
    (at_home / "gateway.yaml").write_text("mine")
    refused = Run(capsys, "init")
    assert refused.code == 1
    assert "already there" in refused.err
    assert (at_home / "gateway.yaml").read_text() == "mine"
    assert Run(capsys, "init", "--force").code == 0
    assert (at_home / "gateway.yaml").read_text() != "mine"
    assert (at_home / "secrets" / "operator.secret").read_text() == secret


def test_the_schema_is_printed_or_written(capsys: pytest.CaptureFixture[str], at_home: Path) -> None:
    printed = Run(capsys, "schema")
    assert printed.data["title"] == "Agent Gateway configuration"
    assert Run(capsys, "schema", "--write", "s.json", "--json").data == {"ok": True, "file": "s.json"}
    assert (at_home / "s.json").read_text() == printed.out


@pytest.mark.requirement("identity.api-keys")
def test_a_new_key_has_256_bits_and_its_hash_goes_into_the_configuration(
    capsys: pytest.CaptureFixture[str], at_home: Path
) -> None:
    data = Run(capsys, "key", "new", "--json").data
    key, credential = data["key"], data["credential"]
    assert isinstance(key, str)
    match = re.fullmatch(r"agw_([a-z0-9]{12})_([A-Za-z0-9_-]{43})", key)
    assert match is not None
    assert credential == {"kind": "api_key", "id": match[1], "sha256": sha256(key.encode()).hexdigest()}
    text = MINIMAL.replace('{kind: client_secret, secret: "env:PLANNER_SECRET"}', json.dumps(credential))
    assert load(write_config(at_home, text)).findings == ()


def test_what_key_new_prints_for_people_can_be_pasted(capsys: pytest.CaptureFixture[str], at_home: Path) -> None:
    entry = Run(capsys, "key", "new").out.splitlines()[-1].strip().removeprefix("- ")
    text = MINIMAL.replace('{kind: client_secret, secret: "env:PLANNER_SECRET"}', entry)
    assert load(write_config(at_home, text)).findings == ()


def test_keys_and_secrets_differ_each_time(capsys: pytest.CaptureFixture[str]) -> None:
    assert Run(capsys, "key", "new").out != Run(capsys, "key", "new").out
    assert Run(capsys, "key", "secret").out != Run(capsys, "key", "secret").out


def test_a_key_is_hashed_from_standard_input(
    capsys: pytest.CaptureFixture[str], at_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = str(Run(capsys, "key", "new", "--json").data["key"])
    with given_input(at_home, monkeypatch, f"{key}\n"):
        assert Run(capsys, "key", "hash").out == sha256(key.encode()).hexdigest() + "\n"
    with given_input(at_home, monkeypatch, "hunter2\n"):
        refused = Run(capsys, "key", "hash")
    assert refused.code == 1
    assert "hunter2" not in refused.err


@contextmanager
def given_input(directory: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> Generator[None]:
    (directory / "input").write_text(text)
    with (directory / "input").open() as stream, monkeypatch.context() as patch:
        patch.setitem(vars(sys), "stdin", stream)
        yield


def test_the_program_runs_as_a_process_of_its_own(at_home: Path) -> None:
    write_config(at_home, MINIMAL + "workers: many\n")
    command = [sys.executable, "-m", "agent_gateway.cli.main", "check"]
    run = subprocess.run(command, cwd=at_home, capture_output=True, text=True, check=False, timeout=60, env=paths())
    assert run.returncode == 1
    assert run.stdout.startswith("error: gateway.yaml:13:10: workers: ")
    assert run.stderr == ""


def paths() -> dict[str, str]:
    """This process's environment, with the packages of this project on the path."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(str(ROOT / folder) for folder in (".", "policies", "a2a"))}
