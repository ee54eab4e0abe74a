"""Help: every command shows an example that its own parser reads, and prints JSON where it prints data."""

import re
import shlex
from collections.abc import Iterator
from typing import Any, cast

import pytest
import typer.main

from agent_gateway.cli.main import PROGRAM, app
from support.cli_reference import commands

EXAMPLE = re.compile(rf"Example: `{PROGRAM} ([^`]+)`", re.DOTALL)
SPEAKS_MCP = {"stdio"}  # its standard output is the protocol's


def found(name: str) -> Any:
    """Return a command by its full name."""
    command: Any = typer.main.get_command(app)
    for part in name.split():
        command = command.commands[part]
    return command


def parsed(arguments: list[str]) -> Iterator[str]:
    """Parse a command line without running it; yield the names of the commands it goes through."""
    command: Any = typer.main.get_command(app)
    context = command.make_context(PROGRAM, arguments)
    while hasattr(command, "commands"):
        name, command, arguments = command.resolve_command(context, [*context._protected_args, *context.args])
        yield cast("str", name)
        context = command.make_context(name, list(arguments), parent=context)


@pytest.mark.parametrize("name", commands())
def test_a_command_shows_an_example_that_it_reads(name: str) -> None:
    match = EXAMPLE.search(found(name).help)
    assert match is not None, "its docstring ends with no line like: Example: `agent-gateway ls --agent planner`"
    arguments = shlex.split(match[1].partition(" <")[0])
    assert " ".join(parsed(arguments)) == name


@pytest.mark.parametrize("name", sorted({*commands()} - SPEAKS_MCP))
def test_a_command_prints_json_for_programs(name: str) -> None:
    assert any("--json" in option.opts for option in found(name).params)
