"""`agent-gateway add NAME URL` or `add NAME -- COMMAND`: try a server or agent, show what it offers, write it down.

The server is started or called as the gateway would, from the file as it is
about to be; only what loads and answers is written.
"""

import asyncio
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

from a2a_gateway import raw
from agent_gateway.admin.models import Hints
from agent_gateway.admin.views import hints_of
from agent_gateway.cli.entry_text import CannotAdd, entry_text, with_upstream
from agent_gateway.cli.files import read_text, write_private
from agent_gateway.cli.local import is_program
from agent_gateway.cli.mesh import bring_in
from agent_gateway.cli.session import Failure, JsonOption, emit, session_of, stdout
from agent_gateway.config.load import Loaded, load
from agent_gateway.config.problems import ConfigErrors
from agent_gateway.config.section import is_loopback
from agent_gateway.config.upstream_mcp import McpUpstream
from agent_gateway.runtime.provision import look_at
from agent_gateway.runtime.upstream_set import make_upstreams

DEFAULT_RISK: Final = 5
TRUSTED_RISK: Final = 2


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool that the server showed: its own name and what it says of itself."""

    native: str
    hints: Hints


def add(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="What to call it; its tools become NAME__tool.")],
    target: Annotated[list[str], typer.Argument(help="A URL, or after `--` a command and its arguments.")],
    kind: Annotated[
        str, typer.Option(help="`mcp`; `a2a`: the URL is an agent's; `openapi`: TARGET is an API's description.")
    ] = "mcp",
    header: Annotated[str, typer.Option(help="A header to send: `Authorization=env:NAME` or `=file:path`.")] = "",
    bearer: Annotated[str, typer.Option(help="A bearer token by reference: `env:NAME` or `file:path`.")] = "",
    env: Annotated[list[str] | None, typer.Option(help="`NAME=text`, `NAME=env:OTHER` or `NAME=file:path`.")] = None,
    allow_private: Annotated[bool, typer.Option("--allow-private", help="The URL is on a private network.")] = False,
    trust_hints: Annotated[bool, typer.Option("--trust-hints", help="Grade tools by what the server says.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Write without asking.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Try it and print the entry; write nothing.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Add a server: start or call it, show its tools with what it says of them, and write the entry.

    Example: `agent-gateway add time -- uvx mcp-server-time`
    """
    if kind == "openapi":
        more = {**({"allow_private": True} if allow_private else {}), **_named_auth(header, bearer)}
        bring_in(session_of(context), name, target[0], more, as_json=as_json)
        return
    path = session_of(context).config_path
    entry = _entry(target, _auth(header, bearer), env or (), allow_private=allow_private)
    if kind not in ("mcp", "a2a") or (kind == "a2a" and "url" not in entry):
        raise Failure("`--kind` is `mcp`, `openapi`, or `a2a` with the base URL of an agent", exit_code=2)
    if kind == "a2a":
        entry = {"kind": kind, **entry}
    text = read_text(path)
    if text is None:
        raise Failure(f"there is no {path}", hint="`agent-gateway init` writes one")
    tools = _probe(path, _with(text, name, entry), name)
    entry["skills" if kind == "a2a" else "tools"] = _rules(tools, trust_hints=trust_hints)
    written = _with(text, name, entry)
    data: dict[str, object] = {
        "ok": True,
        "name": name,
        "entry": entry,
        "tools": [{"name": tool.native, **tool.hints.model_dump()} for tool in tools],
        "written": not dry_run,
    }
    if not as_json:
        _show(stdout(), name, entry, tools)
    if not dry_run:
        _confirm(path, yes=yes or as_json)
        _check(path, written)
        write_private(path.resolve(), written, keeps_mode=True)
    text_after = "nothing was written" if dry_run else f"added to {path}; a running gateway takes it up by itself"
    emit(data, as_json=as_json, text=lambda console: console.print(text_after))


_UVX = "; `uvx` comes with uv: `pip install uv`"


def _entry(
    target: Sequence[str], auth: dict[str, object], env: Sequence[str], *, allow_private: bool
) -> dict[str, object]:
    first = target[0]
    if not first.startswith(("http://", "https://")):
        if auth or allow_private:
            raise Failure("`--header`, `--bearer` and `--allow-private` belong to a URL", exit_code=2)
        variables = dict(_pair(one, "--env") for one in env)
        return {"command": list(target), **({"env": variables} if variables else {})}
    if len(target) > 1 or env:
        raise Failure("a URL stands alone: no arguments, no `--env`", exit_code=2)
    return {"url": first, **({"allow_private": True} if allow_private else {}), **({"auth": auth} if auth else {})}


def _auth(header: str, bearer: str) -> dict[str, object]:
    if header and bearer:
        raise Failure("give `--header` or `--bearer`", exit_code=2)
    if bearer:
        return {"kind": "header", "name": "Authorization", "prefix": "Bearer ", "value": _reference(bearer)}
    if header:
        name, value = _pair(header, "--header")
        return {"kind": "header", "name": name, "value": _reference(value)}
    return {}


def _named_auth(header: str, bearer: str) -> dict[str, object]:
    auth = _auth(header, bearer)
    return {"auth": auth} if auth else {}


def _pair(text: str, option: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise Failure(f"`{option}` wants `NAME=value`", exit_code=2)
    return name, value


def _reference(text: str) -> str:
    if not text.startswith(("env:", "file:")):  # never repeated: it may be the secret itself
        hint = "write `env:NAME` for an environment variable or `file:path` for a file"
        raise Failure("a secret is not written here, only where to find it", hint=hint, exit_code=2)
    return text


def _with(text: str, name: str, entry: dict[str, object]) -> str:
    try:
        return with_upstream(text, name, entry)
    except CannotAdd as error:
        hint = "add this by hand:\n" + entry_text(name, entry)
        raise Failure(f"the file was left alone: {error}", hint=hint) from None


def _check(path: Path, text: str) -> Loaded:
    """Load `text` as if it were the file at `path`; raises `ConfigErrors` in the file's own name."""
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}.", encoding="utf-8") as draft:
        draft.write(text)
        draft.flush()
        try:
            return load(Path(draft.name))
        except ConfigErrors as errors:
            told = str(errors).replace(draft.name, str(path))
            raise Failure(f"with this upstream the configuration does not load:\n{told}") from None


def _probe(path: Path, text: str, name: str) -> list[Tool]:
    """Start or call the upstream of the edited file and return its tools; raises `Failure`."""
    loaded = _check(path, text)
    config = loaded.config.upstreams[name]
    if isinstance(config, McpUpstream) and config.command is not None:
        program = config.command[0]
        if not is_program(program, loaded.base_dir):
            hint = "install it first, or give its full path" + (_UVX if program == "uvx" else "")
            raise Failure(f"there is no program `{program}` here", hint=hint)
    return asyncio.run(_look(loaded, name))


async def _look(loaded: Loaded, name: str) -> list[Tool]:
    only = loaded.config.model_copy(update={"upstreams": {name: loaded.config.upstreams[name]}})
    alone = Loaded(only, loaded.path, (), loaded.policies, loaded.key_sets, loaded.digest, loaded.secrets)
    upstream = make_upstreams(alone, {}, time.time)[name].upstream
    try:
        seen = await look_at(alone, name, upstream, None)
    finally:
        await upstream.aclose()
    if seen.missing:
        raise Failure(f"`{name}` shows no {_word(alone, name)}: {seen.missing}", hint=_advice(alone, name))
    if seen.card.approved is not None:
        return [Tool(skill.id, hints_of(bytes(raw.write(dict(skill.raw))))) for skill in seen.card.approved.skills]
    return [
        Tool(entry.definition.native, hints_of(bytes(entry.definition.raw)))
        for entry in seen.part.entries
        if entry.kind == "tools"
    ]


def _word(loaded: Loaded, name: str) -> str:
    return "card" if loaded.config.upstreams[name].kind == "a2a" else "tools"


def _advice(loaded: Loaded, name: str) -> str:
    url = loaded.config.upstreams[name].urls().get("url")
    if url is None:
        return "run the command in a shell: it must speak MCP on standard input and output"
    if is_loopback(url.partition("://")[2].split("/")[0].rsplit(":", 1)[0]):
        return "it is on this machine: is it running, and did you give --allow-private?"
    if loaded.config.upstreams[name].kind == "a2a":
        return "is this the base URL of an agent, with its card at `/.well-known/agent-card.json` below it?"
    return "is this the MCP endpoint itself, and does it want a credential (--bearer, --header)?"


def _rules(tools: Sequence[Tool], *, trust_hints: bool) -> dict[str, object]:
    """Return the grading to begin with: careful, unless the operator takes the server's word."""
    rules: dict[str, object] = {"*": {"risk": DEFAULT_RISK}}
    if trust_hints:
        reading = [tool for tool in tools if tool.hints.read_only and not tool.hints.destructive]
        rules |= {tool.native: {"risk": TRUSTED_RISK, "read_only": True} for tool in reading}
    return rules


def _show(console: Console, name: str, entry: dict[str, object], tools: Sequence[Tool]) -> None:
    what = "skills" if "skills" in entry else "tools"
    console.print(f"{name}: {len(tools)} {what}", style="bold")
    for tool in tools:
        hints = tool.hints
        said = [
            *(["reads only"] if hints.read_only else []),
            *(["destroys"] if hints.destructive else []),
            *(["reaches the open world"] if hints.open_world else []),
        ]
        summary = (hints.title or hints.description)[:80]
        console.print(f"  {name}__{tool.native:<30} {', '.join(said) or 'says nothing of its effects':<28} {summary}")
    console.print("These are the server's own words; policies see the grading below, which is yours to change:")
    console.print(entry_text(name, entry))


def _confirm(path: Path, *, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise Failure("nobody is here to ask", hint="give --yes to write, or --dry-run to look only", exit_code=2)
    if not typer.confirm(f"write it to {path}?"):
        raise Failure("nothing was written")
