"""`agent-gateway mesh canary`: try the held version of an API on some callers, compare, promote or drop it."""

import difflib
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from itertools import takewhile
from pathlib import Path
from typing import Annotated, Final

import typer
from pydantic import TypeAdapter
from rich.console import Console

from agent_gateway.admin.canary_routes import CanaryNoted, CanarySaid, Step
from agent_gateway.admin.models import PinJudged, PinShown
from agent_gateway.audit.reader import records
from agent_gateway.cli.asking import Running, source_of
from agent_gateway.cli.entry_text import CannotAdd, entry_of, with_upstream, without_upstream
from agent_gateway.cli.files import read_text, write_private
from agent_gateway.cli.session import Failure, JsonOption, Session, emit, session_of, stderr
from agent_gateway.config.load import Loaded
from agent_gateway.config.upstream_openapi import OpenApiUpstream
from agent_gateway.mesh.canary import (
    MAX_CALLERS,
    Canary,
    block,
    check_reach,
    find,
    keep,
    prepared,
    sibling_of,
    without_block,
)
from agent_gateway.mesh.canary_figures import Figures, figures
from agent_gateway.mesh.folder import ApiFolder
from agent_gateway.mesh.holding import OPERATIONS
from agent_gateway.runtime.books import DataDir
from gateway_policies.sources import PolicySource

app = typer.Typer(help="Try the held version of an API on some callers.", no_args_is_help=True)

SERVED_WITHIN_S: Final = 30.0
KNOWN_WITHIN_S: Final = 15.0
_LOOK_EVERY_S: Final = 0.25
_NOT_COPIED: Final = ("spec", "refetch_s", "folder")  # a canary stays the version that it is
_LATE_MS: Final = 60_000  # how much later than its own time a record may stand in a log
_PINS: Final = TypeAdapter(list[PinShown])
_NOTED: Final = TypeAdapter(CanaryNoted)

NameArgument = Annotated[str, typer.Argument(help="The API.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Write without asking.")]


@dataclass(frozen=True, slots=True)
class Change:
    """What a step writes: for each file the text before and after, in the order that lets nobody see too much."""

    canary: Canary
    api: ApiFolder
    sibling: ApiFolder
    files: tuple[tuple[Path, str, str], ...]

    @property
    def diff(self) -> str:
        lines: list[str] = []
        for path, before, after in self.files:
            ends = before.splitlines(keepends=True), after.splitlines(keepends=True)
            lines += difflib.unified_diff(*ends, str(path), str(path))
        return "".join(line if line.endswith("\n") else line + "\n" for line in lines)


@app.command("start")
def start(
    context: typer.Context,
    name: NameArgument,
    teams: Annotated[list[str] | None, typer.Option("--team", help="TENANT/TEAM that gets the held version.")] = None,
    agents: Annotated[list[str] | None, typer.Option("--agent", help="Agent that gets it.")] = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Serve what is held of an API as NAME-next, to the named callers in place of what is approved.

    Example: `agent-gateway mesh canary start pets --team acme/research`
    """
    session = session_of(context)
    loaded = session.load()
    change = starting(loaded, name, callers_of(loaded, teams or (), agents or ()), int(time.time() * 1000))
    running = _running(session)
    _confirm(change, yes=yes, as_json=as_json)
    _note(running, change.canary, "set")
    begin(change)
    if not _takes_up(running, change.canary.name, is_there=True):
        put_back(change)
        _note(running, change.canary, "rejected")
        raise Failure("the gateway did not take it up, and everything is as it was", hint="its log says why")
    _tell(change, f"{change.canary.name} serves {len(change.canary.tools)} tools", as_json=as_json)


@app.command("status")
def status(context: typer.Context, name: NameArgument, as_json: JsonOption = False) -> None:
    """Compare both versions by what the audit log says since the start: calls, errors, refused arguments, latency.

    Example: `agent-gateway mesh canary status pets`
    """
    loaded = session_of(context).load()
    _, _, canary = found(loaded, name)
    approved, tried = compared(DataDir(loaded.data_dir).audit, canary)
    data: dict[str, object] = {
        "name": name, "canary": canary.name, "since_ms": canary.since_ms, "callers": list(canary.callers),
        "tools": list(canary.tools), "approved": asdict(approved), "tried": asdict(tried),
    }  # fmt: skip
    emit(data, as_json=as_json, text=lambda console: _show(console, canary, approved, tried))


@app.command("promote")
def promote(context: typer.Context, name: NameArgument, yes: YesOption = False, as_json: JsonOption = False) -> None:
    """Approve what was tried under NAME for everybody, and remove the canary.

    Example: `agent-gateway mesh canary promote pets`
    """
    session = session_of(context)
    loaded = session.load()
    change = ending(loaded, name)
    running = _running(session)
    left = to_approve(loaded, change.canary, _waiting(running, change.canary))
    _confirm(change, yes=yes, as_json=as_json)
    for tool in left:
        said = PinJudged(upstream=name, what=OPERATIONS, name=tool, pin=change.canary.tools[tool], verdict="approved")
        running.ask("POST", "/v1/pins", _PINS, said.model_dump_json().encode())
    _note(running, change.canary, "approved")
    _end(running, change)
    _tell(change, f"{name} serves what was tried, {change.canary.name} is gone", as_json=as_json)


@app.command("drop")
def drop(context: typer.Context, name: NameArgument, yes: YesOption = False, as_json: JsonOption = False) -> None:
    """Remove the canary; everybody gets what is approved, and what is held stays held.

    Example: `agent-gateway mesh canary drop pets`
    """
    session = session_of(context)
    change = ending(session.load(), name)
    running = _running(session)
    _confirm(change, yes=yes, as_json=as_json)
    _note(running, change.canary, "rejected")
    _end(running, change)
    _tell(change, f"{change.canary.name} is gone", as_json=as_json)


# --- what a step changes ----------------------------------------------------------------------


def callers_of(loaded: Loaded, teams: Sequence[str], agents: Sequence[str]) -> list[str]:
    """Return callers as policies name them; raises `Failure` for those that the configuration does not know."""
    config = loaded.config
    for team in teams:
        tenant, _, own = team.partition("/")
        if tenant not in config.tenants or own not in config.tenants[tenant].teams:
            raise Failure(f"no team is called `{team}`", hint="write TENANT/TEAM", exit_code=2)
    for agent in agents:
        if agent not in config.agents:
            raise Failure(f"no agent is called `{agent}`", exit_code=2)
    callers = [*(f'Team::"{team}"' for team in teams), *(f'Agent::"{agent}"' for agent in agents)]
    if not 0 < len(callers) <= MAX_CALLERS:
        raise Failure(f"who tries it? 1 to {MAX_CALLERS} of --team and --agent", exit_code=2)
    return callers


def starting(loaded: Loaded, name: str, callers: Sequence[str], since_ms: int) -> Change:
    """Return what begins a canary; raises `Failure`, and `Refusal` for one that would not be sound."""
    folder = _folder(loaded, name)
    sibling_name = sibling_of(name)
    sibling = ApiFolder(loaded.base_dir / "mesh" / sibling_name)
    if sibling_name in loaded.config.upstreams or sibling.path.exists():
        raise Failure(f"there is a `{sibling_name}` already", hint="promote or drop it first, if it is a canary")
    canary = prepared(name, folder, callers, since_ms)
    check_reach(canary, loaded)
    if not loaded.policies:
        raise Failure("there is no policy file to write into", hint="name one under `policies.files`")
    rules = block(canary, [PolicySource(one.name, one.text) for one in loaded.policies])
    last = loaded.base_dir / loaded.policies[-1].name
    policies, text = _text(last), _text(loaded.path)
    try:
        entry = {key: value for key, value in entry_of(text, name).items() if key not in _NOT_COPIED}
        written = with_upstream(text, sibling_name, entry)
        if without_upstream(written, sibling_name) != text:
            raise CannotAdd("what is put in could not be taken out again without a trace")
    except CannotAdd as error:
        raise Failure(f"{loaded.path} was left alone: {error}", hint="write `upstreams` as a block") from None
    return Change(canary, folder, sibling, ((last, policies, policies + rules), (loaded.path, text, written)))


def found(loaded: Loaded, name: str) -> tuple[Path, str, Canary]:
    """Return the policy file that holds the canary of an API, its text, and the canary; raises `Failure`."""
    _folder(loaded, name)
    for file in loaded.policies:
        path = loaded.base_dir / file.name
        canary = find(text := _text(path), sibling_of(name))
        if canary is not None and canary.of == name:
            return path, text, canary
    raise Failure(f"`{name}` has no canary", hint=f"`agent-gateway mesh canary start {name} --team TENANT/TEAM`")


def ending(loaded: Loaded, name: str) -> Change:
    """Return what removes a canary, whatever else was written since it began."""
    path, policies, canary = found(loaded, name)
    folder = _folder(loaded, name)
    text = _text(loaded.path)
    try:
        written = without_upstream(text, canary.name) if canary.name in loaded.config.upstreams else text
    except CannotAdd as error:
        raise Failure(f"{loaded.path} was left alone: {error}", hint=f"remove `{canary.name}` by hand") from None
    rules = without_block(policies, canary.name)
    sibling = ApiFolder(loaded.base_dir / "mesh" / canary.name)
    return Change(canary, folder, sibling, ((loaded.path, text, written), (path, policies, rules)))


def to_approve(loaded: Loaded, canary: Canary, waiting: dict[str, str]) -> list[str]:
    """Return the tools that still have to be approved; raises `Failure` when other versions wait by now.

    waiting  pins of what is held of the API, by its own names of tools
    """
    approved = _folder(loaded, canary.of).approvals().tools
    left = [tool for tool, pin in canary.tools.items() if tool not in approved or approved[tool].contract != pin]
    for tool in left:
        if waiting.get(tool) != canary.tools[tool]:
            raise Failure(
                f"what is held of `{tool}` is not what was tried",
                hint=f"`agent-gateway mesh canary drop {canary.of}`, and start again",
            )
    return left


def begin(change: Change) -> None:
    """Make the sibling's folder and write: the rules before what they rule. Puts everything back when that fails."""
    try:
        keep(change.canary, change.api, change.sibling)
        _write(change)
    except BaseException:
        put_back(change)
        raise


def end(change: Change) -> None:
    """Write, the upstream before the rules, and remove the sibling's folder."""
    _write(change)
    shutil.rmtree(change.sibling.path, ignore_errors=True)


def put_back(change: Change) -> None:
    """Undo `begin`: the files as they were, unless somebody changed them meanwhile."""
    for path, before, after in reversed(change.files):
        if read_text(path) == after:
            write_private(path.resolve(), before, keeps_mode=True)
    shutil.rmtree(change.sibling.path, ignore_errors=True)


def _write(change: Change) -> None:
    for path, before, after in change.files:
        if read_text(path) != before:
            raise Failure(f"{path} changed meanwhile", hint="run this again")
        write_private(path.resolve(), after, keeps_mode=True)


def _folder(loaded: Loaded, name: str) -> ApiFolder:
    config = loaded.config.upstreams.get(name)
    if not isinstance(config, OpenApiUpstream) or not config.enabled:
        raise Failure(f"no API is called `{name}`, or it is not enabled", exit_code=2)
    return ApiFolder(loaded.base_dir / config.folder_of(name))


def _text(path: Path) -> str:
    text = read_text(path)
    if text is None:
        raise Failure(f"there is no {path}")
    return text


# --- the running gateway, and the person ------------------------------------------------------


def _running(session: Session) -> Running:
    source = source_of(session.load(needs_secrets=True))
    if not isinstance(source, Running):
        raise Failure("no gateway is running", hint="start it with `agent-gateway up`: it records who did what")
    return source


def _note(running: Running, canary: Canary, verdict: Step) -> None:
    pin = "sha256:" + sha256("\n".join(canary.tools.values()).encode()).hexdigest()
    said = CanarySaid(upstream=canary.of, sibling=canary.name, callers=list(canary.callers), pin=pin, verdict=verdict)
    running.ask("POST", "/v1/canaries", _NOTED, said.model_dump_json().encode())


def _takes_up(running: Running, name: str, *, is_there: bool) -> bool:
    """Wait until the gateway serves an upstream, or no longer does; return whether that came."""
    until = time.monotonic() + SERVED_WITHIN_S
    while time.monotonic() < until:
        if any(one.name == name for one in running.upstreams()) == is_there:
            return True
        time.sleep(_LOOK_EVERY_S)
    return False


def _end(running: Running, change: Change) -> None:
    end(change)
    if not _takes_up(running, change.canary.name, is_there=False):
        raise Failure("it is written, and the gateway did not take it up", hint="its log says why")


def _waiting(running: Running, canary: Canary) -> dict[str, str]:
    """Return the pins of what is held of the API; right after an import the gateway needs some seconds to know."""
    until = time.monotonic() + KNOWN_WITHIN_S
    while True:
        pins = running.ask("GET", "/v1/pins", _PINS)
        waiting = {one.name: one.pin for one in pins if (one.upstream, one.what) == (canary.of, OPERATIONS)}
        if waiting.keys() >= canary.tools.keys() or time.monotonic() >= until:
            return waiting
        time.sleep(_LOOK_EVERY_S)


def _confirm(change: Change, *, yes: bool, as_json: bool) -> None:
    """Show what will be written, and ask unless `yes`."""
    if not as_json:
        stderr().print(change.diff)
    if yes:
        return
    if as_json or not sys.stdin.isatty():
        raise Failure("nobody is here to ask", hint="give --yes to write", exit_code=2)
    if not typer.confirm("write this?"):
        raise Failure("nothing was written")


def _tell(change: Change, line: str, *, as_json: bool) -> None:
    canary = change.canary
    data: dict[str, object] = {
        "ok": True, "name": canary.of, "canary": canary.name, "tools": list(canary.tools),
        "callers": list(canary.callers), "diff": change.diff,
    }  # fmt: skip
    emit(data, as_json=as_json, text=lambda console: console.print(line))


def compared(audit: Path, canary: Canary) -> tuple[Figures, Figures]:
    """Return the figures of the approved version and of the tried one since the canary began."""
    newest = takewhile(lambda one: one.at_ms >= canary.since_ms - _LATE_MS, records(audit, reverse=True))
    since = [one.record for one in newest if one.at_ms >= canary.since_ms and one.record.get("kind") == "outcome"]
    old, new = ({names[tool] for tool in canary.tools} for names in (canary.old, canary.new))
    return figures(since, old), figures(since, new)


def _show(console: Console, canary: Canary, approved: Figures, tried: Figures) -> None:
    console.print(f"{canary.name}: {', '.join(canary.tools)}; for {', '.join(canary.callers)}", style="bold")
    for name, one in ((canary.of, approved), (canary.name, tried)):
        wrong = ", ".join(f"{count} {what}" for what, count in one.errors.items()) or "no errors"
        console.print(
            f"  {name:<20} {one.calls} calls, {wrong}; {one.refused_by_schema} refused by schema; "
            f"p50 {one.p50_ms} ms, p95 {one.p95_ms} ms"
        )
