"""The commands by name, each imported only when it is used: a command starts as fast as what it needs itself.

Help and completion name every command and import none: what they say of each stands here.
"""

from collections.abc import Generator, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType
from typing import Any, Final, cast

import typer.main
from typer.core import TyperCommand, TyperGroup


@dataclass(frozen=True, slots=True)
class Command:
    """Where a command is, and what help says of it: the beginning of its own help. A module's `app` is a group."""

    module: str
    attribute: str
    summary: str


# In the order of the help.
COMMANDS: Final[Mapping[str, Command]] = MappingProxyType(
    {
        "init": Command("init", "init", "Write a commented gateway.yaml with starter policies and fresh secrets."),
        "check": Command(
            "check", "check", "Check a configuration, its policies too, and name every mistake in it at once."
        ),
        "up": Command(
            "up", "up", "Serve agents until interrupted. SIGHUP, or a change of the file, reloads the configuration."
        ),
        "add": Command(
            "add",
            "add",
            "Add a server: start or call it, show its tools with what it says of them, and write the entry.",
        ),
        "ls": Command(
            "ls",
            "ls",
            "List upstreams, tools, prompts and resources: health, the operator's grading, and who may use them.",
        ),
        "call": Command(
            "call",
            "call",
            "Call a tool as an agent: policy, budgets and audit apply. Exit code 1 when it is refused or fails.",
        ),
        "read": Command(
            "read",
            "read",
            "Read a resource as an agent: policy, budgets and audit apply. Exit code 1 when it is refused or fails.",
        ),
        "prompt": Command(
            "read",
            "prompt",
            "Get a prompt as an agent: policy, budgets and audit apply. Exit code 1 when it is refused or fails.",
        ),
        "token": Command(
            "token", "token", "Print an access token, signed with the keys of the data directory. Keep it out of logs."
        ),
        "login": Command(
            "login",
            "login",
            "Have a person grant the gateway access to an upstream; the running gateway takes it up by itself.",
        ),
        "logout": Command(
            "login",
            "logout",
            "Drop what a person granted the gateway at an upstream; the authorization server is not told.",
        ),
        "explain": Command(
            "explain",
            "explain",
            "Say why an agent may or may not call a tool, or why a call was denied, and what would change it.",
        ),
        "who-can": Command(
            "explain",
            "who_can",
            "List what every agent may do with a tool: call it, call it for some arguments, or never.",
        ),
        "budget": Command(
            "budget", "budget", "Show every budget: limit, spent, held, left, and when it starts afresh."
        ),
        "dead-letters": Command(
            "dead_letters",
            "dead_letters",
            "List updates of agents' tasks that no webhook took: whose, since when, and what the last try ended with.",
        ),
        "connect": Command("connect", "connect", "Print or write the entry that makes an MCP client use this gateway."),
        "stdio": Command(
            "stdio", "stdio", "Speak MCP on standard input and output, and carry it to the running gateway."
        ),
        "doctor": Command(
            "doctor", "doctor", "Look at everything the gateway needs. Exit code 1 when something is wrong."
        ),
        "schema": Command("schema", "schema", "Print the JSON Schema of the configuration file."),
        "audit": Command("audit", "app", "Follow, show, verify, prove and export the audit log."),
        "pins": Command("pins", "app", "See and judge definitions that changed, or wait to be approved."),
        "registry": Command("registry", "app", "Published servers: list, approve, set their status, import."),
        "mesh": Command("mesh", "app", "APIs become tools: find, import, compare, approve."),
        "key": Command("key", "app", "Make API keys and secrets."),
    }
)


class Commands(Mapping[str, Any]):
    """Every command by its name, made when it is asked for."""

    def __getitem__(self, name: str) -> Any:
        command = COMMANDS[name]
        found = getattr(import_module(f"agent_gateway.cli.{command.module}"), command.attribute)
        if isinstance(found, typer.Typer):
            group = typer.main.get_group(found)
            group.name = name
            return group
        alone = typer.Typer(add_completion=False)
        alone.command(name)(found)
        return typer.main.get_command(alone)

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


class Lazy(TyperGroup):
    """The group of all commands. Only the command that runs is imported."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = cast("MutableMapping[str, Any]", Commands())  # nothing is added to it

    def list_commands(self, ctx: object) -> list[str]:
        """Return the names of all commands without importing them."""
        return list(self.commands)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help of the program."""
        with self._summaries():
            super().format_help(ctx, formatter)

    def shell_complete(self, ctx: Any, incomplete: str) -> Any:
        """Return what `incomplete` may become."""
        with self._summaries():
            return super().shell_complete(ctx, incomplete)

    @contextmanager
    def _summaries(self) -> Generator[None]:
        """Within the block every command is its summary alone."""
        real, summaries = self.commands, {name: TyperCommand(name, help=one.summary) for name, one in COMMANDS.items()}
        self.commands = cast("MutableMapping[str, Any]", summaries)
        try:
            yield
        finally:
            self.commands = real
