"""The commands by name, each imported only when it is used: a command starts as fast as what it needs itself."""

from collections.abc import Iterator, Mapping, MutableMapping
from importlib import import_module
from types import MappingProxyType
from typing import Any, Final, cast

import typer.main
from typer.core import TyperGroup

# In the order of the help. A module's `app` is a group of commands.
COMMANDS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "init": ("init", "init"),
        "check": ("check", "check"),
        "up": ("up", "up"),
        "add": ("add", "add"),
        "ls": ("ls", "ls"),
        "call": ("call", "call"),
        "token": ("token", "token"),
        "login": ("login", "login"),
        "logout": ("login", "logout"),
        "explain": ("explain", "explain"),
        "who-can": ("explain", "who_can"),
        "budget": ("budget", "budget"),
        "connect": ("connect", "connect"),
        "stdio": ("stdio", "stdio"),
        "doctor": ("doctor", "doctor"),
        "schema": ("schema", "schema"),
        "audit": ("audit", "app"),
        "pins": ("pins", "app"),
        "registry": ("registry", "app"),
        "mesh": ("mesh", "app"),
        "key": ("key", "app"),
    }
)


class Commands(Mapping[str, Any]):
    """Every command by its name, made when it is asked for."""

    def __getitem__(self, name: str) -> Any:
        module, attribute = COMMANDS[name]
        found = getattr(import_module(f"agent_gateway.cli.{module}"), attribute)
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
    """The group of all commands. Only help looks at more than one of them."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = cast("MutableMapping[str, Any]", Commands())  # nothing is added to it

    def list_commands(self, ctx: object) -> list[str]:
        """Return the names of all commands without importing them."""
        return list(self.commands)
