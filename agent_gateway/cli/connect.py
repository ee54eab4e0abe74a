"""`agent-gateway connect CLIENT`: the entry that makes an MCP client use this gateway."""

import os
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

from agent_gateway.cli.client_entries import CLIENTS, CannotEdit, Client, Server
from agent_gateway.cli.files import MAX_BACKUPS, backup, read_text, write_private
from agent_gateway.cli.local import agent_named
from agent_gateway.cli.session import Failure, JsonOption, Session, emit, session_of
from agent_gateway.config.problems import did_you_mean

PROGRAM: Final = "agent-gateway"
DEFAULT_NAME: Final = "agent-gateway"
DEFAULT_TOKEN_ENV: Final = "AGENT_GATEWAY_TOKEN"  # noqa: S105 -- the name of a variable


@dataclass(frozen=True, slots=True)
class Written:
    """What was done to a client's file: `unchanged` when it said so already."""

    file: Path
    state: str
    backup: Path | None = None


def connect(
    context: typer.Context,
    client: Annotated[str, typer.Argument(help="claude-code, claude-desktop, cursor, vscode or codex.")],
    toolset: Annotated[str, typer.Option(help="Connect to one toolset.")] = "",
    agent: Annotated[str, typer.Option("--as", help="Start `agent-gateway stdio` as this agent: no token.")] = "",
    url: Annotated[str, typer.Option(help="Connect to this URL. Default: from the configuration.")] = "",
    name: Annotated[str, typer.Option(help="Name of the entry.")] = DEFAULT_NAME,
    token_env: Annotated[str, typer.Option(help="Variable that holds the token.")] = DEFAULT_TOKEN_ENV,
    file: Annotated[Path | None, typer.Option(help="The client's file. Default: where it looks.")] = None,
    write: Annotated[bool, typer.Option("--write", help="Write it, keeping other entries and a backup.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Print or write the entry that makes an MCP client use this gateway.

    Example: `agent-gateway connect claude-code --as first-agent --write`
    """
    target = _client(client)
    _refuse_odd(name, r"[A-Za-z0-9_-]{1,64}", "--name")
    _refuse_odd(token_env, r"[A-Za-z_]\w{0,127}", "--token-env")
    if target.needs_command and not agent:
        raise Failure(f"{target.title} starts programs: name an agent with --as", exit_code=2)
    if agent and url:
        raise Failure("--as reaches the gateway of this machine: leave --url out", exit_code=2)
    command = started(session_of(context), toolset, agent) if agent else ()
    server = Server(name, url or endpoint(session_of(context), toolset), token_env, command)
    place = file or _default_file(target)
    entry = target.fresh(server)
    if write:
        written = write_entry(target, server, place)
        data: dict[str, object] = {
            "ok": True,
            "client": client,
            "file": str(written.file),
            "state": written.state,
            "backup": str(written.backup) if written.backup else None,
        }
        emit(data, as_json=as_json, text=lambda console: _tell_written(console, target, server, written))
        return
    data = {"ok": True, "client": client, "file": str(place), "url": server.url, "entry": entry}
    emit(data, as_json=as_json, text=lambda console: _tell_entry(console, target, server, place))


def endpoint(session: Session, toolset: str) -> str:
    """Return the MCP endpoint of the configured gateway, or of one of its toolsets."""
    config = session.load().config
    if toolset and toolset not in config.toolsets:
        known = sorted(config.toolsets)
        raise Failure(f"no toolset is called `{toolset}`", hint=did_you_mean(toolset, known))
    return f"{config.listeners.data.url}/mcp" + (f"/{toolset}" if toolset not in ("", "default") else "")


def started(session: Session, toolset: str, agent: str) -> tuple[str, ...]:
    """Return the command that speaks MCP on standard streams as this agent, with absolute paths."""
    loaded = session.load()
    agent_named(loaded, agent)
    program = [shutil.which(PROGRAM)] if shutil.which(PROGRAM) else [sys.executable, "-m", "agent_gateway.cli.main"]
    words = ["--config", str(session.config_path.absolute()), "stdio", "--as", agent]
    return (*map(str, program), *words, *(["--toolset", toolset] if toolset else []))


def write_entry(client: Client, server: Server, file: Path) -> Written:
    """Put the entry into the client's file, keeping what else is there and a copy of what was."""
    real = file.resolve()
    before = read_text(real)
    try:
        after = client.fresh(server) if before is None else client.edit(before, server)
    except CannotEdit as error:
        raise Failure(f"{file} was left alone: {error}", hint="run without --write and paste the entry") from None
    if before == after:
        return Written(file, "unchanged")
    kept = None if before is None else backup(real)
    real.parent.mkdir(parents=True, exist_ok=True)
    write_private(real, after, keeps_mode=before is not None)
    return Written(file, "created" if before is None else "changed", kept)


def _client(word: str) -> Client:
    client = CLIENTS.get(word)
    if client is None:
        raise Failure(f"no client is called `{word}`", hint=did_you_mean(word, sorted(CLIENTS)), exit_code=2)
    return client


def _refuse_odd(text: str, form: str, option: str) -> None:
    if not re.fullmatch(form, text, re.ASCII):
        raise Failure(f"`{option}` has a character that is not allowed", hint=f"the form is `{form}`", exit_code=2)


def _default_file(client: Client) -> Path:
    if client.place == "project":
        return Path(client.file)
    home = os.environ.get("CODEX_HOME")
    return Path(home) / "config.toml" if home else Path.home() / client.file


def _tell_entry(console: Console, client: Client, server: Server, place: Path) -> None:
    console.print(client.fresh(server), end="")
    console.print(f"\n{client.title} reads this from {place}; `--write` puts it there.")
    console.print(f"Then {_note(client, server)}.")


def _tell_written(console: Console, client: Client, server: Server, written: Written) -> None:
    console.print(f"{written.file}: {written.state}")
    if written.backup:
        console.print(f"the file as it was: {written.backup} (at most {MAX_BACKUPS} are kept)")
    console.print(f"{client.title}: {_note(client, server)}.")


def _note(client: Client, server: Server) -> str:
    return "start it again" if server.command else client.note.format(token_env=server.token_env)
