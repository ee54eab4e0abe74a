"""`agent-gateway check`: every mistake in the configuration, each with file, line and key."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from agent_gateway.cli.further_checks import check_agents, check_live, check_policies
from agent_gateway.cli.session import JsonOption, emit, session_of
from agent_gateway.config.load import Loaded, load
from agent_gateway.config.problems import ConfigErrors, Problem

Check = Callable[[Loaded], Sequence[Problem]]


@dataclass(frozen=True, slots=True)
class Report:
    """What a check found; `errors` empty means that the configuration loads."""

    errors: Sequence[Problem]
    findings: Sequence[Problem]


def run_check(path: Path, *, needs_secrets: bool = False, further: Sequence[Check] = ()) -> Report:
    """Check the configuration at `path`.

    further  checks of a configuration that loads, such as compiling its policies
    """
    try:
        loaded = load(path, needs_secrets=needs_secrets)
    except ConfigErrors as error:
        return Report(error.errors, error.findings)
    found = [problem for look in further for problem in look(loaded)]
    errors = [problem for problem in found if problem.severity == "error"]
    warnings = [problem for problem in found if problem.severity == "warning"]
    return Report(errors, [*loaded.findings, *warnings])


def report(result: Report, *, as_json: bool) -> None:
    """Print what a check found, for people or for programs."""
    data: dict[str, object] = {
        "ok": not result.errors,
        "errors": [problem.as_json() for problem in result.errors],
        "warnings": [problem.as_json() for problem in result.findings],
    }
    emit(data, as_json=as_json, text=lambda console: _write(console, result))


def check(
    context: typer.Context,
    file: Annotated[Path | None, typer.Argument(help="The file to check. Default: the one of --config.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Fail on warnings too.")] = False,
    secrets: Annotated[bool, typer.Option("--secrets", help="Fail when a secret is not there.")] = False,
    live: Annotated[
        bool, typer.Option("--live", help="Start or call every upstream; hold policies to its tools.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Check a configuration, its policies too, and name every mistake in it at once.

    Example: `agent-gateway check gateway.yaml --live`
    """
    further = (check_agents, check_live) if live else FURTHER
    result = run_check(file or session_of(context).config_path, needs_secrets=secrets or live, further=further)
    report(result, as_json=as_json)
    if result.errors or (strict and result.findings):
        raise typer.Exit(1)


FURTHER: tuple[Check, ...] = (check_agents, check_policies)
"""Checks of a configuration that loads; they open no socket."""


def _write(console: Console, result: Report) -> None:
    for problem in result.errors:
        console.print(f"error: {problem.text}", style="red")
    for problem in result.findings:
        console.print(f"warning: {problem.text}", style="yellow")
    counts = f"{_count(len(result.errors), 'error')}, {_count(len(result.findings), 'warning')}"
    if result.errors:
        console.print(f"the configuration does not load: {counts}", style="bold red")
    else:
        console.print(f"the configuration loads: {counts}", style="bold green")


def _count(number: int, word: str) -> str:
    return f"{number} {word}" + ("" if number == 1 else "s")
