"""Sessions: what every command shares: the configuration file, the output, the way to fail."""

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, cast

import typer
from rich.console import Console

from agent_gateway.config.load import Loaded, load

DEFAULT_CONFIG: Final = Path("gateway.yaml")

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


class Failure(Exception):
    """The command ends here: a sentence for people, what to do next, and the exit code."""

    def __init__(self, message: str, *, hint: str = "", exit_code: int = 1) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.exit_code = exit_code


@dataclass(frozen=True, slots=True)
class Session:
    """One run of the command line.

    config_path  the configuration file, from `--config`, AGENT_GATEWAY_CONFIG or the default
    """

    config_path: Path

    def load(self, *, needs_secrets: bool = False) -> Loaded:
        """Load the configuration; raises `ConfigErrors`, which the command line prints for you."""
        return load(self.config_path, needs_secrets=needs_secrets)


def session_of(context: typer.Context) -> Session:
    """Return the session that the global options made."""
    return cast("Session", context.obj)


def emit(data: Mapping[str, object] | list[object], *, as_json: bool, text: Callable[[Console], None]) -> None:
    """Print the result of a command: `data` as JSON, or what `text` writes for people."""
    if as_json:
        sys.stdout.write(json.dumps(data, indent=2, ensure_ascii=False) + "\n")
    else:
        text(stdout())


def stdout() -> Console:
    """The console for results. It reads no markup: names and messages may hold brackets."""
    return Console(markup=False, highlight=False, soft_wrap=True)


def stderr() -> Console:
    """The console for complaints."""
    return Console(stderr=True, markup=False, highlight=False, soft_wrap=True)
