"""A command imports what it needs and no other command; a misspelt one is still recognized."""

import subprocess
import sys

import pytest
import typer.main

from agent_gateway.cli.commands import COMMANDS, Commands
from agent_gateway.cli.main import app
from support.command_line import Run
from support.running import paths

PROGRAM = """
import sys
from agent_gateway.cli.main import main
try:
    main(sys.argv[1:])
finally:
    sys.stderr.write(" ".join(sys.modules))
"""
IMPORTING = "import sys, atexit; atexit.register(lambda: sys.stderr.write(' '.join(sys.modules))); import "
COMMAND_MODULES = frozenset(f"agent_gateway.cli.{one.module}" for one in COMMANDS.values())


def run(program: str, *arguments: str) -> tuple[str, set[str]]:
    """Return what a program prints and what it has imported in the end."""
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env={**paths(), "COLUMNS": "300"}, check=True)
    return done.stdout, set(done.stderr.split())


def test_a_command_imports_no_other() -> None:
    _, imported = run(PROGRAM, "key", "--help")
    assert imported & COMMAND_MODULES == {"agent_gateway.cli.key"}
    assert "agent_gateway.runtime.worker" not in imported


def test_help_names_every_command_and_imports_none() -> None:
    told, imported = run(PROGRAM, "--help")
    assert [one.summary for one in COMMANDS.values() if one.summary not in told] == []
    assert imported & COMMAND_MODULES == set()


@pytest.mark.parametrize("name", COMMANDS)
def test_help_says_of_a_command_what_the_command_says_of_itself(name: str) -> None:
    own = Commands()[name].help
    assert " ".join(own.split()).startswith(COMMANDS[name].summary)


def test_completion_imports_no_command() -> None:
    group = typer.main.get_command(app)
    before = set(sys.modules)
    found = group.shell_complete(group.make_context("agent-gateway", [], resilient_parsing=True), "s")
    assert [one.value for one in found] == ["stdio", "schema"]
    assert all(COMMANDS[one.value].summary.startswith((one.help or "-").removesuffix("...")) for one in found)
    assert (set(sys.modules) - before) & COMMAND_MODULES == set()


def test_who_only_looks_after_workers_imports_none_of_what_they_are_made_of() -> None:
    _, imported = run(IMPORTING + "agent_gateway.cli.up")
    assert "agent_gateway.runtime.supervisor" in imported
    assert imported.isdisjoint({"agent_gateway.runtime.worker", "agent_gateway.pipeline.run", "cedarpy", "uvicorn"})


def test_a_gateway_starts_without_what_few_gateways_need() -> None:
    _, imported = run(IMPORTING + "agent_gateway.cli.up_alone")
    assert "agent_gateway.runtime.worker" in imported
    assert imported.isdisjoint({"a2a", "agent_gateway.admin.api", "fastapi", "mcp", "mcp_types", "opentelemetry"})


def test_a_misspelt_command_is_told_the_right_one(capsys: pytest.CaptureFixture[str]) -> None:
    run = Run(capsys, "doctr")
    assert run.code == 2
    assert "doctor" in run.err
